"""Lies in files of markers and lengths: chunks of PNG (their CRC set right again), segments of JPEG, elements of DICOM."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np

Draw = np.random.Generator
Lie = Callable[[bytearray, Draw], None]
_SIDES = (0, 1, 2, 63, 100, 1000, 60000, 65535, 2**31 - 1, 2**32 - 1)


def _any(draw: Draw, values: tuple[int, ...]) -> int:
    return int(values[int(draw.integers(len(values)))])


# PNG: 8 bytes of magic, then chunks of length, name, body, CRC.
def chunks(data: bytes) -> list[tuple[int, bytes, int]]:
    """Lists (position, name, length of the body) of the chunks of a whole PNG."""
    found, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((at, bytes(data[at + 4 : at + 8]), length))
        at += 12 + length
    return found


def _with_crc(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _replace(data: bytearray, chunk: tuple[int, bytes, int], name: bytes, body: bytes) -> None:
    at, _, length = chunk
    data[at : at + 12 + length] = _with_crc(name, body)


def png_header(data: bytearray, draw: Draw) -> None:
    """Changes one field of IHDR: sides, depth, colour type, compression, filter, interlace; the CRC is right."""
    head = chunks(data)[0]
    body = bytearray(data[head[0] + 8 : head[0] + 8 + head[2]])
    what = int(draw.integers(8))
    if what < 4:
        struct.pack_into(">I", body, 4 * (what % 2), _any(draw, _SIDES))
    elif what == 4:
        body[8] = _any(draw, (0, 1, 2, 4, 7, 16, 255))
    elif what == 5:
        body[9] = _any(draw, (0, 1, 3, 4, 6, 255))
    else:
        body[4 + what + int(draw.integers(2))] = _any(draw, (1, 2, 255))
    _replace(data, head, head[1], bytes(body[:13]))


def png_lengths(data: bytearray, draw: Draw) -> None:
    """Gives a chunk another length, without moving anything."""
    all_of_them = chunks(data)
    at, _, length = all_of_them[int(draw.integers(len(all_of_them)))]
    struct.pack_into(">I", data, at, _any(draw, (0, 1, length - 1, length + 1, 2**31 - 1, 2**31, 2**32 - 1)) % 2**32)


def png_crc(data: bytearray, draw: Draw) -> None:
    """Gives a chunk a wrong CRC, and nothing else."""
    all_of_them = chunks(data)
    at, _, length = all_of_them[int(draw.integers(len(all_of_them)))]
    data[at + 8 + length] ^= 0xFF


def png_pixels(data: bytearray, draw: Draw) -> None:
    """Damages the compressed pixels behind a right CRC: bytes, fewer rows in whole zlib, or nothing at all."""
    parts = [chunk for chunk in chunks(data) if chunk[1] == b"IDAT"]
    packed = b"".join(bytes(data[at + 8 : at + 8 + length]) for at, _, length in parts)
    what = int(draw.integers(4))
    if what == 0:
        body = bytearray(packed)
        body[int(draw.integers(len(body)))] ^= 1 << int(draw.integers(8))
        new = bytes(body)
    elif what == 1:
        plain = zlib.decompress(packed)
        new = zlib.compress(plain[: int(len(plain) * draw.random())])
    elif what == 2:
        new = packed[: int(len(packed) * draw.random())]
    else:
        new = b""
    for chunk in reversed(parts[1:]):
        del data[chunk[0] : chunk[0] + 12 + chunk[2]]
    _replace(data, parts[0], b"IDAT", new)


def png_chunk_added(data: bytearray, draw: Draw) -> None:
    """Adds a hostile chunk behind IHDR: a bomb of text or profile, a palette, transparency, orientation, animation."""
    bomb = zlib.compress(bytes(64 * 2**20), 9)
    added = (
        (b"zTXt", b"Comment\0\0" + bomb),
        (b"iCCP", b"profile\0\0" + bomb),
        (b"PLTE", bytes(range(256)) * 3),
        (b"tRNS", b"\0\1\0\1\0\1"),
        (b"eXIf", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
        (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff\x01\x12\0\3\xff\xff\xff\xff\0\6\0\0\0\0\0\x08"),
        (b"acTL", struct.pack(">II", 2**31 - 1, 0)),
        (b"ABCD", b"critical and unknown"),
    )
    name, body = added[int(draw.integers(len(added)))]
    at, _, length = chunks(data)[0]
    data[at + 12 + length : at + 12 + length] = _with_crc(name, body)


def png_chunk_lost(data: bytearray, draw: Draw) -> None:
    """Takes a chunk out, or doubles it."""
    all_of_them = chunks(data)
    at, _, length = all_of_them[int(draw.integers(len(all_of_them)))]
    one = bytes(data[at : at + 12 + length])
    data[at : at + 12 + length] = b"" if draw.random() < 0.5 else one * 2


# JPEG: segments of marker and length up to the scan.
def segments(data: bytes) -> list[tuple[int, int, int]]:
    """Lists (position, marker, length without the marker) of the segments of a JPEG up to its scan."""
    found, at = [], 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        (length,) = struct.unpack_from(">H", data, at + 2)
        found.append((at, marker, length))
        at += 2 + length
        if marker == 0xDA:
            break
    return found


def _segment(data: bytes, draw: Draw, markers: tuple[int, ...]) -> tuple[int, int, int]:
    chosen = [one for one in segments(data) if one[1] in markers]
    return chosen[int(draw.integers(len(chosen)))]


def jpeg_size(data: bytearray, draw: Draw) -> None:
    """Changes the sides of the frame."""
    at, _, _ = _segment(data, draw, (0xC0, 0xC1, 0xC2))
    struct.pack_into(">H", data, at + 5 + 2 * int(draw.integers(2)), _any(draw, (0, 1, 8, 100, 400, 1000, 60000, 65535)))


def jpeg_frame(data: bytearray, draw: Draw) -> None:
    """Changes kind, precision, number of components, sampling factors or table of the frame."""
    at, _, _ = _segment(data, draw, (0xC0, 0xC1, 0xC2))
    what = int(draw.integers(5))
    if what == 0:
        data[at + 1] = _any(draw, (0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCA, 0xCF))
    elif what == 1:
        data[at + 4] = _any(draw, (0, 1, 12, 16, 255))
    elif what == 2:
        data[at + 9] = _any(draw, (0, 1, 2, 4, 255))
    else:
        data[at + 11 + 3 * int(draw.integers(3)) + what - 3] = _any(draw, (0, 0x11, 0x12, 0x22, 0x41, 0x44, 0xFF, 3))


def jpeg_table(data: bytearray, draw: Draw) -> None:
    """Damages a quantisation or Huffman table, the scan's header or the restart interval."""
    at, _, length = _segment(data, draw, (0xDB, 0xC4, 0xDA, 0xDD))
    data[at + 4 + int(draw.integers(max(1, length - 2)))] = int(draw.integers(256))


