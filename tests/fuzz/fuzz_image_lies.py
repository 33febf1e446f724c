"""Lies in DICOM images that keep the grammar: elements, sequences, fragments, codestreams, deflated bodies, character sets."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from fuzz_markers import elements, segments

Draw = np.random.Generator
Lie = Callable[[bytearray, Draw], None]
_PIXELS = (0x7FE0, 0x0010)
_ITEM, _ITEM_END, _SEQUENCE_END = (struct.pack("<HH", 0xFFFE, element) for element in (0xE000, 0xE00D, 0xE0DD))
_SHORT_NUMBERS = {
    (0x0028, 0x0010): (0, 1, 79, 81, 160, 400, 60000, 65535), (0x0028, 0x0011): (0, 1, 95, 97, 192, 400, 60000, 65535),
    (0x0028, 0x0002): (0, 1, 2, 3, 4, 255), (0x0028, 0x0100): (0, 1, 8, 12, 16, 24, 32, 64, 65535),
    (0x0028, 0x0101): (0, 1, 8, 11, 12, 13, 16, 17, 65535), (0x0028, 0x0102): (0, 7, 10, 11, 12, 14, 15, 16, 65535),
    (0x0028, 0x0103): (0, 1, 2, 65535), (0x0028, 0x0006): (0, 1, 2),
}  # fmt: skip
_SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5",
    *(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 90, 91, 100, 201)), "1.2.3.4", "", "Brightwater",
)  # fmt: skip
_ADDED: tuple[tuple[tuple[int, int], bytes, bytes], ...] = (
    *(((0x0028, 0x0008), b"IS", value) for value in (b"2 ", b"30000 ", b"-1", b"0 ", b"1e5 ", b"999999999999", b"Brightwater ")),
    *(((0x0028, 0x0301), b"CS", value) for value in (b"YES ", b"", b"MAYBE ")),
    *(((0x2050, 0x0020), b"CS", value) for value in (b"INVERSE ", b"IDENTITY", b"Cordelia")),
    *(((0x0028, 0x1051), b"DS", value) for value in (b"0 ", b"1 ", b"0.5 ", b"-400", b"1e400 ", b"nan ", b"400\\\\", b"4,5 ")),
    *(((0x0028, 0x1050), b"DS", value) for value in (b"0 ", b"inf ", b"40\\50\\60 ", b"")),
    *(((0x0028, 0x1053), b"DS", value) for value in (b"0 ", b"-1", b"1e-300", b"1e308 ", b"x ")),
    *(((0x0028, 0x1052), b"DS", value) for value in (b"1e308 ", b"nan ", b"")),
    *(((0x0028, 0x1056), b"CS", value) for value in (b"SIGMOID ", b"LINEAR_EXACT", b"LINEAR", b"CUBIC ")),
    *(((0x0028, 0x0120), b"US", value) for value in (b"\0\0", b"\xff\xff", b"\0", b"\0\1\0\2")),
    *(((0x0028, 0x0121), b"SS", value) for value in (b"\0\0", b"\xff\x7f")),
    *(((0x0028, 0x0030), b"DS", value) for value in (b"0\\0 ", b"1 ", b"-1\\x", b"1e999\\1 ", b"nan\\nan ")),
    *(((0x0018, 0x9004), b"CS", value) for value in (b"RESEARCH",)), ((0x0008, 0x9205), b"CS", b"COLOR "),
    ((0x7FE0, 0x0001), b"OV", bytes(8)), ((0x7FE0, 0x0008), b"OF", bytes(64)), ((0x0042, 0x0011), b"OB", b"%PDF-1.4"),
    ((0x0028, 0x1101), b"US", b"\0\1\0\0\x08\0"), ((0x5000, 0x3000), b"OW", bytes(64)), ((0x6000, 0x0010), b"US", b"\xff\xff"),
)  # fmt: skip
_CHARACTERS = (
    b"ISO 2022 IR 87", b"\\ISO 2022 IR 149 ", b"ISO_IR 192", b"GB18030 ", b"Brightwater ", b"ISO_IR 100\\ISO 2022 IR 58 ",
    b"ISO_IR 13",
    b"\\\\\\", b"\xff\xfe",
)  # fmt: skip
_NAMES = (b"\x1b$B\xff\xff\x1b(J", b"\xe9\xff\x80=\x1b$)C=\xf0", b"A=B=C=D=E^^^^^^^^", b"\0\0\0\0", b"\xf0\x9f\x92\xa9" * 16)
_TEXTS = {b"PN", b"LO", b"SH", b"LT", b"ST", b"UT", b"CS"}


def _one_of(draw: Draw, values: tuple[Any, ...]) -> Any:
    return values[int(draw.integers(len(values)))]


def written(tag: tuple[int, int], kind: bytes, value: bytes, length: int | None = None) -> bytes:
    """Writes an explicit element; ``length`` may lie."""
    long = kind in {b"OB", b"OW", b"OF", b"SQ", b"UT", b"UN", b"OD", b"OL", b"UC", b"UR", b"OV", b"SV", b"UV"}
    count = len(value) if length is None else length
    head = struct.pack("<HH", *tag) + kind
    return head + (b"\0\0" + struct.pack("<I", count) if long else struct.pack("<H", count % 2**16)) + value


def put(data: bytearray, tag: tuple[int, int], kind: bytes, value: bytes, length: int | None = None) -> None:
    """Sets an element at the top: replaces the one there is, else goes where its tag belongs."""
    level = _top(data)
    there = [(at, value_at + size) for at, found, value_at, size in level if found == tag]
    at, end = there[0] if there else ((later := next(at for at, found, _, _ in level if found > tag)), later)
    data[at:end] = written(tag, kind, value, length)


def _top(data: bytes) -> list[tuple[int, tuple[int, int], int, int]]:
    """The elements outside sequences, sequences with their whole length."""
    found: list[tuple[int, tuple[int, int], int, int]] = []
    for at, tag, value, length in elements(data):
        if found and at < found[-1][2] + found[-1][3]:
            continue
        if length == 2**32 - 1 and tag != _PIXELS:
            length = data.index(_SEQUENCE_END, value) + 8 - value
        found.append((at, tag, value, length))
    return found


def image_number(data: bytearray, draw: Draw) -> None:
    """Changes size, samples, bits, sign or planes."""
    there = [one for one in _top(data) if one[1] in _SHORT_NUMBERS]
    _, tag, value, _ = there[int(draw.integers(len(there)))]
    struct.pack_into("<H", data, value, _one_of(draw, _SHORT_NUMBERS[tag]))


def image_element(data: bytearray, draw: Draw) -> None:
    """Sets an element that says what the pixels mean, or adds one."""
    put(data, *_one_of(draw, _ADDED))


def image_colour(data: bytearray, draw: Draw) -> None:
    """Names another photometric interpretation."""
    named = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "PALETTE COLOR", "CMYK", "", "Cordelia")
    put(data, (0x0028, 0x0004), b"CS", _one_of(draw, named).encode().ljust(16))


def image_syntax(data: bytearray, draw: Draw) -> None:
    """Names another transfer syntax, the length of the group set right."""
    put(data, (0x0002, 0x0010), b"UI", (uid := _one_of(draw, _SYNTAXES).encode()) + b"\0" * (len(uid) % 2))
    level = _top(data)
    end = next(at for at, tag, _, _ in level if tag[0] != 2)
    struct.pack_into("<I", data, 140, end - 144)


def image_lost(data: bytearray, draw: Draw) -> None:
    """Takes an element out, doubles it, or exchanges it with the next: tags out of order."""
    level = _top(data)
    number = int(draw.integers(1, len(level) - 1))
    at, end = level[number][0], level[number][2] + level[number][3]
    one, what = bytes(data[at:end]), int(draw.integers(3))
    data[at:end] = (b"", one * 2, b"")[what]
    if what == 2:
        later = next((a for a, tag, _, _ in _top(data) if tag > (0x0028, 0)), at)
        data[later:later] = one


def image_sequence(data: bytearray, draw: Draw) -> None:
    """Adds a hostile sequence: deep, cyclic by its lengths, of many items, cut short, or with a delimiter lost."""
    tag, what = _one_of(draw, ((0x0008, 0x1140), (0x0028, 0x3010), (0x0040, 0xA730), (0x0008, 0x2112))), int(draw.integers(6))
    deep = int(_one_of(draw, (3, 40, 400, 3000)))
    open_one = written(tag, b"SQ", b"", 2**32 - 1) + _ITEM + struct.pack("<I", 2**32 - 1)
    close_one = _ITEM_END + bytes(4) + _SEQUENCE_END + bytes(4)
    if what == 0:
        body = open_one * deep + close_one * deep
    elif what == 1:
        body = open_one * deep + close_one * (deep // 2)
    elif what == 2:  # items that claim to reach over their sequence
        body = written(tag, b"SQ", _ITEM + struct.pack("<I", _one_of(draw, (2**31, 2**32 - 2, 4096, 7))), 8)
    elif what == 3:
        body = written(tag, b"SQ", (_ITEM + bytes(4)) * deep * 10)
    elif what == 4:
        inner = b"".join(written((0x0010, 0x0010), b"PN", b"Hollowell^Tess") for _ in range(3))
        body = written(tag, b"SQ", _ITEM + struct.pack("<I", len(inner)) + inner, _one_of(draw, (0, 7, 2**31, 2**32 - 1)))
    else:
        body = written(tag, b"UN", open_one * deep, 2**32 - 1)
    at = next(at for at, found, _, _ in _top(data) if found > tag)
    data[at:at] = body


def image_delimiters(data: bytearray, draw: Draw) -> None:
    """Zeros or exchanges the tag or the length of an item or a delimiter."""
    places, at = [], data.find(b"\xfe\xff", 132)
    while at >= 0:
        places.append(at)
        at = data.find(b"\xfe\xff", at + 2)
    at = places[int(draw.integers(len(places)))]
    if draw.random() < 0.5:
        data[at : at + 4] = _one_of(draw, (_ITEM, _ITEM_END, _SEQUENCE_END, bytes(4)))
    else:
        struct.pack_into("<I", data, at + 4, _one_of(draw, (0, 1, 8, 2**31, 2**32 - 2, 2**32 - 1)))


def image_characters(data: bytearray, draw: Draw) -> None:
    """Names another character set, and spoils a text."""
    if draw.random() < 0.7:
        put(data, (0x0008, 0x0005), b"CS", _one_of(draw, _CHARACTERS))
    texts = [one for one in elements(data)[:-1] if bytes(data[one[0] + 4 : one[0] + 6]) in _TEXTS and one[3] and one[1][0] > 2]
    _, _, value, length = texts[int(draw.integers(len(texts)))]
    data[value : value + length] = _one_of(draw, _NAMES)[:length].ljust(length)


def image_pixels(data: bytearray, draw: Draw) -> None:
    """Lies about the pixel data: their length, their kind; fewer or more of them; in fragments, or none at all."""
    at, _, value, _ = next(one for one in elements(data) if one[1] == _PIXELS)
    what = int(draw.integers(5))
    if what == 0:
        struct.pack_into("<I", data, at + 8, _one_of(draw, (0, 1, 7, 2**16, 2**31, 2**32 - 2, 2**32 - 1)))
    elif what == 1:
        data[at + 4 : at + 6] = _one_of(draw, (b"OB", b"OW", b"UN", b"SQ", b"OF"))
    elif what == 2:
        del data[int(draw.integers(value, len(data))) :]
        if draw.random() < 0.5:
            struct.pack_into("<I", data, at + 8, len(data) - value)
    elif what == 3:
        data.extend(draw.integers(0, 256, int(_one_of(draw, (1, 8, 4096))), dtype=np.uint8).tobytes())
    else:
        tail = bytes(data[value:])
        data[at:] = written(_PIXELS, b"OB", _ITEM + bytes(4) + _ITEM + struct.pack("<I", len(tail)) + tail, 2**32 - 1)


def _fragments(data: bytes) -> list[tuple[int, int]]:
    """(position, length) of the items of the pixel data, the offset table first."""
    at, _, value, length = next(one for one in elements(data) if one[1] == _PIXELS)
    assert length == 2**32 - 1
    found, at = [], value
    while data[at : at + 4] == _ITEM:
        (length,) = struct.unpack_from("<I", data, at + 4)
        found.append((at, length))
        at += 8 + length
    return found


def image_fragments(data: bytearray, draw: Draw) -> None:
    """Splits, loses, doubles or empties a fragment, or lies in the offset table."""
    items, what = _fragments(data), int(draw.integers(6))
    at, length = items[1 + int(draw.integers(len(items) - 1))]
    body = bytes(data[at + 8 : at + 8 + length])
    if what == 0:
        cut = int(draw.integers(1, length)) // 2 * 2
        parts = (body[:cut], body[cut:])
        data[at : at + 8 + length] = b"".join(_ITEM + struct.pack("<I", len(part)) + part for part in parts)
    elif what == 1:
        data[at : at + 8 + length] = b"" if draw.random() < 0.5 else bytes(data[at : at + 8 + length]) * 2
    elif what == 2:
        struct.pack_into("<I", data, at + 4, _one_of(draw, (0, 1, length - 2, length + 2, 2**31, 2**32 - 1)) % 2**32)
    elif what == 3:
        table = items[0][1] // 4 or int(draw.integers(1, 9))
        offsets = b"".join(struct.pack("<I", int(_one_of(draw, (0, 1, 8, 4096, 2**31, 2**32 - 1)))) for _ in range(table))
        data[items[0][0] : items[0][0] + 8 + items[0][1]] = _ITEM + struct.pack("<I", len(offsets)) + offsets
    elif what == 4:
        data[at + 8 : at + 8 + length] = bytes(length)
    else:
        del data[items[-1][0] + 8 + items[-1][1] :]  # the sequence's end


def image_codestream(data: bytearray, draw: Draw) -> None:
    """Lies in a frame's own header: JPEG segments, JPEG 2000 SIZ and the markers behind it, RLE offsets."""
    items = _fragments(data)
    at, length = items[1 + int(draw.integers(len(items) - 1))]
    stream = bytearray(data[at + 8 : at + 8 + length])
    if stream[:2] == b"\xff\xd8":
        place, _, size = (parts := segments(stream))[int(draw.integers(len(parts)))]
        frame = next(one for one in parts if 0xC0 <= one[1] <= 0xC3)[0]
        what = int(draw.integers(5))
        if what == 0:
            struct.pack_into(">H", stream, frame + 5 + 2 * int(draw.integers(2)), _one_of(draw, (0, 1, 79, 97, 60000, 65535)))
        elif what == 1:
            stream[frame + _one_of(draw, (1, 4, 9))] = _one_of(draw, (0, 1, 2, 3, 4, 8, 12, 16, 0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xF7))
        elif what == 2:
            struct.pack_into(">H", stream, place + 2, _one_of(draw, (0, 1, 2, size + 1, size + 300, 65535)) % 2**16)
        elif what == 3:
            stream[place : place + 2 + size] = b"" if draw.random() < 0.5 else bytes(stream[place : place + 2 + size]) * 2
        else:
            where = int(draw.integers(parts[-1][0] + 2 + parts[-1][2], len(stream) - 2))
            stream[where : where + 2] = _one_of(draw, (b"\xff\xd9", b"\xff\xd3", b"\xff\xc0", b"\xff\xff", b"\0\0"))
    elif stream[:4] == b"\xff\x4f\xff\x51":
        if draw.random() < 0.6:
            struct.pack_into(">I", stream, 8 + 4 * int(draw.integers(8)), _one_of(draw, (0, 1, 80, 97, 60000, 2**31, 2**32 - 1)))
        else:
            stream[int(draw.integers(40, min(140, len(stream))))] = int(draw.integers(256))
    else:
        struct.pack_into(
            "<I", stream, 4 * int(draw.integers(4)), _one_of(draw, (0, 1, 3, 15, 63, 64, 65, length, 2**31, 2**32 - 1))
        )
    data[at : at + 8 + length] = _ITEM + struct.pack("<I", len(stream)) + stream


