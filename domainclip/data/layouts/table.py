"""A table (CSV) with a row for each image, whose path follows from the row's columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from domainclip.captions.report_files import check_encoding
from domainclip.config import Section
from domainclip.errors import UnreadableFileError, UsageError, unknown_name

_FIELD = re.compile(r"\{(\w+)\}")


class TableOptions(Section):
    """Where the parts lie, relative to the root."""

    table: str
    images: str = ""
    path: str
    """The image's path in the folder ``images``, with ``{column}``, e.g. ``"{image_id}.png"``."""
    delimiter: str = ","
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    """Bytes that contradict it are refused, never replaced."""


class Table(Section):
    """Rows: those of the table, with ``path``."""

    name: Literal["table"]
    options: TableOptions

    def rows(self, root: Path, what: str) -> list[dict[str, Any]]:
        """Reads the table.

        Raises:
            UsageError: It is not there, is no table, or lacks a column that the path needs.
        """
        table = root / self.options.table
        asked = f"{what} was to be read from {table}."
        try:
            check_encoding(table, self.options.encoding)
            encoding = "utf-8-sig" if self.options.encoding == "utf-8" else self.options.encoding
            with table.open(newline="", encoding=encoding) as file:
                reader = csv.DictReader(file, delimiter=self.options.delimiter, strict=True)
                rows: list[dict[str, Any]] = list(reader)
        except FileNotFoundError as error:
            raise UsageError(asked, "There is no such file.", "Check that --root is the folder that holds it.") from error
        except UnreadableFileError as error:
            raise UsageError(asked, f"{error.found.replace('its report', 'It')}.", "Correct the card's encoding.") from error
        except (OSError, csv.Error) as error:
            raise UsageError(asked, f"It is no table in {self.options.encoding}: {error}", "Get the file anew.") from error
        for column in _FIELD.findall(self.options.path):
            if rows and column not in rows[0]:
                raise unknown_name(f"column of {table}", column, (str(name) for name in rows[0]))
        if any(None in row or None in row.values() for row in rows):
            raise UsageError(asked, "A line has more or fewer cells than the header.", "Get the file anew.")
        base = f"{self.options.images}/" if self.options.images else ""
        return [row | {"path": base + _FIELD.sub(partial(_cell, row), self.options.path)} for row in rows]

    def files(self, root: Path) -> Iterator[Path]:
        """Yields the files in the folder of images, those beside the table left out."""
        folder = root / self.options.images
        return (path for path in sorted(folder.rglob("*")) if path.is_file() and path != root / self.options.table)


def _cell(row: dict[str, Any], match: re.Match[str]) -> str:
    return str(row[match[1]])
