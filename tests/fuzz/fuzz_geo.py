"""Lies in rasters that keep the grammar: where they lie on the ground, nodata, metadata, boxes and markers of JPEG 2000."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from fuzz_tiff import LIES, Entry, directories, put

Draw = np.random.Generator
Lie = Callable[[bytearray, Draw], None]
_PLACES = (33550, 33922, 34264)  # pixel scale, tie point, transformation
_KEYS, _DOUBLES, _CITATION = 34735, 34736, 34737
_METADATA, _NODATA = 42112, 42113
_NUMBERS = (0.0, -0.0, 1.0, -10.0, 1e-300, 1e308, float("nan"), float("inf"), -float("inf"), 90.0, 180.5, 2.0**53)
_NODATA_WORDS = (b"nan", b"1e999", b"", b"-", b"0", b"70000", b"-9999.5", b"1e308", b"inf", b"0x10", b"\xff\xfe", b"9" * 40)


def _one_of(data: bytearray, draw: Draw, tags: tuple[int, ...]) -> Entry:
    known = [entry for one in directories(bytes(data)) for entry in one.entries if entry.tag in tags]
    return known[int(draw.integers(len(known)))]


def place(data: bytearray, draw: Draw) -> None:
    """Sets a number of the transform: zero, infinite, huge, with the other sign."""
    entry = _one_of(data, draw, _PLACES)
    number = _NUMBERS[int(draw.integers(len(_NUMBERS)))]
    struct.pack_into(entry.form.order + "d", data, entry.position(int(draw.integers(entry.count))), number)


def keys(data: bytearray, draw: Draw) -> None:
    """Changes a number of the CRS: a key, where its value lies, its value."""
    entry = _one_of(data, draw, (_KEYS,))
    values = (0, 1, 2, 3, 1024, 1025, 3072, 2048, 4326, 4978, 32636, 32767, 65535, int(draw.integers(65536)))
    put(data, entry, int(values[int(draw.integers(len(values)))]), int(draw.integers(entry.count)))


def words(data: bytearray, draw: Draw) -> None:
    """Damages what is written in words: metadata in XML, the CRS's name, its numbers."""
    entry = _one_of(data, draw, (_METADATA, _CITATION, _DOUBLES))
    for _ in range(1 + int(draw.integers(6))):
        at = entry.values_at + int(draw.integers(entry.count))
        data[at] = b'<>/&";\0 =x09-|\xff'[int(draw.integers(16)) % 15]


def nodata(data: bytearray, draw: Draw) -> None:
    """Writes another number for no data, cut to the room there is."""
    entry = _one_of(data, draw, (_NODATA,))
    word = _NODATA_WORDS[int(draw.integers(len(_NODATA_WORDS)))]
    data[entry.values_at : entry.values_at + entry.count] = word[: entry.count - 1].ljust(entry.count, b"\0")


TIFF_LIES: tuple[Lie, ...] = (*LIES, place, place, keys, keys, words, nodata)


# JPEG 2000 (ITU-T T.800): boxes of length, type, body; then a codestream of markers and tile-parts.
def _boxes(data: bytearray) -> list[tuple[int, bytes, int]]:
    """(position, type, length) of the boxes at the top; none of a bare codestream."""
    found, at = [], 0
    while at + 8 <= len(data) and data[:4] != b"\xff\x4f\xff\x51":
        length = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        if length < 8:
            raise ValueError("box")
        found.append((at, bytes(data[at + 4 : at + 8]), length))
        at += length
    return found


def markers(data: bytearray) -> list[tuple[int, int, int]]:
    """(position, marker, length) of the main header's segments and of each tile-part's SOT."""
    at = data.index(b"\xff\x4f\xff\x51") + 2
    found = []
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xD9:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((at, data[at + 1], length))
        step = int.from_bytes(data[at + 6 : at + 10], "big") if data[at + 1] == 0x90 else 2 + length
        if min(length, step) < 2:
            raise ValueError("marker")  # a first lie
        at += step
    return found


def is_chained(data: bytes) -> bool:
    """Whether the lengths of the main header and the tile-parts lead to the end of the codestream."""
    try:
        at, marker, length = markers(bytearray(data))[-1]
    except (ValueError, IndexError):
        return False
    end = at + (int.from_bytes(data[at + 6 : at + 10], "big") if marker == 0x90 else 2 + length)
    return data[end : end + 2] == b"\xff\xd9" or end == len(data)


