"""The owner's table: a CSV or Parquet file with a row for each file and caption, read and checked."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from domainclip.captions.report_files import REPORT_SECTIONS
from domainclip.errors import UsageError, unknown_name

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
    "window:<x, y, width, height>",
)
WINDOW = ("x", "y", "width", "height")
SPLIT_NAMES = {"train": "train", "val": "val", "held_out": "held_out", "validation": "val", "dev": "val", "test": "held_out"}
_CELL_CHARACTERS = 2**20


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
        known = kind in {"label", "ids", "section"} or (kind == "window" and rest in WINDOW)
        if name not in COLUMNS and not (known and rest):
            raise unknown_name(f"column of the manifest {path.name}", name, COLUMNS)
        if kind == "section" and rest not in REPORT_SECTIONS:
            raise unknown_name(f"section of a report in the manifest {path.name}", rest, REPORT_SECTIONS)
    if len(set(columns)) < len(columns):
        raise UsageError(asked, "Two columns have the same name.", "Name every column once.")
    if not rows:
        raise UsageError(asked, "It has no rows.", "Add a row for each file.")
    renamed = {"label": f"label:{class_label}"}
    return [{renamed.get(name, name): text for name, text in row.items() if text != ""} for row in rows]


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
