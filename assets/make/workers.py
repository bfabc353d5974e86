"""Processes that render side by side, each a part of the same pictures."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence

from suite.errors import Stopped, SuiteError
from suite.progress import Progress
from suite.provenance import ROOT
from suite.stage import STOP

POLL_SECONDS = 0.5


class WorkerFailed(SuiteError):
    """A process that this one started ended badly."""

    def __init__(self, exit_code: int, what: str = "a worker failed (see above)") -> None:
        super().__init__(what)
        self.exit_code = exit_code


def run_workers(command: Sequence[str], workers: int, *, total: int, num_done: Callable[[], int]) -> None:
    """Start `command --part i/workers` for each, show how far they are, stop all if one fails.

    num_done: of `total` pictures, how many are finished. Raises WorkerFailed; Stopped after SIGTERM.
    """
    running = [
        subprocess.Popen([*command, "--part", f"{part}/{workers}"], cwd=ROOT) for part in range(workers)
    ]
    done = num_done()
    try:
        with Progress(total, "pictures", done=done) as bar:
            while any(process.poll() is None for process in running):
                if STOP.is_set or any(process.poll() for process in running):
                    break
                time.sleep(POLL_SECONDS)
                now = num_done()
                bar.advance(now - done)
                done = now
            bar.advance(num_done() - done)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
        codes = [process.wait() for process in running]
    if STOP.is_set:
        raise Stopped("stopped; the same command goes on from here")
    if any(codes):
        raise WorkerFailed(max(codes))
