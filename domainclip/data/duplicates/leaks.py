"""What duplicates do to the splits of a prepared set: how many held-out images of each class also lie in train, as copies."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.data.duplicates.find import Duplicates, find_duplicates
from domainclip.data.duplicates.pictures import write_places
from domainclip.data.prepared_set import PreparedSet
from domainclip.errors import UsageError

_TRAIN = "train"


@dataclass(frozen=True, slots=True)
class Leak:
    """Images of a split, and of one of its classes, that train holds too.

    Attributes:
        split: Name of the split, never train.
        label: The class, or None for all images of the split.
        images: How many there are.
        leaked: How many of them show what an image of train shows.
    """

    split: str
    label: str | None
    images: int
    leaked: int


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What ``leaks`` returns.

    Attributes:
        found: The duplicates, by position in the set's index.
        torn: Groups of duplicates that lie in more than one split.
        leaks: Of each split but train, as a whole and by class.
        not_compared: Images with depth or time, which are not looked at.
        across_groups: Groups of duplicates whose images the set counts as different groups (patients, slides, scenes).
    """

    found: Duplicates
    torn: tuple[tuple[int, ...], ...]
    leaks: tuple[Leak, ...]
    not_compared: int
    across_groups: int

    @property
    def clean(self) -> bool:
        """No split shows what train shows."""
        return not any(leak.leaked for leak in self.leaks)


def leaks(prepared: PreparedSet, *, workers: int = 1) -> LeakReport:
    """Looks for duplicates in a set and counts what its splits leak.

    Args:
        prepared: The set.
        workers: Processes that read and compare.

    Raises:
        UsageError: None of its images is a plane.
        UnreadableFileError: A shard is damaged.
    """
    index = prepared.index
    planes = np.flatnonzero((index["axes"] == "CYX").to_numpy())
    if not len(planes):
        found = "Its images have depth or time, and duplicates are looked for among planes."
        raise UsageError(f"Duplicates of {prepared.folder} were to be found.", found, "Look at series by patient or scene instead.")
    columns = ("shard", "offset", "size", "storage", "shape", "dtype")
    with tempfile.TemporaryDirectory(prefix="domainclip-places-") as folder:
        some = index.iloc[planes]
        places = ((*row[:4], tuple(row[4]), row[5]) for row in zip(*(some[name] for name in columns), strict=True))
        read = write_places(Path(folder), prepared.folder, places)
        twins = in_set(find_duplicates(len(planes), read, workers=workers), planes)
    splits, groups = index["split"].to_numpy(), index["source_group"].to_numpy()
    torn = tuple(group for group in twins.groups if len({splits[n] for n in group}) > 1)
    across = sum(len({groups[n] for n in group}) > 1 for group in twins.groups)
    leaked = {n for group in torn if any(splits[m] == _TRAIN for m in group) for n in group if splits[n] != _TRAIN}
    label = prepared.card.get("class_label")
    named = [(labels or {}).get(label) if label else None for labels in index["labels"]]
    return LeakReport(twins, torn, _counted(splits, named, leaked), len(index) - len(planes), across)


def in_set(found: Duplicates, places: npt.NDArray[np.int64]) -> Duplicates:
    """Returns duplicates of some images with their places among all."""
    return replace(
        found,
        matches=tuple(replace(match, first=int(places[match.first]), second=int(places[match.second])) for match in found.matches),
        groups=tuple(tuple(int(places[n]) for n in group) for group in found.groups),
        plain=tuple(int(places[n]) for n in found.plain),
    )


def _counted(splits: npt.NDArray[Any], named: list[str | None], leaked: set[int]) -> tuple[Leak, ...]:
    all_of: Counter[tuple[str, str | None]] = Counter()
    of_train: Counter[tuple[str, str | None]] = Counter()
    for number, (split, name) in enumerate(zip(splits, named, strict=True)):
        if split == _TRAIN:
            continue
        for key in {(split, None), (split, name)}:
            all_of[key] += 1
            of_train[key] += number in leaked
    order = sorted(all_of, key=lambda key: (key[0], key[1] or ""))
    return tuple(Leak(split, name, all_of[split, name], of_train[split, name]) for split, name in order)


def document(report: LeakReport) -> Mapping[str, Any]:
    """Returns a report as plain values."""
    found = report.found
    return {
        "images": found.images,
        "not_compared": report.not_compared,
        "too_plain_to_compare": len(found.plain),
        "duplicate_groups": len(found.groups),
        "images_in_duplicate_groups": sum(map(len, found.groups)),
        "matches": len(found.matches),
        "across_groups": report.across_groups,
        "torn_groups": len(report.torn),
        "leaks": [
            {"split": leak.split, "class": leak.label, "images": leak.images, "also_in_train": leak.leaked} for leak in report.leaks
        ],
        "clean": report.clean,
    }
