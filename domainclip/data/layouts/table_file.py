"""One table of a published set, whatever its form: rows come one after the other, and none of the forms is read whole."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, Literal
from xml.parsers.expat import ExpatError

from pydantic import Field

from domainclip.captions.report_files import check_encoding
from domainclip.config import Section
from domainclip.data.layouts.bounds import BoundedJson, BoundedLines, check_nesting, doubled, wrong_byte
from domainclip.data.layouts.workbook_bounds import check_workbook
from domainclip.data.operations.checked import no_such_column
from domainclip.data.patterns import NamedPattern, columns_of
from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError, UsageError

Row = dict[str, Any]
MAX_CELL_CHARACTERS = 2**22
_WRONG = (*FOREIGN_ERRORS, csv.Error, sqlite3.Error, zipfile.BadZipFile, zlib.error)
"""RecursionError is a RuntimeError, and so among them."""
_TEXTS = frozenset({"csv", "jsonl", "lines"})


def names_in(folder: Path) -> str:
    """Returns the first ten names in a folder, for messages."""
    there = sorted(path.name for path in folder.iterdir())[:10] if folder.is_dir() else []
    return ", ".join(there) or "nothing"


class TableFile(Section):
    """Where a table lies and how it is written; every row becomes a dictionary of texts and lists.

    Attributes:
        file: Its path below the root, or a pattern (``labels/*.csv``) that stands for several.
        format: ``csv`` (any delimiter), ``jsonl`` (an object a line), ``json``, ``lines`` (a text a line), ``parquet``, ``xlsx``,
            ``sqlite``.
        delimiter: Of csv, one character.
        quoted: Whether ``"`` quotes cells of csv.
        encoding: Of text. Bytes that contradict it are refused, never replaced.
        header: Names of the columns where the file has no line of them (csv, lines).
        rest: csv without header: the column that takes the cells beyond those that are named, as a list.
        at: json: where the records lie, ``images.item`` for ``{"images": [...]}``, ``item`` for a list.
        keyed: json: the records stand in an object; the column that takes the key of each.
        pairs: json: records are lists; the names of their places.
        query: sqlite: what to select.
        sheet: xlsx: name of the sheet; the first where none is given.
        rename: Columns of this file that another of the same table calls otherwise, old name to new.
        add: Columns that each row gets.
        named: Regular expression over the file's path below the root, whose named groups become columns.
        taken: Column to a regular expression over its whole text, whose named groups become columns (before tables are joined);
            a text of another form gives empty ones.
    """

    file: str
    format: Literal["csv", "jsonl", "json", "lines", "parquet", "xlsx", "sqlite"] = "csv"
    delimiter: str = Field(",", min_length=1, max_length=1)
    quoted: bool = True
    encoding: Literal["utf-8", "latin-1", "cp1252", "gb18030"] = "utf-8"
    header: tuple[str, ...] | None = None
    rest: str | None = None
    at: str = "item"
    keyed: str | None = None
    pairs: tuple[str, ...] | None = None
    query: str | None = None
    sheet: str | None = None
    rename: dict[str, str] = Field(default_factory=dict)
    add: dict[str, str] = Field(default_factory=dict)
    named: NamedPattern | None = None
    taken: dict[str, NamedPattern] = Field(default_factory=dict)

    def paths(self, root: Path) -> list[Path]:
        """Returns the files that are there."""
        if any(sign in self.file for sign in "*?["):
            return sorted(path for path in root.glob(self.file) if path.is_file())
        return [root / self.file] if (root / self.file).is_file() else []

    def rows(self, root: Path, what: str) -> Iterator[Row]:
        """Yields the rows of all files.

        Args:
            root: The set's folder.
            what: For messages, e.g. ``"The data set ucm"``.

        Raises:
            UsageError: A file is not there, is not of this form, or its name is not of the form that the card says.
        """
        paths = self.paths(root)
        if not paths:
            found = f"There is no such file. The folder holds: {names_in(root)}."
            raise UsageError(
                f"{what} was to be read from {root / self.file}.", found, "Check that --root is the folder that holds it."
            )
        for path in paths:
            yield from self._of_file(path, root, what)

    def _of_file(self, path: Path, root: Path, what: str) -> Iterator[Row]:
        asked = f"{what} was to be read from {path}."
        added = dict(self.add)
        if self.named is not None:
            told = columns_of(self.named, path.relative_to(root).as_posix())
            if told is None:
                found = f"Its name is not of the form {self.named}."
                raise UsageError(asked, found, "Check that --root holds the set's own files.")
            added |= told
        try:
            for row in _READERS[self.format](self, path, asked):
                yield self._taken({self.rename.get(name, name): plain_cell(value) for name, value in row.items()}, asked) | added
        except (UnreadableFileError, UnicodeDecodeError) as error:
            raise self._misdecoded(path, error, asked) from error
        except _WRONG as error:
            form = f"{self.format} in {self.encoding}" if self.format in _TEXTS else self.format
            found = f"It is no {form} that can be read to its end: {str(error)[:300] or type(error).__name__}"
            raise UsageError(
                asked, found, "Get the file anew, if it is damaged; or write its records as a table, say as CSV."
            ) from error

    def _misdecoded(self, path: Path, error: Exception, asked: str) -> UsageError:
        """Builds the error of bytes that contradict the encoding; it says where they are, and never what stands around them."""
        remedy = "Say in the card what this table is (encoding), or save it anew as UTF-8."
        place = None
        if self.format in _TEXTS:
            with _binary(path) as file:
                place = wrong_byte(file, self.encoding)
        if place is not None:
            line, at, byte = place
            found = f"Line {line} holds the byte {byte:#04x} (byte {at} of the file), which is no {self.encoding.upper()}."
            other = "Tables that Excel saved are often cp1252. " if self.encoding == "utf-8" else ""
            return UsageError(asked, found, f"{other}{remedy}")
        told = error.found.replace("its report", "the table") if isinstance(error, UnreadableFileError) else str(error)
        return UsageError(asked, f"As {self.encoding} it cannot be read: {told}.", remedy)

    def _taken(self, row: Row, asked: str) -> Row:
        for column, pattern in self.taken.items():
            if column not in row:
                raise no_such_column(asked.removesuffix("."), "it", column, row)
            row |= columns_of(pattern, str(row[column])) or dict.fromkeys(re.compile(pattern).groupindex, "")
        return row

    def text(self, path: Path) -> IO[str]:
        """Opens the file as text; one that ends in ``.gz`` is unpacked on the way."""
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        return io.TextIOWrapper(_binary(path), encoding=encoding, newline="")


def _binary(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _check_names(names: Sequence[str], asked: str) -> None:
    """Raises UsageError where two columns have one name: the last would win without a word."""
    if twice := doubled(names):
        found = f"Two columns have the same name: {', '.join(map(repr, sorted(twice)[:10]))}."
        raise UsageError(asked, found, "Correct the table.")


def _csv(table: TableFile, path: Path, asked: str) -> Iterator[Row]:
    if path.suffix != ".gz" and table.encoding != "gb18030":
        check_encoding(path, table.encoding)
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    with table.text(path) as file:
        lines = BoundedLines(file)
        reader = csv.reader(
            lines, delimiter=table.delimiter, quoting=csv.QUOTE_MINIMAL if table.quoted else csv.QUOTE_NONE, strict=True
        )
        header = list(table.header) if table.header is not None else next(reader, None)
        if header is None:
            raise UsageError(asked, "It is empty.", "Get the file anew.")
        _check_names([name for name in header if name], asked)
        nameless = [place for place, name in enumerate(header) if not name]
        lines.row_done()
        for cells in reader:
            lines.row_done()
            if not cells:
                continue
            more = cells[len(header) :]
            # As of Excel's: one may go without a name, as pandas writes its index; of several a row could hold but one.
            if len(nameless) > 1 and any(cells[place] for place in nameless[1:] if place < len(cells)):
                found = f"Line {reader.line_num} has a cell in a column without a name."
                raise UsageError(asked, found, "Name it in the first line.")
            if len(cells) < len(header) or (more and table.rest is None):
                found = (
                    f"Line {reader.line_num} has {'more' if more else 'fewer'} cells than the header ({len(cells)}, {len(header)})."
                )
                raise UsageError(asked, found, "Get the file anew.")
            yield dict(zip(header, cells, strict=False)) | ({table.rest: more} if table.rest is not None else {})


def _lines(table: TableFile, path: Path, asked: str) -> Iterator[Row]:
    if table.header is None or len(table.header) != 1:
        raise UsageError(asked, "The card names no one column for its lines (header).", "Correct the card.")
    with table.text(path) as file:
        for line in BoundedLines(file).rows():
            if text := line.strip():
                yield {table.header[0]: text}


def _jsonl(table: TableFile, path: Path, asked: str) -> Iterator[Row]:
    with table.text(path) as file:
        for number, line in enumerate(BoundedLines(file).rows(), start=1):
            if line.strip():
                check_nesting(line)
                value = json.loads(line, object_pairs_hook=_once)
                if not isinstance(value, dict):
                    raise UsageError(asked, f"Line {number} is no object.", "Get the file anew.")
                yield value


def _once(pairs: list[tuple[str, Any]]) -> Row:
    if twice := doubled(name for name, _ in pairs):
        raise ValueError(_TWICE.format(twice[0]))
    return dict(pairs)


_TWICE = "an object has the name {!r} twice"


def _json(table: TableFile, path: Path, asked: str) -> Iterator[Row]:
    import ijson

    twice = list[str]()

    class Once(dict[str, Any]):
        """An object; what raises here would leave ijson's parser in disorder, so that names are noted."""

        def __setitem__(self, name: str, value: Any) -> None:
            if name in self:
                twice.append(name)
            super().__setitem__(name, value)

    level = table.at.count(".") + (2 if table.keyed is not None and table.at != "item" else 1)
    with _binary(path) as file:
        if file.read(3) != b"\xef\xbb\xbf":
            file.seek(0)
        bounded, options = BoundedJson(file, level), {"use_float": True, "map_type": Once}
        records: Iterator[Row]
        if table.keyed is not None:
            told = ijson.kvitems(bounded, "" if table.at == "item" else table.at, **options)
            records = ({table.keyed: key} | _record(table, value, asked) for key, value in told)
        else:
            records = (_record(table, value, asked) for value in ijson.items(bounded, table.at, **options))
        try:
            for record in records:
                if twice:
                    raise ValueError(_TWICE.format(twice[0]))
                yield record
        except ijson.JSONError as error:
            raise ValueError(str(error)) from error


def _record(table: TableFile, value: Any, asked: str) -> Row:
    if isinstance(value, dict):
        return value
    if table.pairs is not None and isinstance(value, list) and len(value) == len(table.pairs):
        return dict(zip(table.pairs, value, strict=True))
    if table.keyed is not None and isinstance(value, list | str):
        return {"value": value}
    raise UsageError(asked, f"Its records are not of the form that the card says ({str(value)[:60]!r}).", "Get the file anew.")


def _parquet(table: TableFile, path: Path, asked: str) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
        _check_names(names, asked)
        for batch in file.iter_batches(batch_size=256, columns=names):
            yield from batch.to_pylist()


def _xlsx(table: TableFile, path: Path, asked: str) -> Iterator[Row]:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        check_workbook(path)
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)) as book:
            sheet = book[table.sheet] if table.sheet is not None else book.worksheets[0]
            lines = enumerate(sheet.iter_rows(values_only=True), start=1)
            header = [None if name is None else str(name) for name in next(lines, (0, ()))[1]]
            _check_names([name for name in header if name is not None], asked)
            # One column may go without a name, as pandas writes its index; of several a row could hold but one.
            nameless = header.count(None) > 1
            names = ["" if name is None else name for name in header]
            for number, cells in lines:
                told = [cell for name, cell in zip(header, cells, strict=False) if name is None] if nameless else []
                if any(cell is not None for cell in (*told, *cells[len(header) :])):
                    raise UsageError(asked, f"Row {number} has a cell in a column without a name.", "Name it in the first row.")
                if any(cell is not None for cell in cells):
                    yield dict.fromkeys(names) | dict(zip(names, cells, strict=False))
    except (InvalidFileException, AttributeError, ExpatError) as error:  # AttributeError where parts are not what they should be
        raise ValueError(str(error)) from error


def _sqlite(table: TableFile, path: Path, asked: str) -> Iterator[Row]:
    if table.query is None:
        raise UsageError(asked, "The card says no query.", "Correct the card.")
    with _read_only(path) as base:
        asked_for = base.execute(table.query)
        names = [column[0] for column in asked_for.description]
        _check_names(names, asked)
        for cells in asked_for:
            yield dict(zip(names, cells, strict=True))


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
        base.execute("pragma trusted_schema=off")
        yield base


_READERS: dict[str, Any] = {
    "csv": _csv, "lines": _lines, "jsonl": _jsonl, "json": _json, "parquet": _parquet, "xlsx": _xlsx, "sqlite": _sqlite,
}  # fmt: skip


def plain_cell(value: Any) -> Any:
    """A value as text; lists and objects stay for the operations that take them apart; nothing and NaN are empty."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return {str(name): plain_cell(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_cell(one) for one in value]
    return value if isinstance(value, bytes) else str(value)
