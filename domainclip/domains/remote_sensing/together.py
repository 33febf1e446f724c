"""Windows that lie in the same stored block: tried one after the other, so that it is decoded once, and read in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from domainclip.domains.remote_sensing.pixels import WindowReader
from domainclip.sample import Pixels, Window

MOST_BYTES = 8 * 2**20
"""Of what is read in one go: twelve bands of int16 in a tile of 512 px are 6 MiB."""
LEAST_WINDOWS = 8
"""Below, a read for each costs less than a copy of each out of memory that the processor's cache does not hold."""
Block = tuple[int, int]
"""(rows, columns)."""


def in_blocks(windows: Sequence[Window], block: Block) -> list[Window]:
    """Returns windows block by block, row by row within each: a cache of a few blocks serves scenes of any width.

    In the order of rows of windows each block of a scene that is wider than GDAL's cache would be decoded for each row anew.
    """
    return sorted(windows, key=lambda window: (*_cell(window, block), window.y, window.x))


def runs(windows: Sequence[Window], block: Block, pixel_bytes: int) -> Iterator[Sequence[Window]]:
    """Yields consecutive windows that may be read in one go: those of a block, else those of a row in it, else each alone.

    Args:
        windows: In the order of ``in_blocks``.
        block: Of the stored file.
        pixel_bytes: Of all channels and times of a pixel.
    """
    for _, some in groupby(windows, key=lambda window: _cell(window, block)):
        whole = list(some)
        rows = [whole] if _worth(whole, pixel_bytes) else [list(row) for _, row in groupby(whole, key=lambda window: window.y)]
        for row in rows:
            yield from [row] if _worth(row, pixel_bytes) else [[window] for window in row]


def _cell(window: Window, block: Block) -> tuple[int, int]:
    return window.y // block[0], window.x // block[1]


def _worth(windows: Sequence[Window], pixel_bytes: int) -> bool:
    """They are many, and fill their box, which is small enough to be held."""
    if len(windows) < LEAST_WINDOWS:
        return False
    box = box_of(windows)
    area = box.width * box.height
    return area * pixel_bytes <= MOST_BYTES and area <= sum(window.width * window.height for window in windows)


def box_of(windows: Sequence[Window]) -> Window:
    """Returns the smallest window around some."""
    left, upper = min(window.x for window in windows), min(window.y for window in windows)
    right, lower = max(window.x + window.width for window in windows), max(window.y + window.height for window in windows)
    return Window(left, upper, right - left, lower - upper)


class SharedRead:
    """Reads the box of some windows when the first is asked for, and cuts each out of it; lives as long as these are tried."""

    def __init__(self, reader: WindowReader) -> None:
        self._reader = reader
        self._pixels: Pixels | None = None
        self._stamps: tuple[tuple[int, ...], ...] = ()

    def cut(self, window: Window) -> Pixels:
        """Returns a window's own copy of its pixels.

        Raises:
            UnreadableFileError: A file is broken or gone.
        """
        stamps = self._reader.stamps()
        if self._pixels is None or self._stamps != stamps:  # a file that was changed since must not answer from memory
            self._pixels, self._stamps = self._reader(), stamps
        box = self._reader.window
        upper, left = window.y - box.y, window.x - box.x
        place = (..., slice(upper, upper + window.height), slice(left, left + window.width))
        array = np.ascontiguousarray(self._pixels.array[place])
        return Pixels(array, {name: np.ascontiguousarray(mask[place]) for name, mask in self._pixels.masks.items()})
