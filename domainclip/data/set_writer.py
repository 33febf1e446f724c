"""The second half of a preparation: spools become shards, index, captions and the description of the set."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.captions.build import CAPTION_COLUMNS, build_captions, caption_table
from domainclip.data.duplicates.before_split import same_pictures
from domainclip.data.entries import Entry, Gathered, Spools, member_sizes, owner_lines
from domainclip.data.index_table import compact_json, write_index
from domainclip.data.owner_map import write_owner_map
from domainclip.data.pictures import write_pictures
from domainclip.data.prepared_set import FORMAT_VERSION
from domainclip.data.same_ground import same_ground
from domainclip.data.shards import ShardPlan, plan_shards, write_bytes, write_shard
from domainclip.data.sources import Source
from domainclip.data.splits import SPLITS, SplitReport, joined_groups, split_records
from domainclip.data.spool import spool_paths
from domainclip.domains.base import Domain
from domainclip.errors import UsageError
from domainclip.identifiers import keyed_hash
from domainclip.sample import Caption, Piece, SourceItem

if TYPE_CHECKING:
    import pandas as pd

_GENERATED = {"translation"}
_MADE = {"tag"}  # captions that a reader made of facts: the owner said nothing, so labels are put into words too


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


def write_set(output: Path, work: Path, items: Sequence[SourceItem], found: Gathered, facts: SetFacts) -> None:
    """Writes everything but the spools; dataset.json comes last and makes the set whole.

    Shards that an interrupted call wrote are kept. A spool is removed once the shards that hold its images are on disk.

    Raises:
        UsageError: Nothing can be used, or a split is impossible; the disk is full.
    """
    entries = found.entries
    if not entries:
        reasons = Counter(line["reason"] for line in found.rejected).most_common(3)
        listed = "; ".join(f"{reason.rstrip('.')} ({count})" for reason, count in reasons) or "the files gave no images"
        raise UsageError(
            "A set was to be prepared.",
            f"None of its {len(items)} files gave an image: {listed}.",
            "Look at a file with domainclip inspect, and at the reading options.",
        )
    settings = facts.settings
    fractions = {name: settings[name] for name in ("held_out_fraction", "val_fraction")}
    ground = same_ground(found.tables)
    alike = same_pictures(found, work) if settings.get("duplicates") == "near" else None
    splits, report = split_records(
        entries,
        **fractions,
        same_ground=ground,
        same_picture=alike,
        published=settings.get("split", "published") == "published",
        stratify=_classes(entries, settings.get("stratify")),
    )
    _warn_of_split(report, settings)
    groups = joined_groups(entries, [*ground, *(alike or ())])
    captions = _captions(entries, facts.domain, settings["seed"])
    texts = _original_texts(captions)
    plans = plan_shards(member_sizes(entry, texts.get(entry.key, "")) for entry in entries)
    _write_shards(output, work, plans, entries, texts)
    _write_index(output, found, plans, splits, groups)
    write_pictures(output, work, items, found, plans, facts)
    write_bytes(output / "captions.parquet", _parquet(captions))
    write_bytes(output / "rejected.jsonl", "".join(json.dumps(line, sort_keys=True) + "\n" for line in found.rejected).encode())
    dataset = _dataset(found, splits, groups, report, captions, len(items), facts)
    write_owner_map(dataset["set_id"], owner_lines(found, items, work, facts.key))
    write_bytes(output / "dataset.json", (json.dumps(dataset, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())
    for path in sorted(work.iterdir()):
        path.unlink()
    work.rmdir()


def _warn_of_split(report: SplitReport, settings: dict[str, Any]) -> None:
    """Warns where the split is not all that was asked for."""
    if "too few" in report.source:
        advice = "add data, or name finer groups (column 'group')"
        if report.groups_on_same_ground:
            advice = "scenes that overlap on the ground count as one; cut them into blocks (reading.group_by=block)"
        warnings.warn(f"Images are split {report.source}: {advice}.", stacklevel=3)
    elif "not stratified" in report.source:
        advice = "the source's own split is kept; data.split=by_group makes one that is balanced"
        warnings.warn(f"data.stratify={settings['stratify']} was asked for, and did nothing: {advice}.", stacklevel=3)
    elif "fewer groups" in report.source:
        told = f"data.stratify={settings['stratify']}: images are split {report.source}, and are in some of the parts only."
        warnings.warn(told, stacklevel=3)


def _classes(entries: list[Entry], label: str | None) -> list[str | None] | None:
    """Returns the class of each image, by which splits are balanced."""
    if label is None:
        return None
    classes = [entry.labels.get(label) for entry in entries]
    if not any(classes):
        there = ", ".join(sorted({name for entry in entries for name in entry.labels})) or "none"
        found = f"No image has this label; there are: {there}."
        raise UsageError(f"Splits were to be balanced by {label!r} (data.stratify).", found, "Name one of these.")
    return classes


def refuse_torn_groups(items: Sequence[SourceItem]) -> None:
    """Refuses, before hours of reading, a manifest whose groups and splits contradict each other.

    The split of a published set (``Source.published``) is not the caller's to correct: what it tears is counted and told instead.

    Raises:
        UsageError: Images of one group are to be in different splits.
    """
    splits: dict[str, set[str]] = {}
    for item in items:
        several: list[SourceItem | Piece] = [item, *item.pieces]
        for one in several:
            if one.group and one.split:
                splits.setdefault(one.group, set()).add(one.split)
    if torn := sum(len(several) > 1 for several in splits.values()):
        raise UsageError(
            "Splits were to be taken from the source.",
            f"{torn} groups (slides, patients or scenes) lie in more than one split.",
            "Give all rows of a group the same split; or leave the column split out (or --set data.split=by_group), and groups are "
            "split for you.",
        )


def _captions(entries: list[Entry], domain: Domain, seed: int) -> pd.DataFrame | None:
    """Takes the captions that samples have; composes those of the others from their labels; None where there is neither."""
    if not any(entry.captions or entry.labels for entry in entries):
        remedy = "Add labels (columns 'label:<name>' of a manifest), or captions of your own (column 'caption')."
        warnings.warn(f"{len(entries)} images have no caption and no label. {remedy}", stacklevel=2)
        return None
    import pandas as pd

    own = [(entry.key, caption) for entry in entries for caption in entry.captions]
    bare = [position for position, entry in enumerate(entries) if all(caption.origin in _MADE for caption in entry.captions)]
    if not bare:
        return caption_table(own)
    # Captions are drawn by a name that does not depend on the owner's key: the position in the set.
    names = [f"{position:08d}" for position in bare]
    keys = dict(zip(names, (entries[position].key for position in bare), strict=True))
    samples = pd.DataFrame({"key": names, "labels": [entries[position].labels for position in bare]})
    try:
        built = build_captions(samples, domain.facts, seed=seed)
    except UsageError as error:
        # A set is of use without captions too (search, zero-shot); whoever trains on it is told again.
        if without := sum(not entries[position].captions for position in bare):
            warnings.warn(f"{without} images have no caption. {error.found} {error.remedy}", stacklevel=2)
        return caption_table(own)
    pairs = [*own, *((keys[str(row.key)], _built_caption(row)) for row in built.itertuples(index=False))]
    place = {entry.key: position for position, entry in enumerate(entries)}
    return caption_table(sorted(pairs, key=lambda pair: place[pair[0]]))


def _built_caption(row: Any) -> Caption:
    return Caption(row.text, row.language, row.origin, generator=row.generator)


def _original_texts(captions: pd.DataFrame | None) -> dict[str, str]:
    """Returns each image's first caption that is no translation."""
    if captions is None:
        return {}
    original = captions[~captions["origin"].isin(_GENERATED)].drop_duplicates("key")
    return dict(zip(original["key"], original["text"], strict=True))


