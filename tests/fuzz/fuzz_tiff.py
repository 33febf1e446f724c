"""Lies in the directories of TIFF files: the file is parsed with ``struct`` alone, one thing in it is changed in place."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Draw = np.random.Generator
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
NASTY = (0, 1, 2, 3, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION, STRIP_OFFSETS = 256, 257, 258, 259, 262, 270, 273
SAMPLES, STRIP_ROWS, STRIP_COUNTS, PLANAR, PREDICTOR = 277, 278, 279, 284, 317
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, SUB_IFDS = 322, 323, 324, 325, 330
EXTRA, SAMPLE_FORMAT, JPEG_TABLES, SUBSAMPLING = 338, 339, 347, 530
CODECS = (0, 1, 2, 3, 5, 6, 7, 8, 32773, 32946, 33003, 33005, 33007, 34712, 34887, 34892, 34925, 50000, 50001, 50002, 65535)


@dataclass(frozen=True)
class Form:
    """Byte order for struct, and whether offsets and counts have 8 bytes (BigTIFF)."""

    order: str = "<"
    big: bool = False

    @property
    def word(self) -> str:
        """Of an offset or a count, for struct."""
        return "Q" if self.big else "I"

    @property
    def room(self) -> int:
        """Bytes of an offset or a count."""
        return 8 if self.big else 4

    def get(self, letter: str, data: bytes, at: int) -> int:
        """Reads a number."""
        return int(struct.unpack_from(self.order + letter, data, at)[0])

    def set(self, letter: str, data: bytearray, at: int, value: int) -> None:
        """Writes a number, cut to its width."""
        struct.pack_into(self.order + letter, data, at, value % 2 ** (8 * struct.calcsize("=" + letter)))


def form_of(data: bytes) -> Form:
    """By the first bytes; what is damaged there counts as little-endian and classic."""
    return Form(">" if data[:2] == b"MM" else "<", bytes(data[2:4]) in {b"+\0", b"\0+"})


@dataclass(frozen=True)
class Entry:
    """One tag of a directory; positions are bytes from the start of the file."""

    form: Form
    at: int
    tag: int
    type: int
    count: int
    values_at: int

    def position(self, index: int) -> int:
        """Where the element with this index lies."""
        return self.values_at + index * SIZES.get(self.type, 1)


@dataclass(frozen=True)
class Directory:
    """One IFD: where it begins, its entries, and where the offset of the next one stands."""

    form: Form
    at: int
    entries: tuple[Entry, ...]
    next_at: int

    def entry(self, tag: int) -> Entry | None:
        """The entry of a tag, if it is there."""
        return next((entry for entry in self.entries if entry.tag == tag), None)


def directories(data: bytes) -> list[Directory]:
    """Parses the directories of a whole TIFF, those of SubIFDs after their parent.

    Raises:
        ValueError: A first lie left a cycle or counts without sense.
    """
    form = form_of(data)
    found: list[Directory] = []
    waiting = [form.get(form.word, data, form.room)]
    while waiting:
        at = waiting.pop(0)
        count, begin = form.get("Q" if form.big else "H", data, at), at + (8 if form.big else 2)
        if len(found) >= 16 or count > len(data):
            raise ValueError("cycle")
        width = 4 + 2 * form.room
        entries = []
        for index in range(count):
            where = begin + width * index
            tag, kind, number = form.get("H", data, where), form.get("H", data, where + 2), form.get(form.word, data, where + 4)
            size, inside = SIZES[kind] * number, where + 4 + form.room
            if size > len(data):
                raise ValueError("count")
            entries.append(
                Entry(form, where, tag, kind, number, inside if size <= form.room else form.get(form.word, data, inside))
            )
        directory = Directory(form, at, tuple(entries), begin + width * count)
        found.append(directory)
        following = form.get(form.word, data, directory.next_at)
        subs = directory.entry(SUB_IFDS)
        inner = [] if subs is None else [form.get("I", data, subs.position(i)) for i in range(subs.count)]
        # SubIFDs chain nowhere here; their next offset is 0.
        waiting = [*inner, *([following] if following else []), *waiting]
    return found


def put(data: bytearray, entry: Entry, value: int, index: int = 0) -> None:
    """Writes a number over one element of an entry, cut to the width of its type."""
    size = min(SIZES.get(entry.type, 1), 8)
    order = "little" if entry.form.order == "<" else "big"
    data[entry.position(index) : entry.position(index) + size] = (value % 2 ** (8 * size)).to_bytes(size, order)


def widen(data: bytearray, entry: Entry, value: int) -> None:
    """Makes the entry one LONG (type 4) with this value, in place."""
    form = entry.form
    form.set("H", data, entry.at + 2, 4)
    form.set(form.word, data, entry.at + 4, 1)
    form.set("I", data, entry.at + 4 + form.room, value)


def _any(draw: Draw, values: tuple[int, ...]) -> int:
    return int(values[int(draw.integers(len(values)))])


def _directory(data: bytes, draw: Draw) -> Directory:
    """The first directory as often as all others together."""
    all_of_them = directories(data)
    return all_of_them[0] if draw.random() < 0.5 else all_of_them[int(draw.integers(len(all_of_them)))]


def any_entry(data: bytearray, draw: Draw) -> None:
    """Sets type, count, value or tag of some entry to a nasty number."""
    entries = _directory(data, draw).entries
    entry = entries[int(draw.integers(len(entries)))]
    what, form = int(draw.integers(5)), entry.form
    if what == 0:
        form.set("H", data, entry.at + 2, _any(draw, (0, 1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 16, 99, 65535)))
    elif what == 1:
        form.set(form.word, data, entry.at + 4, _any(draw, NASTY))
    elif what == 2:
        form.set(form.word, data, entry.at + 4 + form.room, _any(draw, NASTY))
    elif what == 3:
        put(data, entry, _any(draw, NASTY), int(draw.integers(max(1, entry.count))))
    else:
        form.set("H", data, entry.at, _any(draw, (0, 255, 32768, 65000, 65535)))


def next_offset(data: bytearray, draw: Draw) -> None:
    """Lets a directory point to itself, the first one, into the pixels or over the end."""
    all_of_them = directories(data)
    one = all_of_them[int(draw.integers(len(all_of_them)))]
    targets = (one.at, all_of_them[0].at, all_of_them[-1].at, 1, 8, len(data) - 1, len(data) + 4, 2**31, 2**32 - 1, 0)
    where = one.form.room if draw.random() < 0.15 else one.next_at
    one.form.set(one.form.word, data, where, _any(draw, targets))


def sub_offset(data: bytearray, draw: Draw) -> None:
    """Lets a SubIFD offset point to its parent, to another one or over the end; without SubIFDs as ``next_offset``."""
    all_of_them = directories(data)
    parents = [one for one in all_of_them if one.entry(SUB_IFDS) is not None]
    if not parents:
        next_offset(data, draw)
        return
    subs = parents[0].entry(SUB_IFDS)
    assert subs is not None
    put(data, subs, _any(draw, (parents[0].at, all_of_them[-1].at, 0, 7, len(data), 2**32 - 1)), int(draw.integers(subs.count)))


def tile_places(data: bytearray, draw: Draw) -> None:
    """Moves tiles: beyond the end, onto each other, into the header; or gives them other byte counts, 0 among them."""
    one = _directory(data, draw)
    offsets = one.entry(TILE_OFFSETS) or one.entry(STRIP_OFFSETS)
    counts = one.entry(TILE_COUNTS) or one.entry(STRIP_COUNTS)
    if offsets is None or counts is None:
        return
    share = (1 / offsets.count, 0.2, 1.0)[int(draw.integers(3))]
    chosen = [i for i in range(offsets.count) if draw.random() < share] or [int(draw.integers(offsets.count))]
    what = int(draw.integers(8))
    for index in chosen:
        old = one.form.get({8: "Q", 4: "I"}.get(SIZES[counts.type], "H"), data, counts.position(index))
        if what < 3:
            put(data, offsets, (len(data) + 16, 2**32 - 1, 4)[what], index)
        elif what == 3:
            at = offsets.position(int(draw.integers(offsets.count)))
            put(data, offsets, one.form.get({8: "Q", 4: "I"}[SIZES[offsets.type]], data, at), index)
        elif what == 4:
            put(data, offsets, 0, index)
            put(data, counts, 0, index)
        else:
            put(data, counts, (0, old // 2, _any(draw, NASTY))[what - 5], index)


_GEOMETRY = (
    (TILE_WIDTH, (0, 1, 15, 16, 48, 80, 128, 65536, 2**31, 2**32 - 1)),
    (TILE_LENGTH, (0, 1, 16, 48, 128, 65536, 2**31, 2**32 - 1)),
    (WIDTH, (0, 1, 63, 64, 200, 400, 4000, 60000, 2**31 - 1, 2**32 - 1)),
    (LENGTH, (0, 1, 63, 64, 200, 400, 4000, 60000, 2**31 - 1, 2**32 - 1)),
    (STRIP_ROWS, (0, 1, 7, 65535, 2**31, 2**32 - 1)),
)  # fmt: skip
_LAYOUT = (
    (BITS, (0, 1, 7, 12, 16, 32, 64, 65535)),
    (SAMPLES, (0, 1, 2, 4, 5, 255, 65535)),
    (COMPRESSION, CODECS),
    (PHOTOMETRIC, (0, 1, 2, 3, 4, 5, 6, 8, 32803, 65535)),
    (PLANAR, (0, 2, 3, 65535)),
    (PREDICTOR, (0, 1, 2, 3, 34892, 65535)),
    (SAMPLE_FORMAT, (0, 2, 3, 4, 6, 65535)),
    (EXTRA, (0, 1, 2, 999)),
    (SUBSAMPLING, (0, 1, 2, 3, 4, 65535)),
)


def geometry(data: bytearray, draw: Draw) -> None:
    """Declares another size of the picture or of its tiles, one or both sides."""
    one = _directory(data, draw)
    chosen = draw.permutation(len(_GEOMETRY))[: 1 + int(draw.integers(2))]
    for index in chosen:
        tag, values = _GEOMETRY[int(index)]
        entry = one.entry(tag)
        if entry is not None:
            widen(data, entry, _any(draw, values))


def layout(data: bytearray, draw: Draw) -> None:
    """Declares another depth, number of samples, codec, colour space or plane order."""
    one = _directory(data, draw)
    known = [(one.entry(tag), values) for tag, values in _LAYOUT if one.entry(tag) is not None]
    entry, values = known[int(draw.integers(len(known)))]
    assert entry is not None
    value = _any(draw, values)
    for index in range(entry.count if draw.random() < 0.8 else 1):
        put(data, entry, value, index)


def tables(data: bytearray, draw: Draw) -> None:
    """Damages the JPEG tables or the description; without either, some entry."""
    known = [e for one in directories(data) for e in one.entries if e.tag in {JPEG_TABLES, DESCRIPTION} and e.count > 8]
    if not known:
        any_entry(data, draw)
        return
    entry = known[int(draw.integers(len(known)))]
    if draw.random() < 0.3:
        entry.form.set("H", data, entry.at, 65000)
        return
    for _ in range(1 + int(draw.integers(8))):
        data[entry.values_at + int(draw.integers(entry.count))] = int(draw.integers(256))


def bomb(data: bytearray, draw: Draw) -> None:
    """60,000 x 60,000 pixels declared in what lies before the pixels (about 1 KB), with or without sensible tile counts."""
    one = directories(data)[0]
    for tag in (WIDTH, LENGTH):
        entry = one.entry(tag)
        assert entry is not None
        widen(data, entry, 60000)
    if draw.random() < 0.5:
        for tag in (TILE_OFFSETS, TILE_COUNTS):
            entry = one.entry(tag)
            if entry is not None:
                entry.form.set(entry.form.word, data, entry.at + 4, (60000 // 64 + 1) ** 2)
    if draw.random() < 0.7:
        del data[max(1024, one.next_at + one.form.room) :]


LIES: tuple[Callable[[bytearray, Draw], None], ...] = (
    any_entry, any_entry, any_entry, next_offset, sub_offset, tile_places, tile_places, tile_places, geometry, geometry, geometry,
    layout, layout, layout, tables, bomb,
)  # fmt: skip
