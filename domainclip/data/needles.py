"""Looks for very many known values at once in texts and bytes: which are looked for, how they are written, and the search."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainclip.captions.names import folded, header_names
from domainclip.domains.identifying_value import Identifying
from domainclip.identifiers import keyed_hash

SHORTEST, SHORTEST_NUMBER, SHORTEST_IN_BYTES, LONGEST, SHORTEST_BINARY = 4, 8, 8, 200, 16
TOO_SHORT = f"shorter than {SHORTEST} characters"
SHORT_NUMBER = f"numbers of fewer than {SHORTEST_NUMBER} digits from times, ages, measures and file names"
COMMON = "only words of classes, labels, defined terms or everyday names of files"
DICOM_UID = "unique identifiers of the DICOM standard itself"
PLAIN_BINARY = f"binary data without text, shorter than {SHORTEST_BINARY} bytes or almost constant"
_HEX_SAFE = 16
_PIECE = 12
_DIFFERENT_BYTES = 8
_TABLE_BITS = 24
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HEX = re.compile(r"[0-9a-f]+")
_ALPHANUMERIC = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Needle:
    """A value that is looked for.

    Attributes:
        attribute: Where it stands in the source.
        mark: The owner's keyed hash of the value, which stands for it in every output.
        word: It is a single word of a name, which may also be an ordinary word.
        whole: It counts only where no letter or digit stands beside it.
    """

    attribute: str
    mark: str
    word: bool = False
    whole: bool = False


class Needles:
    """All values of a source; add them, then search.

    Memory grows with the number of spellings (about 0.4 KiB each, a dozen for a name), never with what is searched.

    Args:
        common: Words, folded, that identify nobody.
        key: The owner's, for the marks.
    """

    def __init__(self, common: frozenset[str], key: bytes) -> None:
        self._common, self._key = common, key
        self._texts: dict[bytes, Needle] = {}
        self._bytes: dict[bytes, Needle] = {}
        self._known: set[str] = set()
        self.skipped: Counter[tuple[str, str]] = Counter()
        self._tables: tuple[_Table, _Table, _Table] | None = None

    def __len__(self) -> int:
        return len(self._known)

    @property
    def spellings(self) -> int:
        """How many strings of bytes are compared."""
        return len(self._texts.keys() | self._bytes.keys())

    def add(self, found: Identifying) -> None:
        """Adds a value in its spellings, or counts in ``skipped`` (reason, attribute) why it is not looked for."""
        self._tables = None
        if isinstance(found.value, bytes):
            self._add_bytes(found.attribute, found.value)
        else:
            self._add_text(found.attribute, found.kind, " ".join(found.value.split()))

    def _add_bytes(self, attribute: str, value: bytes) -> None:
        plain = value.rstrip(b"\0 ")
        try:
            text = plain.decode()
        except UnicodeDecodeError:
            text = ""
        if text and text.isprintable():
            self._add_text(attribute, "text", " ".join(text.split()))
            return
        head = plain[:64]
        if len(head) < SHORTEST_BINARY or len(set(head)) < _DIFFERENT_BYTES:
            self.skipped[PLAIN_BINARY, attribute] += 1
            return
        self._bytes.setdefault(head.lower(), Needle(attribute, self._mark(plain.hex())))

    def _add_text(self, attribute: str, kind: str, text: str) -> None:
        plain = folded(text)
        if reason := self._reason(plain, kind):
            self.skipped[reason, attribute] += 1
            return
        needle = Needle(attribute, self._mark(text), whole=kind == "name")  # of "12345678.png" every hash's end is full
        for spelling in _spellings(text, kind):
            self._put(spelling, needle)
        for word in _words(text, plain, kind) - self._common:
            before = self._texts.get(word.encode())
            if before is None or (before.word and kind == "person"):  # a whole value says more, a file's name less
                self._texts[word.encode()] = Needle(f"{attribute}, a word of it", self._mark(word), word=True, whole=True)

    def _reason(self, plain: str, kind: str) -> str:
        digits = sum(character.isdigit() for character in plain)
        if kind == "uid" and plain.startswith("1.2.840.10008."):
            return DICOM_UID
        if kind == "number" and digits < SHORTEST_NUMBER:
            return SHORT_NUMBER
        if len(plain) < SHORTEST:
            return TOO_SHORT
        words = re.findall(r"[^\W\d_]+", plain)
        if words and not digits and all(word in self._common or len(word) == 1 for word in words):
            return COMMON
        return ""

    def _put(self, spelling: str, needle: Needle) -> None:
        plain = folded(spelling).encode()
        self._texts.setdefault(plain, needle)
        raw = {plain, spelling.encode().lower()}
        if len(spelling) >= SHORTEST_IN_BYTES // 2:
            raw |= {form.encode("utf-16-le").lower() for form in {spelling, folded(spelling)}}
        if not spelling.isascii():
            raw |= {form.encode("latin-1", "ignore").lower() for form in (spelling, spelling.upper(), spelling.lower())}
            raw |= {form.encode().lower() for form in (spelling.upper(), spelling.lower())}
        for form in raw:
            if len(form) >= SHORTEST_IN_BYTES:
                self._bytes.setdefault(form, needle)

    def marks_of_words(self) -> frozenset[str]:
        """Returns the marks of all single words of names."""
        return frozenset(needle.mark for needle in self._texts.values() if needle.word)

    def _mark(self, text: str) -> str:
        self._known.add(mark := keyed_hash(text, self._key))
        return mark

    def in_texts(self, texts: Sequence[str]) -> Iterator[tuple[int, Needle, bool]]:
        """Yields the position of each text in which a value stands, the value, and whether that is a number of digits alone.

        Case, accents and spacing do not matter.
        """
        short, long, _ = self._built()
        pieces, starts, at = [], [], 0
        for text in texts:
            piece = (" ".join(text.split()).lower() if text.isascii() else folded(" ".join(text.split()))).encode(
                "utf-8", "replace"
            )
            starts.append(at)
            pieces.append(piece)
            at += len(piece) + 1
        whole = b"\n".join(pieces)
        for table in (short, long):
            for start, pattern in table.found(whole):
                needle = self._texts[pattern]
                if _stands(whole, start, pattern, needle.whole):
                    yield bisect_right(starts, start) - 1, needle, pattern.isdigit()

    def in_bytes(self, data: bytes) -> Iterator[tuple[int, Needle, bool]]:
        """Yields offset, value and whether it is digits alone, for values of at least 8 bytes in UTF-8, Latin-1 or UTF-16."""
        small = data.lower()
        for start, pattern in self._built()[2].found(small):
            needle = self._bytes[pattern]
            if _stands(small, start, pattern, needle.whole):
                yield start, needle, pattern.isdigit()

    def _built(self) -> tuple[_Table, _Table, _Table]:
        if self._tables is None:
            short = [pattern for pattern in self._texts if len(pattern) < SHORTEST_IN_BYTES]
            long = [pattern for pattern in self._texts if len(pattern) >= SHORTEST_IN_BYTES]
            self._tables = (_Table(short, SHORTEST), _Table(long, SHORTEST_IN_BYTES), _Table(self._bytes, SHORTEST_IN_BYTES))
        return self._tables


def _words(text: str, plain: str, kind: str) -> frozenset[str]:
    if kind == "person":
        return frozenset(word for word in header_names([text]) if len(word) >= SHORTEST)
    return frozenset(re.findall(r"[^\W\d_]{5,}", plain)) if kind == "name" else frozenset()


def _spellings(text: str, kind: str) -> set[str]:
    """Returns how a value may be written elsewhere; of a long text its lines and sentences, the first 200 characters of each."""
    forms = {text}
    if kind == "person":
        parts = [part for part in text.split("=")[0].split("^")[:2] if part.strip()]
        if len(parts) > 1:
            pairs = (parts, parts[::-1])
            forms |= {mark.join(pair) for pair in pairs for mark in (" ", ", ", ",", "_", "-", ".", "^", "")}
    elif kind == "date" and re.match(r"\d{8}", text):
        year, month, day = text[:4], text[4:6], text[6:8]
        forms |= {text[:8], f"{year}-{month}-{day}", f"{year}/{month}/{day}", f"{day}.{month}.{year}", f"{year}.{month}.{day}"}
        forms |= {f"{day}/{month}/{year}", f"{month}/{day}/{year}", f"{day}-{month}-{year}", f"{month}-{day}-{year}"}
    if len(text) > LONGEST:
        pieces = [" ".join(piece.split()) for piece in re.split(r"(?<=[.!?;])\s+", text)]
        forms = {piece[:LONGEST] for piece in pieces if len(piece) >= _PIECE} or {text[:LONGEST]}
    return {form for form in forms if len(form) >= SHORTEST}


def _stands(data: bytes, start: int, pattern: bytes, whole: bool) -> bool:
    """Says whether a match stands for itself: short values and those that hexadecimal digits may form by chance are whole words."""
    text = pattern.decode("utf-8", "replace")
    by_chance = len(pattern) < SHORTEST_IN_BYTES or (len(text) < _HEX_SAFE and bool(_HEX.fullmatch(text)))
    if not whole and not by_chance:
        return True
    end = start + len(pattern)
    before = data[max(start - 1, 0) : start].decode("latin-1")
    after = data[end : end + 1].decode("latin-1")
    if _ALPHANUMERIC.match(before) or _ALPHANUMERIC.match(after):
        return False
    if text.isdigit() and len(text) < SHORTEST_NUMBER:  # part of a decimal number, whose point stands beside it
        return not (before == "." or (after == "." and data[end + 1 : end + 2].isdigit()))
    return True


class _Table:
    """Patterns of at least ``width`` bytes: a table of bits over their first bytes says where it is worth looking."""

    def __init__(self, patterns: Sequence[bytes] | dict[bytes, Needle], width: int) -> None:
        self._width = width
        self._patterns = frozenset(patterns)
        self._lengths: dict[bytes, tuple[int, ...]] = {}
        heads: dict[bytes, set[int]] = {}
        for pattern in self._patterns:
            heads.setdefault(pattern[:width], set()).add(len(pattern))
        self._lengths = {head: tuple(sorted(lengths)) for head, lengths in heads.items()}
        self._bits = np.zeros(2**_TABLE_BITS, dtype=bool)
        if heads:
            joined = np.frombuffer(b"".join(heads), dtype=np.uint8).reshape(len(heads), width)
            self._bits[_hashed(joined.T)] = True

    def found(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yields (offset, pattern) for every occurrence."""
        count = len(data) - self._width + 1
        if count <= 0 or not self._patterns:
            return
        array = np.frombuffer(data, dtype=np.uint8)
        piece = 2**20
        for first in range(0, count, piece):
            last = min(first + piece, count)
            columns = [array[first + shift : last + shift] for shift in range(self._width)]
            for position in np.flatnonzero(self._bits[_hashed(columns)]) + first:
                start = int(position)
                for length in self._lengths.get(data[start : start + self._width], ()):
                    if (pattern := data[start : start + length]) in self._patterns:
                        yield start, pattern


def _hashed(columns: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Mixes bytes, given column by column, to an index of the table of bits."""
    code = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        code = (code << np.uint64(8)) | column
    return ((code * _MIX) >> np.uint64(64 - _TABLE_BITS)).astype(np.intp)
