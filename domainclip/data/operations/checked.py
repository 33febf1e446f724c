"""Rows on their way through an operation, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from domainclip.errors import UsageError, unknown_name

Row = dict[str, Any]


def checked(rows: Iterable[Row], columns: Iterable[str], what: str) -> Iterator[Row]:
    """Passes rows on that have the columns; what one table of a set calls otherwise would be lost without a word.

    Raises:
        UsageError: A row lacks one of the columns.
    """
    wanted = tuple(columns)
    for number, row in enumerate(rows, start=1):
        for name in wanted:
            if name not in row:
                error = unknown_name(f"column of {what}", name, map(str, row))
                found = f"It has no such column (row {number})."
                raise UsageError(f"{what} was to be read by the column {name!r}.", found, error.remedy)
        yield row
