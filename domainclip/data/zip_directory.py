"""The directory of a zip, entry by entry: the standard library's takes half a kilobyte of memory a member, which a million feel.

After PKWARE's APPNOTE.TXT 6.3.10: 4.3.12 (its headers), 4.3.14 to 4.3.16 (its end, Zip64), 4.5.3 (Zip64 sizes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO
from zipfile import BadZipFile

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_HEADER = struct.Struct("<4s6H3L5H2L")
_MAX_COMMENT = 2**16
_FULL32 = 0xFFFFFFFF
_UTF8 = 1 << 11
_WINDOW = 2**20


def directory(file: BinaryIO) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Yields every member that is no folder: name, and where its local header begins, its bytes packed and unpacked, its CRC-32.

    The local header of a member that was written to a stream has neither sizes nor sum; the directory always has them.

    Args:
        file: The zip, seekable; nothing else may move in it meanwhile.

    Raises:
        BadZipFile: It has no directory, or one that is damaged or names places outside of the file.
    """
    start, size, end = _place(file)
    data, at, left = b"", 0, size
    file.seek(start)
    while left or at < len(data):
        if len(data) - at < _HEADER.size + 3 * _MAX_COMMENT and left:
            more = file.read(min(_WINDOW, left))
            if not more:
                raise BadZipFile("the directory ends early")
            left -= len(more)
            data, at = data[at:] + more, 0
            continue
        if len(data) - at < _HEADER.size or data[at : at + 4] != b"PK\x01\x02":
            raise BadZipFile("the directory holds something else")
        fields = _HEADER.unpack_from(data, at)
        flags, checksum, packed, unpacked, name_size, extra_size, comment_size = (fields[n] for n in (3, 7, 8, 9, 10, 11, 12))
        place, at = fields[16], at + _HEADER.size
        name, extra = data[at : at + name_size], data[at + name_size : at + name_size + extra_size]
        at += name_size + extra_size + comment_size
        if at > len(data):
            raise BadZipFile("the directory ends early")
        unpacked, packed, place = _of_zip64(extra, unpacked, packed, place)
        if place + packed > end:
            raise BadZipFile("a member lies beyond the file")
        text = name.decode("utf-8" if flags & _UTF8 else "cp437")
        if not text.endswith("/"):
            yield text, (place, packed, unpacked, checksum)


def _place(file: BinaryIO) -> tuple[int, int, int]:
    """Returns where the directory begins, its bytes, and where the file ends."""
    end = file.seek(0, 2)
    first = max(0, end - _MAX_COMMENT - _END.size)
    file.seek(first)
    tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + _END.size > len(tail):
        raise BadZipFile("it has no directory")
    fields = _END.unpack_from(tail, found)
    size, start = fields[5], fields[6]
    located = first + found - _LOCATOR.size
    if located >= 0:
        file.seek(located)
        locator = _LOCATOR.unpack(file.read(_LOCATOR.size))
        if locator[0] == b"PK\x06\x07":
            file.seek(locator[2])
            record = file.read(_END64.size)
            if len(record) < _END64.size or not record.startswith(b"PK\x06\x06"):
                raise BadZipFile("the end of its directory is damaged")
            size, start = _END64.unpack(record)[8:10]
    if start + size > end:
        raise BadZipFile("its directory lies beyond the file")
    return start, size, end


def _of_zip64(extra: bytes, unpacked: int, packed: int, place: int) -> tuple[int, int, int]:
    """Returns both sizes and the place, from the extra field of Zip64 where 32 bits do not hold them."""
    if _FULL32 not in {unpacked, packed, place}:
        return unpacked, packed, place
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = [value[0] for value in struct.iter_unpack("<Q", extra[at + 4 : at + 4 + size // 8 * 8])]
            wanted = [value == _FULL32 for value in (unpacked, packed, place)]
            if len(wide) < sum(wanted):
                break
            values = iter(wide)
            unpacked, packed, place = (
                next(values) if missing else value for missing, value in zip(wanted, (unpacked, packed, place), strict=True)
            )
            return unpacked, packed, place
        at += 4 + size
    raise BadZipFile("a member's Zip64 sizes are missing")
