"""How many cores this process may use. Layer 0."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Returns the cores that this process may use: those it is held to, where the system says so, else the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
