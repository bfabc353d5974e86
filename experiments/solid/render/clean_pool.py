# SPDX-License-Identifier: GPL-3.0-or-later
"""Models cleaned by several processes, each with a Blender of its own.

A model that makes Blender crash costs a process, not the stage: it is tried once more in a fresh process and
then dropped with the reason. What a process writes are the checkpoints that the stage would have written
itself, so the result does not depend on how many there are.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from suite.family import leave_signals

MODELS_PER_PROCESS = 24  # below this many the start of a further one costs more than it saves
BYTES_PER_PROCESS = 1 << 30  # Blender and a large model
BLENDER_SCRIPTS = re.compile(r"[/\\]bpy[/\\]\d+\.\d+[/\\]scripts\b")
TRIES = 2  # of a model at which the process died; the first death may have been for want of memory
POLL_SECONDS = 1.0  # how long a stop request may wait

Task = tuple[int, Path]  # number of the model, its file
Work = Callable[[int, Path], None]  # must be picklable; leaves its result on the disk


def num_processes(num_models: int) -> int:
    """As many as the models, the cores and the free memory are good for; at least one."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(
        1, min(num_models // MODELS_PER_PROCESS, len(os.sched_getaffinity(0)), free // BYTES_PER_PROCESS)
    )


def clean_all(
    tasks: Sequence[Task], work: Work, processes: int, *, check_stop: Callable[[], None]
) -> Iterator[tuple[int, str | None]]:
    """Run `work` on every task; (number, None) of each that is done, (number, reason) where Blender died.

    In the order in which they end. `check_stop` may raise; the models at hand are then finished and kept.
    """
    left, deaths = deque(tasks), {}
    crew: dict[Connection, _Worker] = {}
    try:
        while left or any(member.task for member in crew.values()):
            check_stop()
            while left and len(crew) < processes:
                member = _Worker(work)
                crew[member.pipe] = member
            for member in crew.values():
                if member.task is None and left:
                    member.give(left.popleft())
            for pipe in wait(list(crew), POLL_SECONDS):
                member = crew[pipe]  # type: ignore[index]
                task = member.task
                if member.answered():
                    yield task[0], None
                    continue
                del crew[member.pipe]
                if task is None:  # it was killed while it had nothing to do
                    continue
                number = task[0]
                deaths[number] = deaths.get(number, 0) + 1
                if deaths[number] < TRIES:
                    left.appendleft(task)
                else:
                    yield number, f"Blender ended with {member.end()}"
    finally:
        for member in crew.values():
            member.leave()


class _Worker:
    """One process and what it works on."""

    def __init__(self, work: Work) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, work, os.getpid()), daemon=True
        )
        with _path_without_blender():
            self.process.start()
        theirs.close()  # so that its death shows as the end of the pipe
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        try:
            self.pipe.send(task)
        except BrokenPipeError:
            pass  # it is dead: `answered` says so next

    def answered(self) -> bool:
        """Whether the task is done; False: the process is gone. An exception of the work is raised here."""
        try:
            answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return False
        self.task = None
        if answer is not None:
            raise answer
        return True

    def end(self) -> str:
        """How the process ended, in words."""
        self.process.join()
        code = self.process.exitcode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def leave(self) -> None:
        """Let the model at hand be finished, then end."""
        self.pipe.close()
        self.process.join()


@contextmanager
def _path_without_blender() -> Iterator[None]:
    """A new process takes over sys.path, on which Blender has put folders that hide its own module."""
    kept = list(sys.path)
    sys.path[:] = [place for place in kept if not BLENDER_SCRIPTS.search(place)]
    try:
        yield
    finally:
        sys.path[:] = kept


def _serve(pipe: Connection, work: Work, parent: int) -> None:
    """The process: tasks in, None or an exception out, until the pipe is closed."""
    leave_signals(parent)
    while True:
        try:
            number, source = pipe.recv()
        except EOFError:
            os._exit(0)  # Blender's own exit handlers may wait for ever (suite/leave.py)
        answer = None
        try:
            work(number, source)
        except Exception as error:  # noqa: BLE001 - raised again by the first process
            answer = error
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)