def _write_shards(output: Path, work: Path, plans: list[ShardPlan], entries: list[Entry], texts: dict[str, str]) -> None:
    with Spools(work) as spools:
        for plan in plans:
            if not (output / plan.name).is_file():
                write_shard(output, plan, lambda n: spools.members(entries[n], texts.get(entries[n].key, "")))
            end = plan.first + len(plan.sizes)
            later = entries[end].item if end < len(entries) else None
            for number in {entry.item for entry in entries[plan.first : end]} - {later}:
                spool_paths(work, number)[0].unlink(missing_ok=True)


def _write_index(output: Path, found: Gathered, plans: list[ShardPlan], splits: list[str], groups: list[str]) -> None:
    shards = [plan.name for plan in plans for _ in plan.sizes]
    offsets = [offsets for plan in plans for offsets in plan.offsets]
    masks = [
        compact_json({name: [places[n], entry.sizes[n]] for n, name in enumerate(entry.masks, start=1)}) if entry.masks else "{}"
        for entry, places in zip(found.entries, offsets, strict=True)
    ]
    later: dict[str, list[Any]] = {"shard": shards, "offset": [places[0] for places in offsets], "split": splits, "masks": masks}
    if any(entry.split for entry in found.entries):
        later["published"] = [entry.published or entry.split for entry in found.entries]
    own = [entry.group for entry in found.entries]
    if own != groups:
        later |= {"group": groups, "source_group": own}
    write_index(output / "index.parquet", found.tables, later)


