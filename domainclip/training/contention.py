"""Notices that other work keeps the cores busy, which slows threads that wait for each other by a factor of ten."""

from __future__ import annotations

import time
from pathlib import Path

_LONG_ENOUGH_SECONDS = 5.0
_LARGEST_SHARE = 0.2


class Contention:
    """Measures how long this thread stood ready but had no core (Linux, ``/proc/self/schedstat``); elsewhere it knows nothing."""

    def __init__(self) -> None:
        self._waited, self._begun = _waited_seconds(), time.monotonic()
        self._said = self._waited is None

    def notice(self, threads: int) -> str:
        """Returns a sentence for the user, once, when more than a fifth of the time since the last call was spent waiting.

        Args:
            threads: Of this process, for the advice.
        """
        passed = time.monotonic() - self._begun
        if self._said or passed < _LONG_ENOUGH_SECONDS:
            return ""
        waited, before = _waited_seconds(), self._waited
        self._waited, self._begun = waited, time.monotonic()
        if waited is None or before is None or (waited - before) / passed < _LARGEST_SHARE:
            return ""
        self._said = True
        share = (waited - before) / passed
        advice = " --set training.threads=1 suffers less." if threads > 1 else ""
        return f"Other work keeps the cores busy: training waited for one {share:.0%} of the time, and is slow.{advice}"


def _waited_seconds() -> float | None:
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
