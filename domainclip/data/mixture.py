"""Several prepared sets into one: weights and caps by source, captions with their provenance, no leak between their splits."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domainclip.data.licence_terms import terms
from domainclip.data.mixture_rows import GROUP_IN_SOURCE, Taken, choose_rows, shared_groups
from domainclip.data.owner_map import read_owner_map, write_owner_map
from domainclip.data.prepared_set import FORMAT_VERSION, PreparedSet
from domainclip.data.shards import sync_folder, write_bytes
from domainclip.data.splits import SPLITS
from domainclip.errors import UsageError
from domainclip.identifiers import keyed_hash, owner_key

if TYPE_CHECKING:
    import pandas as pd

_TOLD = (
    *("name", "title", "licence", "citation", "homepage", "forbids", "permitted", "synthetic", "set_id", "reading", "split_source"),
    *("jpeg_quality", "counts", "sources", "groups_apart"),
)
_LEFT_OUT = (
    *("leaks_left_out", "leaks_by_pixels", "leaks_by_group", "leaks_of_val"),
    *("copies_left_out", "over_cap", "captions_left_out"),
)


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


def mix(
    parts: Sequence[Part], output: Path | str, *, seed: int = 0, name: str = "mixture", groups_apart: bool = False
) -> PreparedSet:
    """Makes one prepared set of several.

    Shards are linked (copied where the disk cannot link), so a mixture takes no room; images that are not taken stay in them and
    have no row. Keys are made anew, since two sources may call their images alike (``1.png``).

    What one source evaluates on, none trains on: left out are training images whose pixels any source, or whose group another one,
    validates on or holds out, and images for validation that are held out likewise. Of a picture that several sources have in the
    same part, the first source's image is taken. Only equal pixels are compared; ``audit MIXTURE --duplicates`` looks for others.

    Args:
        parts: The sources, of one domain.
        output: Folder to write; there must be none.
        seed: Of caps.
        name: What the mixture is called.
        groups_apart: Groups (patients, slides, scenes) of one name in two sources are different ones. Otherwise they are the same.

    Returns:
        The mixture. Its index has the columns ``source``, ``weight`` (text) and ``group_in_source``, its dataset.json the card of
        every source and what was taken of it (``Taken.counts``). Weights in a source that is a mixture are multiplied with its own.

    Raises:
        UsageError: Fewer than two parts, other domains, a weight or cap that is none, or the output exists.
    """
    import pandas as pd

    output, asked = Path(output), f"A mixture was to be written to {output}."
    sets = _opened(parts, output, asked)
    indexes = [pd.read_parquet(prepared.folder / "index.parquet") for prepared in sets]
    taken = choose_rows(indexes, [part.cap for part in parts], seed, groups_apart=groups_apart)
    _warn(sets, taken)
    output.mkdir(parents=True)
    tables, captions, rejected, entries, shards = [], [], list[dict[str, Any]](), list[dict[str, Any]](), 0
    for part, prepared, rows, some, names in zip(parts, sets, indexes, taken, _names(sets, indexes), strict=True):
        renamed = {old: f"{shards + n:05d}.tar" for n, old in enumerate(sorted(set(rows["shard"])))}
        for old, new in renamed.items():
            _link(prepared.folder / old, output / new)
        said = prepared.captions[prepared.captions["key"].isin(set(some.rows["key"]))]
        captions.append(said.assign(key=[_of_source(key, shards) for key in said["key"]]))
        tables.append(_renamed(some, part.weight, names, shards, groups_apart).assign(shard=some.rows["shard"].map(renamed)))
        rejected += [{**line, "key": _of_source(line["key"], shards)} for line in _rejected(prepared)]
        left = {"captions_left_out": len(prepared.captions) - len(said)}
        entries.append({"weight": part.weight, "cap": part.cap, **some.counts, **left, "in_index": [*names.values()]})
        entries[-1] |= {"first_shard": shards, **{field: prepared.card[field] for field in _TOLD if field in prepared.card}}
        shards += len(renamed)
    index, texts = pd.concat(tables, ignore_index=True), pd.concat(captions, ignore_index=True)
    index.to_parquet(output / "index.parquet", compression="zstd", index=False)
    texts.to_parquet(output / "captions.parquet", compression="zstd", index=False)
    write_bytes(output / "rejected.jsonl", "".join(json.dumps(line, sort_keys=True) + "\n" for line in rejected).encode())
    card = _card(sets, entries, index, texts, name) | {"seed": seed, "groups_apart": groups_apart}
    card["counts"]["groups_in_several_sources"] = shared_groups(indexes)
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


def _warn(sets: Sequence[PreparedSet], taken: Sequence[Taken]) -> None:
    """Says where a mixture is of no use, and where equal pixels cannot be told."""
    leaks = sum(some.counts["leaks_left_out"] - some.counts["leaks_of_val"] for some in taken)
    if leaks and not any((some.rows["split"] == "train").any() for some in taken):
        found = "No training image is left in the mixture: the sources validate on all there are, or hold them out"
        warnings.warn(
            f"{found}. Split them alike; or tell groups of one name apart (--groups-apart), if they differ.", stacklevel=3
        )
    if len({quality for prepared in sets for quality in _qualities(prepared.card)}) > 1:
        found = "The sources were prepared with different data.jpeg_quality, and pictures that were equal may differ now"
        warnings.warn(f"{found}: look for near ones (domainclip audit MIXTURE --duplicates).", stacklevel=3)


def _qualities(card: Mapping[str, Any]) -> set[int | None]:
    sources = card.get("sources")
    return {quality for source in sources for quality in _qualities(source)} if sources else {card.get("jpeg_quality")}


def _names(sets: Sequence[PreparedSet], indexes: Sequence[pd.DataFrame]) -> list[dict[str, str]]:
    """Returns names for what each index calls its sources, and of "" for one that is no mixture; equal ones are numbered."""
    inner = [
        {name: name for name in rows["source"].unique()} if "source" in rows else {"": str(prepared.card.get("name", "unnamed"))}
        for prepared, rows in zip(sets, indexes, strict=True)
    ]
    met = Counter(name for names in inner for name in names.values())
    used = {name for name, count in met.items() if count == 1}
    for names in inner:
        for old, name in names.items():
            if met[name] > 1:
                names[old] = next(new for n in itertools.count(1) if (new := f"{name}-{n}") not in used)
                used.add(names[old])
    return inner


def _renamed(taken: Taken, weight: float, names: dict[str, str], first: int, groups_apart: bool) -> pd.DataFrame:
    """Returns rows with the keys, groups, sources and weights that they have in the mixture."""
    rows, alone = taken.rows, taken.groups.isna().to_numpy()
    keys = [_of_source(key, first) for key in rows["key"]]
    # What is called as an image is, alone or joined to its copies, has that image's new name.
    groups = [_of_source(group, first) if groups_apart or group in taken.unnamed else group for group in rows["group"]]
    own = rows["source_group"].fillna(rows["group"]) if "source_group" in rows else rows["group"]
    own_names = [_of_source(group, first) if groups_apart else group for group in own]
    weights = rows["weight"].astype(float) * weight if "weight" in rows else [float(weight)] * len(rows)
    changed: dict[str, Any] = {
        "key": keys,
        "group": groups,
        "source_group": np.where(alone, keys, own_names),
        GROUP_IN_SOURCE: np.where(alone, keys, taken.groups),
        "source": rows["source"].map(names) if "source" in rows else names[""],
        "weight": [repr(float(one)) for one in weights],
    }
    return rows.assign(**changed)


def _rejected(prepared: PreparedSet) -> list[dict[str, Any]]:
    """Returns the lines of what a source rejected; none of a folder that has lost them."""
    path = prepared.folder / "rejected.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _of_source(name: str, first: int) -> str:
    """Returns the key (or group) of an image in the mixture: its own and the number of its source's first shard, hashed."""
    return hashlib.sha256(f"{first}\x1f{name}".encode()).hexdigest()[:20]


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def _card(
    sets: Sequence[PreparedSet], sources: list[dict[str, Any]], index: pd.DataFrame, captions: pd.DataFrame, name: str
) -> dict[str, Any]:
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
            "rejected": sum(int(prepared.card.get("counts", {}).get("rejected", 0)) for prepared in sets),
            **{split: int(per_split.get(split, 0)) for split in SPLITS},
            **{f"groups_{split}": int(index.loc[index["split"] == split, "group"].nunique()) for split in SPLITS},
            "captions": len(captions),
            "distinct_captions": int(captions["text"].nunique()),
            "images_without_caption": len(index) - captioned,
            **{field: sum(source[field] for source in sources) for field in _LEFT_OUT},
            "groups_across_splits": int((index.groupby("group")["split"].nunique() > 1).sum()),
        },
    }


def _write_map(card: dict[str, Any], sets: Sequence[PreparedSet]) -> None:
    """Joins the owner's maps of the sources, where they are on this machine."""
    lines = [
        {**line, "key": _of_source(line["key"], source["first_shard"])}
        for prepared, source in zip(sets, card["sources"], strict=True)
        for line in read_owner_map(str(prepared.card.get("set_id", "")))
    ]
    if lines:
        write_owner_map(card["set_id"], lines)
