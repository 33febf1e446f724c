"""Palette Color lookup tables, plain and segmented, and pixels through them (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, C.7.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.dicom import foreign_decoder
from domainclip.domains.radiology.reading import unreadable

Array = npt.NDArray[Any]

_COLOURS = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_REMEDY = "Export it as RGB."


@dataclass(frozen=True, slots=True)
class Palette:
    """A palette.

    Attributes:
        first: Stored number of the first entry.
        bits: Of an entry, 8 or 16; white is ``2**bits - 1``.
        table: (entries, 3) uint16, red, green, blue.
    """

    first: int
    bits: int
    table: npt.NDArray[np.uint16]

    def look_up(self, stored: Array) -> Array:
        """Maps stored numbers to colours; those beyond an end take the entry of that end.

        Args:
            stored: (Y, X) integers.

        Returns:
            (Y, X, 3) uint8 or uint16, as ``bits`` says.
        """
        index = np.clip(stored.astype(np.int64) - self.first, 0, len(self.table) - 1)
        return self.table[index].astype(np.uint8 if self.bits == 8 else np.uint16)


def read_palette(header: Any) -> Palette:
    """Reads the palette of a header.

    Raises:
        UnreadableFileError: There is none, or its tables are not what their descriptors promise.
    """
    with foreign_decoder("Reading its palette"):
        descriptors = [header.get(f"{colour}PaletteColorLookupTableDescriptor") for colour in _COLOURS]
        if not all(d is not None and len(d) == 3 for d in descriptors):
            raise unreadable("It has no complete palette.", _REMEDY)
        entries, first, bits = (int(v) for v in descriptors[0])
        if any([int(v) for v in d] != [entries, first, bits] for d in descriptors) or bits not in {8, 16}:
            raise unreadable("Its palette's tables differ in size, or have neither 8 nor 16 bits.", _REMEDY)
        entries = entries % 2**16 or 2**16
        little = header.file_meta.TransferSyntaxUID.is_little_endian
        tables = [_table(header, colour, entries, bits, little) for colour in _COLOURS]
    return Palette(first, bits, np.stack(tables, axis=1).astype(np.uint16))


def _table(header: Any, colour: str, entries: int, bits: int, little: bool) -> Array:
    """Reads one colour's entries."""
    data = header.get(f"{colour}PaletteColorLookupTableData")
    if data is not None:
        return table_entries(data, entries, bits, little)
    data = header.get(f"Segmented{colour}PaletteColorLookupTableData")
    if not isinstance(data, bytes):
        raise unreadable("Its palette has no entries.", _REMEDY)
    return expand_segments(_words(data, bits, little), entries, bits)


def table_entries(data: Any, entries: int, bits: int, little: bool) -> Array:
    """Reads the entries of a lookup table; entries of 8 bits may be stored in 8 or in 16 bits (PS3.3 C.7.6.3.1.6, C.11.1.1).

    Raises:
        UnreadableFileError: There are more or fewer than promised, or one needs more bits.
    """
    if isinstance(data, bytes):
        packed = bits == 8 and len(data) - entries in {0, 1}
        table = _words(data, 8 if packed else 16, little)[:entries]
    else:
        table = np.atleast_1d(np.asarray(data))[:entries]
    if table.size != entries or not 8 <= bits <= 16 or int(table.max()) >= 2**bits:
        raise unreadable(
            "A lookup table does not have the entries that its descriptor promises.", "Set reading.window, or export it again."
        )
    return table


def _words(data: bytes, bits: int, little: bool) -> Array:
    """Takes bytes of VR OW as words of 8 or 16 bits; a big-endian file holds words of 16 bits, so that pairs of 8 are swapped."""
    if bits == 16:
        return np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2")
    if little or len(data) % 2:
        return np.frombuffer(data, np.uint8)
    return np.frombuffer(data, np.uint8).reshape(-1, 2)[:, ::-1].reshape(-1)


def expand_segments(words: Array, entries: int, bits: int) -> Array:
    """Expands a segmented table (PS3.3 C.7.9.2), never beyond its entries.

    Args:
        words: Opcodes, lengths and values, one each.
        entries: How many the descriptor promises.
        bits: 8 or 16: the width of a word, by which indirect segments count their offset.

    Returns:
        (entries,) integers.

    Raises:
        UnreadableFileError: It is cut short, uses an unknown opcode, or has more or fewer entries.
    """
    table: list[int] = []
    data = [int(word) for word in words]
    # A byte of padding may follow; no segment has fewer than three words.
    at = 0
    while len(table) < entries and at + 2 < len(data):
        at = _one_segment(data, at, table, entries, bits, nested=False)
    if len(table) != entries:
        raise unreadable("Its segmented palette has fewer entries than its descriptor promises.", _REMEDY)
    return np.asarray(table)


def _one_segment(data: list[int], at: int, table: list[int], entries: int, bits: int, *, nested: bool) -> int:
    """Appends one segment's entries to ``table`` and returns where the next one begins."""
    code, length = data[at], data[at + 1]
    at += 2
    last = table[-1] if table else None
    made: list[int]
    if code == _DISCRETE:
        made, at = data[at : at + length], at + length
        if len(made) != length:
            raise unreadable("Its segmented palette is cut short.", _REMEDY)
    elif code == _LINEAR and last is not None and length:
        # From the last entry, which is not repeated, to the value given here.
        made, at = [int(v) for v in np.rint(np.linspace(last, data[at], length + 1)[1:])], at + 1
    elif code == _INDIRECT and last is not None and not nested:
        words = data[at : at + 32 // bits]
        # The least significant 16 bits of the offset, which counts bytes, come first; in words of 8 bits, each half little-endian.
        offset = sum(word << (bits * place) for place, word in enumerate(words)) // (bits // 8)
        at += len(words)
        for _ in range(length):
            if offset + 2 >= len(data) or len(table) >= entries:
                raise unreadable("Its segmented palette points outside itself.", _REMEDY)
            offset = _one_segment(data, offset, table, entries, bits, nested=True)
        return at
    else:
        raise unreadable("Its segmented palette has a segment that DICOM does not define.", _REMEDY)
    if len(table) + len(made) > entries:
        raise unreadable("Its segmented palette has more entries than its descriptor promises.", _REMEDY)
    table.extend(made)
    return at
