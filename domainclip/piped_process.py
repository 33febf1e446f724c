"""A process that reads foreign files for this one: it may hang or die, and the job goes on. Layer 0.

The process is a module run with ``python -m``. It is told a line of JSON on standard input and answers each with a line of JSON;
``{"tick": true}`` in between says that it is at work. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from domainclip.errors import UsageError

LONGEST_ANSWER_BYTES = 2**20
_CLOSE_SECONDS = 10.0
"""A process that waits for a dead disk cannot be ended; it is left behind."""
_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.2


class PipedProcess:
    """One such process and the pipe to it, for one thread.

    Args:
        module: Its name; the process has this process's ``sys.path``, one OpenMP thread, and a session of its own (an interrupt
            from the keyboard is this process's to handle).
        environment: Further variables.
        stopped: Asked every fifth of a second while an answer is waited for; True ends the waiting.
    """

    def __init__(
        self, module: str, *, environment: Mapping[str, str] | None = None, stopped: Callable[[], bool] | None = None
    ) -> None:
        path = os.pathsep.join(part for part in sys.path if part)
        # Decoders write names of files and of people to standard error; it is kept only for who debugs.
        errors = None if os.environ.get("DOMAINCLIP_DEBUG") else subprocess.DEVNULL
        self._process = subprocess.Popen(  # noqa: S603 - the module is named in this package, never by a file
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environment or {}), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output, self._stopped = self._process.stdin, self._process.stdout, stopped
        # A thread of its own listens: Windows cannot wait for a pipe with a limit of time.
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._listener = threading.Thread(target=_listen, args=(self._output, self._lines), daemon=True)
        self._listener.start()

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Sends a message and waits for its answer.

        Args:
            message: What JSON can hold.
            seconds: Longest silence.

        Returns:
            The answer; or ``{"lost": reason}`` where none came: the process must then be closed.
        """
        try:
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()
        except OSError:
            return {"lost": f"the process that read it died{self._signal()}"}
        while "tick" in (answer := self._answer(seconds)):
            pass
        return answer

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_CLOSE_SECONDS)
        self._listener.join(timeout=_CLOSE_SECONDS)
        with contextlib.suppress(OSError):  # what a dead process had not read yet
            self._input.close()
        if not self._listener.is_alive():
            self._output.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while self._stopped is None or not self._stopped():
            try:
                line = self._lines.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if time.monotonic() > until:
                    return {"lost": f"reading took longer than {seconds:g} s"}
                continue
            if not line.endswith(b"\n"):
                return {"lost": f"the process that read it died{self._signal()}"}
            answer: dict[str, Any] = json.loads(line)
            return answer
        return {"lost": "the job was stopped"}

    def _signal(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=2)
            return f" (signal {-code})" if code < 0 else f" (exit status {code})"
        return ""


def started_process(
    module: str,
    setup: dict[str, Any],
    seconds: float,
    *,
    environment: Mapping[str, str] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> PipedProcess:
    """Starts a process and waits until it has taken its setup and answered ``{"ready": true}``.

    Args:
        module: See ``PipedProcess``.
        setup: The first message.
        seconds: Longest time until it is ready.
        environment: See ``PipedProcess``.
        stopped: See ``PipedProcess``.

    Raises:
        UsageError: It cannot start, or ends before it is ready: no file is at fault. Not raised when ``stopped``.
    """
    try:
        process = PipedProcess(module, environment=environment, stopped=stopped)
    except OSError as error:
        raise _not_started(f"The system does not start one ({error.strerror or type(error).__name__})") from error
    answer = process.ask(setup, seconds)
    if answer.get("ready") or (stopped is not None and stopped()):
        return process
    process.close()
    raise _not_started(f"It was not ready: {answer.get('lost', 'no answer')}")


def _not_started(found: str) -> UsageError:
    remedy = "Set DOMAINCLIP_DEBUG=1 to see why; close other programs if memory or processes run out."
    return UsageError("A process was to be started to read files.", f"{found}.", remedy)


def _listen(output: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Hands on what the process answers, line by line; the end, and a line of no end, come without a line break."""
    line = b"\n"
    while line.endswith(b"\n"):
        try:
            line = output.readline(LONGEST_ANSWER_BYTES)
        except (OSError, ValueError):  # closed by ``close``
            line = b""
        lines.put(line)


def private_output() -> io.RawIOBase:
    """Takes standard output for the answers of this process, and points what libraries print to standard error.

    From here on the process ends with the one that started it (Linux), also in the midst of a library that hangs.
    """
    _end_with_parent()
    private = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return private


def _end_with_parent() -> None:
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def say(output: io.RawIOBase, message: dict[str, Any]) -> None:
    """Sends an answer."""
    output.write(json.dumps(message).encode() + b"\n")


def messages() -> Iterator[dict[str, Any]]:
    """Yields what this process is told, until the end of its standard input."""
    for line in sys.stdin.buffer:
        yield json.loads(line)


def limit_memory(limit_bytes: int) -> None:
    """Limits this process's writable memory, where the system can (RLIMIT_DATA: decoders reserve more addresses than they use)."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes if hard < 0 else min(limit_bytes, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
