"""Runs one process and what it starts: time, processor time, memory; and the page cache of its files before."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_STEP_SECONDS = 0.2


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        answer: The last line that the process printed, JSON.
        wall_seconds: From its start to its end.
        cpu_seconds: User and system time of it and all its children.
        rss_sum_mib: Peak of the sum of resident sizes over its tree (shared pages count in each).
        rss_one_mib: Peak of the largest process: the kernel's high-water mark where it was still alive to be asked.
    """

    answer: dict[str, Any]
    wall_seconds: float
    cpu_seconds: float
    rss_sum_mib: int
    rss_one_mib: int


def measured(command: Sequence[str], cores: Sequence[int] | None, limit_seconds: float, last_line: bool = True) -> Measured:
    """Runs a command to its end.

    Args:
        command: Program and arguments; with ``last_line`` its last line of standard output is JSON.
        cores: Cores that it and its children may use; None for all.
        limit_seconds: It is killed after so long.
        last_line: Whether ``answer`` is read from the output.

    Raises:
        RuntimeError: It failed, or took too long.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([*pinned, *command], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        peaks = [0, 0]
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks), daemon=True)
        watcher.start()
        try:
            output = process.communicate(timeout=limit_seconds)[0]
        except subprocess.TimeoutExpired as late:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.communicate()
            raise RuntimeError(f"{command[:2]} took longer than {limit_seconds:g} s") from late
        wall = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        watcher.join()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{command} ended with {process.returncode}: {errors.read()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer = json.loads(output.splitlines()[-1]) if last_line else {}
    return Measured(answer, wall, cpu, peaks[0] // 2**20, peaks[1] // 2**20)


def _watch(pid: int, peaks: list[int]) -> None:
    """Samples the resident sizes of a process's tree until it ends."""
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            total = 0
            for process in (root, *root.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                    peaks[1] = max(peaks[1], _high_water(process.pid))
                except (psutil.Error, OSError):
                    continue  # it ended between the two calls
            peaks[0] = max(peaks[0], total)
            time.sleep(_STEP_SECONDS)
    except psutil.NoSuchProcess:
        return


def _high_water(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def warm_cache(paths: Iterable[Path]) -> None:
    """Reads files once, so that they lie in the page cache."""
    for path in paths:
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def drop_cache(paths: Iterable[Path]) -> None:
    """Asks the kernel to forget the pages of files (needs no rights; pages must be clean)."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
