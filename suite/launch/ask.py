"""What a launcher asks a wide stage, whatever place its shards go to: which are missing, and to finish it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence

from suite.errors import EXIT_OK, EXIT_STOPPED
from suite.launch.pool import POLL_SECONDS, StopRequest, stop_workers
from suite.launch.state import LaunchState
from suite.launch.tell import tell_end
from suite.launch.worker import Crew, Worker, say


def wait(worker: Worker, stop: StopRequest) -> int:
    """Wait for a worker; a stop request is passed on."""
    while (code := worker.poll()) is None:
        if stop.is_set:
            stop_workers([worker], stop)
        time.sleep(POLL_SECONDS)
    return code


def list_missing(
    crew: Crew, args: Sequence[str], stop: StopRequest, state: LaunchState
) -> tuple[int, list[int] | None, int]:
    """Ask the stage. Exit code, unfinished shards (None: there is nothing more to do here), all shards."""
    lister = crew.start([*args, "--list-missing"], name="list", stdout=subprocess.PIPE)
    listed = lister.process.communicate()[0].decode() if lister.process else ""
    code = lister.wait()
    if stop.is_set or code != EXIT_OK:
        tell_end(crew, code or EXIT_STOPPED, lister.seconds)
        return code or EXIT_STOPPED, None, 0
    tree = json.loads(listed.strip().splitlines()[-1])
    missing, total = tree["missing"], tree["total"]
    state.update(total=total, finished=total - len(missing), failed=[])
    if tree.get("done"):
        say(f"{crew.label}: up to date, {total} shards")
        return EXIT_OK, None, total
    return EXIT_OK, missing, total


def gather(crew: Crew, args: Sequence[str], stop: StopRequest, start: float) -> int:
    """All shards are there: finish the stage; `start` is when its launch began."""
    code = wait(crew.start([*args, "--gather"], name="gather"), stop)
    tell_end(crew, code, time.monotonic() - start)
    return code
