"""Groups never cross a split; what the source says is kept and its leaks are counted."""

import hashlib

import pytest

from domainclip.data.splits import joined_groups, split_records
from domainclip.errors import UsageError


def record(group, pixels, split=None):
    order = hashlib.sha256(f"0\x1f{group}".encode()).hexdigest()[:16]
    return {"group": group, "order": order, "pixel_sha256": pixels, "split": split}


def run(records, held_out=0.2, val=0.1):
    return split_records(records, held_out_fraction=held_out, val_fraction=val)


def test_groups_stay_together_and_shares_are_as_asked():
    records = [record(f"g{n % 50}", f"p{n}") for n in range(400)]
    splits, report = run(records)
    of_group = {}
    for each, split in zip(records, splits, strict=True):
        assert of_group.setdefault(each["group"], split) == split
    counts = {name: list(of_group.values()).count(name) for name in ("train", "val", "held_out")}
    assert counts == {"held_out": 10, "val": 4, "train": 36}
    assert report.source == "by group"


def test_more_data_moves_few_groups():
    before = dict(zip([f"g{n}" for n in range(50)], run([record(f"g{n}", f"p{n}") for n in range(50)])[0], strict=True))
    after = dict(zip([f"g{n}" for n in range(55)], run([record(f"g{n}", f"p{n}") for n in range(55)])[0], strict=True))
    moved = [g for g in before if before[g] == "held_out" and after[g] == "train"]
    assert len(moved) <= 1


def test_groups_with_an_image_in_common_are_one():
    records = [record(f"g{n}", f"p{n}") for n in range(40)]
    for n in range(10):  # Chains of three: n with n + 10 by one image, n + 10 with n + 20 by another.
        records += [record(f"g{n}", f"x{n}"), record(f"g{n + 10}", f"x{n}")]
        records += [record(f"g{n + 10}", f"y{n}"), record(f"g{n + 20}", f"y{n}")]
    splits, report = run(records)
    of_group = {each["group"]: split for each, split in zip(records, splits, strict=True)}
    assert all(of_group[f"g{n}"] == of_group[f"g{n + 10}"] == of_group[f"g{n + 20}"] for n in range(10))
    assert set(of_group.values()) == {"train", "val", "held_out"}
    assert report.duplicates == 20


def test_the_sources_split_is_kept_and_val_cut_from_train():
    records = [record(f"g{n}", f"p{n}", "train" if n < 40 else "held_out") for n in range(50)]
    splits, report = run(records)
    assert splits[40:] == ["held_out"] * 10
    assert splits[:40].count("val") == 4
    assert report.source == "source, val cut from train"


def test_a_source_with_val_is_left_alone_and_its_leaks_are_counted():
    records = [record("a", "p0", "train"), record("b", "p1", "val"), record("c", "p0", "held_out"), record("a", "p3", "held_out")]
    splits, report = run(records)
    assert splits == ["train", "val", "held_out", "held_out"]
    assert (report.duplicates_across_splits, report.groups_across_splits) == (1, 1)


def test_val_is_not_cut_from_groups_that_are_held_out_too():
    records = [record(f"g{n}", f"p{n}", "train") for n in range(10)] + [record(f"g{n}", f"q{n}", "held_out") for n in range(9)]
    splits, _ = run(records, val=0.5)
    assert [n for n, split in enumerate(splits) if split == "val"] == []  # Only g9 is free, and one group is left for train.


def test_half_a_split_is_refused_and_too_few_groups_are_said():
    with pytest.raises(UsageError, match="1 of them have none"):
        run([record("a", "p", "train"), record("b", "q")])
    splits, report = run([record("a", "p"), record("a", "q"), record("b", "r")])
    assert set(splits) == {"train", "held_out"} and report.source == "by group; too few groups (2) for val"
    splits, report = run([record("a", "p"), record("a", "q")])
    assert splits == ["train", "train"] and report.source == "by group; too few groups (1) for held_out and val"
    assert run([record("a", "p"), record("b", "q"), record("c", "r")])[1].source == "by group"


def test_only_pairs_that_the_source_tears_apart_count_as_torn():
    """g0 and g1 lie in train both, g1 and g2 do not."""
    records = [record(f"g{n}", f"p{n}", split) for n, split in enumerate(("train", "train", "held_out", "val"))]
    pairs = [("g0", "g1"), ("g1", "g2")]
    told = {"held_out_fraction": 0.2, "val_fraction": 0.1, "same_ground": pairs, "same_picture": pairs[:1]}
    _, report = split_records(records, **told)
    assert (report.groups_on_same_ground, report.same_ground_across_splits) == (2, 1)
    assert (report.groups_of_same_picture, report.same_picture_across_splits) == (1, 0)


def test_a_joined_group_is_called_by_the_smallest_order_whatever_came_first():
    """By hand: p joins a and b, the pair joins b and c; b has the smallest order. d stays alone."""
    orders = {"a": "3", "b": "1", "c": "2", "d": "0"}
    records = [{"group": group, "order": orders[group], "pixel_sha256": pixels} for group, pixels in ("ap", "bp", "cq", "dr", "as")]
    assert joined_groups(records, [("c", "b")]) == ["b", "b", "b", "d", "b"]
    assert joined_groups(records[::-1], [("b", "c")]) == ["b", "d", "b", "b", "b"]
