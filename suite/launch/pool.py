"""A wide stage on one machine: its missing shards, some at a time.

A failed shard costs that shard: the others go on, and the end names it, its exit code and the log. After
SIGTERM or SIGINT no shard is started, the running ones are told to stop after the picture at hand, and
their work stays on disk.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from suite.errors import EXIT_OK, EXIT_STOPPED
from suite.launch.gpu import Gpu
from suite.launch.worker import Crew, Worker, worst

POLL_SECONDS = 0.05
GIVE_UP_AFTER = 10  # failures in a row before any success: the cause is not in the shard


@dataclass
class StopRequest:
    """Set by SIGTERM or SIGINT; a second signal kills what still runs."""

    signals: int = 0

    def install(self, *more: int) -> None:
        """Listen to the usual three, and to `more`."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, *more):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.signals += 1

    @property
    def is_set(self) -> bool:
        return self.signals > 0


@dataclass(frozen=True)
class ShardResult:
    """How one shard ended."""

    shard: int
    code: int
    seconds: float


@dataclass(kw_only=True)
class Pool:
    """Runs shards. `args(shard)` gives the stage's command; `on_end` is called after each."""

    crew: Crew
    args: Callable[[int], Sequence[str]]
    stop: StopRequest
    on_end: Callable[[ShardResult], None] = lambda result: None
    results: list[ShardResult] = field(default_factory=list)
    _running: dict[int, Worker] = field(default_factory=dict)

    def run(self, shards: Sequence[int]) -> int:
        """Do the shards; returns the worst exit code."""
        waiting = list(shards)
        while waiting or self._running:
            if self.stop.is_set or self._is_hopeless():
                waiting.clear()
            while waiting and len(self._running) < self.crew.jobs and self._start(waiting[0]):
                waiting.pop(0)
            if self.stop.is_set:
                self._stop_all()
            self._collect()
            time.sleep(POLL_SECONDS)
        codes = [result.code for result in self.results]
        return worst([*codes, EXIT_STOPPED] if self.stop.is_set else codes)

    def failed(self) -> list[ShardResult]:
        """The shards that did not end in 0, in order of shard."""
        return sorted((r for r in self.results if r.code != EXIT_OK), key=lambda r: r.shard)

    def _start(self, shard: int) -> bool:
        """Start a shard; False while all GPUs are taken."""
        gpu: Gpu | None = None
        if self.crew.gpus is not None:
            gpu = self.crew.gpus.take()
            if gpu is None:
                return False
        self._running[shard] = self.crew.start(self.args(shard), name=f"{shard:05d}", gpu=gpu)
        return True

    def _collect(self) -> None:
        for shard, worker in list(self._running.items()):
            code = worker.poll()
            if code is None:
                continue
            del self._running[shard]
            if self.crew.gpus is not None and worker.gpu is not None:
                self.crew.gpus.give(worker.gpu)
            result = ShardResult(shard, code, worker.seconds)
            self.results.append(result)
            self.on_end(result)

    def _is_hopeless(self) -> bool:
        return len(self.results) >= GIVE_UP_AFTER and all(r.code != EXIT_OK for r in self.results)

    def _stop_all(self) -> None:
        stop_workers(list(self._running.values()), self.stop)


def stop_workers(workers: Sequence[Worker], stop: StopRequest) -> None:
    """Tell the workers to stop after the item at hand and wait; a second signal from outside kills them."""
    for worker in workers:
        worker.signal(signal.SIGTERM)
    sent = 1
    while any(worker.poll() is None for worker in workers):
        if stop.signals > sent:
            for worker in workers:
                worker.signal(signal.SIGKILL)
            sent = stop.signals
        time.sleep(POLL_SECONDS)
    for worker in workers:
        worker.stop_container()
