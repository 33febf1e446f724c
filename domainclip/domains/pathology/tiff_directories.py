"""A first look at the directories of a TIFF, in bounded time, before any library walks them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from domainclip.domains.pathology.slides import unreadable

MOST_DIRECTORIES = 4096
MOST_MISSING = 1000
"""A directory that lists less than one in so many of its image's tiles is taken for damaged."""
_MOST_ENTRIES = 4096
_WHOLE = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}
"""BYTE, SHORT, LONG and LONG8: their letters for struct, and bytes."""
_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH, _TILE_BYTE_COUNTS = 256, 257, 322, 323, 325
_SUBFILETYPE, _BITS, _PHOTOMETRIC, _SAMPLES, _SUBIFDS, _FORMAT = 254, 258, 262, 277, 330, 339


def check_directories(path: Path) -> None:
    """Walks the chain of directories.

    Libraries take their time over files that declare millions of them. (Where directories point at each other they stop.)

    Args:
        path: A file that begins as a TIFF.

    Raises:
        ValueError: The chain is longer than any slide's.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        order, big, first = _header(file)
        if sum(1 for _ in islice(_chain(file, first, order, big), MOST_DIRECTORIES + 1)) > MOST_DIRECTORIES:
            raise ValueError("it has too many directories")


def first_is_plain_colour(path: Path) -> bool:
    """Whether the first directory says, in tags of the right form, that its pixels are 8-bit RGB or YCbCr of three samples.

    OpenSlide takes any tiled TIFF for that. Further directories that are no reduced copies of it are other images: False too.

    Args:
        path: A file that begins as a TIFF.
    """
    with path.open("rb") as file:
        order, big, first = _header(file)
        for at in islice(_chain(file, first, order, big), MOST_DIRECTORIES):
            tags = _numbers(file, at, order, big)
            if at == first:
                right = tags.get(_SAMPLES) == (3,) and tags.get(_BITS) == (8, 8, 8) and tags.get(_PHOTOMETRIC) in {(2,), (6,)}
                if not right or tags.get(_FORMAT, (1, 1, 1)) != (1, 1, 1):
                    return False
            elif not (tags.get(_SUBFILETYPE) or (0,))[0] & 1:
                return False
    return True


def check_lengths(path: Path) -> None:
    """Looks whether the tiles that the directories list could lie in the file, and whether the first lists enough of them.

    libtiff takes memory for whatever length is listed, and OpenSlide's process ends where there is not so much. An image of which
    hardly a tile is listed takes it hours to walk.

    Args:
        path: A file that begins as a TIFF, whose tiles OpenSlide is to read.

    Raises:
        UnreadableFileError: A tile would be longer than the file, or hardly one is listed.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        order, big, first = _header(file)
        for at in islice(_chain(file, first, order, big), MOST_DIRECTORIES):
            tags = _numbers(file, at, order, big)
            sides = [(tags.get(tag) or (0,))[0] for tag in (_WIDTH, _TILE_WIDTH, _LENGTH, _TILE_LENGTH)]
            needed = -(-sides[0] // max(sides[1], 1)) * -(-sides[2] // max(sides[3], 1))
            for tag, kind, values, inside in list(_entries(file, at, order, big)):
                if tag != _TILE_BYTE_COUNTS or kind not in _WHOLE:
                    continue
                width = _WHOLE[kind][1]
                stored = _values(file, inside, values * width, order)[: needed * width]
                lengths = np.frombuffer(stored[: len(stored) // width * width], f"{order}u{width}")
                if at == first and len(lengths) * MOST_MISSING < needed:
                    raise unreadable("It lists hardly a tile of what its size needs.", "The file is damaged; copy it again.")
                if int(lengths.max(initial=0)) > size:
                    raise unreadable("It lists a tile that is longer than the file.", "The file is damaged; copy it again.")


def _chain(file: BinaryIO, at: int, order: str, big: bool) -> Iterator[int]:
    """Yields the offsets of the directories, from the first on.

    A link beyond the end is a cut-off file's last, and one back is where libraries stop: what stands before may be read.
    """
    size = file.seek(0, 2)
    seen: set[int] = set()
    while 0 < at < size and at not in seen:
        seen.add(at)
        yield at
        at = _next(file, at, order, big)


def _header(file: BinaryIO) -> tuple[str, bool, int]:
    """Returns the byte order for struct, whether it is a BigTIFF, and where the first directory begins."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in {b"+\0", b"\0+"}
    return order, big, int(struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0])


def _numbers(file: BinaryIO, at: int, order: str, big: bool) -> dict[int, tuple[int, ...]]:
    """Returns the tags of whole numbers with up to four values."""
    found: dict[int, tuple[int, ...]] = {}
    for tag, kind, values, inside in list(_entries(file, at, order, big)):
        if kind not in _WHOLE or not 0 < values <= 4:
            continue
        letter, size = _WHOLE[kind]
        stored = _values(file, inside, values * size, order)
        if len(stored) >= values * size:
            found[tag] = struct.unpack(f"{order}{values}{letter}", stored[: values * size])
    return found


def _values(file: BinaryIO, inside: bytes, count: int, order: str) -> bytes:
    """The bytes of a tag's values: in the entry if they fit, else where it points; fewer where the file ends."""
    if count <= len(inside):
        return inside[:count]
    at, size = int.from_bytes(inside, "little" if order == "<" else "big"), file.seek(0, 2)
    file.seek(min(at, size))
    return file.read(min(count, size))


def _entries(file: BinaryIO, at: int, order: str, big: bool) -> Iterator[tuple[int, int, int, bytes]]:
    """Yields (tag, type, number of values, the values or where they are) of a directory."""
    file.seek(at)
    head = file.read(8 if big else 2)
    if len(head) < (8 if big else 2):
        return
    count = min(int(struct.unpack(f"{order}{'Q' if big else 'H'}", head)[0]), _MOST_ENTRIES)
    width, room, number = (20, 8, "Q") if big else (12, 4, "I")
    body = file.read(count * width)
    for start in range(0, len(body) - width + 1, width):
        tag, kind, values = struct.unpack(f"{order}HH{number}", body[start : start + 4 + room])
        yield tag, kind, values, body[start + 4 + room : start + width]


def _next(file: BinaryIO, at: int, order: str, big: bool) -> int:
    """Returns the offset of the next directory, 0 after the last; looks at how many entries and SubIFDs this one declares."""
    size = file.seek(0, 2)
    file.seek(at)
    head = file.read(8 if big else 2)
    if len(head) < (8 if big else 2):
        return 0
    count = struct.unpack(f"{order}{'Q' if big else 'H'}", head)[0]
    if count > _MOST_ENTRIES:
        return 0  # no library reads such a one (libtiff and tifffile have the same limit), nor what comes after
    width, link, number = (20, 8, "Q") if big else (12, 4, "I")
    body = file.read(count * width + link)
    for entry in range(min(count, len(body) // width)):
        tag, _, values = struct.unpack(f"{order}HH{number}", body[entry * width : entry * width + 4 + link])
        # A list that reaches over the end of the file is passed over by libraries.
        if tag == _SUBIFDS and MOST_DIRECTORIES < values < size // 4:
            raise ValueError("it has too many directories")
    tail = body[count * width :]
    return int(struct.unpack(f"{order}{number}", tail)[0]) if len(tail) == link else 0
