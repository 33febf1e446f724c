"""Runs work in a process forked from this warm one, under limits of time and memory; a crash there is an answer here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 10.0
"""Of the processor, so that other work on the machine makes nobody late; three times as long on the wall clock, for who waits."""
MEMORY_BYTES = 2 * 2**30
"""Over what the warm process holds already."""


@dataclass(frozen=True)
class Ended:
    """How a forked process ended.

    Attributes:
        how: ``answered``; ``escaped`` (an exception that the work does not expect, with its trace); ``memory``; ``killed`` by a
            signal; ``hang``.
        answer: What the work returned, when it answered.
        trace: Of the exception, or the signal and the Python frames below it.
        seconds: From fork to end, on the wall clock.
    """

    how: str
    answer: dict[str, Any] = field(default_factory=dict)
    trace: str = ""
    seconds: float = 0.0


def forked(work: Callable[[], dict[str, Any]], *, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> Ended:
    """Runs ``work`` in a fork.

    Args:
        work: Returns plain values of JSON.
        seconds: Of processor time (in whole seconds, at least one), or a third of the wall-clock time, after which it is killed.
        memory_bytes: Writable memory (RLIMIT_DATA, as the workers of ``prepare`` have) over the present.
    """
    began = time.monotonic()
    ours, theirs = os.pipe()
    frames, frames_fd = _scratch()
    process = os.fork()
    if process == 0:
        os.close(ours)
        _work(work, theirs, frames_fd, seconds, memory_bytes)
    os.close(theirs)
    data = _read(ours, began + 3 * seconds)
    os.close(ours)
    status = _end(process) if data is None else os.waitpid(process, 0)[1]
    os.close(frames_fd)
    spent = time.monotonic() - began
    stack = frames.read_text(errors="replace")
    frames.unlink()
    if data is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Ended("hang", trace=_python_frames(stack), seconds=spent)
    if os.WIFSIGNALED(status):
        return Ended("killed", trace=f"signal {os.WTERMSIG(status)}\n{_python_frames(stack)}", seconds=spent)
    if not data:
        return Ended("killed", trace=f"exit status {os.waitstatus_to_exitcode(status)}", seconds=spent)
    message = json.loads(data)
    return Ended(message["how"], message.get("answer", {}), message.get("trace", ""), spent)


def _work(work: Callable[[], dict[str, Any]], pipe: int, frames_fd: int, seconds: float, memory_bytes: int) -> None:
    """The child: never returns."""
    import faulthandler

    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        faulthandler.enable(frames_fd, all_threads=False)
        faulthandler.register(signal.SIGXCPU, frames_fd, all_threads=False, chain=True)
        resource.setrlimit(resource.RLIMIT_CPU, (max(1, round(seconds)), max(1, round(seconds)) + 1))
        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + memory_bytes,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        message: dict[str, Any] = {"how": "answered", "answer": work()}
    except MemoryError:
        message = {"how": "memory", "trace": traceback.format_exc(limit=-4)}
    except BaseException:
        message = {"how": "escaped", "trace": traceback.format_exc(limit=-8)}
    data = json.dumps(message).encode()
    while data:
        data = data[os.write(pipe, data) :]
    os._exit(0)


def _read(pipe: int, until: float) -> bytes | None:
    """All that the child says, or None at the end of its time."""
    parts = []
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return None
        part = os.read(pipe, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _end(process: int) -> int:
    """Ends a process that hangs: by SIGABRT, at which faulthandler writes where it was, then for good."""
    os.kill(process, signal.SIGABRT)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        gone, status = os.waitpid(process, os.WNOHANG)
        if gone:
            return status
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]


def _scratch() -> tuple[Path, int]:
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix="frames")
    return Path(name), descriptor


def _python_frames(stack: str) -> str:
    with contextlib.suppress(ValueError):
        stack = stack[: stack.index("Extension modules")]
    lines = [line.strip() for line in stack.splitlines() if re.match(r"\s+File", line)]
    return "\n".join(lines[:8])
