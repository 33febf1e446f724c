"""The blocks (tiles or strips) of a TIFF's first image, looked at before GDAL opens it and where GDAL says nothing.

GDAL fills a block that the file does not hold with zeros or the nodata number, and libtiff's JPEG fills up what is damaged with
grey; neither is told to the caller. ``GDAL_ERROR_ON_LIBJPEG_WARNING`` is for the driver JPEG alone (seen with GDAL 3.10).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from domainclip.domains.jpeg_tiles import check_size, check_stream, decoded_strictly, jpeg_header
from domainclip.domains.remote_sensing.refusals import unreadable
from domainclip.domains.tiff_tags import MOST_DIRECTORIES, chain, entries, tiff_header, value_bytes
from domainclip.sample import Window

MOST_PIXELS_PER_BYTE = 200_000
"""GDAL's JPEG 2000 of 10,980 x 10,980 zeros has 10,000, a TIFF of absent tiles of 1,024 x 1,024 has 87,000."""
MOST_BLOCK_BYTES = 2**30
_KINDS = {1: "u1", 3: "u2", 4: "u4", 16: "u8", 6: "i1", 8: "i2", 9: "i4", 17: "i8", 13: "u4", 18: "u8"}
"""Whole numbers of TIFF 6.0 and BigTIFF, all of which libtiff takes for any tag of whole numbers."""
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES, _STRIP_ROWS, _PLANAR = 256, 257, 258, 259, 277, 278, 284
_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 322, 323, 324, 325
_TABLES, _JPEG = 347, 7
_DAMAGED = "The file is damaged; fetch it again."


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where the blocks of the first image lie.

    Attributes:
        path: The file.
        size: (width, height) in pixels.
        block: (width, height) of a block in pixels.
        planes: 1 where a block holds all bands, else one plane a band.
        offsets: (planes, rows, columns) uint64, bytes from the start of the file.
        counts: (planes, rows, columns) uint64, bytes; 0: the file does not hold the block.
        jpeg: Blocks are JPEG streams.
        tables: What all JPEG streams share, or empty.
        sound: Numbers of the JPEG blocks that were decoded without a warning.
    """

    path: Path
    size: tuple[int, int]
    block: tuple[int, int]
    planes: int
    offsets: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint64]
    jpeg: bool
    tables: bytes
    sound: set[tuple[int, int, int]] = field(default_factory=set)

    def absent(self, bands: tuple[int, ...], window: Window) -> npt.NDArray[np.bool_] | None:
        """Says which pixels of a window lie in a block that the file does not hold, for any of the bands.

        Args:
            bands: 1-based.
            window: In pixels of the file.

        Returns:
            (height, width), or None where there is no such pixel.
        """
        rows, columns = self._touched(window)
        none = (self.counts[self._planes(bands), rows, columns] == 0).any(axis=0)
        if not none.any():
            return None
        grown: npt.NDArray[np.bool_] = none.repeat(self.block[1], axis=0).repeat(self.block[0], axis=1)
        y, x = window.y - rows.start * self.block[1], window.x - columns.start * self.block[0]
        return grown[y : y + window.height, x : x + window.width]

    def check_jpeg(self, bands: tuple[int, ...], window: Window) -> None:
        """Decodes the JPEG blocks that a window touches, once each, and fails where libjpeg would warn.

        Raises:
            UnreadableFileError: A block is damaged, or its own header fits it not.
        """
        if not self.jpeg:
            return
        rows, columns = self._touched(window)
        with self.path.open("rb") as file:
            for plane in self._planes(bands):
                for row in range(rows.start, rows.stop):
                    for column in range(columns.start, columns.stop):
                        if (plane, row, column) not in self.sound and self.counts[plane, row, column]:
                            self._check_stream(file, plane, row, column)
                            self.sound.add((plane, row, column))

    def _check_stream(self, file: BinaryIO, plane: int, row: int, column: int) -> None:
        offset, room = int(self.offsets[plane, row, column]), file.seek(0, 2)
        file.seek(min(offset, room))
        stream = file.read(min(int(self.counts[plane, row, column]), room))  # before memory is taken for what is not there
        # Abbreviated streams (TIFF technical note 2): the tables without their end, the stream without its start.
        whole = self.tables[:-2] + stream[2:] if self.tables else stream
        needed = (min(self.block[0], self.size[0] - column * self.block[0]), min(self.block[1], self.size[1] - row * self.block[1]))
        try:
            header = jpeg_header(whole)
            if header is None:
                raise ValueError("its markers do not follow each other")
            check_size(header, self.block, needed)
            if decoded_strictly(whole, header) is None:  # four colours, 12 bits: its end is all that can be looked at
                check_stream(whole, header, self.block, needed)
        except (EOFError, ValueError) as error:
            raise unreadable(f"A JPEG block of it is damaged, and would be filled up with grey ({error}).", _DAMAGED) from error

    def _touched(self, window: Window) -> tuple[slice, slice]:
        wide, tall = self.block
        return (
            slice(window.y // tall, -(-(window.y + window.height) // tall)),
            slice(window.x // wide, -(-(window.x + window.width) // wide)),
        )

    def _planes(self, bands: tuple[int, ...]) -> list[int]:
        return [0] if self.planes == 1 else sorted({band - 1 for band in bands})


def tiff_blocks(path: Path) -> Blocks:
    """Reads the index of blocks of a TIFF's first image, from a small cache; two calls of one file give the same object.

    Args:
        path: A file that begins as a TIFF.

    Raises:
        UnreadableFileError: The directories cannot be read, or declare more than the file can hold.
        OSError: The file cannot be read.
    """
    status = path.stat()
    return _cached(path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=64)
def _cached(path: Path, stamp: tuple[int, int]) -> Blocks:
    with path.open("rb") as file:
        try:
            order, big, first = tiff_header(file)
            if sum(1 for _ in islice(chain(file, first, order, big), MOST_DIRECTORIES + 1)) > MOST_DIRECTORIES:
                raise ValueError("it has too many directories")
            tags = _tags(file, first, order, big)
            return _blocks(path, tags, stamp[1])
        except (ValueError, struct.error) as error:
            found = str(error) if isinstance(error, ValueError) else "its first directory cannot be read"
            raise unreadable(f"It begins as a TIFF, but cannot be read: {found}.", _DAMAGED) from error


def _tags(file: BinaryIO, first: int, order: str, big: bool) -> dict[int, npt.NDArray[Any]]:
    """The tags of the first directory that hold whole numbers or bytes; of a tag that is there twice the first, as in libtiff."""
    found: dict[int, npt.NDArray[Any]] = {}
    for tag, kind, count, inside in list(entries(file, first, order, big)):
        if tag in found or (kind not in _KINDS and not (tag == _TABLES and kind == 7)):
            continue
        form = np.dtype(f"{order}{_KINDS.get(kind, 'u1')}")
        stored = value_bytes(file, inside, count * form.itemsize, order)
        found[tag] = np.frombuffer(stored[: len(stored) // form.itemsize * form.itemsize], form)
    return found


def _blocks(path: Path, tags: dict[int, npt.NDArray[Any]], file_bytes: int) -> Blocks:
    width, height = _one(tags, _WIDTH, 0), _one(tags, _LENGTH, 0)
    if width < 1 or height < 1:
        raise ValueError(f"it declares {width} x {height} pixels")
    if width * height > MOST_PIXELS_PER_BYTE * file_bytes:
        raise ValueError(f"it declares {width} x {height} pixels, far more than a file of {file_bytes} bytes can hold")
    tiled = _TILE_WIDTH in tags or _TILE_LENGTH in tags
    block = (width, min(_one(tags, _STRIP_ROWS, height) or height, height))
    if tiled:
        block = (_one(tags, _TILE_WIDTH, 0), _one(tags, _TILE_LENGTH, 0))
    if min(block) < 1:
        raise ValueError(f"its blocks have {block[0]} x {block[1]} pixels")
    samples = _one(tags, _SAMPLES, 1)
    planes = samples if _one(tags, _PLANAR, 1) == 2 else 1
    block_bytes = block[0] * block[1] * -(-_one(tags, _BITS, 1) // 8) * (samples if planes == 1 else 1)
    if not 0 < block_bytes <= MOST_BLOCK_BYTES:
        raise ValueError(f"one of its blocks takes {block_bytes} bytes (the limit is {MOST_BLOCK_BYTES})")
    shape = (planes, -(-height // block[1]), -(-width // block[0]))
    offsets = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    counts = tags.get(_TILE_COUNTS if tiled else _STRIP_COUNTS)
    needed = shape[0] * shape[1] * shape[2]
    if offsets is None or len(offsets) < needed or (counts is not None and len(counts) < needed):
        listed = 0 if offsets is None else min(len(offsets), needed if counts is None else len(counts))
        raise ValueError(f"it lists {listed} of the {needed} blocks that its size needs")
    if counts is None:  # libtiff takes them to reach to the next
        counts = np.minimum(offsets[:needed], 1)
    lengths = counts[:needed].astype(np.uint64).reshape(shape)
    jpeg = _one(tags, _COMPRESSION, 1) == _JPEG
    tables = tags[_TABLES].tobytes() if _TABLES in tags else b""
    return Blocks(path, (width, height), block, planes, offsets[:needed].astype(np.uint64).reshape(shape), lengths, jpeg, tables)


def _one(tags: dict[int, npt.NDArray[Any]], tag: int, otherwise: int) -> int:
    return int(tags[tag][0]) if tag in tags and len(tags[tag]) else otherwise
