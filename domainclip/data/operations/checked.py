"""Rows on their way through an operation, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from domainclip.errors import UsageError, unknown_name

Row = dict[str, Any]
_PEEKED = 1000


def checked(rows: Iterable[Row], columns: Iterable[str], what: str) -> Iterator[Row]:
    """Passes rows on, after a look at the first thousand.

    Raises:
        UsageError: None of these rows has one of the columns.
    """
    following = iter(rows)
    first = list(itertools.islice(following, _PEEKED))
    known = dict.fromkeys(column for row in first for column in row)
    for name in columns:
        if name not in known and first:
            error = unknown_name(f"column of {what}", name, map(str, known))
            raise UsageError(f"{what} was to be read by the column {name!r}.", "It has no such column.", error.remedy)
    return itertools.chain(first, following)