def box(data: bytearray, draw: Draw) -> None:
    """Gives a box another length or type, takes it out, or doubles it."""
    found = _boxes(data)
    at, _, length = found[int(draw.integers(len(found)))]
    what = int(draw.integers(4))
    if what == 0:
        lengths = (0, 1, 7, 8, length - 1, length + 1, 2**31, 2**32 - 1)
        struct.pack_into(">I", data, at, int(lengths[int(draw.integers(len(lengths)))]) % 2**32)
    elif what == 1:
        data[at + 4 : at + 8] = (b"jp2c", b"jp2h", b"uuid", b"xml ", b"asoc", b"\0\0\0\0")[int(draw.integers(6))]
    else:
        one = bytes(data[at : at + length])
        data[at : at + length] = b"" if what == 2 else one * 2


def header_box(data: bytearray, draw: Draw) -> None:
    """Changes a byte within the headers: sizes, bits, colours, GeoJP2, GMLJP2."""
    found = [one for one in _boxes(data) if one[1] != b"jp2c"]
    at, _, length = found[int(draw.integers(len(found)))]
    for _ in range(1 + int(draw.integers(4))):
        data[at + 8 + int(draw.integers(length - 8))] = int(draw.integers(256))


def size(data: bytearray, draw: Draw) -> None:
    """Declares other sides, offsets, tiles, components, bits or sampling in SIZ; 60,000 x 60,000 pixels among them."""
    at = markers(data)[0][0]
    fields = ((6, 4), (10, 4), (14, 4), (18, 4), (22, 4), (26, 4), (30, 4), (34, 4), (38, 2), (40, 1), (41, 1), (42, 1))
    numbers = (0, 1, 2, 15, 17, 63, 65, 100, 200, 400, 60000, 65535, 2**31 - 1, 2**32 - 1)
    if draw.random() < 0.15:
        data[at + 6 : at + 14] = struct.pack(">II", 60000, 60000)
        return
    where, length = fields[int(draw.integers(len(fields)))]
    number = int(numbers[int(draw.integers(len(numbers)))]) % 256**length
    data[at + where : at + where + length] = number.to_bytes(length, "big")


def coding(data: bytearray, draw: Draw) -> None:
    """Changes a byte of how it is coded: levels, layers, blocks, wavelet, quantisation."""
    found = [one for one in markers(data) if one[1] not in {0x51, 0x90}]
    at, _, length = found[int(draw.integers(len(found)))]
    data[at + 4 + int(draw.integers(length - 2))] = int((0, 1, 2, 5, 32, 33, 128, 255)[int(draw.integers(8))])


def tile_part(data: bytearray, draw: Draw) -> None:
    """Gives a tile-part another tile, length or number; takes it out, doubles it, or cuts its body."""
    found = [one for one in markers(data) if one[1] == 0x90]
    at, _, _ = found[int(draw.integers(len(found)))]
    length, what = int.from_bytes(data[at + 6 : at + 10], "big"), int(draw.integers(6))
    if what == 0:
        struct.pack_into(">H", data, at + 4, int((0, 1, 3, 4, 255, 65535)[int(draw.integers(6))]))
    elif what == 1:
        struct.pack_into(">I", data, at + 6, int((0, 1, 12, 14, length - 1, length + 1, 2**31, 2**32 - 1)[int(draw.integers(8))]))
    elif what == 2:
        data[at + 10 + int(draw.integers(2))] = int((0, 1, 2, 255)[int(draw.integers(4))])
    elif what == 3:
        del data[at : at + length]
    elif what == 4:
        data[at:at] = data[at : at + length]
    else:
        struct.pack_into(">I", data, at + 6, 14 + (length - 14) // 2)
        del data[at + 14 + (length - 14) // 2 : at + length]


JP2_LIES: tuple[Lie, ...] = (box, header_box, header_box, size, size, size, coding, coding, tile_part, tile_part, tile_part)
J2K_LIES: tuple[Lie, ...] = (size, size, coding, tile_part, tile_part)
