"""Operations of data-set cards that make texts of texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import Field

from domainclip.config import Section
from domainclip.data.operations.checked import Row, checked
from domainclip.data.patterns import Pattern

_FIELD = re.compile(r"\{([^{}]*)\}")


class Text(Section):
    """Puts columns together: ``{column}`` is replaced; a template without any gives every row the same text."""

    op: Literal["text"]
    to: str
    template: str

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the column ``to``."""
        for row in checked(rows, _FIELD.findall(self.template), what):
            yield row | {self.to: _FIELD.sub(lambda match, row=row: str(row.get(match[1], "")), self.template)}  # type: ignore[misc]


class Replace(Section):
    """Replaces what a regular expression finds in a column's text; of ``path`` also in the other places where a file may lie."""

    op: Literal["replace"]
    column: str
    pattern: Pattern
    by: str = Field("", description="May hold \\1 or \\g<name>.")
    to: str | None = Field(None, description="Column of the result; the same where none is given.")

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the new text."""
        pattern, to = re.compile(self.pattern), self.to or self.column
        for row in checked(rows, [self.column], what):
            changed: dict[str, Any] = {to: pattern.sub(self.by, str(row.get(self.column, "")))}
            if to == "path" and "paths" in row:
                changed["paths"] = [pattern.sub(self.by, one) for one in row["paths"]]
            yield row | changed


class Clean(Section):
    """Takes blanks off both ends of texts and makes lines and runs of blanks one blank; texts that mean nothing become empty."""

    op: Literal["clean"]
    columns: tuple[str, ...]
    nothing: tuple[str, ...] = Field((), description='Texts that mean nothing, e.g. "nan".')

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with clean texts."""
        for row in checked(rows, self.columns, what):
            texts = {name: " ".join(str(row[name]).split()) for name in self.columns if name in row}
            yield row | {name: "" if text in self.nothing else text for name, text in texts.items()}
