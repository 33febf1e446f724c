"""Notices that there is more work than cores, which slows threads that wait for each other by a factor of ten."""

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

    def notice(self) -> str:
        """Returns a sentence for the user, once, when more than a fifth of the time since the last call was spent waiting."""
        passed = time.monotonic() - self._begun
        if self._said or passed < _LONG_ENOUGH_SECONDS:
            return ""
        waited, before = _waited_seconds(), self._waited
        self._waited, self._begun = waited, time.monotonic()
        if waited is None or before is None or (waited - before) / passed < _LARGEST_SHARE:
            return ""
        self._said = True
        share = (waited - before) / passed
        return (
            f"There is more work than cores: training waited for one {share:.0%} of the time, and is slow. "
            "Stop what else runs here, or lower training.threads, data.workers or the number of processes."
        )


def _waited_seconds() -> float | None:
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
