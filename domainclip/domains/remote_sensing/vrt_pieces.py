"""Which pixels of a VRT come from no source, or from a block that a source does not hold: GDAL gives zeros for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.tiff_blocks import tiff_blocks
from domainclip.sample import Window

if TYPE_CHECKING:
    from domainclip.domains.remote_sensing.vrt import CheckedVrt

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Piece:
    """A source of one band.

    Attributes:
        size: (width, height) of the source in pixels; None where it is not known.
        tiff: The file, where it is a TIFF.
        inner: The VRT that it is, or None.
        band: Of the source, from 1; 0 for a mask.
        taken: (x, y, width, height) in pixels of the source.
        into: The same in pixels of the VRT.
        transparent: What GDAL gives for a block that the source lacks lets the pieces below through.
    """

    size: tuple[int, int] | None
    tiff: Path | None
    inner: CheckedVrt | None
    band: int
    taken: Box
    into: Box
    transparent: bool

    def absent(self, window: Window) -> npt.NDArray[np.bool_]:
        """Says which pixels the source does not hold; damaged JPEG blocks are refused on the way.

        Args:
            window: In whole pixels of the VRT, inside ``into``.

        Returns:
            (height, width) in pixels of the VRT.

        Raises:
            UnreadableFileError: A JPEG block is damaged.
        """
        if self.size is None:
            return np.zeros((window.height, window.width), bool)
        columns, rows = self._places(window.x, window.width, 0), self._places(window.y, window.height, 1)
        off = ((columns < 0) | (columns >= self.size[0]))[None] | ((rows < 0) | (rows >= self.size[1]))[:, None]
        columns, rows = columns.clip(0, self.size[0] - 1), rows.clip(0, self.size[1] - 1)
        part = Window(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)
        found: npt.NDArray[np.bool_] | None = None
        if self.inner is not None and self.band:
            found = absent_from_vrt(self.inner, (self.band,), part)
        elif self.tiff is not None and self.band:
            blocks = tiff_blocks(self.tiff)
            blocks.check_jpeg((self.band,), part)
            found = blocks.absent((self.band,), part)
        return off if found is None else off | found[np.ix_(rows - part.y, columns - part.x)]

    def _places(self, start: int, length: int, axis: int) -> npt.NDArray[np.int64]:
        """The source's pixel under the centre of each of the VRT's, along one axis."""
        scale = self.taken[2 + axis] / self.into[2 + axis]
        centres = self.taken[axis] + (np.arange(start, start + length) + 0.5 - self.into[axis]) * scale
        places: npt.NDArray[np.int64] = np.floor(centres).astype(np.int64)
        return places


def absent_from_vrt(vrt: CheckedVrt, bands: tuple[int, ...], window: Window) -> npt.NDArray[np.bool_]:
    """Says which pixels of a window no source holds, for any of the bands.

    Args:
        vrt: Checked.
        bands: 1-based.
        window: In pixels of the VRT.

    Returns:
        (height, width). A pixel is covered where its centre lies in a source's rectangle.

    Raises:
        UnreadableFileError: A JPEG block of a source is damaged.
    """
    result = np.zeros((window.height, window.width), bool)
    for band in bands:
        absent = np.ones((window.height, window.width), bool)
        for piece in vrt.pieces[band - 1]:
            x, width = _inside(piece.into[0], piece.into[2], window.x, window.width)
            y, height = _inside(piece.into[1], piece.into[3], window.y, window.height)
            if width < 1 or height < 1:
                continue
            part = absent[y - window.y : y - window.y + height, x - window.x : x - window.x + width]
            lacking = piece.absent(Window(x, y, width, height))
            part[:] = part & lacking if piece.transparent else lacking
        result |= absent
    return result


def _inside(start: float, length: float, first: int, count: int) -> tuple[int, int]:
    """First pixel and number of those whose centres lie in a span, cut to a window."""
    low = max(first, math.ceil(start - 0.5))
    high = min(first + count, math.ceil(start + length - 0.5))
    return low, high - low
