"""Arcs of borders as short text: each number a zigzag varint in base 32, low digits first, as printable ASCII.

A number n becomes 2n, or -2n - 1 when negative; five bits a character, 32 added to all but the last; characters start at ``0``
(code 48). Digits of 0 to 63 thus lie in ``0`` to ``o``; the backslash in between is moved to ``~``, since JSON would double it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_FIRST = 48
_BACKSLASH, _STANDS_FOR_IT = "\\", "~"


def encode_arc(steps: Sequence[Sequence[int]]) -> str:
    """Returns the text of an arc.

    Args:
        steps: (x, y) of the first point, then differences.
    """
    text = []
    for number in (value for step in steps for value in step):
        left = 2 * number if number >= 0 else -2 * number - 1
        while left >= 32:
            text.append(chr(_FIRST + 32 + left % 32))
            left //= 32
        text.append(chr(_FIRST + left))
    return "".join(text).replace(_BACKSLASH, _STANDS_FOR_IT)


def decode_arc(text: str) -> npt.NDArray[np.int64]:
    """Undoes ``encode_arc`` and sums the differences.

    Returns:
        (n, 2) points in the table's whole numbers.
    """
    numbers, value, shift = [], 0, 0
    for character in text.replace(_STANDS_FOR_IT, _BACKSLASH):
        digit = ord(character) - _FIRST
        value |= (digit & 31) << shift
        shift += 5
        if digit < 32:
            numbers.append(-(value + 1) // 2 if value & 1 else value // 2)
            value = shift = 0
    return np.asarray(numbers, np.int64).reshape(-1, 2).cumsum(axis=0)
