"""Reports as they are stored: text files, Open-i's XML, and tables with a column for each section; all become a Report."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from domainclip.captions.headings import DESCRIBING, headings, languages
from domainclip.captions.openi import MAX_XML_BYTES, parse_openi_bytes
from domainclip.captions.report_captions import SECTIONS, report_captions
from domainclip.captions.sections import Report, read_report
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.sample import Caption

Encoding = Literal["utf-8", "latin-1", "cp1252"]
MAX_TEXT_BYTES = 2**20
REPORT_SECTIONS = ("impression", "findings", "combined", "last_paragraph", "indication", "history", "comparison")
"""What cells of a table may hold; captions are made of the first four only."""
REPORT_NOT_OPENED = "its report cannot be opened"
_MAX_CELL = 2**20
_ASKED = "A report was to be read."
_DAMAGED = "its report holds characters that a wrong decoding left (U+FFFD or NUL)"
_AFFIX = re.compile(r"^section_|_(?:en|es|pt|de|fr)$")
_ITEM = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|$)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How reports are read.

    Attributes:
        language: BCP-47 tag of reports that do not say theirs; None refuses those whose headings do not tell.
        encoding: Of text files and tables.
        sections: What captions are made of, in order.
    """

    language: str | None = None
    encoding: Encoding = "utf-8"
    sections: tuple[str, ...] = SECTIONS


def read_report_file(path: Path, encoding: Encoding = "utf-8") -> Report:
    """Reads a report of at most 1 MiB as text, or 4 MiB as Open-i's XML; which it is, its first character tells.

    Raises:
        UnreadableFileError: It cannot be opened, is too large, is no text in this encoding, or no XML of Open-i.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_XML_BYTES + 1)
    except OSError as error:
        raise _unreadable(f"{REPORT_NOT_OPENED} ({error.strerror})", "Correct the column report.") from error
    if data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        seen = parse_openi_bytes(data)
        return Report(seen["sections"], seen["language"], "unknown" in seen["sections"])
    if len(data) > MAX_TEXT_BYTES:
        raise _unreadable("its report is larger than 1 MiB", "Reports are text files of one report each.")
    return read_report(decoded(data, encoding))


def decoded(data: bytes, encoding: Encoding) -> str:
    """Turns bytes into text; nothing is replaced, and a declared encoding that the bytes contradict is refused.

    Raises:
        UnreadableFileError: The bytes are not of this encoding, or hold what an earlier wrong decoding left (U+FFFD, NUL).
    """
    try:
        text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise _wrong_encoding(encoding) from error
    if encoding != "utf-8" and not data.isascii() and _is_utf8(data):
        raise _contradicted(encoding)
    if "\ufffd" in text or "\0" in text:
        raise _unreadable(_DAMAGED, "Export the report anew.")
    return text


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _wrong_encoding(encoding: str) -> UnreadableFileError:
    other = "cp1252" if encoding == "utf-8" else "utf-8"
    remedy = f"If all reports are of another encoding, name it: --set data.report_encoding={other}."
    return _unreadable(f"its report is no text in {encoding.upper()}, which data.report_encoding says", remedy)


def _contradicted(encoding: str) -> UnreadableFileError:
    found = f"its report is declared as {encoding}, but its letters with accents are UTF-8"
    return _unreadable(found, "Declare what it is: --set data.report_encoding=utf-8.")


def section_of_column(column: str) -> str | None:
    """Says what a table's column holds, by its name: a section (``section_findings``, ``Impressions_EN``), ``report``, or None."""
    name = _AFFIX.sub("", column.strip().lower()).replace("_", " ")
    if name in {"report", "report text"}:
        return "report"
    if name == "last paragraph":
        return "last_paragraph"
    heading = headings().look_up(name)
    return heading.section if heading and heading.section in {*DESCRIBING, "indication", "history", "comparison"} else None


def report_from_cells(cells: Mapping[str, str]) -> Report:
    """Makes a report of the cells of one row.

    Args:
        cells: Section (or ``report``, a whole text) to cell. A cell that is a list literal (``['a', "b"]``) is its items.

    Returns:
        The report. Its language is told by headings in whole texts alone: a column's name is no word of the report.
    """
    whole = read_report(cells["report"]) if cells.get("report") else Report()
    sections = dict(whole.sections)
    for name, cell in cells.items():
        if name == "report" or not cell.strip():
            continue
        items = read_list(cell)
        # Through the reader of whole texts, for headings within a cell ("HISTORY: ..." in a cell of findings).
        seen = read_report(cell if items is None else "\n\n".join(items))
        named = seen.sections.get("names")
        sections |= {"names": "\n".join(filter(None, (sections.get("names"), named)))} if named else {}
        for part, text in seen.sections.items():
            own = name if part == "preamble" else part
            if part != "last_paragraph" and (own == name or own in DESCRIBING):
                sections[own] = "\n\n".join(filter(None, (sections.get(own), text)))
    if any(sections.get(name) for name in DESCRIBING):
        sections.pop("last_paragraph", None)
    return Report(sections, whole.language, whole.unknown)


