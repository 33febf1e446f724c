"""Runs foreign files through worker processes: a dead or silent worker is a rejected file and a new worker."""

from __future__ import annotations

import importlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from domainclip.data.records import item_to_json
from domainclip.domains.base import Domain
from domainclip.errors import DiskFullError, DomainClipError, UsageError
from domainclip.piped_process import started_process
from domainclip.sample import SourceItem

_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(4 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20)}
"""glibc would map and unmap memory for every tile, and give back the blocks of each file at its end, which the next needs again;
either costs a tenth of the time and more. Other systems pass over these names."""
_BLOCKS = {"GDAL_CACHEMAX": os.environ.get("GDAL_CACHEMAX", "256")}
"""Each worker's GDAL would keep decoded blocks in a twentieth of all memory; here in 256 MB, unless the owner says otherwise."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost.

    Attributes:
        seconds: Longest silence of a worker: between two images of one file, or for a file of one image.
        memory_gib: Writable memory of a worker, where the system can limit it (Linux).
        start_seconds: Longest time until a worker is ready.
    """

    seconds: float = 120.0
    memory_gib: float = 4.0
    start_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one file ended: ``samples`` images in its spool, or the ``reason`` of its rejection."""

    number: int
    samples: int = 0
    reason: str | None = None


def domain_reference(domain: Domain) -> str:
    """Returns ``"module:attribute"`` by which another process finds the domain.

    Raises:
        UsageError: It is no attribute of the module that defines its class.
    """
    name = type(domain).__module__
    modules = [name, *(n for n in list(sys.modules) if name.startswith(f"{n}.") or n.startswith(f"{name.rpartition('.')[0]}."))]
    for module in modules:
        for attribute, value in list(vars(sys.modules.get(module, object)).items()):
            if value is domain and module != "__main__":
                return f"{module}:{attribute}"
    raise UsageError(
        f"The domain {domain.name!r} was to read files in worker processes.",
        f"It is no attribute of an importable module (its class lies in {name}).",
        "Put it into a module of its own, as DOMAIN; or pass workers=0 to read without supervision.",
    )


def referred_domain(reference: str) -> Domain:
    """Undoes ``domain_reference`` in another process."""
    module, _, attribute = reference.partition(":")
    domain: Domain = getattr(importlib.import_module(module), attribute)
    return domain


def run_supervised(
    jobs: Sequence[int], item_of: Callable[[int], SourceItem], domain: Domain, setup: dict[str, Any], workers: int, limits: Limits
) -> Iterator[Outcome]:
    """Runs files through workers, yielding outcomes as they come (not in order).

    Args:
        jobs: Numbers of the files.
        item_of: Number to file; called when its turn comes, by several threads.
        domain: The reader, importable.
        setup: ``reading``, ``folder``, ``key`` (hex) and ``seed`` for the workers.
        workers: Processes, at least one.
        limits: Time and memory of one file.

    Raises:
        UsageError: The disk is full, or the workers cannot start.
        DomainClipError: The domain says that its options are at fault, which no other file would change.
    """
    first = {**setup, "domain": domain_reference(domain), "memory_bytes": int(limits.memory_gib * 2**30)}
    waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    count = max(1, min(workers, len(jobs)))
    for _ in range(count):
        waiting.put(None)
    outcomes: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()
    threads = [
        threading.Thread(target=_serve, args=(waiting, item_of, outcomes, first, limits, stop), daemon=True) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    ended = 0
    try:
        while ended < count:
            outcome = outcomes.get()
            if outcome is None:
                ended += 1
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                yield outcome
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=10)


def _serve(
    waiting: Any, item_of: Callable[[int], SourceItem], outcomes: Any, setup: dict[str, Any], limits: Limits, stop: threading.Event
) -> None:
    """One thread beside one worker process: hands out files, watches the clock, replaces the worker when it dies."""
    worker: _Worker | None = None
    try:
        while not stop.is_set() and (number := waiting.get()) is not None:
            worker = worker or _Worker(setup, limits, stop)
            answer = worker.run(number, item_of(number))
            if answer.get("lost") or "rejected" in answer:
                worker.close()
                worker = None
            if stop.is_set():
                break
            if answer.get("full"):
                raise disk_full("Images were to be written into a prepared set.")
            if "stop" in answer:
                raise UsageError(*answer["stop"])
            outcomes.put(Outcome(number, answer.get("done", 0), answer.get("lost") or answer.get("rejected")))
    except (DomainClipError, OSError) as error:
        outcomes.put(error)
    finally:
        if worker is not None:
            worker.close()
        outcomes.put(None)


def disk_full(asked: str) -> DiskFullError:
    """Builds the error for a disk that is full."""
    return DiskFullError(asked, "The disk is full.", "Free space or choose another output, then run it again with --resume.")


class _Worker:
    """One worker process, told what all files have in common."""

    def __init__(self, setup: dict[str, Any], limits: Limits, stop: threading.Event) -> None:
        self._limits = limits
        self._process = started_process(
            "domainclip.data.worker", setup, limits.start_seconds, environment=_ALLOCATOR | _BLOCKS, stopped=stop.is_set
        )

    def run(self, number: int, item: SourceItem) -> dict[str, Any]:
        """Lets the worker read one file."""
        return self._process.ask({"number": number, "item": item_to_json(item)}, self._limits.seconds)

    def close(self) -> None:
        """Ends the process."""
        self._process.close()
