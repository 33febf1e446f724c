"""Several prepared sets into one: weights and caps by source, captions with their provenance, no leak between their splits."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domainclip.data.licence_terms import terms
from domainclip.data.owner_map import read_owner_map, write_owner_map
from domainclip.data.prepared_set import FORMAT_VERSION, PreparedSet
from domainclip.data.shards import sync_folder, write_bytes
from domainclip.data.splits import SPLITS
from domainclip.errors import UsageError
from domainclip.identifiers import keyed_hash, owner_key

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Part:
    """One source of a mixture.

    Attributes:
        folder: A prepared set.
        weight: Of its training images, relative to those of other sources: of two sources with 1 and 0.5, an epoch shows all
            images of the one and half of the other's.
        cap: Most training images that are taken, whole groups in a seeded order, the last one in part; None takes all.
    """

    folder: Path
    weight: float = 1.0
    cap: int | None = None


def mix(parts: Sequence[Part], output: Path | str, *, seed: int = 0, name: str = "mixture") -> PreparedSet:
    """Makes one prepared set of several.

    Shards are linked (copied where the disk cannot link), so a mixture takes no room; images that are not taken stay in them and
    have no row. Keys are made anew, since two sources may call their images alike (``1.png``); groups are not, and those of one
    name count as one. A training image whose pixels another source holds out is left out: what one set tests, none may train.

    Args:
        parts: The sources, of one domain.
        output: Folder to write; there must be none.
        seed: Of caps.
        name: What the mixture is called.

    Returns:
        The mixture. Its index has the columns ``source`` and ``weight`` (text), its dataset.json every source's card.

    Raises:
        UsageError: Fewer than two parts, other domains, a weight or cap that is none, or the output exists.
    """
    import pandas as pd

    output, asked = Path(output), f"A mixture was to be written to {output}."
    sets = _opened(parts, output, asked)
    tables, captions, counts, shards = [], [], list[dict[str, int]](), 0
    indexes = [pd.read_parquet(prepared.folder / "index.parquet") for prepared in sets]
    evaluated = _evaluated(indexes)
    output.mkdir(parents=True)
    for part, prepared, rows, source in zip(parts, sets, indexes, _names(sets), strict=True):
        leaks = (rows["split"] == "train") & rows["pixel_sha256"].isin(evaluated)
        kept = _capped(rows[~leaks], part.cap, seed)
        counts.append({"images": len(rows), "taken": len(kept), "leaks_left_out": int(leaks.sum())})
        renamed = {old: f"{shards + n:05d}.tar" for n, old in enumerate(sorted(set(rows["shard"])))}
        for old, new in renamed.items():
            _link(prepared.folder / old, output / new)
        said = prepared.captions[prepared.captions["key"].isin(set(kept["key"]))]
        captions.append(said.assign(key=[_new_key(key, shards) for key in said["key"]]))
        keys = [_new_key(key, shards) for key in kept["key"]]
        kept = kept.assign(key=keys, shard=kept["shard"].map(renamed), source=source, weight=repr(float(part.weight)))
        counts[-1]["first_shard"] = shards
        shards += len(renamed)
        tables.append(kept)
    index, texts = pd.concat(tables, ignore_index=True), pd.concat(captions, ignore_index=True)
    index.to_parquet(output / "index.parquet", compression="zstd", index=False)
    texts.to_parquet(output / "captions.parquet", compression="zstd", index=False)
    write_bytes(output / "rejected.jsonl", b"")
    card = _card(parts, sets, counts, index, texts, name) | {"seed": seed}
    _write_map(card, sets)
    write_bytes(output / "dataset.json", (json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())
    sync_folder(output)
    return PreparedSet(output)


def _opened(parts: Sequence[Part], output: Path, asked: str) -> list[PreparedSet]:
    if len(parts) < 2:
        raise UsageError(asked, f"{len(parts)} set was named.", "Name two or more.")
    if output.exists():
        raise UsageError(asked, "There is such a folder already.", "Choose another one, or remove it.")
    for part in parts:
        if not (math.isfinite(part.weight) and part.weight > 0) or (part.cap is not None and part.cap < 1):
            raise UsageError(
                asked, f"The weight {part.weight:g} or cap {part.cap} of {part.folder} is not positive.", "Correct it."
            )
    sets = [PreparedSet(part.folder) for part in parts]
    if len(domains := {prepared.domain for prepared in sets}) > 1:
        raise UsageError(asked, f"They are of several domains: {', '.join(sorted(domains))}.", "Mix sets of one domain.")
    return sets


def _evaluated(indexes: Sequence[pd.DataFrame]) -> set[str]:
    """Returns the hashes of the pixels of all images that some source holds out or validates on."""
    return {digest for rows in indexes for digest in rows.loc[rows["split"] != "train", "pixel_sha256"]}


def _names(sets: Sequence[PreparedSet]) -> list[str]:
    """Returns a name for each source; those that share one are numbered."""
    names = [str(prepared.card.get("name", "unnamed")) for prepared in sets]
    return [name if names.count(name) == 1 else f"{name}-{1 + names[:place].count(name)}" for place, name in enumerate(names)]


def _capped(rows: pd.DataFrame, cap: int | None, seed: int) -> pd.DataFrame:
    """Takes training images group by group; the order of groups depends on the set's order and the seed, not on the owner's key."""
    train = rows[rows["split"] == "train"]
    if cap is None or len(train) <= cap:
        return rows
    groups = train["group"].unique()
    place = dict(zip(groups, np.random.default_rng(seed).permutation(len(groups)), strict=True))
    taken = train.loc[train["group"].map(place).sort_values(kind="stable").index[:cap]].index
    return rows[(rows["split"] != "train") | rows.index.isin(taken)]


def _new_key(key: str, source: int) -> str:
    """Returns an image's key in the mixture: its own and the number of its source's first shard, hashed."""
    return hashlib.sha256(f"{source}\x1f{key}".encode()).hexdigest()[:20]


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def _card(
    parts: Sequence[Part], sets: Sequence[PreparedSet], counts: list[dict[str, int]], index: pd.DataFrame, captions: Any, name: str
) -> dict[str, Any]:
    told = (
        "name",
        "title",
        "licence",
        "citation",
        "homepage",
        "forbids",
        "permitted",
        "synthetic",
        "set_id",
        "reading",
        "split_source",
    )
    sources = [
        {
            "weight": part.weight,
            "cap": part.cap,
            **count,
            **{field: prepared.card[field] for field in told if field in prepared.card},
        }
        for part, prepared, count in zip(parts, sets, counts, strict=True)
    ]
    per_split = index["split"].value_counts()
    channels = [prepared.card.get("channels") for prepared in sets]
    shared: dict[str, Any] = {
        field: sets[0].card[field]
        for field in ("class_label", "classes", "prompt_templates")
        if all(prepared.card.get(field) == sets[0].card.get(field) for prepared in sets) and field in sets[0].card
    }
    captioned = len(set(captions["key"]))
    return {
        "name": name,
        "domain": sets[0].domain,
        "synthetic": any(prepared.synthetic for prepared in sets),
        **terms([prepared.card for prepared in sets]),
        **shared,
        "format_version": FORMAT_VERSION,
        "set_id": keyed_hash("\x1f".join([*(str(prepared.card.get("set_id")) for prepared in sets), *index["key"]]), owner_key()),
        "channels": channels[0] if all(one == channels[0] for one in channels) else None,
        "split_source": "those of the sources",
        "sources": sources,
        "counts": {
            "images": len(index),
            "rejected": 0,
            **{split: int(per_split.get(split, 0)) for split in SPLITS},
            **{f"groups_{split}": int(index.loc[index["split"] == split, "group"].nunique()) for split in SPLITS},
            "captions": len(captions),
            "distinct_captions": int(captions["text"].nunique()),
            "images_without_caption": len(index) - captioned,
            "leaks_left_out": sum(count["leaks_left_out"] for count in counts),
        },
    }


def _write_map(card: dict[str, Any], sets: Sequence[PreparedSet]) -> None:
    """Joins the owner's maps of the sources, where they are on this machine."""
    lines = [
        {**line, "key": _new_key(line["key"], source["first_shard"])}
        for prepared, source in zip(sets, card["sources"], strict=True)
        for line in read_owner_map(str(prepared.card.get("set_id", "")))
    ]
    if lines:
        write_owner_map(card["set_id"], lines)
