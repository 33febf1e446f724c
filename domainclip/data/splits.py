"""Who is trained on and who is held out: by group, duplicates together, independent of the owner's key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domainclip.data.stratified import stratified_parts
from domainclip.errors import UsageError

SPLITS = ("train", "val", "held_out")


class Record(Protocol):
    """An image's dictionary, or anything that gives fields by name."""

    def __getitem__(self, name: str, /) -> Any:
        """Returns a field."""
        ...


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What the splitting met.

    Attributes:
        source: ``"source"``, ``"source, val cut from train"`` or ``"by group"``, the last two with ``", stratified"`` where classes
            have their shares; and what there are too few groups for, or why nothing was stratified.
        duplicates: Images whose pixels another image has too (all but the first of each).
        duplicates_across_splits: Sets of equal images that the source's own split tears apart; they stay where it put them.
        groups_across_splits: Groups that the source's own split tears apart, likewise.
        groups_on_same_ground: Pairs of groups whose images overlap on the ground; they count as one where the split is ours.
        same_ground_across_splits: Such pairs that the source's own split tears apart.
        groups_of_same_picture: Pairs of groups of which two images show the same picture, likewise; None: not looked for.
        same_picture_across_splits: Such pairs that the source's own split tears apart.
    """

    source: str
    duplicates: int
    duplicates_across_splits: int
    groups_across_splits: int
    groups_on_same_ground: int = 0
    same_ground_across_splits: int = 0
    groups_of_same_picture: int | None = None
    same_picture_across_splits: int = 0


def split_records(
    records: Sequence[Record],
    *,
    held_out_fraction: float,
    val_fraction: float,
    same_ground: Sequence[tuple[str, str]] = (),
    same_picture: Sequence[tuple[str, str]] | None = None,
    published: bool = True,
    stratify: Sequence[str | None] | None = None,
) -> tuple[list[str], SplitReport]:
    """Gives every image a split.

    Where the source says it for all images, it is kept, and ``val`` is cut from the train groups if it has none. Otherwise
    groups go, in the order of a seeded hash of their names, to held_out, val and train. Groups that share an image with
    equal pixels count as one, and those that show the same ground or picture.

    Args:
        records: ``group``, ``order`` (hexadecimal, a hash of seed and group name),
            ``pixel_sha256`` and ``split`` (or None) of each image.
        held_out_fraction: Share of all groups, at least one group where there are two.
        val_fraction: Share of the remaining groups, at least one unless it is 0 or only one group remains.
        same_ground: Pairs of groups that overlap on the ground.
        same_picture: Pairs of groups of which two images show the same picture; None: not looked for.
        published: Keep the source's split; else groups are split anew, and what the source says counts for nothing.
        stratify: The class of each image, which then has its share in every part as far as groups allow; None: by group alone.

    Returns:
        A split for each image, and what was met.

    Raises:
        UsageError: The source gives a split to some images only.
    """
    given: list[Any] = [record["split"] if published else None for record in records]
    united = joined_groups(records, [*same_ground, *(same_picture or ())])
    copies = Counter(record["pixel_sha256"] for record in records)
    duplicates = sum(count - 1 for count in copies.values())
    if any(given) and not all(given):
        raise UsageError(
            f"Splits of {len(records)} images were to be taken from the source.",
            f"{given.count(None)} of them have none.",
            "Give every row a split (train, val or held_out), or none at all.",
        )
    if not any(given):
        if stratify is not None:
            splits, how = _stratified(records, united, held_out_fraction, val_fraction, stratify)
        else:
            splits, how = _by_group(records, united, held_out_fraction, val_fraction)
        return splits, SplitReport(how, duplicates, 0, 0, len(same_ground), 0, _count(same_picture), 0)
    torn = _torn([record["pixel_sha256"] for record in records], given)
    torn_groups = _torn([record["group"] for record in records], given)
    pairs = (
        len(same_ground),
        _torn_pairs(records, given, same_ground),
        _count(same_picture),
        _torn_pairs(records, given, same_picture or ()),
    )
    splits, how = _published(records, united, given, val_fraction, stratify)
    return splits, SplitReport(how, duplicates, torn, torn_groups, *pairs)


def _published(
    records: Sequence[Record], united: list[str], given: list[str], val_fraction: float, classes: Sequence[str | None] | None
) -> tuple[list[str], str]:
    """Keeps the source's split; ``val`` is cut from the train groups if it has none."""
    if "val" in given or val_fraction == 0 or "train" not in given:
        return list(given), "source" if classes is None else "source; not stratified, since nothing was split here"
    train = [position for position, split in enumerate(given) if split == "train"]
    elsewhere = {united[position] for position, split in enumerate(given) if split != "train"}
    groups = _ordered(records, united, [position for position in train if united[position] not in elsewhere])
    chosen, how = set(groups[: _share(val_fraction, len(groups))]) if len(groups) > 1 else set(), "source, val cut from train"
    if classes is not None:
        place, few = _balanced(groups, united, classes, {"train": 1 - val_fraction, "val": val_fraction})
        chosen = {group for group in groups if place[group] == "val"} if place else chosen
        how += few
    splits = ["val" if split == "train" and united[n] in chosen else split for n, split in enumerate(given)]
    return splits, how