def jpeg_length(data: bytearray, draw: Draw) -> None:
    """Gives a segment another length, takes it out, or doubles it."""
    all_of_them = segments(data)
    at, _, length = all_of_them[int(draw.integers(len(all_of_them)))]
    what = int(draw.integers(3))
    if what == 0:
        struct.pack_into(">H", data, at + 2, _any(draw, (0, 1, 2, length - 1, length + 1, 65535)))
    else:
        data[at : at + 2 + length] = b"" if what == 1 else bytes(data[at : at + 2 + length]) * 2


def jpeg_orientation(data: bytearray, draw: Draw) -> None:
    """Adds EXIF: the eight orientations, and one that lies about its entries."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0" + bytes([int(draw.integers(10))]) + b"\0\0\0\0\0\0"
    if draw.random() < 0.3:
        exif = exif.replace(b"\0\0\0\1", b"\xff\xff\xff\xff")
    data[2:2] = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif


def jpeg_scan(data: bytearray, draw: Draw) -> None:
    """Puts a marker into the scan: an early end, a restart out of turn, a second frame; or takes the end away."""
    at, _, length = segments(data)[-1]
    where = int(draw.integers(at + 2 + length, len(data) - 2))
    what = int(draw.integers(4))
    if what == 3:
        del data[-2:]
    else:
        data[where : where + 2] = (b"\xff\xd9", b"\xff\xd3", b"\xff\xc0")[what]


# DICOM, explicit VR little-endian: group, element, VR, length, value; from byte 132.
_LONG = {b"OB", b"OW", b"OF", b"SQ", b"UT", b"UN", b"OD", b"OL", b"UC", b"UR"}
_TARGETS = {
    (0x0028, 0x0010): "rows", (0x0028, 0x0011): "columns", (0x0048, 0x0006): "matrix columns", (0x0048, 0x0007): "matrix rows",
    (0x0028, 0x0008): "frames",
}  # fmt: skip


def elements(data: bytes) -> list[tuple[int, tuple[int, int], int, int]]:
    """Lists (position, tag, position of the value, length) of the elements, those in sequences too, up to the pixels."""
    found, at = [], 132
    while at + 8 <= len(data):
        group, element = struct.unpack_from("<HH", data, at)
        if group == 0xFFFE:  # items and delimiters: step inside
            at += 8
            continue
        kind = bytes(data[at + 4 : at + 6])
        if kind in _LONG:
            value, (length,) = at + 12, struct.unpack_from("<I", data, at + 8)
        else:
            value, (length,) = at + 8, struct.unpack_from("<H", data, at + 6)
        found.append((at, (group, element), value, length))
        if (group, element) == (0x7FE0, 0x0010):
            break
        at = value if kind == b"SQ" else value + length
    return found


def _element(data: bytes, tag: tuple[int, int]) -> tuple[int, tuple[int, int], int, int]:
    return next(one for one in elements(data) if one[1] == tag)


def dicom_number(data: bytearray, draw: Draw) -> None:
    """Changes Rows, Columns, the total pixel matrix or the number of frames."""
    tags = tuple(_TARGETS)
    _, tag, value, length = _element(data, tags[int(draw.integers(len(tags)))])
    if tag == (0x0028, 0x0008):
        text = str(_any(draw, (0, 1, 29, 31, 60, 9999))).encode()[:length]
        data[value : value + length] = (text if draw.random() < 0.8 else b"-1").ljust(length)
    else:
        number = _any(draw, (0, 1, 16, 63, 65, 128, 384, 1000, 60000, 65535, 2**31 - 1, 2**32 - 1))
        data[value : value + length] = (number % 2 ** (8 * length)).to_bytes(length, "little")


def dicom_length(data: bytearray, draw: Draw) -> None:
    """Gives an element another length or kind."""
    all_of_them = elements(data)
    at, _, value, _ = all_of_them[int(draw.integers(len(all_of_them)))]
    what = int(draw.integers(3))
    if what == 0:
        data[at + 4 : at + 6] = (b"SQ", b"UN", b"US", b"DS", b"??", b"OB")[int(draw.integers(6))]
    elif value - at == 12:
        struct.pack_into("<I", data, at + 8, _any(draw, (0, 1, 7, 2**16, 2**31, 2**32 - 2, 2**32 - 1)))
    else:
        struct.pack_into("<H", data, at + 6, _any(draw, (0, 1, 3, 64, 4096, 65535)))


def dicom_value(data: bytearray, draw: Draw) -> None:
    """Changes the value of some element: zeros, ones, text without sense."""
    filled = [one for one in elements(data)[:-1] if one[3] and one[3] < 2**16]
    _, _, value, length = filled[int(draw.integers(len(filled)))]
    byte = (b"\0", b"\xff", b"A", b"9", b" ")[int(draw.integers(5))]
    data[value : value + length] = byte * length


def dicom_frames(data: bytearray, draw: Draw) -> None:
    """Damages the offset table or the frames' items: lengths, tags, an early end."""
    at = _element(data, (0x7FE0, 0x0010))[2]
    items = []
    while at + 8 <= len(data):
        tag, length = struct.unpack_from("<II", data, at)
        items.append((at, length))
        if tag != 0xE000FFFE:
            break
        at += 8 + length
    what = int(draw.integers(5))
    place, length = items[1 + int(draw.integers(len(items) - 2))]
    if what == 0:
        table, size = items[0]
        for _ in range(1 + int(draw.integers(4))):
            slot = table + 8 + 4 * int(draw.integers(size // 4))
            struct.pack_into("<I", data, slot, _any(draw, (0, 1, len(data), 2**31, 2**32 - 1)))
    elif what == 1:
        struct.pack_into("<I", data, place + 4, _any(draw, (0, 1, length - 2, length + 2, 2**31, 2**32 - 1)))
    elif what == 2:
        struct.pack_into("<I", data, place, _any(draw, (0xE0DDFFFE, 0xE00DFFFE, 0, 2**32 - 1)))
    elif what == 3:
        del data[place : place + 8 + length]
    else:
        data[place + 8 : place + 8 + length] = bytes(length)


def dicom_codec(data: bytearray, draw: Draw) -> None:
    """Names another transfer syntax of the same length, photometric interpretation or organisation."""
    what = int(draw.integers(3))
    if what == 0:
        _, _, value, length = _element(data, (0x0002, 0x0010))
        named = (b"1.2.840.10008.1.2.4.51", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.4.70", b"1.2.3")
        data[value : value + length] = named[int(draw.integers(len(named)))][:length].ljust(length, b"\0")
    elif what == 1:
        _, _, value, length = _element(data, (0x0028, 0x0004))
        named = (b"MONOCHROME2", b"RGB", b"YBR_ICT", b"PALETTE COLOR", b"")
        data[value : value + length] = named[int(draw.integers(len(named)))][:length].ljust(length)
    else:
        _, _, value, length = _element(data, (0x0020, 0x9311))
        data[value : value + length] = (b"TILED_SPARSE", b"3D", b"")[int(draw.integers(3))][:length].ljust(length)


PNG_LIES: tuple[Lie, ...] = (png_header, png_header, png_lengths, png_crc, png_pixels, png_pixels, png_chunk_added, png_chunk_lost)
JPEG_LIES: tuple[Lie, ...] = (
    jpeg_size, jpeg_size, jpeg_frame, jpeg_frame, jpeg_table, jpeg_table, jpeg_length, jpeg_orientation, jpeg_scan,
)  # fmt: skip
DICOM_LIES: tuple[Lie, ...] = (
    dicom_number, dicom_number, dicom_number, dicom_length, dicom_length, dicom_value, dicom_value, dicom_frames, dicom_frames,
    dicom_codec,
)  # fmt: skip
ELEMENT_LIES: tuple[Lie, ...] = (dicom_length, dicom_length, dicom_value, dicom_value)
"""Those of DICOM that any object can have."""
