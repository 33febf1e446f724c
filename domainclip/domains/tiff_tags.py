"""The directories of a TIFF, walked in bounded time before any library walks them (TIFF 6.0; BigTIFF in both byte orders)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

MOST_DIRECTORIES = 4096
_MOST_ENTRIES = 4096
WHOLE = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}
"""BYTE, SHORT, LONG and LONG8: their letters for struct, and bytes."""
_SUBIFDS = 330


def chain(file: BinaryIO, at: int, order: str, big: bool) -> Iterator[int]:
    """Yields the offsets of the directories, from the first on.

    A link beyond the end is a cut-off file's last, and one back is where libraries stop: what stands before may be read.
    """
    size = file.seek(0, 2)
    seen: set[int] = set()
    while 0 < at < size and at not in seen:
        seen.add(at)
        yield at
        at = _next(file, at, order, big)


def tiff_header(file: BinaryIO) -> tuple[str, bool, int]:
    """Returns the byte order for struct, whether it is a BigTIFF, and where the first directory begins."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in {b"+\0", b"\0+"}
    return order, big, int(struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0])


def numbers(file: BinaryIO, at: int, order: str, big: bool) -> dict[int, tuple[int, ...]]:
    """Returns the tags of whole numbers with up to four values."""
    found: dict[int, tuple[int, ...]] = {}
    for tag, kind, values, inside in list(entries(file, at, order, big)):
        if kind not in WHOLE or not 0 < values <= 4:
            continue
        letter, size = WHOLE[kind]
        stored = value_bytes(file, inside, values * size, order)
        if len(stored) >= values * size:
            found[tag] = struct.unpack(f"{order}{values}{letter}", stored[: values * size])
    return found


def value_bytes(file: BinaryIO, inside: bytes, count: int, order: str) -> bytes:
    """The bytes of a tag's values: in the entry if they fit, else where it points; fewer where the file ends."""
    if count <= len(inside):
        return inside[:count]
    at, size = int.from_bytes(inside, "little" if order == "<" else "big"), file.seek(0, 2)
    file.seek(min(at, size))
    return file.read(min(count, size))


def entries(file: BinaryIO, at: int, order: str, big: bool) -> Iterator[tuple[int, int, int, bytes]]:
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
