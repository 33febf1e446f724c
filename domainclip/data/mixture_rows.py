"""Which images of several sets a mixture takes: what one set evaluates on no other trains on, and no picture comes twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

GROUP_IN_SOURCE = "group_in_source"
"""Column of a mixture: the group as its first source has it, by which further mixtures compare."""
_EVALUATED = ("val", "held_out")
_HIGHER = {"train": _EVALUATED, "val": ("held_out",)}


@dataclass(frozen=True, slots=True)
class Taken:
    """What a mixture takes of a source.

    Attributes:
        rows: Of its index.
        groups: Of these rows, as ``own_groups`` names them; NaN of images that are their own group.
        unnamed: Keys of the source's images that are their own group.
        counts: ``images`` of the source, ``taken``; and those that are not: ``leaks_left_out`` (``leaks_by_pixels`` and
            ``leaks_by_group``; ``leaks_of_val`` of them were for validation), ``copies_left_out``, ``over_cap``.
    """

    rows: pd.DataFrame
    groups: pd.Series
    unnamed: frozenset[str]
    counts: dict[str, int]


def choose_rows(indexes: Sequence[pd.DataFrame], caps: Sequence[int | None], seed: int, *, groups_apart: bool) -> list[Taken]:
    """Leaves out leaks, then what an earlier source has too, then what is over a cap.

    A leak is a training image that is evaluated, or an image for validation that is held out: its pixels are so in any source, or
    its group in another one, or another image of its group has pixels that are so in another source. A group that its own source
    tears apart stays as it was published. Of equal pixels in the same part of several sources the first source's image is taken;
    copies within a source stay.

    Args:
        indexes: Of each source: ``key``, ``split``, ``group``, ``pixel_sha256``, ``source_group`` where groups were joined, and
            ``group_in_source`` of a mixture.
        caps: Of each source, most training images; None for all.
        seed: Of caps.
        groups_apart: Groups of one name in two sources are different ones, and are not compared.
    """
    taken, seen = [], set[str]()
    for rows, cap, reasons in zip(indexes, caps, _leaks(indexes, groups_apart), strict=True):
        no_leak = rows[reasons == ""]
        once = no_leak[~no_leak["pixel_sha256"].isin(seen)]
        kept = _capped(once, cap, seed)
        seen.update(kept["pixel_sha256"])
        counts = {
            "images": len(rows),
            "taken": len(kept),
            "leaks_left_out": len(rows) - len(no_leak),
            "leaks_by_pixels": int((reasons == "pixels").sum()),
            "leaks_by_group": int((reasons == "group").sum()),
            "leaks_of_val": int(((reasons != "") & (rows["split"] == "val").to_numpy()).sum()),
            "copies_left_out": len(no_leak) - len(once),
            "over_cap": len(once) - len(kept),
        }
        named = own_groups(rows)
        unnamed = frozenset(rows["key"].drop(named.index))
        taken.append(Taken(kept, named.reindex(kept.index), unnamed, counts))
    return taken


def own_groups(rows: pd.DataFrame) -> pd.Series:
    """Returns the groups that have names, as their first sources have them, by row; an image that is its own group has none."""
    # Of groups that a source joined, as duplicates, others know the names that they had.
    own = rows["source_group"].fillna(rows["group"]) if "source_group" in rows else rows["group"]
    named = (own != rows["key"]) | own.duplicated(keep=False)
    return rows.get(GROUP_IN_SOURCE, own)[named]


def shared_groups(indexes: Sequence[pd.DataFrame]) -> int:
    """Counts the groups that several sources have."""
    sources = Counter(group for rows in indexes for group in set(own_groups(rows)))
    return sum(count > 1 for count in sources.values())


def _leaks(indexes: Sequence[pd.DataFrame], groups_apart: bool) -> list[npt.NDArray[np.str_]]:
    """Returns why each image of each source is left out, "pixels" or "group"; "" where it is not."""
    groups: list[dict[str, set[str]]] = []
    pixels: list[dict[str, set[str]]] = []
    names = [own_groups(rows) for rows in indexes]
    for rows, named in zip(indexes, names, strict=True):
        where = rows["split"].reindex(named.index)
        groups.append({part: set() if groups_apart else set(named[where == part]) for part in _EVALUATED})
        pixels.append({part: set(rows.loc[rows["split"] == part, "pixel_sha256"]) for part in _EVALUATED})
    sources = {part: Counter(group for one in groups for group in one[part]) for part in _EVALUATED}
    shown = {part: Counter(digest for one in pixels for digest in one[part]) for part in _EVALUATED}
    reasons = []
    for rows, named, own, seen in zip(indexes, names, groups, pixels, strict=True):
        reason = np.full(len(rows), "", dtype="U6")
        of_row = named.reindex(rows.index)
        for split, parts in _HIGHER.items():
            here = (rows["split"] == split).to_numpy()
            for part in parts:
                elsewhere = {group for group, count in sources[part].items() if count > (group in own[part])}
                shown_elsewhere = {digest for digest, count in shown[part].items() if count > (digest in seen[part])}
                met = of_row.isin(elsewhere).to_numpy() | rows["pixel_sha256"].isin(shown_elsewhere).to_numpy()
                joined = rows["group"].isin(set(rows["group"][met])).to_numpy()  # all of such a group goes, duplicates with it
                reason[here & joined & (reason == "")] = "group"
                reason[here & rows["pixel_sha256"].isin(shown[part]).to_numpy()] = "pixels"
        reasons.append(reason)
    return reasons


def _capped(rows: pd.DataFrame, cap: int | None, seed: int) -> pd.DataFrame:
    """Takes training images group by group; the order of groups depends on the set's order and the seed, not on the owner's key."""
    train = rows[rows["split"] == "train"]
    if cap is None or len(train) <= cap:
        return rows
    groups = train["group"].unique()
    place = dict(zip(groups, np.random.default_rng(seed).permutation(len(groups)), strict=True))
    taken = train.loc[train["group"].map(place).sort_values(kind="stable").index[:cap]].index
    return rows[(rows["split"] != "train") | rows.index.isin(taken)]
