"""Operations of data-set cards that make labels: one for each finding, and one of several readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from domainclip.config import Section
from domainclip.data.operations.checked import Row, checked
from domainclip.data.row_store import RowStore
from domainclip.errors import UsageError, unknown_name


def label_of(finding: str) -> str:
    """Returns the label's column of a finding: ``"Lung Opacity"`` becomes ``"label:lung_opacity"``."""
    return "label:" + finding.strip().lower().replace(" ", "_")


class Findings(Section):
    """Turns columns of codes, one for each finding, into labels: present, absent, uncertain; an empty cell says nothing."""

    op: Literal["findings"]
    columns: tuple[str, ...]
    values: dict[str, str] = Field(description='Code to value, e.g. {"1.0": present, "0.0": absent, "-1.0": uncertain}.')
    renamed: dict[str, str] = Field(default_factory=dict, description="Column to the finding's name, where these differ.")

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the labels."""
        for row in checked(rows, self.columns, what):
            yield row | {
                label_of(self.renamed.get(name, name)): self._value(str(row[name]).strip(), name, what)
                for name in self.columns
                if str(row.get(name, "")).strip()
            }

    def _value(self, text: str, column: str, what: str) -> str:
        if text not in self.values:
            error = unknown_name(f"value of {column}", text, self.values)
            found = f"Its column {column} holds {text!r}, which the card does not know."
            raise UsageError(f"{what} was to be read.", found, error.remedy)
        return self.values[text]


class Named(Section):
    """Turns a list of findings into labels: those that are named are present, the others of the card's list absent."""

    op: Literal["named"]
    column: str
    known: tuple[str, ...] = Field((), description="All findings; with ``others: refuse`` one that is not among them is an error.")
    nothing: tuple[str, ...] = Field((), description="Words that name no finding, e.g. 'No Finding'; they give no label.")
    others: Literal["refuse", "keep"] = "refuse"
    absent: bool = Field(True, description="Whether findings that are not named were looked for, and are absent.")

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields the rows with the labels."""
        absent = {label_of(name): "absent" for name in self.known} if self.absent else {}
        for row in checked(rows, [self.column], what):
            items = row.get(self.column) or []
            if not isinstance(items, list):
                raise UsageError(
                    f"{what} was to be read.", f"{self.column} holds no list.", "Correct the card: listed comes first."
                )
            for item in items:
                if str(item) not in self.known and str(item) not in self.nothing and self.others == "refuse":
                    error = unknown_name(f"finding in {self.column}", str(item), self.known)
                    found = f"Its column {self.column} names {item!r}, which the card does not know."
                    raise UsageError(f"{what} was to be read.", found, error.remedy)
            yield row | absent | {label_of(str(item)): "present" for item in items if str(item) not in self.nothing}


class Readers(Section):
    """Joins the rows of one image by several readers: of each label the value that stands first in ``order`` among theirs."""

    op: Literal["readers"]
    by: str = "path"
    order: tuple[str, ...] = ("present", "uncertain", "absent")

    def apply(self, rows: Iterable[Row], what: str) -> Iterator[Row]:
        """Yields a row for each image, with the number of its readers as ``readers``."""
        rank = {value: place for place, value in enumerate(self.order)}
        store = RowStore((str(row.get(self.by, "")), row) for row in checked(rows, [self.by], what))
        for _, several in store.groups():
            joined = dict(several[0])
            for row in several[1:]:
                for name, value in row.items():
                    if name.startswith("label:") and rank.get(value, len(rank)) < rank.get(joined.get(name, ""), len(rank) + 1):
                        joined[name] = value
            yield joined | {"readers": str(len(several))}
