"""Processes that end with the one that started them, however it ended.

A process that is killed cannot tell its children. The kernel tells them (PR_SET_PDEATHSIG), but only those
that had asked by then: whoever asks also looks whether the parent is still there.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int = signal.SIGTERM, *, parent: int | None = None) -> None:
    """Ask the kernel for a signal when the parent's thread ends. To be called in the child.

    parent: its process number, for a child that it knows; where it is gone already, the signal comes at once.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


def dying_with_us(number: int = signal.SIGTERM) -> Callable[[], None]:
    """For subprocess.Popen's preexec_fn: the child gets the signal when this thread ends."""
    parent = os.getpid()

    def before_exec() -> None:
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)  # our handler, inherited until exec, would swallow it
        die_with_parent(number, parent=parent)

    return before_exec


def process_pool(
    workers: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """An executor of fresh processes that leave signals to this one, and that are killed together with it.

    By themselves they would wait for its next task for ever.
    """
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(), initializer, initargs),
    )


def _begin(parent: int, initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    leave_signals(parent)
    if initializer is not None:
        initializer(*initargs)


def leave_signals(parent: int) -> None:
    """In a worker process: when to stop is for the parent to decide, which takes it along when killed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL, parent=parent)
