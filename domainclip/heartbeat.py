"""A sign of life from deep inside a reader to whoever watches the clock. Layer 0."""

from __future__ import annotations

from collections.abc import Callable


def _nobody() -> None:
    """Nobody watches."""


_listener: Callable[[], None] = _nobody


def listen(tick: Callable[[], None]) -> None:
    """Sets what ``beat`` calls in this process."""
    global _listener
    _listener = tick


def beat() -> None:
    """Says that work goes on; long loops of readers call it once a block (a large slide takes longer than a silent worker may)."""
    _listener()
