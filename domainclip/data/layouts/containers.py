"""Sets whose images lie in containers with their rows: tars of samples (WebDataset) and tables with pictures in a column.

A container is one file of the source; it is read once, from its start to its end, by the process that decodes its images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field

from domainclip.config import Section
from domainclip.data.archives import ARCHIVE_ERRORS, tar_members
from domainclip.data.layouts.table_file import TableFile, names_in, plain_cell
from domainclip.data.patterns import NamedPattern, columns_of
from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError, UsageError

Row = dict[str, Any]
_MAX_SAMPLE_MEMBERS = 256


@dataclass(slots=True)
class Entry:
    """One image of a container.

    Attributes:
        name: Below the container, ``batch/000017.jpg``; its row has it as ``member``.
        row: What the container says of it.
        content: Bytes of a picture file, an array (H, W) or (H, W, 3) of uint8, or the reason why there is neither.
    """

    name: str
    row: Row
    content: Any


def container_files(root: Path, patterns: tuple[str, ...], what: str) -> list[Path]:
    """Returns the containers that are there, in the order of their names.

    Raises:
        UsageError: There is none.
    """
    paths = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    if not paths:
        found = f"It holds no {' or '.join(patterns)}. It holds: {names_in(root)}."
        raise UsageError(f"{what} was to be read from {root}.", found, "Check that --root is the folder that the card describes.")
    return paths


class WebDataset(Section):
    """Tars in which the members of one sample follow each other and share a key: ``000017.jpg``, ``000017.txt``, ``000017.json``.

    Attributes:
        files: Patterns of the tars below the root.
        images: Endings of the member that is the image.
        texts: Ending to the column that takes the text (UTF-8).
        tables: Ending of a JSON object to the names in it that become columns; all else is dropped as it is read.
        key_ends: At which dot of the file's name the ending begins. WebDataset itself takes the first.
        named: Regular expression over the tar's path below the root, whose named groups become columns.
    """

    name: Literal["webdataset"]
    files: tuple[str, ...]
    images: tuple[str, ...]
    texts: dict[str, str] = Field(default_factory=dict)
    tables: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    key_ends: Literal["first", "last"] = "first"
    named: NamedPattern | None = None

    def containers(self, root: Path, what: str) -> list[Path]:
        """Returns the tars."""
        return container_files(root, self.files, what)

    def entries(self, path: Path, root: Path) -> Iterator[Entry]:
        """Yields the samples.

        Raises:
            UnreadableFileError: The tar is damaged, or a sample has very many members.
        """
        told = _named(self.named, path, root)
        key, members = "", dict[str, bytes | str]()
        try:
            for name, content in tar_members(path):
                this, ending = self._parted(name)
                if this != key and members:
                    yield self._entry(key, members, told)
                    members = {}
                key = this
                members[ending] = content
                if len(members) > _MAX_SAMPLE_MEMBERS:
                    raise _damaged(f"a sample has more than {_MAX_SAMPLE_MEMBERS} members")
            if members:
                yield self._entry(key, members, told)
        except ARCHIVE_ERRORS as error:
            raise _damaged(f"the tar cannot be read to its end ({type(error).__name__})") from error

    def _parted(self, name: str) -> tuple[str, str]:
        folder, _, base = name.removeprefix("./").rpartition("/")
        stem, dot, ending = base.partition(".") if self.key_ends == "first" else base.rpartition(".")
        stem, ending = (stem, ending) if dot else (base, "")
        return f"{folder}/{stem}" if folder else stem, ending

    def _entry(self, key: str, members: dict[str, bytes | str], told: Row) -> Entry:
        row: Row = told | {"key": key}
        image = next((ending for ending in self.images if ending in members), None)
        content: Any = f"the sample has no member that ends in {' or '.join(self.images)}" if image is None else members[image]
        try:
            for ending, column in self.texts.items():
                if isinstance(text := members.get(ending, b""), bytes):
                    row[column] = text.decode("utf-8-sig").strip()
            for ending, names in self.tables.items():
                value = json.loads(members[ending]) if ending in members else {}
                row |= {name: plain_cell(value.get(name)) for name in names}
        except (ValueError, AttributeError, RecursionError) as error:
            content = f"a member of the sample is no UTF-8 or no JSON ({type(error).__name__})"
        return Entry(f"{key}.{image}" if image is not None else key, row, content)


class PictureTable(Section):
    """Parquet tables with a picture in one column, as Hugging Face keeps image sets; other columns become the row.

    Attributes:
        files: Patterns of the tables below the root.
        image: Column of the picture: bytes, or ``{"bytes": ..., "path": ...}``.
        class_names: Numbers of classes become the names that the schema gives them (Hugging Face's ClassLabel); -1 becomes empty.
        named: Regular expression over the table's path below the root, whose named groups become columns.
    """

    name: Literal["picture_table"]
    files: tuple[str, ...]
    image: str = "image"
    class_names: bool = False
    named: NamedPattern | None = None

    def containers(self, root: Path, what: str) -> list[Path]:
        """Returns the tables."""
        return container_files(root, self.files, what)

    def entries(self, path: Path, root: Path) -> Iterator[Entry]:
        """Yields the rows.

        Raises:
            UnreadableFileError: The table is damaged, or has no such column.
        """
        told = _named(self.named, path, root)
        try:
            classes = _class_names(path) if self.class_names else {}
            for number, row in enumerate(TableFile(file=path.name, format="parquet").rows(path.parent, "A table of pictures")):
                if self.image not in row:
                    raise _damaged(f"the table has no column {self.image!r}; it has {', '.join(row)}"[:200])
                value = row.pop(self.image)
                data = value.get("bytes") if isinstance(value, dict) else value
                beside = value.get("path") if isinstance(value, dict) else None
                row |= {"image_path": str(beside)} if beside else {}
                row |= {name: _spoken(row[name], known) for name, known in classes.items() if name in row}
                yield Entry(str(number), told | row, data if isinstance(data, bytes) and data else "the row holds no picture")
        except (UsageError, *FOREIGN_ERRORS) as error:
            raise _damaged(f"the table cannot be read to its end ({type(error).__name__})") from error


def _class_names(path: Path) -> dict[str, list[str]]:
    """Returns column to class names, as the schema's metadata tells them."""
    import pyarrow.parquet as pq

    told = json.loads((pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}"))
    found = {}
    for name, feature in (told.get("info", {}).get("features") or {}).items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and isinstance(names := inner.get("names"), list):
            found[str(name)] = [str(one) for one in names]
    return found


def _spoken(value: Any, names: list[str]) -> Any:
    """Returns the name of a class's number, or of each in a list; -1 and nothing are empty."""
    if isinstance(value, list):
        return [_spoken(one, names) for one in value]
    number = int(value) if value not in {"", None} else -1
    if number >= len(names):
        raise _damaged(f"a label is {number}, and the table names {len(names)} classes")
    return "" if number < 0 else names[number]


def _named(pattern: str | None, path: Path, root: Path) -> Row:
    """Returns the columns that a container's own path gives."""
    place = path.relative_to(root).as_posix()
    told: Row = {"container": place, "container_stem": PurePosixPath(place).stem}
    if pattern is not None:
        named = columns_of(pattern, place)
        if named is None:
            raise _damaged("the container's name is not of the form that the card says")
        told |= named
    return told


def _damaged(found: str) -> UnreadableFileError:
    return UnreadableFileError("Images of a container were to be read.", found, "Get the file anew.")