def _by_group(records: Sequence[Record], united: list[str], held_out_fraction: float, val_fraction: float) -> tuple[list[str], str]:
    """Splits by group; of one group nothing is held out, and of two nothing is set aside, which the second value says."""
    groups = _ordered(records, united, range(len(records)))
    held_out = min(_share(held_out_fraction, len(groups)), len(groups) - 1)
    val = min(_share(val_fraction, len(groups) - held_out), len(groups) - held_out - 1)
    place = {group: "held_out" if n < held_out else "val" if n < held_out + val else "train" for n, group in enumerate(groups)}
    wanted = (("held_out", held_out, held_out_fraction), ("val", val, val_fraction))
    missing = [name for name, count, fraction in wanted if fraction and not count]
    how = f"by group; too few groups ({len(groups)}) for {' and '.join(missing)}" if missing else "by group"
    return [place[group] for group in united], how


def _stratified(
    records: Sequence[Record], united: list[str], held_out_fraction: float, val_fraction: float, classes: Sequence[str | None]
) -> tuple[list[str], str]:
    """Splits by group so that classes keep their shares."""
    groups = _ordered(records, united, range(len(records)))
    val = val_fraction * (1 - held_out_fraction)
    shares = {"train": 1 - held_out_fraction - val, "held_out": held_out_fraction, "val": val}
    place, how = _balanced(groups, united, classes, {part: share for part, share in shares.items() if share})
    if not place:
        splits, plain = _by_group(records, united, held_out_fraction, val_fraction)
        return splits, plain + how
    return [place[group] for group in united], f"by group{how}"


def _balanced(
    groups: Sequence[str], united: list[str], classes: Sequence[str | None], shares: Mapping[str, float]
) -> tuple[dict[str, str], str]:
    """Gives these groups parts so that classes keep their shares; images without a class count as a class of their own.

    Returns:
        Group to part, empty where there are so few groups that a part would get none; and what is to be said of it.
    """
    counts: dict[str, Counter[str]] = {group: Counter() for group in groups}
    for group, name in zip(united, classes, strict=True):
        if group in counts:
            counts[group][name or ""] += 1
    place, few = stratified_parts(groups, counts, shares)
    if set(shares) - set(place.values()):
        return {}, f"; not stratified, too few groups ({len(groups)})"
    return place, ", stratified" + (f"; {len(few)} classes have fewer groups than there are parts" if few else "")


def _count(pairs: Sequence[tuple[str, str]] | None) -> int | None:
    return None if pairs is None else len(pairs)


def _share(fraction: float, count: int) -> int:
    return max(1, round(fraction * count)) if fraction > 0 else 0


def _ordered(records: Sequence[Record], united: list[str], positions: Sequence[int]) -> list[str]:
    """Returns the groups at these positions, ordered by the smallest hash among their members."""
    smallest: dict[str, str] = {}
    for position in positions:
        group, order = united[position], records[position]["order"]
        smallest[group] = min(order, smallest.get(group, order))
    return sorted(smallest, key=lambda group: (smallest[group], group))


def joined_groups(records: Sequence[Record], together: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Returns the group of each image, groups made one that share equal pixels or belong together.

    Args:
        records: ``group``, ``order`` and ``pixel_sha256`` of each image.
        together: Pairs of groups that show the same ground or picture.

    Returns:
        Names of groups that there are. Joined ones have the name of the one with the smallest ``order``, which depends neither on
        the owner's key nor on which was met first.
    """
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        parent.setdefault(group, group)
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for one, other in together:
        parent[root(one)] = root(other)
    first: dict[str, str] = {}
    for record in records:
        group, pixels = record["group"], record["pixel_sha256"]
        here, there = root(group), root(first.setdefault(pixels, group))
        parent[here] = there
    names: dict[str, tuple[str, str]] = {}
    for record in records:
        own, place = (record["order"], record["group"]), root(record["group"])
        names[place] = min(own, names.get(place, own))
    return [names[root(record["group"])][1] for record in records]


def _torn_pairs(records: Sequence[Record], splits: Sequence[str], together: Sequence[tuple[str, str]]) -> int:
    """Counts the pairs of groups that belong together and lie in different splits."""
    if not together:
        return 0
    of: dict[str, set[str]] = {}
    for record, split in zip(records, splits, strict=True):
        of.setdefault(record["group"], set()).add(split)
    return sum(len(of.get(one, set()) | of.get(other, set())) > 1 for one, other in together)


def _torn(names: Sequence[str], splits: Sequence[str]) -> int:
    """Counts the names that occur in more than one split."""
    seen: dict[str, str] = {}
    torn = set()
    for name, split in zip(names, splits, strict=True):
        if seen.setdefault(name, split) != split:
            torn.add(name)
    return len(torn)
