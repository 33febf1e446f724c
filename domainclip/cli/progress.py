"""Progress of long work: a bar with rate and estimate on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_LINE_EVERY_SECONDS = 10.0
_BAR_EVERY_SECONDS = 0.2


def progress_printer() -> Callable[[int, int, str], None]:
    """Returns a callable (done, total, text) that shows progress on standard error."""
    return _Progress(sys.stderr.isatty())


class _Progress:
    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.text, self.started, self.shown, self.first = "", 0.0, 0.0, 0

    def __call__(self, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        if text != self.text:
            self.text, self.started, self.shown, self.first = text, now, now if not self.terminal else 0.0, done
        every = _BAR_EVERY_SECONDS if self.terminal else _LINE_EVERY_SECONDS
        if done < total and now - self.shown < every:
            return
        self.shown = now
        line = self._line(done, total, now - self.started)
        if not self.terminal:
            print(line, file=sys.stderr, flush=True)  # noqa: T201
            return
        width = 24
        filled = width * done // max(total, 1)
        end = "\n" if done >= total else ""
        print(f"\r\x1b[K[{'#' * filled}{'.' * (width - filled)}] {line}", end=end, file=sys.stderr, flush=True)  # noqa: T201

    def _line(self, done: int, total: int, seconds: float) -> str:
        rate = (done - self.first) / seconds if seconds > 0 else 0.0
        left = f", {_clock((total - done) / rate)} left" if rate > 0 and done < total else ""
        return f"{self.text}: {done}/{total} ({rate:.1f}/s{left}, {_clock(seconds)} so far)"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
