"""The index of a prepared set as Arrow columns: made file by file, compact in memory, written in pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.data.prepared_set import JSON_COLUMNS
from domainclip.data.shards import sync_folder

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    *("key", "shard", "offset", "size", "sha256", "split", "group", "ids", "labels", "height", "width", "depth", "channels"),
    *("pixel_sha256", "storage", "dtype", "axes", "time", "sensor", "spacing", "values", "geo", "window", "meta", "shape", "masks"),
)
_NUMBERS = frozenset({"offset", "size", "height", "width", "depth"})
_LATER = frozenset({"shard", "offset", "split", "masks"})
_PLAIN = ("key", "size", "sha256", "pixel_sha256", "group", "storage", "dtype", "axes", "time", "sensor")
_DIFFERENT = frozenset({"key", "sha256", "pixel_sha256", "window"})
_ROWS_AT_ONCE = 20_000


def index_columns(lines: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Returns the columns that spool lines give; what repeats (group, channels, labels) is held once.

    Args:
        lines: Of images, none rejected.

    Returns:
        A table of all columns but shard, offset, split and masks, which are known when shards are planned.
    """
    import pyarrow as pa

    rows: dict[str, list[Any]] = {name: [line[name] for line in lines] for name in _PLAIN}
    for number, name in enumerate(("height", "width"), start=-2):
        rows[name] = [line["shape"][number] for line in lines]
    rows["depth"] = [line["shape"][line["axes"].index("Z")] if "Z" in line["axes"] else 1 for line in lines]
    for name in JSON_COLUMNS:
        if name not in _LATER:
            rows[name] = _json_texts([line[name] for line in lines], alike=name not in _DIFFERENT)
    columns = {}
    for name in COLUMNS:
        if name in _LATER:
            continue
        column = pa.array(rows[name], pa.int64() if name in _NUMBERS else pa.string())
        columns[name] = column if name in _NUMBERS | _DIFFERENT else column.dictionary_encode()
    return pa.table(columns)


def write_index(path: Path, tables: Sequence[pa.Table], later: Mapping[str, Sequence[Any]]) -> None:
    """Writes ``index.parquet``, all or nothing.

    Args:
        path: The file.
        tables: From ``index_columns``, in the order of the set.
        later: ``shard``, ``offset``, ``split`` and ``masks`` (JSON) of every image, columns in place of those of ``tables``, and
            further columns of text.

    Raises:
        OSError: It cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.concat_tables(tables).unify_dictionaries()
    whole = whole.drop_columns([name for name in whole.column_names if name in later])
    for name in sorted(later):
        whole = whole.append_column(name, pa.array(later[name], pa.int64() if name in _NUMBERS else pa.string()))
    columns = [*COLUMNS, *sorted(set(later) - set(COLUMNS))]
    whole = whole.select(columns)
    schema = pa.schema([(name, pa.int64() if name in _NUMBERS else pa.string()) for name in columns])
    draft = path.with_name(f"{path.name}.part")
    try:
        with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            for first in range(0, whole.num_rows, _ROWS_AT_ONCE):
                writer.write_table(whole.slice(first, _ROWS_AT_ONCE).cast(schema))
        draft.replace(path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _json_texts(values: Sequence[Any], *, alike: bool) -> list[str | None]:
    if not alike:
        return [compact_json(value) for value in values]
    known: dict[str, str | None] = {}  # the tiles of a slide agree in most columns, and to print a value is cheaper than its JSON
    texts = []
    for value in values:
        name = repr(value)
        if name not in known:
            known[name] = compact_json(value)
        texts.append(known[name])
    return texts


def compact_json(value: Any) -> str | None:
    """Returns a value of a record as JSON text, None as None."""
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)
