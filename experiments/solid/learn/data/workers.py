"""Runs a function over a row of requests in loader processes; the results come back in order.

Errors of a worker arrive in one line, and a worker that dies or hangs ends the run instead of stopping it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from suite.errors import Missing, SuiteError
from suite.family import die_with_parent

Request, Result = TypeVar("Request"), TypeVar("Result")
TIMEOUT = 300.0  # seconds without a batch after which the loader gives up


@dataclass(frozen=True)
class _Raised:
    """A SuiteError on its way from a worker: torch would replace its one line by a traceback."""

    kind: type[SuiteError]
    line: str


class _Steps(Dataset):
    def __init__(self, fetch: Callable[[Any], Any]) -> None:
        self.fetch = fetch

    def __getitem__(self, request: Any) -> Any:
        try:
            return self.fetch(request)
        except SuiteError as error:
            return _Raised(type(error), str(error))


class _Requests:
    """Torch asks its sampler for an iterator."""

    def __init__(self, requests: Iterable[Any]) -> None:
        self.requests = requests

    def __iter__(self) -> Iterator[Any]:
        return iter(self.requests)


def in_workers(
    fetch: Callable[[Request], Result],
    requests: Iterable[Request],
    *,
    workers: int,
    timeout: float = TIMEOUT,
) -> Generator[Result]:
    """`fetch(request)` for every request, in order, computed ahead in `workers` processes (0: in this one).

    `fetch` and the requests must not depend on the process that runs them. Raises what `fetch` raises
    (SuiteErrors as they are), Missing if a worker dies or gives nothing for `timeout` seconds. Closing the
    iterator ends the workers; they also end with the thread that took the first result.
    """
    with warnings.catch_warnings():
        # The number of workers is a setting; a small machine is slower with many, not wrong.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader = DataLoader(
            _Steps(fetch),
            batch_size=None,
            sampler=_Requests(requests),
            num_workers=workers,
            collate_fn=_as_it_is,
            timeout=timeout if workers else 0,
            worker_init_fn=functools.partial(_begin, os.getpid(), multiprocessing.get_start_method()),
            # Torch draws a seed for its workers; the global generator is the caller's.
            generator=torch.Generator().manual_seed(0),
        )
        with _group_signals_held_back():
            results = iter(loader)
    # An iterator that is left open would keep the process from ending: it waits for its children.
    at_exit = atexit.register(functools.partial(_end, results))
    if workers:
        _one_line_for_dead_workers()
    try:
        while True:
            try:
                result = next(results)
            except StopIteration:
                return
            except RuntimeError as error:
                raise _lost(error, timeout) from None
            if isinstance(result, _Raised):
                raise result.kind(result.line)
            yield result
    finally:
        atexit.unregister(at_exit)
        _end(results)


def _begin(trainer: int, method: str, _worker: int) -> None:
    """Torch's worker notes its parent later than this: of a trainer killed before that it learns nothing."""
    if method != "forkserver":  # whose processes have another parent than the one that asked for them
        die_with_parent(signal.SIGKILL, parent=trainer)


def _as_it_is(result: Any) -> Any:
    return result


@contextlib.contextmanager
def _group_signals_held_back() -> Iterator[None]:
    """Workers started in here never see SIGTERM and SIGINT.

    A signal to the whole process group is the trainer's business: it stops after a checkpoint. Workers
    inherit the mask, so there is no moment at their start at which torch's handler would end them in silence.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lost(error: RuntimeError, timeout: float = TIMEOUT) -> Exception:
    """What torch says about a lost worker, as a SuiteError; any other error as it is."""
    text = str(error)
    if "timed out" in text:
        return Missing(
            f"no batch came from the loader processes for {timeout:g} s",
            fix="check that the disk of the store answers, or set workers to 0 to see where it stands",
        )
    if text.startswith("DataLoader worker"):
        return Missing(
            f"a loader process died ({text.splitlines()[0]})",
            fix="most often memory: give more (in a container also to /dev/shm), or lower workers",
        )
    return error


def _one_line_for_dead_workers() -> None:
    """Torch notices a dead worker in a signal handler that may raise anywhere in the trainer."""
    torch_handler = signal.getsignal(signal.SIGCHLD)
    ours = getattr(torch_handler, "in_one_line", False)
    if ours or not callable(torch_handler) or threading.current_thread() is not threading.main_thread():
        return

    def handler(number: int, frame: Any) -> None:
        try:
            torch_handler(number, frame)
        except RuntimeError as error:
            raise _lost(error) from None

    handler.in_one_line = True
    signal.signal(signal.SIGCHLD, handler)


def _end(results: Any) -> None:
    """End the workers, also those that hang and ignore SIGTERM."""
    if hasattr(results, "_shutdown_workers"):
        workers = list(results._workers)
        results._shutdown_workers()
        for worker in workers:
            if worker.is_alive():
                worker.kill()
                worker.join()
