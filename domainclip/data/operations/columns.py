"""Operations of data-set cards on the columns of single rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from domainclip.config import Section
from domainclip.data.operations.checked import Row, checked
from domainclip.data.patterns import NamedPattern
from domainclip.errors import UsageError, unknown_name

_LISTED = 10
_FIELD = re.compile(r"\{(\w+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")


class Columns(Section):
    """Renames columns to those of a manifest (``path``, ``caption``, ``group``, ``ids:patient``, ...)."""

    op: Literal["columns"]
    rename: dict[str, str]

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the new names beside the old ones."""
        for row in checked(rows, self.rename, what):
            yield row | {new: row[old] for old, new in self.rename.items() if row.get(old) not in (None, "")}


class Map(Section):
    """Looks a column's text up in a table; a text that is not in it is an error, an empty one stays empty."""

    op: Literal["map"]
    column: str
    to: str
    values: dict[str, str]

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the column ``to``."""
        for row in checked(rows, [self.column], what):
            yield row | {self.to: _looked_up(self.values, row[self.column], self.column, what) if row.get(self.column) else ""}


class Regex(Section):
    """Takes columns out of a column's text: each named group of the pattern becomes one; a text that does not fit is an error."""

    op: Literal["regex"]
    column: str
    pattern: NamedPattern = Field(
        description="Of the whole text, with named groups; a group that takes no part gives an empty column."
    )
    others: Literal["refuse", "empty"] = Field(
        "refuse", description="Texts of another form: all are counted and refused, or give none."
    )

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with a column for each named group."""
        pattern, names = re.compile(self.pattern), re.compile(self.pattern).groupindex
        wrong, first, count = 0, list[str](), 0
        for row in checked(rows, [self.column], what):
            count += 1
            match = pattern.fullmatch(str(row.get(self.column, "")))
            if match is not None:
                yield row | {name: text or "" for name, text in match.groupdict().items()}
            elif self.others == "empty":
                yield row | dict.fromkeys(names, "")
            elif self.others == "refuse":
                wrong += 1
                first += [repr(str(row.get(self.column, ""))[:60])] if len(first) < _LISTED else []
        if wrong:
            raise UsageError(
                f"{what} was to be read.",
                f"{wrong} of {count} texts in {self.column} are not in the form of the card: {', '.join(first)}.",
                "Check that --root holds the files that the card describes, and no others.",
            )


class NumberedClass(Section):
    """Gives a label by the number in a file's name, where a data set numbers its classes one after the other."""

    op: Literal["numbered_class"]
    column: str
    to: str
    first: int = 1
    each: int = Field(ge=1, description="Images of one class.")
    values: tuple[str, ...] = Field(description="Classes in the order of their numbers.")

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the column ``to``."""
        for row in checked(rows, [self.column], what):
            number = re.search(r"\d+", str(row[self.column]))
            place = (int(number[0]) - self.first) // self.each if number else -1
            if not 0 <= place < len(self.values):
                found = f"{row[self.column]!r} in the column {self.column} holds no number of {len(self.values)} classes."
                raise UsageError(f"{what} was to be read.", found, "Check that the files are those that the card describes.")
            yield row | {self.to: self.values[place]}


class Bands(Section):
    """Turns a number into the name of the band it lies in: below edge 1, from edge 1 to below edge 2, and so on."""

    op: Literal["bands"]
    column: str
    to: str
    edges: tuple[float, ...]
    names: tuple[str, ...]

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the column ``to``, empty where the number is."""
        if len(self.names) != len(self.edges) + 1:
            raise UsageError(
                f"{what} was to be read.", "The operation bands has not one name more than edges.", "Correct the card."
            )
        for row in checked(rows, [self.column], what):
            yield row | {self.to: self._name(row[self.column], what) if row.get(self.column) else ""}

    def _name(self, text: Any, what: str) -> str:
        try:
            number = float(text)
        except ValueError as error:
            raise UsageError(f"{what} was to be read.", f"{text!r} in {self.column} is no number.", "Correct the table.") from error
        return self.names[sum(number >= edge for edge in self.edges)]


class Where(Section):
    """Keeps the rows whose column has one of some texts, or none of some; the others are counted as left out by the card."""

    op: Literal["where"]
    column: str
    is_in: tuple[str, ...] = ()
    not_in: tuple[str, ...] = ()
    absent: Literal["refuse", "keep"] = Field("refuse", description="A set whose table has no such column (another release of it).")

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows that are kept."""
        for row in checked(rows, [self.column] if self.absent == "refuse" else [], what):
            if self.absent == "keep" and self.column not in row:
                yield row
                continue
            text = row.get(self.column)
            if (not self.is_in or text in self.is_in) and text not in self.not_in:
                yield row


class Split(Section):
    """Names the published splits as ours (train, val, held_out) and keeps their own words."""

    op: Literal["split"]
    column: str
    values: dict[str, Literal["train", "val", "held_out"]]

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the columns ``split`` and ``published``."""
        for row in checked(rows, [self.column], what):
            word = row[self.column]
            yield row | {"split": _looked_up(self.values, word, self.column, what), "published": word}


class CaptionLanguage(Section):
    """Says the language of captions that the data set itself has."""

    op: Literal["caption_language"]
    language: str

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the column ``language``."""
        for row in checked(rows, ["caption"], what):
            yield row | {"language": self.language} if row.get("caption") else row


class CaptionTemplates(Section):
    """Makes a row of captions from each row: ``{column}`` is replaced, ``[...]`` goes when a column in it is empty."""

    op: Literal["caption_templates"]
    templates: tuple[str, ...]
    language: str = "en"

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields a row for each file and distinct text."""
        for row in checked(rows, [name for template in self.templates for name in _FIELD.findall(template)], what):
            texts = dict.fromkeys(filter(None, (_filled(template, row) for template in self.templates)))
            if not texts:
                yield row
            for text in texts:
                yield row | {"caption": text, "language": self.language, "origin": "template"}


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
