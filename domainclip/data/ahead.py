"""Work done a little ahead of its use, in threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
_AHEAD = 4


def ahead(work: Callable[[A], B], jobs: Iterable[A], threads: int) -> Iterator[B]:
    """Yields ``work(job)`` in the order of the jobs; never more than a few results wait, so memory stays flat.

    Args:
        work: Safe for threads.
        jobs: Taken as they are needed, in the caller's thread.
        threads: 1 works in the caller's.
    """
    if threads <= 1:
        yield from map(work, jobs)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) >= _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
