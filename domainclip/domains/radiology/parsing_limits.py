"""What is checked in a DICOM file's bytes before pydicom reads them: what it inflates to, how many items and elements it has."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from domainclip.domains.dicom_kind import DEFLATED
from domainclip.domains.radiology.element_limits import SMALL, check_elements, meta_of
from domainclip.domains.radiology.reading import RadiologyReading, check_decoded_size, unreadable

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_PIECE = 2**20
_ITEM = b"\xfe\xff\x00\xe0"
"""Tag of a sequence item or of a fragment of pixel data, (FFFE,E000), little-endian."""
MOST_ITEMS = 300_000
"""30,000 frames with ten functional groups each; pydicom takes 20 us for the shortest item there is, which has 8 bytes."""


def check_parsing(path: Path, reading: RadiologyReading) -> str:
    """Refuses files that pydicom would read without end.

    Args:
        path: The file.
        reading: Its limit holds for what a deflated file inflates to.

    Returns:
        Its transfer syntax UID, "" without one.

    Raises:
        UnreadableFileError: It inflates to more, its sequences have more than ``MOST_ITEMS`` items, or its header has too many
            elements.
    """
    with path.open("rb") as file:
        syntax, start = meta_of(file)
    item = _ITEM if syntax != _BIG_ENDIAN else bytes((_ITEM[1], _ITEM[0], _ITEM[3], _ITEM[2]))
    size = path.stat().st_size
    if syntax == DEFLATED:
        inflated = io.BytesIO()
        _check_items(_count(_kept(_inflated(path, start, reading), inflated), item))
        if inflated.tell() > SMALL:
            inflated.seek(0)
            check_elements(inflated, syntax)
        return syntax
    if size > MOST_ITEMS * 8 and sum(_at_most(piece, item) for piece in _plain(path)) > MOST_ITEMS:
        _check_items(_count(_plain(path), item))
    if size > SMALL:
        with path.open("rb") as file:
            file.seek(start)
            check_elements(file, syntax)
    return syntax


def _check_items(items: int) -> None:
    if items > MOST_ITEMS:
        found = f"Its sequences have more than {MOST_ITEMS} items."
        raise unreadable(found, "Leave it out, or convert it to classic DICOM, e.g. with dcm4che's emf2sf.")


def _count(pieces: Iterator[bytes], item: bytes) -> int:
    items, before = 0, b""
    for piece in pieces:
        items += (before + piece).count(item)
        before = piece[-len(item) + 1 :]
    return items


def _kept(pieces: Iterator[bytes], into: io.BytesIO) -> Iterator[bytes]:
    for piece in pieces:
        into.write(piece)
        yield piece


def _at_most(piece: bytes, item: bytes) -> int:
    """Counts the first half of the tag, at even and odd places: five times faster than the whole tag, and hardly ever too many."""
    half = int.from_bytes(item[:2], "little")
    words = (np.frombuffer(piece, "<u2", (len(piece) - odd) // 2, odd) for odd in (0, 1))
    return 1 + sum(int(np.count_nonzero(word == half)) for word in words)  # One may lie across two pieces.


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _inflated(path: Path, start: int, reading: RadiologyReading) -> Iterator[bytes]:
    """Inflates piece by piece, each thrown away after use: pydicom inflates without a bound."""
    total, inflate = 0, zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(2**16):
            while piece:
                plain = inflate.decompress(piece, _PIECE)
                total += len(plain)
                check_decoded_size(total, reading)
                yield plain
                # Behind the end of the stream zlib keeps saying that the same bytes are left.
                piece = b"" if inflate.eof else inflate.unconsumed_tail
