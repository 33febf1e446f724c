"""Rows through the operations of a card, to the cells of a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from domainclip.data.operations import Operation, Where
from domainclip.errors import UsageError

Row = dict[str, Any]
LEFT_OUT = "rows left out by the card"
_KEPT = frozenset((
    "path", "caption", "language", "origin", "group", "split", "published", "report", "report_text", "spacing", "spacing_unit",
))  # fmt: skip
_KEPT_KINDS = ("label:", "ids:", "section:", "window:")


def piped(operations: Sequence[Operation], rows: Iterable[Row], what: str, account: Counter[str]) -> Iterator[Row]:
    """Runs rows through operations, one after the other; rows that a condition leaves out are counted in ``account``.

    Raises:
        UsageError: A row does not fit an operation.
    """
    for operation in operations:
        rows = _counted(operation, rows, what, account) if isinstance(operation, Where) else operation.apply(rows, what)
    return iter(rows)


def _counted(operation: Where, rows: Iterable[Row], what: str, account: Counter[str]) -> Iterator[Row]:
    seen = kept = 0

    def passing() -> Iterator[Row]:
        nonlocal seen
        for row in rows:
            seen += 1
            yield row

    for row in operation.apply(passing(), what):
        kept += 1
        yield row
    if seen > kept:
        account[LEFT_OUT] += seen - kept


def manifest_cells(row: Row, what: str, number: int | None = None) -> dict[str, Any]:
    """Returns the cells of a row that a manifest may have, empty ones left out, and ``paths`` where the file may lie elsewhere.

    Args:
        row: After all operations.
        what: For messages.
        number: Of the row, where rows are counted; paths may hold names of people and are not told.

    Raises:
        UsageError: The row names a file outside of the set's folder, or a cell is no text.
    """
    # The table is a foreign file: it must not point out of the data set's folder.
    for name, places in (("path", (row.get("path"), *(row.get("paths") or ()))), ("report", (row.get("report"),))):
        if any(PurePosixPath(str(place)).is_absolute() or ".." in PurePosixPath(str(place)).parts for place in places if place):
            where = "" if number is None else f" (row {number} as the card reads it)"
            found = f"Its column {name} names a file outside of --root{where}: an absolute path, or one with '..'."
            raise UsageError(f"{what} was to be read.", found, "Paths start at --root; correct the table, or get it anew.")
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if value in (None, "") or not (name in _KEPT or name.startswith(_KEPT_KINDS)):
            continue
        if isinstance(value, list | dict | bytes):
            found = f"Its column {name} holds {type(value).__name__}s and not texts ({str(value)[:60]})."
            raise UsageError(f"{what} was to be read.", found, "Correct the card: explode or part come first.")
        text = str(value).strip() if name == "caption" else str(value)
        if text:
            cells[name] = text
    if row.get("paths"):
        cells["paths"] = list(row["paths"])
    return cells