def _parquet(table: pd.DataFrame | None) -> bytes:
    """Returns captions as a Parquet file; the same columns where there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    kinds = {name: pa.int64() if name == "polarity" else pa.string() for name in CAPTION_COLUMNS}
    values = {name: [] if table is None else list(table[name]) for name in CAPTION_COLUMNS}
    columns = {name: pa.array(values[name], type=kind, from_pandas=True) for name, kind in kinds.items()}
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def _dataset(
    found: Gathered,
    splits: list[str],
    united: list[str],
    report: SplitReport,
    captions: pd.DataFrame | None,
    files: int,
    facts: SetFacts,
) -> dict[str, Any]:
    """Collects what dataset.json says."""
    import numpy as np
    import PIL

    from domainclip import __version__

    entries = found.entries
    per_split = Counter(splits)
    groups = {split: len({g for g, s in zip(united, splits, strict=True) if s == split}) for split in SPLITS}
    captioned = 0 if captions is None else len(set(captions["key"]))
    keys = hashlib.sha256("\n".join(entry.key for entry in entries).encode()).hexdigest()
    reading = json.dumps(facts.settings["reading"], sort_keys=True)
    return {
        **facts.source.card,
        "format_version": FORMAT_VERSION,
        "set_id": keyed_hash(facts.plan_id + keys, facts.key),
        "plan": facts.plan_id,
        "domain": facts.domain.name,
        "channels": list(*found.channels) if len(found.channels) == 1 else None,
        "versions": {"domainclip": __version__, "numpy": np.__version__, "pillow": PIL.__version__, "pandas": version("pandas")},
        **facts.settings,
        "reading_sha256": hashlib.sha256(reading.encode()).hexdigest(),
        "split_source": report.source,
        **({"reading_account": dict(found.account)} if found.account else {}),
        "counts": {
            "files": files,
            "images": len(entries),
            "rejected": len(found.rejected),
            **{split: per_split.get(split, 0) for split in SPLITS},
            **{f"groups_{split}": groups[split] for split in SPLITS},
            "captions": 0 if captions is None else len(captions),
            "distinct_captions": 0 if captions is None else int(captions["text"].nunique()),
            "images_without_caption": len(entries) - captioned,
            **{name: value for name, value in asdict(report).items() if name != "source"},
        },
    }
