"""Everything in a prepared set that can hold a word, piece by piece: names, tables, JSON, members of shards, pictures' metadata."""

from __future__ import annotations

import json
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from domainclip.captions.build import CAPTION_COLUMNS
from domainclip.data.index_table import COLUMNS
from domainclip.domains import magic
from domainclip.domains.jpeg_markers import segments

_MOST_INFLATED = 2**20
_JPEG_END = b"\xff\xd9"
_APP0 = 0xE0
"""The first marker of application segments and comments (ITU-T T.81 table B.1)."""
# Columns that we write numbers of bytes and pixels into; JSON texts of numbers alone.
_COUNTS = frozenset(("offset", "size", "height", "width", "depth", "masks", "window", "shape", "geo", "spacing", "values"))
_OURS = frozenset((*COLUMNS, *CAPTION_COLUMNS))
_PREDICTIONS = "predictions.csv"
"""Keys and probabilities of ours, which look like numbers of people."""
_PROSE = frozenset(("text", "labels", "meta", "reason"))


@dataclass(frozen=True, slots=True)
class SetText:
    """One text.

    Attributes:
        place: Kind of place, e.g. "captions.parquet" or "texts of shards".
        where: The exact place: file, row and column, or member.
        text: What stands there.
        key: Of the image that it belongs to, or None.
        counts: It holds positions and sizes, in which a number is no identifier.
        prose: Somebody wrote it: dates and telephone numbers in it are worth a warning.
        echo: It repeats a text that comes by itself, with its key: single words of names are judged there.
    """

    place: str
    where: str
    text: str
    key: str | None = None
    counts: bool = False
    prose: bool = False
    echo: bool = False


