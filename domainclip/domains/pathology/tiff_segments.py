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

from domainclip.domains.jpeg_markers import is_filled_up
from domainclip.domains.jpeg_tiles import check_stream, decoded_strictly, jpeg_header
from domainclip.domains.pathology.slides import MAX_FLAT_PIXELS, Masked
from domainclip.domains.pathology.tiff_directories import MOST_MISSING
from domainclip.domains.pathology.tiff_judge import Judge
from domainclip.errors import FOREIGN_ERRORS

CACHE_BYTES = 96 * 2**20
"""Decoded pieces kept in a process: a row of 256 px tiles across a slide of 125,000 px, so that rows of boxes which do not
lie on the file's own grid decode nothing twice."""
_UNCOMPRESSED, _JPEG = 1, 7
_GREY, _RGB, _YCBCR = 1, 2, 6
_ENDED = frozenset({_JPEG, 8, 32946})
"""JPEG and Deflate: a stream tells its own end, and a decoder that it was cut."""
_TILE_BYTE_COUNTS = 325


class ByteSource:
    """A file read at positions; safe for threads and forks, since no position is shared."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        self.size = os.fstat(self._file).st_size
        weakref.finalize(self, os.close, self._file)

    def read(self, offset: int, count: int, *, or_less: bool = False) -> bytes:
        """Returns exactly ``count`` bytes, or as many as there are.

        Args:
            offset: From the start of the file.
            count: How many.
            or_less: The end of the file may come first; the codec knows where its stream ends.

        Raises:
            EOFError: The file ends before.
        """
        if or_less:
            count = max(0, min(count, self.size - offset))
        if offset + count > self.size:  # before memory is taken for what is not there
            raise EOFError("the file ends within a tile")
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
    """The last decoded pieces, by number of bytes; for several threads."""

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
        number: Of the page, for the cache.
        source: The file.
        cache: Shared with other pages.
        judge: The same file in OpenSlide, for 8-bit colour; None where nobody can be asked.

    Raises:
        ValueError: The directory contradicts itself, or asks for pieces larger than ``MAX_FLAT_PIXELS``.
    """

    def __init__(self, page: Any, number: int, source: ByteSource, cache: SegmentCache, judge: Judge | None = None) -> None:
        self._page, self._frame, self._number, self._source, self._cache = page.keyframe, page, number, source, cache
        first = self._page
        self.width, self.height = int(first.imagewidth), int(first.imagelength)
        self._judge = judge if judge is not None and judge.knows((self.width, self.height)) else None
        self._wide: int = int(first.tilewidth) if first.is_tiled else self.width
        self._high: int = int(first.tilelength) if first.is_tiled else min(int(first.rowsperstrip), self.height)
        if min(self.width, self.height, self._wide, self._high) < 1:
            raise ValueError("an image or a tile without pixels")
        self._planes = int(first.samplesperpixel) if int(first.planarconfig) == 2 else 1
        self.samples = int(first.samplesperpixel)
        self._columns, self._rows = -(-self.width // self._wide), -(-self.height // self._high)
        # A directory may list fewer tiles than its image has; the rest is missing. One that lists none lies about the size.
        self._listed = min(len(page.dataoffsets), len(page.databytecounts))
        if first is page and first.is_tiled and _TILE_BYTE_COUNTS not in first.tags:
            raise ValueError("nothing says how long its tiles are")  # tifffile then makes one length up
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
        if not self._is_listed(index):
            return None
        try:
            piece = self._decoded(index)
        except FOREIGN_ERRORS:
            piece = self._judged(index)
            if piece is None:
                raise
        if piece is not None:
            self._cache.put((self._number, index), piece)
        return piece

    def _is_listed(self, index: int) -> bool:
        return index < self._listed and int(self._frame.databytecounts[index]) > 0

    def _is_inside(self, index: int) -> bool:
        """Whether a tile ends before the file does; OpenSlide's process may end at lengths for which there is no memory."""
        return int(self._frame.dataoffsets[index]) + int(self._frame.databytecounts[index]) <= self._source.size

    def _place(self, index: int) -> tuple[int, int, int, int]:
        """(x, y, width, height) of the part of a tile or strip that lies in the image."""
        row, column = index // self._columns % self._rows, index % self._columns
        x, y = column * self._wide, row * self._high
        return x, y, min(self._wide, self.width - x), min(self._high, self.height - y)

    def _decoded(self, index: int) -> npt.NDArray[Any] | None:
        offset, length = int(self._frame.dataoffsets[index]), int(self._frame.databytecounts[index])
        data = self._source.read(offset, length, or_less=int(self._page.compression) in _ENDED)
        wide, tall = self._place(index)[2:]
        tables = getattr(self._frame, "jpegtables", None) or self._page.jpegtables
        piece = self._strict(data, tables, (wide, tall)) if int(self._page.compression) == _JPEG else None
        strict = piece is not None
        if piece is None:
            decoded = self._page.decode(data, index, jpegtables=tables, jpegheader=self._page.jpegheader)[0]
            if decoded is None:
                return None
            piece = np.asarray(decoded.reshape(decoded.shape[-3:]))
        if piece.shape[0] < tall or piece.shape[1] < wide or piece.shape[2] != self.samples // self._planes:
            raise ValueError("a tile of another size than the directory says")
        if int(self._page.compression) == _JPEG and not strict and is_filled_up(piece, int(self._page.bitspersample)):
            raise ValueError("a JPEG tile that ends early")
        return piece

    def _strict(self, data: bytes, tables: bytes | None, needed: tuple[int, int]) -> npt.NDArray[Any] | None:
        """Decodes a JPEG tile; None where it must be done otherwise.

        Raises:
            ValueError: The stream is damaged; EOFError: it has no end.
        """
        whole = data if tables is None else tables[:-2] + data[2:]
        header = jpeg_header(whole)
        check_stream(data, header, (self._wide, self._high), needed)
        if int(self._page.photometric) not in {_GREY, _RGB, _YCBCR} or self._page.jpegheader:
            return None
        # Aperio writes RGB without a mark; a mark as JFIF wins over the directory, as it does in tifffile.
        forced = False if header is not None and int(self._page.photometric) == _RGB and not header.jfif else None
        return decoded_strictly(whole, header, forced)

    def _judged(self, index: int) -> npt.NDArray[Any] | None:
        """OpenSlide's pixels of a tile that the decoder here refuses; None where it refuses as well."""
        if self._judge is None or self._planes > 1 or not self._is_inside(index):
            return None
        return self._judge.pixels((self.width, self.height), self._place(index))

    def agrees(self) -> bool:
        """Compares one tile with OpenSlide's reading: the middle one, or where either cannot decode it, the first or the last.

        Tags may contradict the streams (colours, planes, sizes), and libraries then settle it differently.

        Returns:
            False when a tile decodes to other pixels in OpenSlide.
        """
        if self._judge is None or self._by_rows:
            return True
        count = self._columns * self._rows
        middle = self._rows // 2 * self._columns + self._columns // 2
        for index in (middle, 0, min(self._listed, count) - 1):
            if not 0 <= index < count or not self._is_listed(index) or not self._is_inside(index):
                continue
            x, y, wide, tall = self._place(index)
            theirs = self._judge.pixels((self.width, self.height), (x, y, wide, tall))
            if theirs is None:
                continue
            try:
                ours = self.read(x, y, wide, tall)
            except FOREIGN_ERRORS:
                return False
            return ours.missing is None and np.array_equal(ours.array, theirs)
        return True

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
