"""Thumbnails of large slides are worked on in parts with a margin, so that memory for intermediate maps stays small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a grid.

    Attributes:
        own: Rows and columns that the part answers for; the parts' own areas tile the grid.
        seen: The same with a margin, as far as the grid reaches.
        inner: Where ``own`` lies within ``seen``.
    """

    own: tuple[slice, slice]
    seen: tuple[slice, slice]
    inner: tuple[slice, slice]


def parts(height: int, width: int, rows: int, columns: int, margin: int) -> Iterator[Part]:
    """Cuts a grid of height x width points into parts of at most rows x columns, each seen with a margin of points."""
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            own, seen, inner = [], [], []
            for first, size, whole in ((top, rows, height), (left, columns, width)):
                last = min(first + size, whole)
                before = max(0, first - margin)
                own.append(slice(first, last))
                seen.append(slice(before, min(whole, last + margin)))
                inner.append(slice(first - before, last - before))
            yield Part((own[0], own[1]), (seen[0], seen[1]), (inner[0], inner[1]))
