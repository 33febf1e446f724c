"""Turns SIGINT and SIGTERM into a flag, so that a step is finished and saved before the process ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class StopSignals:
    """Context in which the first SIGINT or SIGTERM only sets ``received``; a second one acts as usual.

    Outside the main thread, where Python allows no handlers, it does nothing.

    Attributes:
        received: Name of the signal, or None.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        self._put_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._put_back()

    def _put_back(self) -> None:
        """Gives the signals their former handlers."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
