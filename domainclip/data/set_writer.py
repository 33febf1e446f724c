"""The second half of a preparation: spools become shards, index, captions and the description of the set."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from domainclip.captions.build import build_captions, caption_table
from domainclip.data.owner_map import write_owner_map
from domainclip.data.pictures import write_pictures
from domainclip.data.prepared_set import FORMAT_VERSION, JSON_COLUMNS
from domainclip.data.shards import ShardPlan, plan_shards, sample_members, write_bytes, write_shard
from domainclip.data.sources import Source
from domainclip.data.splits import SPLITS, SplitReport, split_records
from domainclip.data.spool import read_spool, spool_paths
from domainclip.domains.base import Domain
from domainclip.errors import UsageError
from domainclip.identifiers import keyed_hash
from domainclip.sample import Caption, SourceItem

_GENERATED = {"translation"}
NO_IMAGES = "the reader found no image in it that its options keep"


@dataclass(frozen=True)
class SetFacts:
    """What a set is made from.

    Attributes:
        source: The source.
        domain: The reader.
        settings: ``reading``, the split fractions and the seed.
        plan_id: Hash of all that the result follows from.
        key: The owner's key.
    """

    source: Source
    domain: Domain
    settings: dict[str, Any]
    plan_id: str
    key: bytes


def write_set(output: Path, work: Path, items: list[SourceItem], facts: SetFacts) -> None:
    """Writes everything but the spools; dataset.json comes last and makes the set whole.

    Shards that an interrupted call wrote are kept. A spool is removed once the shards that hold its images are on disk.

    Raises:
        UsageError: Nothing can be used, or a split is impossible; the disk is full.
    """
    records, rejected, owner = _gathered(work, items, facts)
    if not records:
        reasons = Counter(line["reason"] for line in rejected).most_common(3)
        listed = "; ".join(f"{reason.rstrip('.')} ({count})" for reason, count in reasons) or "the files gave no images"
        raise UsageError(
            f"{facts.source.name} was to be prepared.",
            f"None of its {len(items)} files gave an image: {listed}.",
            "Look at a file with domainclip inspect, and at the reading options.",
        )
    settings = facts.settings
    splits, report = split_records(records, held_out_fraction=settings["held_out_fraction"], val_fraction=settings["val_fraction"])
    if "too few" in report.source:
        warnings.warn(f"Images are split {report.source}: add data, or name finer groups (column 'group').", stacklevel=2)
    captions = _captions(records, facts.domain, settings["seed"])
    first = _original_texts(captions)
    with contextlib.closing(_Spools(work)) as spools:
        members = [sample_members(record, first.get(record["key"], ""), partial(spools.read, record["item"])) for record in records]
        plans = plan_shards(members)
        _write_shards(output, work, plans, records)
    write_pictures(output, work, items, records, plans, facts)
    write_bytes(output / "index.parquet", _parquet(_index(records, splits, plans)))
    write_bytes(output / "captions.parquet", _parquet(captions))
    write_bytes(output / "rejected.jsonl", "".join(json.dumps(line, sort_keys=True) + "\n" for line in rejected).encode())
    dataset = _dataset(records, splits, report, captions, rejected, len(items), facts)
    write_owner_map(dataset["set_id"], owner)
    write_bytes(output / "dataset.json", (json.dumps(dataset, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())
    for path in sorted(work.iterdir()):
        path.unlink()
    work.rmdir()


def _gathered(
    work: Path, items: list[SourceItem], facts: SetFacts
) -> tuple[list[dict[str, Any]], list[dict[str, str]], list[dict[str, Any]]]:
    """Reads all spools: records of images, rejections, and the owner's map from keys to paths."""
    records: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    owner: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, item in enumerate(items):
        lines = list(read_spool(work, number))
        if not lines:
            lines = [{"key": keyed_hash(item.name, facts.key), "reason": NO_IMAGES}]
        for line in lines:
            owner.append({"key": line["key"], "path": str(item.path.absolute()), "window": line.get("window")})
            if line["key"] in seen:
                line["reason"] = "another image has the same key"
            if "reason" in line:
                rejected.append({"key": line["key"], "reason": line["reason"]})
                continue
            seen.add(line["key"])
            records.append(line | {"item": number})
    for name, reason in facts.source.rejections:
        key = keyed_hash(name, facts.key)
        rejected.append({"key": key, "reason": reason})
        owner.append({"key": key, "path": name, "window": None})
    return records, rejected, owner


def refuse_torn_groups(items: list[SourceItem]) -> None:
    """Refuses, before hours of reading, an owner's groups and splits that contradict each other; published sets are reported only.

    Raises:
        UsageError: Images of one group are to be in different splits.
    """
    splits: dict[str, set[str]] = {}
    for item in items:
        if item.group and item.split:
            splits.setdefault(item.group, set()).add(item.split)
    if torn := sum(len(several) > 1 for several in splits.values()):
        raise UsageError(
            "Splits were to be taken from the source.",
            f"{torn} groups (slides, patients or scenes) lie in more than one split.",
            "Give all rows of a group the same split; or leave the column split out, and groups are split for you.",
        )