def read_list(text: str) -> list[str] | None:
    """Reads a list literal of texts as Python or JSON writes it, by its characters; None where the text is none."""
    inner = text.strip()
    if not (inner.startswith("[") and inner.endswith("]")) or inner.startswith("[**"):
        return None
    inner, items, place = inner[1:-1].strip(), [], 0
    while place < len(inner):
        match = _ITEM.match(inner, place)
        if match is None:
            return None
        body = match[1] if match[1] is not None else match[2]
        items.append(_ESCAPE.sub(lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), body))
        place = match.end()
    return items


def read_report_table(path: Path, encoding: Encoding = "utf-8") -> Iterator[Report]:
    """Reads a CSV with a report a row, sections in columns (CheXpert Plus, MIMIC's sectioned files, CT-RATE) or in one (PadChest).

    Raises:
        UsageError: It is no such table, or its bytes are not of the encoding.
    """
    asked = f"The table of reports {path.name} was to be read."
    try:
        check_encoding(path, encoding)
    except (OSError, UnreadableFileError) as error:
        found, remedy = (error.found, error.remedy) if isinstance(error, UnreadableFileError) else (str(error), "Check the path.")
        raise UsageError(asked, f"{found.replace('its report', 'It')}.", remedy) from error
    csv.field_size_limit(_MAX_CELL)
    with path.open(newline="", encoding="utf-8-sig" if encoding == "utf-8" else encoding) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            yield from _reports_of(reader, asked)
        except csv.Error as error:
            raise UsageError(asked, f"Line {reader.line_num}: {error}.", "Save it anew as CSV with commas.") from error


def _reports_of(reader: csv.DictReader[str], asked: str) -> Iterator[Report]:
    columns = {name: section for name in reader.fieldnames or () if (section := section_of_column(name))}
    if not set(columns.values()) & {*DESCRIBING, "report"}:
        found = f"None of its columns holds reports: {', '.join(reader.fieldnames or ())}."
        raise UsageError(asked, found, "Name the columns section_findings and section_impression, or report.")
    for row in reader:
        if None in row or None in row.values():
            found = f"Line {reader.line_num} has {'more' if None in row else 'fewer'} cells than the header."
            raise UsageError(asked, found, "Put texts that contain commas into double quotes.")
        cells: dict[str, str] = {}
        for name, section in columns.items():
            cells[section] = "\n\n".join(filter(None, (cells.get(section), row[name])))
        yield report_from_cells(cells)


def check_encoding(path: Path, encoding: Encoding) -> None:
    """Reads a large file through once, so that a wrong byte or a wrong declaration is found before anything is made of it.

    Raises:
        UnreadableFileError: As ``decoded``.
    """
    declared, other = codecs.getincrementaldecoder(encoding)(), codecs.getincrementaldecoder("utf-8")()
    ascii_only, may_be_utf8 = True, encoding != "utf-8"
    with path.open("rb") as file:
        for data in iter(lambda: file.read(2**20), b""):
            ascii_only = ascii_only and data.isascii()
            try:
                text = declared.decode(data)
            except UnicodeDecodeError as error:
                raise _wrong_encoding(encoding) from error
            if "\ufffd" in text or "\0" in text:
                raise _unreadable(_DAMAGED, "Export the reports anew.")
            try:
                may_be_utf8 = may_be_utf8 and other.decode(data) is not None
            except UnicodeDecodeError:
                may_be_utf8 = False
    try:
        declared.decode(b"", final=True)
        other.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if encoding == "utf-8":
            raise _wrong_encoding(encoding) from error
        may_be_utf8 = False
    if may_be_utf8 and not ascii_only:
        raise _contradicted(encoding)


def captions_of(report: Report, options: ReportOptions, counts: Counter[str], told: str | None = None) -> list[Caption]:
    """Makes the captions of a report in its language.

    Args:
        report: The report.
        options: How.
        counts: As ``report_captions``; and ``language_<tag>``, ``headings_of_another_language``, ``unknown_headings``.
        told: The language that the owner's table gives for this report; wins over ``options.language``.

    Raises:
        UnreadableFileError: Nobody tells the language.
    """
    language = told or options.language or report.language
    if language is None and any(report.sections.get(name) for name in (*DESCRIBING, "last_paragraph")):
        found = "its report does not tell its language by known headings: give a column language, or data.report_language"
        known = ", ".join(languages())
        raise _unreadable(found, f"Give a column language, or --set data.report_language=en (headings are known in {known}).")
    captions = report_captions(report.sections, counts, language or "und", wanted=options.sections)
    if captions:
        counts[f"language_{language}"] += 1
    if language and report.language not in {None, language.split("-")[0].lower()}:
        counts["headings_of_another_language"] += 1
    if report.unknown:
        counts["unknown_headings"] += report.unknown
    return captions


def _unreadable(found: str, remedy: str) -> UnreadableFileError:
    return UnreadableFileError(_ASKED, found, remedy)
