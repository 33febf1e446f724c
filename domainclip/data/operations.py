"""The closed list of operations of data-set cards, version 2: each takes rows of text and returns rows of text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from domainclip.config import Section
from domainclip.errors import UsageError, unknown_name

OPERATIONS_VERSION = 2
"""2: regex."""
Row = dict[str, Any]
_FIELD = re.compile(r"\{(\w+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")


class Columns(Section):
    """Renames columns to those of a manifest (``path``, ``caption``, ``group``, ``ids:patient``, ...)."""

    op: Literal["columns"]
    rename: dict[str, str]

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns the rows with the new names beside the old ones."""
        for old in self.rename:
            _check_column(rows, old, what)
        return [row | {new: row[old] for old, new in self.rename.items() if row.get(old) not in (None, "")} for row in rows]


class Map(Section):
    """Looks a column's text up in a table; a text that is not in it is an error, an empty one stays empty."""

    op: Literal["map"]
    column: str
    to: str
    values: dict[str, str]

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns the rows with the column ``to``."""
        _check_column(rows, self.column, what)
        return [
            row | {self.to: _looked_up(self.values, row[self.column], self.column, what) if row.get(self.column) else ""}
            for row in rows
        ]


class Regex(Section):
    """Takes columns out of a column's text: each named group of the pattern becomes one; a text that does not fit is an error."""

    op: Literal["regex"]
    column: str
    pattern: str = Field(description="Of the whole text, with named groups; a group that takes no part gives an empty column.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            names = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        if not names:
            raise ValueError("it has no named group, (?P<name>...)")
        return pattern

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns the rows with a column for each named group."""
        _check_column(rows, self.column, what)
        pattern = re.compile(self.pattern)
        found = [(row, pattern.fullmatch(str(row.get(self.column, "")))) for row in rows]
        wrong = [str(row.get(self.column, "")) for row, match in found if match is None]
        if wrong:
            listed = ", ".join(repr(text[:60]) for text in wrong[:10])
            raise UsageError(
                f"{what} was to be read.",
                f"{len(wrong)} of {len(rows)} texts in {self.column} are not in the form of the card: {listed}.",
                "Check that --root holds the files that the card describes, and no others.",
            )
        return [row | {name: text or "" for name, text in match.groupdict().items()} for row, match in found if match is not None]


class NumberedClass(Section):
    """Gives a label by the number in a file's name, where a data set numbers its classes one after the other."""

    op: Literal["numbered_class"]
    column: str
    to: str
    first: int = 1
    each: int = Field(ge=1, description="Images of one class.")
    values: tuple[str, ...] = Field(description="Classes in the order of their numbers.")

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns the rows with the column ``to``."""
        _check_column(rows, self.column, what)
        result = []
        for row in rows:
            number = re.search(r"\d+", str(row[self.column]))
            place = (int(number[0]) - self.first) // self.each if number else -1
            if not 0 <= place < len(self.values):
                found = f"{row[self.column]!r} in the column {self.column} holds no number of {len(self.values)} classes."
                raise UsageError(f"{what} was to be read.", found, "Check that the files are those that the card describes.")
            result.append(row | {self.to: self.values[place]})
        return result


class Bands(Section):
    """Turns a number into the name of the band it lies in: below edge 1, from edge 1 to below edge 2, and so on."""

    op: Literal["bands"]
    column: str
    to: str
    edges: tuple[float, ...]
    names: tuple[str, ...]

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns the rows with the column ``to``, empty where the number is."""
        _check_column(rows, self.column, what)
        if len(self.names) != len(self.edges) + 1:
            raise UsageError(
                f"{what} was to be read.", "The operation bands has not one name more than edges.", "Correct the card."
            )
        return [row | {self.to: self._name(row[self.column], what) if row.get(self.column) else ""} for row in rows]

    def _name(self, text: Any, what: str) -> str:
        try:
            number = float(text)
        except ValueError as error:
            raise UsageError(f"{what} was to be read.", f"{text!r} in {self.column} is no number.", "Correct the table.") from error
        return self.names[sum(number >= edge for edge in self.edges)]


class Where(Section):
    """Keeps the rows whose column has one of some texts; the others are counted as left out by the card."""

    op: Literal["where"]
    column: str
    is_in: tuple[str, ...]

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns the rows that are kept."""
        _check_column(rows, self.column, what)
        return [row for row in rows if row.get(self.column) in self.is_in]


class Split(Section):
    """Names the published splits as ours: train, val, held_out."""

    op: Literal["split"]
    column: str
    values: dict[str, Literal["train", "val", "held_out"]]

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns the rows with the column ``split``."""
        _check_column(rows, self.column, what)
        return [row | {"split": _looked_up(self.values, row[self.column], self.column, what)} for row in rows]


class CaptionLanguage(Section):
    """Says the language of captions that the data set itself has."""

    op: Literal["caption_language"]
    language: str

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns the rows with the column ``language``."""
        _check_column(rows, "caption", what)
        return [row | {"language": self.language} if row.get("caption") else row for row in rows]


class CaptionTemplates(Section):
    """Makes a row of captions from each row: ``{column}`` is replaced, ``[...]`` goes when a column in it is empty."""

    op: Literal["caption_templates"]
    templates: tuple[str, ...]
    language: str = "en"

    def apply(self, rows: list[Row], what: str) -> list[Row]:
        """Returns a row for each file and distinct text."""
        for template in self.templates:
            for name in _FIELD.findall(template):
                _check_column(rows, name, what)
        result = []
        for row in rows:
            texts = dict.fromkeys(filter(None, (_filled(template, row) for template in self.templates)))
            result += [row | {"caption": text, "language": self.language, "origin": "template"} for text in texts] or [row]
        return result


Operation = Annotated[
    Columns | Map | Regex | NumberedClass | Bands | Where | Split | CaptionLanguage | CaptionTemplates, Field(discriminator="op")
]


def _filled(template: str, row: Mapping[str, Any]) -> str | None:
    """Fills a template; None when a column outside of brackets is empty."""

    def segment(match: re.Match[str]) -> str:
        return match[1] if all(row.get(name) for name in _FIELD.findall(match[1])) else ""

    text = _OPTIONAL.sub(segment, template)
    if not all(row.get(name) for name in _FIELD.findall(text)):
        return None
    return _FIELD.sub(lambda match: str(row[match[1]]), text)


def _looked_up(values: Mapping[str, str], text: Any, column: str, what: str) -> str:
    if text not in values:
        error = unknown_name(f"value of {column}", str(text), values)
        raise UsageError(
            f"{what} was to be read.", f"Its column {column} holds {text!r}, which the card does not know.", error.remedy
        )
    return values[text]


def _check_column(rows: list[Row], name: str, what: str) -> None:
    """Raises when no row has the column."""
    known = dict.fromkeys(column for row in rows[:1000] for column in row)
    if name not in known and rows:
        error = unknown_name(f"column of {what}", name, known)
        raise UsageError(f"{what} was to be read by the column {name!r}.", "It has no such column.", error.remedy)