def texts_of(path: Path, name: str) -> Iterator[SetText]:
    """Yields the texts of one file.

    Args:
        path: The file, no link.
        name: Its name within the set.

    Raises:
        OSError, ValueError, tarfile.TarError and pyarrow's errors: It is damaged.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _of_table(path, name)
    elif suffix == ".tar":
        yield from _of_shard(path, name)
    elif suffix == ".jsonl":
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                yield from _of_json(line, name, f"{name}, line {number}")
    elif suffix == ".json":
        yield from _of_json(path.read_text(encoding="utf-8", errors="replace"), name, name)
    elif suffix in {".txt", ".md", ".csv", ".yaml", ".yml", ".log"}:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                yield SetText(name, f"{name}, line {number}", line, prose=name != _PREDICTIONS)
    elif suffix in {".png", ".jpg", ".jpeg"}:
        place = f"{name.partition('/')[0]} (metadata)" if "/" in name else f"{name} (metadata)"
        for part, text in picture_texts(path.read_bytes()):
            yield SetText(place, f"{name}, {part}", text, path.stem, prose=True)


def _of_json(text: str, place: str, where: str) -> Iterator[SetText]:
    try:
        value = json.loads(text)
    except ValueError:
        yield SetText(place, where, text)
        return
    key = value.get("key") if isinstance(value, dict) else None
    for field, leaf in leaves(value):
        yield SetText(
            place, f"{where}, {field}", leaf, key if isinstance(key, str) else None, prose=field.rpartition(".")[2] in _PROSE
        )


def leaves(value: Any) -> Iterator[tuple[str, str]]:
    """Yields (where, text) of names and values; a name may itself be a leak, so nested fields are numbered in ``where``."""
    waiting = [(value, "")]
    while waiting:
        one, where = waiting.pop()
        if isinstance(one, dict):
            for number, (field, inner) in enumerate(one.items(), start=1):
                yield f"{where}name of field {number}", str(field)
                spoken = str(field) if str(field).isidentifier() and where == "" else f"field {number}"
                waiting.append((inner, f"{where}{spoken}." if isinstance(inner, dict | list) else f"{where}{spoken}"))
        elif isinstance(one, list):
            waiting += [(inner, f"{where}{number}") for number, inner in enumerate(one)]
        else:
            yield where, str(one)


def _of_table(path: Path, name: str) -> Iterator[SetText]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for field, text in (file.schema_arrow.metadata or {}).items():
            yield SetText(f"{name} (footer)", f"{name}, schema", f"{field!r} {text!r}")
        for group in range(file.metadata.num_row_groups):
            for number in range(file.metadata.num_columns):
                column = file.metadata.row_group(group).column(number)
                if (told := column.statistics) is not None and told.has_min_max:
                    where = f"{name}, statistics of column {number + 1}"
                    counts = column.path_in_schema in _COUNTS
                    yield SetText(f"{name} (footer)", where, f"{told.min}\n{told.max}", counts=counts, echo=True)
        for number, field in enumerate(file.schema_arrow.names, start=1):
            if field in _OURS:
                continue
            yield SetText(f"{name} (footer)", f"{name}, name of column {number}", field)
        row = 0
        for batch in file.iter_batches(batch_size=2000):
            yield from _of_rows(batch, name, row)
            row += batch.num_rows


def _of_rows(batch: Any, name: str, first: int) -> Iterator[SetText]:
    names = batch.schema.names
    keys = batch.column(names.index("key")).to_pylist() if "key" in names else [None] * batch.num_rows
    for number, column in enumerate(names, start=1):
        spoken = column if column.isidentifier() else f"column {number}"
        before: Any = None
        for row, value in enumerate(batch.column(number - 1).to_pylist()):
            # Rows of one patient repeat what stands above them, but a name in them belongs to each row's own file.
            if value is None or (value == before and column in _COUNTS):
                continue
            before = value
            text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            key = keys[row] if isinstance(keys[row], str) else None
            yield SetText(name, f"{name}, row {first + row}, {spoken}", text, key, column in _COUNTS, column in _PROSE)


def _of_shard(path: Path, name: str) -> Iterator[SetText]:
    with tarfile.open(path, "r:") as shard:
        for member in shard:
            vars(shard)["members"].clear()  # tarfile would keep every member that it has seen
            where = f"{name}, member at byte {member.offset}"
            key = member.name.partition(".")[0]
            headers = [member.name, member.uname, member.gname, member.linkname, *map(str, member.pax_headers.items())]
            for text in headers:
                yield SetText("headers of shards", f"{where}, header", text, key)
            file = shard.extractfile(member) if member.isreg() else None
            if file is not None:
                yield from _of_member(file, member.name, where, key)


def _of_member(file: IO[bytes], member: str, where: str, key: str) -> Iterator[SetText]:
    if member.endswith(".txt"):
        yield SetText("texts of shards", where, file.read().decode("utf-8", "replace"), key, prose=True)
    elif member.endswith(".json"):
        for fact in _of_json(file.read().decode("utf-8", "replace"), "JSON of shards", where):
            yield replace(fact, key=key, counts=any(f", {name}" in fact.where for name in _COUNTS))
    elif member.endswith((".png", ".jpg", ".jpeg")):
        for part, text in picture_texts(file.read()):
            yield SetText("metadata of pictures in shards", f"{where}, {part}", text, key, prose=True)
    elif member.endswith(".npy.zst"):
        import zstandard

        head = zstandard.ZstdDecompressor().stream_reader(file).read(4096)
        header = head[10 : 10 + int.from_bytes(head[8:10], "little")]  # NPY 1.0: magic, version, length, text
        yield SetText("headers of arrays in shards", where, header.decode("latin-1"), key)
    else:
        yield SetText("other members of shards", where, file.read(_MOST_INFLATED).decode("utf-8", "replace"), key)


def picture_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """Yields (part, text) of everything in a PNG or JPEG that is no pixel: chunks, segments, and what lies behind the end.

    Compressed texts are inflated to 1 MiB at most.
    """
    yield from _png_texts(data) if data.startswith(magic.PNG) else _jpeg_texts(data) if data[:2] == b"\xff\xd8" else ()


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    at = len(magic.PNG)
    while at + 8 <= len(data):
        size, kind = struct.unpack(">L4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        at += 12 + size
        if kind in {b"zTXt", b"iTXt", b"iCCP"}:
            yield f"PNG chunk {kind.decode()}", body.decode("utf-8", "replace")
            start = body.find(b"\x78")  # of a zlib stream, RFC 1950
            while 0 <= start < min(len(body), 400):
                try:
                    inflated = zlib.decompressobj().decompress(body[start:], _MOST_INFLATED)
                except zlib.error:
                    start = body.find(b"\x78", start + 1)
                    continue
                yield f"PNG chunk {kind.decode()}, inflated", inflated.decode("utf-8", "replace")
                break
        elif kind != b"IDAT":
            yield f"PNG chunk {kind.decode('latin-1')!r}", body.decode("latin-1")
        if kind == b"IEND":
            break
    if at < len(data):
        yield "behind the end of a PNG", data[at:].decode("latin-1")


def _jpeg_texts(data: bytes) -> Iterator[tuple[str, str]]:
    for part in segments(data):
        if part.marker >= _APP0:
            yield f"JPEG segment FF{part.marker:02X}", data[part.start : part.end].decode("latin-1")
    end = data.rfind(_JPEG_END)
    if end >= 0 and end + 2 < len(data):
        yield "behind the end of a JPEG", data[end + 2 :].decode("latin-1")


def pieces_of(path: Path, longest: int) -> Iterator[tuple[int, bytes]]:
    """Yields (offset, bytes) of a file in pieces of 1 MiB, each with the last ``longest`` bytes of the one before it."""
    with path.open("rb") as file:
        kept, at = b"", 0
        while piece := file.read(2**20):
            yield at - len(kept), kept + piece
            at += len(piece)
            kept = (kept + piece)[-longest:]
