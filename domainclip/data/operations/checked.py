"""Rows on their way through an operation, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from domainclip.errors import UsageError, unknown_name

Row = dict[str, Any]


_SEPARATORS = ",;\t|"
EMPTIED = "\0emptied"
"""Of a row whose list of objects was empty: what the names of their columns would begin with. No table has such a column."""


def no_such_column(asked: str, where: str, column: str, names: Iterable[Any]) -> UsageError:
    """Builds the error for a column that is not there; a header that was not cut at its separator is told as such.

    Args:
        asked: What was to be done; the column is added to it.
        where: What lacks the column, e.g. ``"the table rows.csv"``.
        column: Its name.
        names: The columns that are there.
    """
    there = [str(name) for name in names if not str(name).startswith("\0")]
    asked, found = f"{asked} by the column {column!r}.", f"There is no such column in {where}."
    for name in there:
        for separator in _SEPARATORS:
            if column in (part.strip('" ') for part in name.split(separator)):
                told = f"It has a column {name[:100]!r}, so its cells stand apart by {separator!r}: say so in the card (delimiter)."
                return UsageError(asked, found, told)
    return UsageError(asked, found, unknown_name("column", column, there).remedy)


def checked(rows: Iterable[Row], columns: Iterable[str], what: str) -> Iterator[Row]:
    """Passes rows on that have the columns; what one table of a set calls otherwise would be lost without a word.

    Columns of objects of which a row has none are there, and empty.

    Raises:
        UsageError: A row lacks one of the columns.
    """
    wanted = tuple(columns)
    for number, row in enumerate(rows, start=1):
        for name in wanted:
            if name not in row:
                if any(name.startswith(start) for start in row.get(EMPTIED, ())):
                    row = row | {name: ""}
                    continue
                raise no_such_column(f"{what} was to be read", f"row {number}", name, row)
        yield row
