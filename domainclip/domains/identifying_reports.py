"""Names, numbers and dates that reports give in places of their own: heads of texts, elements of XML, columns of tables."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

from domainclip.domains.identifying_value import Identifying, Kind, unreadable

MOST_TEXT, MOST_XML, MOST_TABLE = 2**20, 4 * 2**20, 2**28
"""Largest files in bytes: of one report as text and as XML, and of a table."""
_LONGEST_CELL = 2**20
_VALUES = frozenset({"id", "value", "name", "extension"})
"""Attributes in which an element's value may stand; others say of what kind it is."""


def _plain(name: str) -> str:
    """Brings a name of a column or element to the form of the list: ``PatientBirthDate_DICOM`` becomes ``patientbirthdate``."""
    return re.sub(r"[\W_]", "", re.sub(r"[_\s-]*dicom$", "", name.strip(), flags=re.IGNORECASE).casefold())


@cache
def _listed() -> dict[str, frozenset[str]]:
    """Returns kind, ``last_name`` and ``first_name`` to plain names, of ``identifying_columns.yaml``."""
    told = yaml.safe_load(Path(__file__).with_name("identifying_columns.yaml").read_text(encoding="utf-8"))
    return {kind: frozenset(map(_plain, names)) for kind, names in told.items()}


def kind_of_name(name: str) -> Kind | None:
    """Says what a column or element of this name holds, by the closed list; None where it is not on it."""
    plain, kinds = _plain(name), ("person", "text", "date")
    return next((cast(Kind, kind) for kind in kinds if plain in _listed()[kind]), None)


def of_text(path: Path) -> Iterator[Identifying]:
    """Yields the names and numbers that a report gives in lines of its own; other files of text give none.

    Raises:
        UnreadableFileError: It is larger than 1 MiB.
    """
    if path.stat().st_size > MOST_TEXT:
        raise unreadable("It is larger than 1 MiB, which no report is.", "Leave it out.")
    yield from _of_report(_decoded(path.read_bytes()))


def of_xml(path: Path) -> Iterator[Identifying]:
    """Yields what stands in elements (or their attributes) of the listed names, and names and numbers in the texts of a report.

    Parsed without entities and document types. Elements of a last and a first name beside each other are one person.

    Raises:
        UnreadableFileError: It is larger than 4 MiB, or no XML that is read.
    """
    try:
        from defusedxml import DefusedXmlException, ElementTree
    except ImportError as error:
        raise unreadable("defusedxml, which reads XML, is not installed.", "Install it: pip install defusedxml") from error
    if path.stat().st_size > MOST_XML:
        raise unreadable("It is larger than 4 MiB, which no report is.", "Leave it out.")
    try:
        root = ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    except (DefusedXmlException, ElementTree.ParseError) as error:
        raise unreadable(f"It is no XML that is read ({type(error).__name__}).", "See whether it is damaged.") from error
    for element in root.iter():
        yield from _of_element(element)


def _of_element(element: Any) -> Iterator[Identifying]:
    name = _local(element.tag)
    joined = list(_joined({_plain(_local(child.tag)): " ".join(child.itertext()) for child in element}, "XML elements"))
    if (kind := kind_of_name(name)) and not joined:
        text = " ".join(" ".join(element.itertext()).split())
        for value in (text, *(value for attribute, value in element.attrib.items() if _local(attribute) in _VALUES)):
            if value.strip():
                yield Identifying(f"XML element {_plain(name)}", kind, _spelt(value, kind))
    for attribute, value in element.attrib.items():
        if (kind := kind_of_name(_local(attribute))) and value.strip():
            yield Identifying(f"XML attribute {_plain(_local(attribute))}", kind, _spelt(value, kind))
    yield from joined
    own = (element.text or "").strip()
    if ":" in own or "\n" in own:  # headings of names have one of these
        yield from _of_report(own)


def _local(name: object) -> str:
    """Returns a name without its namespace; comments and processing instructions have none."""
    return name.rpartition("}")[2] if isinstance(name, str) else ""


def of_table(path: Path) -> Iterator[Identifying]:
    """Yields the cells of columns of the listed names, and names and numbers of the reports in its other columns of texts.

    Commas, semicolons, tabs or bars between the cells: whichever the first line holds most.

    Raises:
        UnreadableFileError: It is larger than 256 MiB, or no table.
    """
    from domainclip.captions.report_files import section_of_column

    if path.stat().st_size > MOST_TABLE:
        raise unreadable("It is larger than 256 MiB.", "Split the table.")
    csv.field_size_limit(_LONGEST_CELL)
    with path.open("rb") as file:
        first = file.readline(2**16)
        encoding = "utf-8-sig" if all(_is_utf8(line) for line in (first, *file)) else "latin-1"
    separator = max(",;\t|", key=first.decode("latin-1").count)
    with path.open(newline="", encoding=encoding) as file:
        try:
            for row in csv.DictReader(file, delimiter=separator):
                cells = {name: cell.strip() for name, cell in row.items() if isinstance(name, str) and isinstance(cell, str)}
                for name, cell in cells.items():
                    if cell and (kind := kind_of_name(name)):
                        yield Identifying(f"CSV column {_plain(name)}", kind, _spelt(cell, kind))
                    elif cell and section_of_column(name):
                        yield from _of_report(cell)
                yield from _joined({_plain(name): cell for name, cell in cells.items()}, "CSV columns")
        except csv.Error as error:
            raise unreadable("It is no table (a cell is too long, or a quote is never closed).", "Save it anew as CSV.") from error


def _joined(cells: Mapping[str, str], what: str) -> Iterator[Identifying]:
    """Yields last and first name of the same row or element as one person."""
    last = next((cells[name].strip() for name in cells if name in _listed()["last_name"]), "")
    first = next((cells[name].strip() for name in cells if name in _listed()["first_name"]), "")
    if last and first:
        yield Identifying(f"{what} of a last and a first name", "person", f"{last}^{first}")


def _spelt(text: str, kind: Kind) -> str:
    """Returns a person's name with "^" between last and first name, as DICOM has it; everything else as it is."""
    text = text.strip()
    if kind != "person" or "^" in text:
        return text
    last, comma, first = text.partition(",")
    parts = [last, first] if comma else text.rsplit(" ", 1)[::-1]
    return "^".join(part.strip() for part in parts)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(data: bytes) -> str:
    """Returns a text; of bytes that are no UTF-8 as Latin-1, which every byte is."""
    return data.decode("utf-8-sig" if _is_utf8(data) else "latin-1")


def _of_report(text: str) -> Iterator[Identifying]:
    from domainclip.captions.names import END_OF_NAME
    from domainclip.captions.sections import parse_report

    sections = parse_report(text)
    for line in sections.get("names", "").splitlines():
        if name := END_OF_NAME.split(line, maxsplit=1)[0].strip():
            yield Identifying("report, a line of a name", "person", _spelt(name, "person"))
    for number in re.findall(r"(?=[\w./-]*\d{4})[\w./-]*\w", sections.get("administrative", "")):
        yield Identifying("report, a number of its head", "text", number)
