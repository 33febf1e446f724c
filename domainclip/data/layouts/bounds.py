"""Bounds of foreign tables, checked before a parser has the text: how long a row is, how deep JSON is nested; and wrong bytes.

Parsers keep a row whole, and ijson keeps the way to each value: a few kilobytes of brackets would take gigabytes.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

MAX_ROW = 2**24
"""Characters of a row, and bytes of a JSON record; captions of an image take kilobytes."""
MAX_NESTING = 64
_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))


class BoundedLines(Iterator[str]):
    """The lines of a text; ``row_done`` says that a row is whole, and a row that gets too long is refused.

    Args:
        file: Open text; lines keep their ends.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file, self._left, self._number = file, MAX_ROW, 0

    def __next__(self) -> str:
        """Returns the next line.

        Raises:
            ValueError: The row has more than ``MAX_ROW`` characters.
        """
        line = self._file.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._left -= len(line)
        if self._left < 0:
            raise ValueError(f"the row that ends in line {self._number} or later has more than {MAX_ROW} characters")
        return line

    def row_done(self) -> None:
        """Begins to count anew."""
        self._left = MAX_ROW

    def rows(self) -> Iterator[str]:
        """Yields the lines where each is a row."""
        for line in self:
            yield line
            self.row_done()


class Nesting:
    """Follows JSON piece by piece, whatever it holds, as far as brackets and quotes go.

    Args:
        level: Depth in which the records lie.
    """

    def __init__(self, level: int = 0) -> None:
        self._level, self._depth, self._run = level, 0, 0
        self._within_text, self._escape = False, b""

    def follow(self, data: bytes) -> None:
        r"""Takes the next piece.

        Raises:
            ValueError: It is nested deeper than ``MAX_NESTING``, or a record or a text in it is longer than ``MAX_ROW``.
        """
        # Within texts, \\ and \" end none; a piece may end between the two signs.
        plain = (self._escape + data).replace(b"\\\\", b"").replace(b'\\"', b"")
        self._escape = b"\\" if plain.endswith(b"\\") else b""
        parts = plain.split(b'"')
        outside = b"".join(parts[self._within_text :: 2])
        self._within_text ^= len(parts) % 2 == 0
        brackets = np.frombuffer(outside.translate(None, _OTHERS), np.uint8)
        # [ and { are 0x5b and 0x7b, ] and } 0x5d and 0x7d.
        depths = self._depth + np.cumsum(np.where(brackets & 0x04, -1, 1))
        lowest = int(depths.min(initial=self._depth))
        if depths.max(initial=0) > MAX_NESTING:
            raise ValueError(f"it is nested deeper than {MAX_NESTING} levels")
        self._depth = int(depths[-1]) if depths.size else self._depth
        ended = lowest <= self._level and (brackets.size or b"," in outside)
        self._run = 0 if ended else self._run + len(data)
        if self._run > MAX_ROW:
            raise ValueError(f"a record, a text or another part of it has more than {MAX_ROW} bytes, which are not held at once")


class BoundedJson:
    """A JSON file for ijson, whose pieces were followed by ``Nesting`` before it has them.

    Args:
        file: Open.
        level: Depth in which the records lie.
    """

    def __init__(self, file: IO[bytes], level: int) -> None:
        self._file, self._nesting = file, Nesting(level)

    def read(self, size: int = -1) -> bytes:
        """Returns the next piece; raises ValueError as ``Nesting``."""
        data = self._file.read(size)
        self._nesting.follow(data)
        return data


def check_nesting(text: str) -> None:
    """Raises ValueError where JSON is nested deeper than ``MAX_NESTING``."""
    if text.count("[") + text.count("{") > MAX_NESTING:
        Nesting().follow(text.encode("utf-8", "surrogatepass"))


def doubled(names: Iterable[Any]) -> list[Any]:
    """Returns the names that stand there more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def wrong_byte(file: IO[bytes], encoding: str) -> tuple[int, int, int] | None:
    """Returns line (from 1), place in the file (from 0) and value of the first byte that is no text in an encoding."""
    decoder, line, before = codecs.getincrementaldecoder(encoding)(), 1, 0
    for data in iter(lambda: file.read(2**20), None):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            wrong = error.object[error.start]
            return line + error.object[: error.start].count(b"\n"), before - held + error.start, wrong
        if not data:
            return None
        line, before = line + data.count(b"\n"), before + len(data)
    return None