def _captions(records: list[dict[str, Any]], domain: Domain, seed: int) -> pd.DataFrame:
    """Takes the captions that samples have; composes those of the others from their labels."""
    own = [(record["key"], Caption(**caption)) for record in records for caption in record["captions"]]
    bare = [position for position, record in enumerate(records) if not record["captions"]]
    if not bare:
        return caption_table(own)
    # Captions are drawn by a name that does not depend on the owner's key: the position in the set.
    names = [f"{position:08d}" for position in bare]
    keys = dict(zip(names, (records[position]["key"] for position in bare), strict=True))
    samples = pd.DataFrame({"key": names, "labels": [records[position]["labels"] for position in bare]})
    try:
        built = build_captions(samples, domain.facts, seed=seed)
    except UsageError as error:
        # A set is of use without captions too (search, zero-shot); whoever trains on it is told again.
        warnings.warn(f"{len(bare)} images have no caption. {error.found} {error.remedy}", stacklevel=2)
        return caption_table(own)
    pairs = [*own, *((keys[str(row.key)], _built_caption(row)) for row in built.itertuples(index=False))]
    place = {record["key"]: position for position, record in enumerate(records)}
    return caption_table(sorted(pairs, key=lambda pair: place[pair[0]]))


def _built_caption(row: Any) -> Caption:
    return Caption(row.text, row.language, row.origin, generator=row.generator)


def _original_texts(captions: pd.DataFrame) -> dict[str, str]:
    """Returns each image's first caption that is no translation."""
    original = captions[~captions["origin"].isin(_GENERATED)].drop_duplicates("key")
    return dict(zip(original["key"], original["text"], strict=True))


class _Spools:
    """Reads from spools, whose images are asked for file by file; one stays open."""

    def __init__(self, work: Path) -> None:
        self._work, self._number = work, -1
        self._file: BinaryIO | None = None

    def read(self, number: int, at: int, size: int) -> bytes:
        """Returns bytes of the spool of one source file."""
        if self._number != number or self._file is None:
            self.close()
            self._number, self._file = number, spool_paths(self._work, number)[0].open("rb")
        self._file.seek(at)
        return self._file.read(size)

    def close(self) -> None:
        """Closes the spool that is open."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _write_shards(output: Path, work: Path, plans: list[ShardPlan], records: list[dict[str, Any]]) -> None:
    for plan in plans:
        if not (output / plan.name).is_file():
            write_shard(output, plan)
        end = plan.first + len(plan.samples)
        later = records[end]["item"] if end < len(records) else None
        for number in {record["item"] for record in records[plan.first : end]} - {later}:
            spool_paths(work, number)[0].unlink(missing_ok=True)


def _index(records: list[dict[str, Any]], splits: list[str], plans: list[ShardPlan]) -> pd.DataFrame:
    places = [(plan.name, members, offsets) for plan in plans for members, offsets in zip(plan.samples, plan.offsets, strict=True)]
    rows = []
    for record, split, (shard, members, offsets) in zip(records, splits, places, strict=True):
        masks = {name: [offsets[n], members[n].size] for n, name in enumerate(record["masks"], start=1)}
        shape, axes = record["shape"], record["axes"]
        row = {
            name: record[name]
            for name in ("key", "size", "sha256", "pixel_sha256", "group", "storage", "dtype", "axes", "time", "sensor")
        }
        row |= {"shard": shard, "offset": offsets[0], "split": split, "height": shape[-2], "width": shape[-1]}
        row |= {"depth": shape[axes.index("Z")] if "Z" in axes else 1}
        row |= {name: _compact(record[name]) for name in JSON_COLUMNS if name != "masks"} | {"masks": _compact(masks)}
        rows.append(row)
    first = ["key", "shard", "offset", "size", "sha256", "split", "group", "ids", "labels", "height", "width", "depth", "channels"]
    table = pd.DataFrame(rows)
    return table[first + [name for name in table.columns if name not in first]]


def _compact(value: Any) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _parquet(table: pd.DataFrame) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    columns = {
        name: pa.array(list(table[name]), type=pa.int64() if table[name].dtype.kind == "i" else pa.string(), from_pandas=True)
        for name in table.columns
    }
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def _dataset(
    records: list[dict[str, Any]],
    splits: list[str],
    report: SplitReport,
    captions: pd.DataFrame,
    rejected: list[dict[str, str]],
    files: int,
    facts: SetFacts,
) -> dict[str, Any]:
    """Collects what dataset.json says."""
    import numpy as np
    import PIL

    from domainclip import __version__

    channels = {tuple(record["channels"]) for record in records}
    per_split = Counter(splits)
    groups = {split: len({r["group"] for r, s in zip(records, splits, strict=True) if s == split}) for split in SPLITS}
    captioned = len(set(captions["key"]))
    keys = hashlib.sha256("\n".join(record["key"] for record in records).encode()).hexdigest()
    reading = json.dumps(facts.settings["reading"], sort_keys=True)
    return {
        **facts.source.card,
        "format_version": FORMAT_VERSION,
        "set_id": keyed_hash(facts.plan_id + keys, facts.key),
        "plan": facts.plan_id,
        "domain": facts.domain.name,
        "channels": list(channels.pop()) if len(channels) == 1 else None,
        "versions": {"domainclip": __version__, "numpy": np.__version__, "pillow": PIL.__version__, "pandas": pd.__version__},
        **facts.settings,
        "reading_sha256": hashlib.sha256(reading.encode()).hexdigest(),
        "split_source": report.source,
        "counts": {
            "files": files,
            "images": len(records),
            "rejected": len(rejected),
            **{split: per_split.get(split, 0) for split in SPLITS},
            **{f"groups_{split}": groups[split] for split in SPLITS},
            "captions": len(captions),
            "distinct_captions": int(captions["text"].nunique()),
            "images_without_caption": len(records) - captioned,
            **{name: value for name, value in asdict(report).items() if name != "source"},
        },
    }
