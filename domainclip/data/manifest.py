"""The owner's table: a CSV or Parquet file with a row for each file and caption, into SourceItems."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from domainclip.addresses import is_address, last_part, without_query
from domainclip.captions.report_files import REPORT_SECTIONS, ReportOptions
from domainclip.data.reports import ReportReader
from domainclip.domains.base import COMPOSITION, Domain
from domainclip.domains.folder import list_folder
from domainclip.domains.misfits import is_named_oddly, misfit_of
from domainclip.errors import UnreadableFileError, UsageError, unknown_name
from domainclip.sample import Caption, Region, SourceItem, Spacing, Unit

MANIFEST_SUFFIXES = frozenset({".csv", ".parquet"})
COLUMNS = (
    "path",
    "caption",
    "language",
    "label",
    "label:<name>",
    "group",
    "split",
    "spacing",
    "spacing_unit",
    "regions",
    "report",
    "report_text",
    "section:<name>",
    "ids:<level>",
)
SPLIT_NAMES = {"train": "train", "val": "val", "held_out": "held_out", "validation": "val", "dev": "val", "test": "held_out"}
_UNITS: dict[str, Unit] = {"um": "um", "µm": "um", "mm": "mm", "m": "m", "degree": "degree"}
_DOMAIN_UNITS: dict[str, Unit] = {"pathology": "um", "radiology": "mm", "remote-sensing": "m"}
_CELL_CHARACTERS = 2**20
ABSENT = "the row names a file that is not there"

Row = Mapping[str, str]


def read_manifest(path: Path, class_label: str) -> list[dict[str, str]]:
    """Reads a manifest and checks its columns.

    Args:
        path: CSV (UTF-8, comma) or Parquet.
        class_label: The label that a column ``label`` holds.

    Returns:
        Rows of text; empty cells are left out, ``label`` is renamed ``label:<class_label>``.

    Raises:
        UsageError: It cannot be read, has no rows, no column ``path``, or a column of no known name.
    """
    asked = f"The manifest {path} was to be read."
    columns, rows = _read_parquet(path, asked) if path.suffix.lower() == ".parquet" else _read_csv(path, asked)
    if "path" not in columns:
        raise UsageError(asked, f"It has no column 'path'; its columns: {', '.join(columns)}.", "Name the column of files 'path'.")
    for name in columns:
        kind, _, rest = name.partition(":")
        if name not in COLUMNS and not (kind in {"label", "ids", "section"} and rest):
            raise unknown_name(f"column of the manifest {path.name}", name, COLUMNS)
        if kind == "section" and rest not in REPORT_SECTIONS:
            raise unknown_name(f"section of a report in the manifest {path.name}", rest, REPORT_SECTIONS)
    if len(set(columns)) < len(columns):
        raise UsageError(asked, "Two columns have the same name.", "Name every column once.")
    if not rows:
        raise UsageError(asked, "It has no rows.", "Add a row for each file.")
    renamed = {"label": f"label:{class_label}"}
    return [{renamed.get(name, name): text for name, text in row.items() if text != ""} for row in rows]


def items_from_rows(
    rows: Iterable[Row],
    folder: Path,
    what: str,
    domain: Domain,
    class_label: str,
    reports: ReportOptions | None = None,
    reading: BaseModel | None = None,
) -> tuple[list[SourceItem], list[tuple[str, str]], Counter[str]]:
    """Joins rows of one file into one SourceItem: their captions add up, everything else must agree.

    Args:
        rows: Columns of ``COLUMNS``; relative paths start at ``folder``.
        folder: Base of paths.
        what: For messages, e.g. ``"The manifest x.csv"``.
        domain: Gives the unit of ``spacing`` where no column does: um in pathology, mm in radiology, m in remote sensing.
        class_label: The label that classifications of ``regions`` become.
        reports: How reports are read; None for the defaults.
        reading: The domain's options, by which a row's folder may be one image (a series); None for its defaults.

    Returns:
        Items in the order of their first rows, (name, reason) of rows whose file is not there, and counts of report reading.

    Raises:
        UsageError: Rows of one file contradict each other, or a cell has no meaning.
    """
    drafts: dict[str, _Draft] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{what}, row {number}"
        if "path" not in row:
            raise UsageError(f"{where} was to be read.", "Its cell 'path' is empty.", "Name a file in every row.")
        draft = drafts.setdefault(row["path"], _Draft(number))
        draft.add(row, where)
    items, rejections = [], []
    reader = ReportReader(folder, reports or ReportOptions())
    readers = _Readers(folder, domain, class_label, reader)
    plain = Counter(without_query(name) for name in drafts)
    for name, draft in drafts.items():
        if is_address(name):
            # A token in an address ends, and the scene with a new one is the same; where it tells scenes apart it stays.
            called = without_query(name) if plain[without_query(name)] == 1 else name
            item = readers.item(Path(last_part(name)), called, draft, f"{what}, row {draft.row}")
            items.append(replace(item, url=_readable_address(name, domain, f"{what}, row {draft.row}")))
            continue
        path = folder / name
        if not path.exists():
            rejections.append((name, ABSENT))
            continue
        if is_named_oddly(path) and (misfit := misfit_of(path, domain)):
            rejections.append((name, misfit.reason))
            continue
        try:
            first, members = _one_image(path, domain, reading) if path.is_dir() else (path, ())
            items.append(replace(readers.item(first, name, draft, f"{what}, row {draft.row}"), members=members))
        except UnreadableFileError as error:
            rejections.append((name, error.found))
    return items, rejections, reader.counts


def _readable_address(address: str, domain: Domain, where: str) -> str:
    if not getattr(domain, "reads_urls", False):
        found = f"Its path is an address, and the domain {domain.name} reads files in folders."
        raise UsageError(f"{where} was to be read.", found, "Fetch the file first.")
    return address


def _one_image(folder: Path, domain: Domain, reading: BaseModel | None) -> tuple[Path, tuple[Path, ...]]:
    """Returns the files of the one image that a folder holds: the one to open, and the others."""
    listing = list_folder(folder, domain, reading)
    if len(listing.files) != 1:
        count = len(listing.files)
        found = f"the row names a folder of {count} images as they are read; name that of one series, and set reading.axes"
        raise UnreadableFileError("A folder was to be read as one image.", found, "Name the folder of one series, or a file.")
    return listing.files[0], tuple(listing.members.get(listing.files[0], ()))


@dataclass
class _Draft:
    """What the rows of one file say together."""

    row: int
    captions: list[Caption] = field(default_factory=list)
    once: dict[str, str] = field(default_factory=dict)

    def add(self, row: Row, where: str) -> None:
        if "caption" in row:
            self.captions.append(Caption(row["caption"], row.get("language", "und"), row.get("origin", "human")))
        for name, text in row.items():
            if name in {"path", "caption", "origin"} or (name == "language" and "caption" in row):
                continue
            if self.once.setdefault(name, text) != text:
                raise UsageError(
                    f"{where} was to be read.",
                    f"Its {name!r} contradicts row {self.row}, which names the same file.",
                    "Rows of one file may differ in caption and language only.",
                )


@dataclass
class _Readers:
    """Turns the cells of one file into the fields of its item."""

    folder: Path
    domain: Domain
    class_label: str
    reports: ReportReader

    def item(self, path: Path, name: str, draft: _Draft, where: str) -> SourceItem:
        cells = draft.once
        captions = [*draft.captions, *self.reports.captions(cells)]
        return SourceItem(
            path=path,
            name=name,
            captions=tuple(captions),
            labels={key[6:]: text for key, text in cells.items() if key.startswith("label:")},
            regions=self._regions(cells),
            group=cells.get("group"),
            split=_split(cells.get("split"), where),
            spacing=self._spacing(cells, where),
            ids={key[4:]: text for key, text in cells.items() if key.startswith("ids:")},
        )

    def _regions(self, cells: Mapping[str, str]) -> tuple[Region, ...]:
        if "regions" not in cells:
            return ()
        from domainclip.domains.regions import read_regions

        path = self.folder / cells["regions"]
        if not path.is_file():
            raise UnreadableFileError("Regions were to be read.", "its file of regions is not there", "Correct the column regions.")
        return read_regions(path, self.class_label, {*self.domain.facts.labels, COMPOSITION})

    def _spacing(self, cells: Mapping[str, str], where: str) -> Spacing | None:
        if "spacing" not in cells:
            return None
        text, unit_text = cells["spacing"], cells.get("spacing_unit")
        unit = (
            _UNITS.get(unit_text)
            if unit_text
            else self.domain.facts.preprocessing.spacing_unit or _DOMAIN_UNITS.get(self.domain.name)
        )
        if unit is None:
            found = (
                f"The unit {unit_text!r} is none of um, mm, m, degree."
                if unit_text
                else "No unit is given, and the domain has none."
            )
            raise UsageError(f"{where} was to be read.", found, "Give a column spacing_unit with um, mm, m or degree.")
        try:
            numbers = tuple(float(part) for part in re.split(r"[\s;x]+", text.strip()))
        except ValueError:
            numbers = ()
        if not numbers or len(numbers) > 3 or not all(math.isfinite(number) and number > 0 for number in numbers):
            found = f"Its spacing {text!r} is no positive number, and no two or three (Z, Y, X) with spaces between."
            raise UsageError(f"{where} was to be read.", found, "Write e.g. 0.5, or 0.5 0.25 for Y and X.")
        return Spacing(numbers * 2 if len(numbers) == 1 else numbers, unit, "manifest")


def _split(text: str | None, where: str) -> str | None:
    if text is None:
        return None
    if text not in SPLIT_NAMES:
        error = unknown_name("split", text, SPLIT_NAMES)
        raise UsageError(f"{where} was to be read.", f"Its split is {text!r}.", error.remedy)
    return SPLIT_NAMES[text]


def _read_csv(path: Path, asked: str) -> tuple[list[str], list[dict[str, str]]]:
    csv.field_size_limit(_CELL_CHARACTERS)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            columns = list(reader.fieldnames or ())
    except UnicodeDecodeError as error:
        raise UsageError(asked, f"It is not UTF-8 (byte {error.start}).", "Save it as CSV in UTF-8.") from error
    except (csv.Error, OSError) as error:
        raise UsageError(asked, f"It cannot be read: {error}", "Save it anew as CSV with commas.") from error
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            found = f"Line {number} has {'more' if None in row else 'fewer'} cells than the header."
            raise UsageError(asked, found, "Put texts that contain commas into double quotes.")
    return columns, [{name: text.strip() for name, text in row.items()} for row in rows]


def _read_parquet(path: Path, asked: str) -> tuple[list[str], list[dict[str, str]]]:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these.
        raise UsageError(asked, "It is no Parquet file that can be read.", "Write it anew, e.g. with pandas.to_parquet.") from error
    columns = [str(name) for name in table.column_names if not str(name).startswith("__index_level_")]
    rows = [{name: _cell(row[name]) for name in columns} for row in table.to_pylist()]
    return columns, rows


def _cell(value: Any) -> str:
    """A cell as text; nothing and NaN are empty."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()
