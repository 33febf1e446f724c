"""Pages of TIFFs read piece by piece: the tiles or strips that a box touches are decoded, and no others."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.slides import MAX_FLAT_PIXELS, Masked

CACHE_BYTES = 96 * 2**20
"""Decoded pieces kept for each open file: a row of 256 px tiles across a slide of 125,000 px, so that rows of boxes which do not
lie on the file's own grid decode nothing twice."""
MOST_MISSING = 1000
"""A directory that lists less than one in so many of its image's tiles is taken for damaged."""
_UNCOMPRESSED, _JPEG = 1, 7
_END, _TRAILING = b"\xff\xd9", 16
_FILLER = 128
"""What libjpeg gives for coefficients that it never got, in every channel."""


class ByteSource:
    """A file read at positions; safe for threads and forks, since no position is shared."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._file)

    def read(self, offset: int, count: int) -> bytes:
        """Returns exactly ``count`` bytes.

        Raises:
            EOFError: The file ends before.
        """
        if hasattr(os, "pread"):
            data = os.pread(self._file, count, offset)
        else:  # Windows
            with self._lock:
                os.lseek(self._file, offset, os.SEEK_SET)
                data = os.read(self._file, count)
        if len(data) != count:
            raise EOFError("the file ends within a tile")
        return data


class SegmentCache:
    """The last decoded pieces of one file, by number of bytes; for several threads."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit, self._held = limit_bytes, 0
        self._entries: OrderedDict[tuple[int, int], npt.NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int]) -> npt.NDArray[Any] | None:
        """Returns a piece, or None."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: tuple[int, int], piece: npt.NDArray[Any]) -> None:
        """Keeps a piece; the ones not asked for the longest go, but never the last."""
        with self._lock:
            if key not in self._entries:
                self._entries[key] = piece
                self._held += piece.nbytes
            while self._held > self._limit and len(self._entries) > 1:
                self._held -= self._entries.popitem(last=False)[1].nbytes


class SegmentedPage:
    """One image of a TIFF directory.

    Args:
        page: tifffile's page or frame.
        number: Of the page in its file, for the cache.
        source: The file.
        cache: Shared by the pages of a file.

    Raises:
        ValueError: The directory contradicts itself, or asks for pieces larger than ``MAX_FLAT_PIXELS``.
    """

    def __init__(self, page: Any, number: int, source: ByteSource, cache: SegmentCache) -> None:
        self._page, self._frame, self._number, self._source, self._cache = page.keyframe, page, number, source, cache
        first = self._page
        self.width, self.height = int(first.imagewidth), int(first.imagelength)
        self._wide: int = int(first.tilewidth) if first.is_tiled else self.width
        self._high: int = int(first.tilelength) if first.is_tiled else min(int(first.rowsperstrip), self.height)
        if min(self.width, self.height, self._wide, self._high) < 1:
            raise ValueError("an image or a tile without pixels")
        self._planes = int(first.samplesperpixel) if int(first.planarconfig) == 2 else 1
        self.samples = int(first.samplesperpixel)
        self._columns, self._rows = -(-self.width // self._wide), -(-self.height // self._high)
        # A directory may list fewer tiles than its image has; the rest is missing. One that lists none lies about the size.
        self._listed = min(len(page.dataoffsets), len(page.databytecounts))
        if self._listed * MOST_MISSING < self._columns * self._rows * self._planes:
            raise ValueError("hardly a tile of what the image needs")
        # Strips without compression are read row by row, so one strip may hold the whole image.
        self._by_rows = int(first.compression) == _UNCOMPRESSED and not first.is_tiled and int(first.predictor) == 1
        self._by_rows = self._by_rows and int(first.fillorder) == 1 and int(first.bitspersample) in {8, 16, 32}
        if self._wide * self._high > MAX_FLAT_PIXELS and not self._by_rows:
            raise ValueError("one tile or strip is too large")

    def read(self, x: int, y: int, width: int, height: int) -> Masked:
        """Returns a box that lies inside the image.

        Raises:
            ValueError: A piece cannot be decoded (or another of ``FOREIGN_ERRORS``).
        """
        if self._by_rows:
            return self._read_rows(x, y, width, height)
        column, row = x // self._wide, y // self._high
        if self._planes == 1 and (x, y) == (column * self._wide, row * self._high):
            piece = self._piece(row * self._columns + column)
            if piece is not None and piece.shape[:2] == (height, width):
                return Masked(piece, None)
        box = np.zeros((height, width, self.samples), self._page.dtype)
        missing: npt.NDArray[np.bool_] | None = None
        share = self.samples // self._planes
        for plane in range(self._planes):
            part = box[..., plane * share : (plane + 1) * share]
            for row in range(y // self._high, (y + height - 1) // self._high + 1):
                for column in range(x // self._wide, (x + width - 1) // self._wide + 1):
                    piece = self._piece((plane * self._rows + row) * self._columns + column)
                    top, left = row * self._high - y, column * self._wide - x
                    rows = slice(max(top, 0), min(top + self._high, height))
                    across = slice(max(left, 0), min(left + self._wide, width))
                    if piece is None:
                        missing = np.zeros((height, width), bool) if missing is None else missing
                        missing[rows, across] = True
                        continue
                    part[rows, across] = piece[rows.start - top : rows.stop - top, across.start - left : across.stop - left]
        return Masked(box, missing)

    def _piece(self, index: int) -> npt.NDArray[Any] | None:
        """Returns a decoded tile or strip (rows, columns, samples), or None where the file holds none."""
        piece = self._cache.get((self._number, index))
        if piece is not None:
            return piece
        if index >= self._listed or int(self._frame.databytecounts[index]) == 0:
            return None
        data = self._source.read(int(self._frame.dataoffsets[index]), int(self._frame.databytecounts[index]))
        if int(self._page.compression) == _JPEG:
            _check_jpeg(data, self._wide, self._high)
        tables = getattr(self._frame, "jpegtables", None) or self._page.jpegtables
        decoded = self._page.decode(data, index, jpegtables=tables, jpegheader=self._page.jpegheader)[0]
        if decoded is None:
            return None
        piece = decoded.reshape(decoded.shape[-3:])
        row, column = index // self._columns % self._rows, index % self._columns
        tall, wide = min(self._high, self.height - row * self._high), min(self._wide, self.width - column * self._wide)
        if piece.shape[0] < tall or piece.shape[1] < wide or piece.shape[2] != self.samples // self._planes:
            raise ValueError("a tile of another size than the directory says")
        if int(self._page.compression) == _JPEG and (piece == _FILLER).all():
            raise ValueError("a JPEG tile without content")
        self._cache.put((self._number, index), piece)
        return np.asarray(piece)

    def _read_rows(self, x: int, y: int, width: int, height: int) -> Masked:
        """Reads rows of strips without compression straight from the file."""
        share = self.samples // self._planes
        kind = np.dtype(self._page.dtype).newbyteorder(self._page.parent.byteorder)
        line = self.width * share * kind.itemsize
        box = np.zeros((height, width, self.samples), self._page.dtype)
        missing: npt.NDArray[np.bool_] | None = None
        for plane in range(self._planes):
            for strip in range(y // self._high, (y + height - 1) // self._high + 1):
                index = plane * self._rows + strip
                first, last = max(y, strip * self._high), min(y + height, (strip + 1) * self._high)
                target = slice(first - y, last - y)
                if index >= self._listed or int(self._frame.databytecounts[index]) == 0:
                    missing = np.zeros((height, width), bool) if missing is None else missing
                    missing[target] = True
                    continue
                within = (first - strip * self._high) * line
                if within + (last - first) * line > int(self._frame.databytecounts[index]):
                    raise EOFError("a strip is shorter than its rows")
                data = self._source.read(int(self._frame.dataoffsets[index]) + within, (last - first) * line)
                rows = np.frombuffer(data, kind).reshape(last - first, self.width, share)
                box[target, :, plane * share : (plane + 1) * share] = rows[:, x : x + width]
        return Masked(box, missing)


def _check_jpeg(data: bytes, width: int, height: int) -> None:
    """Refuses a JPEG stream that would decode to more than its tile (its own header decides how much is allocated), or has no end.

    Decoders fill up with grey, without an error, what a cut-off stream lacks.
    """
    if _END not in data[-_TRAILING:]:
        raise EOFError("a JPEG tile without its end")
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            tall, wide = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            if tall > max(height, 8) or wide > max(width, 8):
                raise ValueError("a JPEG tile larger than the directory says")
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if marker != 0xFF else 1
