"""What a launch leaves for `make status`: `<log without .log>.json`, rewritten at every event.

Keys: system, stage, state (running, done, failed, stopped), pid, host, place, toolchain, accel, device,
jobs, started and ended (seconds since 1970), total and finished (shards; absent for a narrow stage),
failed (list of {shard, code}), code, log. It is no output of a stage: nothing reads it to decide what is
done.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.errors import EXIT_OK, EXIT_STOPPED
from suite.launch.worker import say
from suite.manifest import read_json, write_json


class LaunchState:
    """The state file of one launch."""

    def __init__(self, log: Path, **facts: Any) -> None:
        self.path = state_path(log)
        self.tree: dict[str, Any] = {
            "state": "running", "pid": os.getpid(), "host": platform.node(), "started": time.time(),
            "log": str(log), **facts,
        }  # fmt: skip
        self._write()

    def update(self, **facts: Any) -> None:
        self.tree |= facts
        self._write()

    def end(self, code: int) -> None:
        state = {EXIT_OK: "done", EXIT_STOPPED: "stopped"}.get(code, "failed")
        self.update(state=state, code=code, ended=time.time())

    def _write(self) -> None:
        write_json(self.path, self.tree)


def state_path(log: Path) -> Path:
    """`logs/targets.log` -> `logs/targets.json`."""
    return log.with_suffix(".json")


def read_state(path: Path) -> dict[str, Any] | None:
    """A state file; `running` becomes `died` where its process is gone (known only on the same host)."""
    tree = read_json(path)
    if not isinstance(tree, dict) or "state" not in tree:
        return None
    if (
        tree["state"] == "running"
        and tree["host"] == platform.node()
        and not Path(f"/proc/{tree['pid']}").exists()
    ):
        tree["state"] = "died"
    return tree


@contextmanager
def exclusive(lock: Path) -> Iterator[int]:
    """Hold a lock file; yields its descriptor, for the workers to inherit: it is free when the last of them
    is gone.

    After a kill the workers of the dead launcher finish the picture at hand; the next launch waits for
    them here.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{lock.name}: waiting for the processes of an earlier run to finish the picture at hand")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()
