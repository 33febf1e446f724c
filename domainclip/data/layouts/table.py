"""Tables with a row for each image, caption or label, joined where a set has several, whose rows lead to the images."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from domainclip.config import Section
from domainclip.data.layouts.table_file import Row, TableFile
from domainclip.data.layouts.zarr_images import ZarrImages
from domainclip.data.operations.checked import no_such_column
from domainclip.data.row_store import RowStore
from domainclip.errors import UsageError

_FIELD = re.compile(r"\{([^{}]*)\}")


class Join(Section):
    """A further table whose columns come beside those of a row.

    Attributes:
        tables: The table, in one file or several.
        on: Our column to its column; all must agree.
        several: A row that meets several of its rows: one row for each, or refused.
        missing: A row that meets none: kept without its columns, left out (a list that says which rows are wanted), or refused.
    """

    tables: tuple[TableFile, ...] = Field(min_length=1)
    on: dict[str, str] = Field(min_length=1)
    several: Literal["rows", "refuse"] = "rows"
    missing: Literal["keep", "leave_out", "refuse"] = "keep"

    def apply(self, rows: Iterable[Row], root: Path, what: str) -> Iterator[Row]:
        """Yields the rows with the other table's columns; where both have a column, ours stays."""
        store, columns = RowStore(), dict[str, str]()
        for row in itertools.chain.from_iterable(table.rows(root, what) for table in self.tables):
            store.add(self._key(row, self.on.values(), self.tables[0].file, what), row)
            columns |= dict.fromkeys(row, "")
        for row in rows:
            key = self._key(row, self.on, "the main table", what)
            met = store.get(key)
            if (not met and self.missing == "refuse") or (len(met) > 1 and self.several == "refuse"):
                found = f"{self.tables[0].file} has {len(met)} rows for {', '.join(self.on)} = {key.replace(chr(31), ', ')}."
                raise UsageError(f"{what} was to be read.", found, "Get the tables anew.")
            if not met and self.missing == "leave_out":
                continue
            yield from (other | row for other in met or [columns])

    @staticmethod
    def _key(row: Row, columns: Iterable[str], table: str, what: str) -> str:
        for column in columns:
            if column not in row:
                raise no_such_column(f"{what} was to be read", table, column, row)
        return "\x1f".join(str(row[column]) for column in columns)


class Archive(Section):
    """An archive in which images lie where nobody has unpacked it.

    Attributes:
        file: Its path below the root, or a pattern for several. A zip, or a tar that may be compressed.
        at: The folder that its members would lie in once unpacked as the card's ``path`` has it.
    """

    file: str
    at: str = ""


class TableOptions(Section):
    """Where the parts lie, relative to the root.

    Attributes:
        table: The one table, as CSV of the ``delimiter`` and ``encoding`` below; or else:
        tables: Several, or of another form.
        delimiter: Of ``table``.
        encoding: Of ``table``.
        joins: Tables that come beside the rows.
        images: Folder of the images.
        path: The image's path in that folder, with ``{column}``, e.g. ``"{image_id}.png"``; or several, of which the first that is
            there is taken; those of columns that the table lacks are passed over as long as one is left.
        suffixes: Tried one after the other where the path has none.
        archives: Archives that hold the images where the folder is not unpacked.
        stores: Zarr stores that hold the images; each stands in the path where a folder of images would.
        folders: An image is a folder of files (a band each), and ``path`` leads to it.
        beside: Patterns of files in the folder of images that are no images (masks, other tables), and need no row.
    """

    table: str | None = None
    tables: tuple[TableFile, ...] = ()
    delimiter: str = ","
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    joins: tuple[Join, ...] = ()
    images: str = ""
    path: str | tuple[str, ...]
    suffixes: tuple[str, ...] = ()
    archives: tuple[Archive, ...] = ()
    stores: tuple[ZarrImages, ...] = ()
    folders: bool = False
    beside: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_a_table(self) -> TableOptions:
        if (self.table is None) == (not self.tables):
            raise ValueError("give table, or tables")
        return self

    def files(self) -> tuple[TableFile, ...]:
        """Returns the main tables."""
        if self.table is None:
            return self.tables
        return (TableFile(file=self.table, delimiter=self.delimiter, encoding=self.encoding),)

    def candidates(self, row: Row) -> list[str]:
        """Returns the paths below the root that a row may lead to, the likeliest first."""
        base = f"{self.images}/" if self.images else ""
        templates = (self.path,) if isinstance(self.path, str) else self.path
        usable = [template for template in templates if all(name in row for name in _FIELD.findall(template))]
        paths = [base + _FIELD.sub(lambda match: str(row[match[1]]), template) for template in usable]
        return [path + suffix for path in paths for suffix in self.suffixes or ("",)]


class Table(Section):
    """Rows: those of the tables, with ``path``, and ``paths`` where it may be one of several."""

    name: Literal["table"]
    options: TableOptions

    def rows(self, root: Path, what: str) -> Iterator[Row]:
        """Yields the rows.

        Raises:
            UsageError: A table is not there, is no table, or lacks a column that the path needs.
        """
        told: Iterator[Row] = itertools.chain.from_iterable(table.rows(root, what) for table in self.options.files())
        for join in self.options.joins:
            told = join.apply(told, root, what)
        templates = (self.options.path,) if isinstance(self.options.path, str) else self.options.path
        for row in told:
            candidates = self.options.candidates(row)
            if not candidates:
                missing = next(name for name in _FIELD.findall(templates[0]) if name not in row)
                files = ", ".join(table.file for table in self.options.files())
                raise no_such_column(f"{what} was to be read from {root}", files, missing, row)
            first, *others = candidates
            yield row | {"path": first} | ({"paths": [first, *others]} if others else {})

    def files(self, root: Path) -> Iterator[Path]:
        """Yields the files in the folder of images, the tables, the archives and what lies beside left out."""
        tables = {path for table in (*self.options.files(), *self._joined()) for path in table.paths(root)}
        folder = root / self.options.images
        patterns = [one.file for one in self.options.archives] + [one.file for one in self.options.stores]
        archives = {path for pattern in patterns for path in root.glob(pattern)}
        last = None
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path not in tables | archives and not any(path.match(beside) for beside in self.options.beside):
                one = path.parent if self.options.folders else path
                if one != last:  # files of one folder follow each other
                    yield one
                last = one

    def _joined(self) -> Iterator[TableFile]:
        return (table for join in self.options.joins for table in join.tables)
