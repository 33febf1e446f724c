"""Progress of long work: a bar with rate and estimate on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_LINE_EVERY_SECONDS = 10.0
_BAR_EVERY_SECONDS = 0.2
_PERCENT = 100


def progress_printer() -> Callable[[int, int, str], None]:
    """Returns a callable (done, total, text) that shows progress on standard error."""
    return _Progress(sys.stderr.isatty())


class _Progress:
    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.title, self.text, self.started, self.shown, self.first = "", "", 0.0, 0.0, 0

    def __call__(self, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        title = text.partition(",")[0]  # what follows a comma changes with every call (step, loss)
        if title != self.title:
            self.title, self.started, self.shown, self.first = title, now, now if not self.terminal else 0.0, done
        self.text = text
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
        rate = (done - self.first) / seconds if seconds > 1 else 0.0
        left = f"{_clock((total - done) / rate)} left, " if rate > 0 and done < total else ""
        if total == _PERCENT:
            return f"{self.text}: {done} % ({left}{_clock(seconds)} so far)"
        speed = f"{rate:.1f}/s, " if rate > 0 else ""
        return f"{self.text}: {done}/{total} ({speed}{left}{_clock(seconds)} so far)"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
