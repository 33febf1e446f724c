"""Operations of data-set cards on lists, as JSON holds them and as tables write them into cells."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from domainclip.config import Section
from domainclip.data.operations.checked import EMPTIED, Row, checked
from domainclip.errors import UsageError

_MAX_LITERAL = 2**20
_MOST_FRAMES = 1_000_000


class Listed(Section):
    """Makes a list of a text: cut at a separator, or read as JSON or as a list literal of Python (``['a', 'b']``)."""

    op: Literal["listed"]
    column: str
    to: str | None = None
    form: Literal["separated", "json", "literal"] = "separated"
    separator: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Listed:
        if (self.form == "separated") != bool(self.separator):
            raise ValueError("a separator goes with the form 'separated', and with no other")
        return self

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the list; an empty text gives an empty one."""
        for row in checked(rows, [self.column], what):
            value = row.get(self.column, "")
            yield row | {self.to or self.column: value if isinstance(value, list) else self._list(str(value), what)}

    def _list(self, text: str, what: str) -> list[Any]:
        if not text.strip():
            return []
        if self.separator is not None:
            return [part.strip() for part in text.split(self.separator) if part.strip()]
        try:
            # literal_eval reads constants alone and runs nothing; its stack is bounded by the length.
            value = json.loads(text) if self.form == "json" else ast.literal_eval(text if len(text) < _MAX_LITERAL else "")
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            value = error
        if not isinstance(value, list | tuple):
            found = f"{text[:60]!r} in {self.column} is no list ({self.form})."
            raise UsageError(f"{what} was to be read.", found, "Get the table anew.")
        return list(value)


class Explode(Section):
    """Makes a row of each item of a list; objects give a column for each of their names. A row with an empty list is kept."""

    op: Literal["explode"]
    column: str
    to: str | None = Field(
        None, description="Column of the items; the same where none is given. Of objects, what their names begin with."
    )
    keep: Literal["all", "distinct"] = "all"

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields a row for each item."""
        to = self.to or self.column
        for row in checked(rows, [self.column], what):
            items = row.get(self.column) or []
            if not isinstance(items, list):
                found = f"{str(items)[:60]!r} in {self.column} is no list."
                raise UsageError(f"{what} was to be read.", found, "Get the table anew, or correct the card.")
            if self.keep == "distinct":
                items = list({json.dumps(item, sort_keys=True): item for item in items}.values())
            for item in items:
                named = {f"{self.to or ''}{name}": value for name, value in item.items()} if isinstance(item, dict) else {to: item}
                yield row | named
            if not items:
                yield row | {to: "", EMPTIED: [*row.get(EMPTIED, ()), self.to or ""]}


class Part(Section):
    """Takes a value out of an object or a list within a column, by the names and numbers of the way to it."""

    op: Literal["part"]
    column: str
    way: tuple[str | int, ...]
    to: str

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the column ``to``, empty where the way ends early."""
        for row in checked(rows, [self.column], what):
            value: Any = row.get(self.column)
            for step in self.way:
                try:
                    value = value[step]
                except (LookupError, TypeError):
                    value = ""
                    break
            yield row | {self.to: value}


class Numbers(Section):
    """Makes a row of each numbered frame of a clip: those whose time lies from its start to before its end."""

    op: Literal["numbers"]
    start: str = Field(description="Column of the first moment, in seconds.")
    end: str = Field(description="Column of the moment after the last, in seconds.")
    to: str = Field(description="Column of the frame's number.")
    per_second: float = Field(gt=0, description="Frames that were kept of a second.")
    first: int = Field(0, description="Number of the frame at 0 s.")
    digits: int = Field(0, ge=0, le=12, description="Zeros are put before shorter numbers.")

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields a row for each frame; a clip without one is an error, since its caption would be lost."""
        for row in checked(rows, [self.start, self.end], what):
            try:
                start, end = float(row[self.start]), float(row[self.end])
                places = range(math.ceil(start * self.per_second), math.ceil(end * self.per_second))
            except (ValueError, OverflowError) as error:
                found = f"{row[self.start]!r} to {row[self.end]!r} are no seconds."
                raise UsageError(f"{what} was to be read.", found, "Correct the table.") from error
            if not places or len(places) > _MOST_FRAMES:
                found = f"A clip from {start:g} to {end:g} s has {len(places)} frames at {self.per_second:g} a second."
                raise UsageError(f"{what} was to be read.", found, "Correct the table, or the card's per_second.")
            for place in places:
                yield row | {self.to: str(place + self.first).zfill(self.digits)}
