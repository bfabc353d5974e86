"""Results of a function for a row of requests, computed ahead in threads and handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Request, Result = TypeVar("Request"), TypeVar("Result")
AHEAD = 2  # results per thread that wait at most


def in_order(
    make: Callable[[Request], Result], requests: Iterable[Request], *, workers: int
) -> Generator[Result]:
    """`make(request)` of every request, in order; 0 workers: each when it is asked for.

    `make` must depend on nothing but its request; the requests are drawn in the caller's thread. What `make`
    raises is raised here, at its place in the row. Closing the iterator ends the threads.
    """
    if workers == 0:
        yield from map(make, requests)
        return
    coming = iter(requests)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    try:
        while True:
            for request in coming:
                waiting.append(pool.submit(make, request))
                if len(waiting) > AHEAD * workers:
                    break
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
