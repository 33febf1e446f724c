"""Work spread over processes that never outlive their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from typing import Any


def spread(
    work: Callable[[Any], Any], jobs: Sequence[Any], workers: int, text: str, progress: Callable[[int, int, str], None] | None
) -> list[Any]:
    """Calls ``work`` with each job, in this process or in others.

    When the caller is stopped (Ctrl-C, an error), the other processes are ended at once, within their job; when it is killed, they
    end themselves.

    Args:
        work: A function of a module, or a ``functools.partial`` of one.
        jobs: Its arguments.
        workers: Processes; 1 works in this one.
        text: What is being made, for ``progress``.
        progress: Called with (done, total, text).

    Returns:
        The results, in the order of the jobs.
    """
    results: list[Any] = [None] * len(jobs)
    pairs = _one_by_one(work, jobs) if workers <= 1 else _in_processes(work, jobs, min(workers, len(jobs)))
    with contextlib.closing(pairs):  # whatever stops the loop ends the processes
        for done, (number, result) in enumerate(pairs, start=1):
            results[number] = result
            if progress is not None:
                progress(done, len(jobs), text)
    return results


def _one_by_one(work: Callable[[Any], Any], jobs: Sequence[Any]) -> Generator[tuple[int, Any]]:
    for number, job in enumerate(jobs):
        yield number, work(job)


def _in_processes(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Generator[tuple[int, Any]]:
    before = set(multiprocessing.active_children())
    # Spawned, since GDAL and threads of the parent do not survive a fork.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        numbers = {pool.submit(work, job): number for number, job in enumerate(jobs)}
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
        raise
    finally:
        pool.shutdown()


def _begin() -> None:
    """Ends this process with its parent; Ctrl-C is the parent's business, who would be shown a traceback of every worker."""
    os.environ["OMP_NUM_THREADS"] = "1"  # numerical libraries would take all cores in every process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