# Deflated files: preamble and file meta information as they are, the rest in raw deflate (PS3.5 A.5).
def inflated(data: bytes) -> bytearray:
    """The file with its body inflated."""
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    return bytearray(data[:start] + zlib.decompress(data[start:], -zlib.MAX_WBITS))


def deflated(data: bytes) -> bytes:
    """The reverse; where the file meta information cannot be found any more, the bytes as they are."""
    start = 144 + struct.unpack_from("<I", data.ljust(144), 140)[0]
    if start > len(data):
        return bytes(data)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return bytes(data[:start]) + packer.compress(bytes(data[start:])) + packer.flush()


def image_bomb(data: bytearray, draw: Draw) -> None:
    """In a deflated file: a body that inflates to a gigabyte, zeros behind the pixels, an end lost, or zlib's own header."""
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    body, what = bytes(data[start:]), int(draw.integers(8))
    if what == 0:
        body = zlib.compress(bytes(2**26), 9)[2:-4][:-8] * int(_one_of(draw, (1, 16)))
    elif what == 1:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(zlib.decompress(body, -zlib.MAX_WBITS) + bytes(9 * 2**20)) + packer.flush()
    elif what < 5:
        body = body[: int(len(body) * draw.random())]
    else:
        body = zlib.compress(zlib.decompress(body, -zlib.MAX_WBITS))
    data[start:] = body


PLAIN_LIES: tuple[Lie, ...] = (
    image_number, image_number, image_number, image_element, image_element, image_element, image_colour, image_syntax, image_lost,
    image_sequence, image_delimiters, image_characters, image_pixels,
)  # fmt: skip
FRAME_LIES: tuple[Lie, ...] = (*PLAIN_LIES, image_fragments, image_fragments, image_codestream, image_codestream, image_codestream)
