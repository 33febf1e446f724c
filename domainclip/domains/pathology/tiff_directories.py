"""A first look at the directories of a TIFF, in bounded time, before any library walks them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

MOST_DIRECTORIES = 4096
_MOST_ENTRIES = 4096
_SUBIFDS = 330


def check_directories(path: Path) -> None:
    """Walks the chain of directories.

    Libraries follow offsets without end in files whose directories point at each other, or declare millions of them.

    Args:
        path: A file that begins as a TIFF.

    Raises:
        ValueError: The chain comes back to itself, leaves the file, or is longer than any slide's.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in {b"+\0", b"\0+"}
        first = struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0]
        at, seen = first, set[int]()
        while 0 < at < size:  # a link beyond the end is a cut-off file's last; what stands before may still be read
            if at in seen:
                raise ValueError("its directories point at each other")
            seen.add(at)
            if len(seen) > MOST_DIRECTORIES:
                raise ValueError("it has too many directories")
            at = _next(file, at, order, big)


def _next(file: BinaryIO, at: int, order: str, big: bool) -> int:
    """Returns the offset of the next directory, 0 after the last; looks at how many entries and SubIFDs this one declares."""
    file.seek(at)
    head = file.read(8 if big else 2)
    if len(head) < (8 if big else 2):
        return 0
    count = struct.unpack(f"{order}{'Q' if big else 'H'}", head)[0]
    if count > _MOST_ENTRIES:
        raise ValueError("a directory has too many entries")
    width, link, number = (20, 8, "Q") if big else (12, 4, "I")
    body = file.read(count * width + link)
    for entry in range(min(count, len(body) // width)):
        tag, _, values = struct.unpack(f"{order}HH{number}", body[entry * width : entry * width + 4 + link])
        if tag == _SUBIFDS and values > MOST_DIRECTORIES:
            raise ValueError("it has too many directories")
    tail = body[count * width :]
    return int(struct.unpack(f"{order}{number}", tail)[0]) if len(tail) == link else 0
