"""Stratified splits by group and k-shot draws, against counts by hand and scikit-learn's stratification."""

import hashlib
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from domainclip.data.shots import k_shot
from domainclip.data.splits import split_records
from domainclip.data.stratified import stratified_parts
from domainclip.errors import UsageError


def record(group, pixels, split=None):
    order = hashlib.sha256(f"0\x1f{group}".encode()).hexdigest()[:16]
    return {"group": group, "order": order, "pixel_sha256": pixels, "split": split}


def made(seed, groups=120, classes=("a", "b", "rare")):
    """Images of groups of 1 to 20, most of a group of one class, one class rare."""
    draw = np.random.default_rng(seed)
    records, labels = [], []
    for group in range(groups):
        main = draw.choice(classes, p=(0.55, 0.4, 0.05))
        for _ in range(draw.integers(1, 21)):
            records.append(record(f"g{group}", f"p{len(records)}"))
            labels.append(main if draw.random() < 0.9 else draw.choice(classes))
    return records, labels


def shares(splits, labels, part):
    whole, own = Counter(labels), Counter(label for label, split in zip(labels, splits, strict=True) if split == part)
    return {label: own[label] / whole[label] for label in whole}


@pytest.mark.parametrize("seed", range(4))
def test_every_class_has_its_share(seed):
    records, labels = made(seed)
    splits, report = split_records(records, held_out_fraction=0.2, val_fraction=0.125, stratify=labels)
    assert report.source == "by group, stratified"
    of_group = {}
    for each, split in zip(records, splits, strict=True):
        assert of_group.setdefault(each["group"], split) == split
    off = max(abs(share - 0.2) for share in shares(splits, labels, "held_out").values())
    groups = [each["group"] for each in records]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(np.zeros(len(labels)), labels, groups)
    theirs = []
    for _, held in folds:
        mask = np.isin(np.arange(len(labels)), held)
        theirs.append(max(abs(share - 0.2) for share in shares(np.where(mask, "held_out", "train"), labels, "held_out").values()))
    assert off <= 0.02 + np.median(theirs)
    assert all(abs(share - 0.1) < 0.06 for share in shares(splits, labels, "val").values())


def test_by_hand():
    """Ten groups of one image a class: two of each are held out, one of each set aside."""
    records = [record(f"{label}{n}", f"{label}{n}") for label in "ab" for n in range(10)]
    labels = [each["group"][0] for each in records]
    splits, _ = split_records(records, held_out_fraction=0.2, val_fraction=0.125, stratify=labels)
    counts = Counter(zip(labels, splits, strict=True))
    assert counts == {(label, split): n for label in "ab" for split, n in (("train", 7), ("val", 1), ("held_out", 2))}


def test_shares_of_all_by_hand():
    """Twenty groups of one image a class: ten of each are held out, and half of the other ten set aside."""
    records = [record(f"{label}{n}", f"{label}{n}") for label in "ab" for n in range(20)]
    labels = [each["group"][0] for each in records]
    splits, report = split_records(records, held_out_fraction=0.5, val_fraction=0.5, stratify=labels)
    counts = Counter(zip(labels, splits, strict=True))
    assert report.source == "by group, stratified"
    assert counts == {(label, split): n for label in "ab" for split, n in (("train", 5), ("val", 5), ("held_out", 10))}


def test_of_parts_that_are_equally_even_the_emptier_one_is_filled():
    """Two classes in two halves. Wherever the first group (4 of a) goes, a is as uneven, and b wherever the second (3 of b) goes:
    it goes to the part that has less of what it is to have, not to the first again.
    """
    place, _ = stratified_parts(["one", "two"], {"one": {"a": 4}, "two": {"b": 3}}, {"train": 0.5, "val": 0.5})
    assert place == {"one": "train", "two": "val"}


def test_val_is_cut_from_a_published_train_part_by_class_too():
    """Ten train groups a class, one image each: a tenth of each is set aside; the published part stays."""
    records = [record(f"{label}{n}", f"{label}{n}", "train" if n < 10 else "held_out") for label in "abc" for n in range(14)]
    labels = [each["group"][0] for each in records]
    splits, report = split_records(records, held_out_fraction=0.2, val_fraction=0.1, stratify=labels)
    counts = Counter(zip(labels, splits, strict=True))
    assert counts == {(label, split): n for label in "abc" for split, n in (("train", 9), ("val", 1), ("held_out", 4))}
    assert report.source == "source, val cut from train, stratified"


def test_what_was_not_stratified_says_so():
    records = [record(f"g{n}", f"p{n}", ("train", "val", "held_out")[n % 3]) for n in range(9)]
    splits, report = split_records(records, held_out_fraction=0.2, val_fraction=0.1, stratify=["x"] * 9)
    assert splits == [each["split"] for each in records] and report.source.startswith("source; not stratified")
    three = [record(f"g{n}", f"p{n}") for n in range(2)]
    splits, report = split_records(three, held_out_fraction=0.2, val_fraction=0.1, stratify=["x", "y"])
    assert report.source == "by group; too few groups (2) for val; not stratified, too few groups (2)"


def test_a_part_that_nobody_wants_is_no_part():
    records = [record(f"{label}{n}", f"{label}{n}") for label in "ab" for n in range(10)]
    labels = [each["group"][0] for each in records]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a division by zero, as it was
        splits, report = split_records(records, held_out_fraction=0, val_fraction=0.1, stratify=labels)
    assert Counter(zip(labels, splits, strict=True)) == {("a", "train"): 9, ("a", "val"): 1, ("b", "train"): 9, ("b", "val"): 1}
    assert report.source == "by group, stratified"
    splits, report = split_records(records, held_out_fraction=0, val_fraction=0)
    assert set(splits) == {"train"} and report.source == "by group"


def test_classes_of_few_groups_are_told():
    records = [record(f"g{n}", f"p{n}") for n in range(30)]
    splits, report = split_records(records, held_out_fraction=0.2, val_fraction=0.1, stratify=["x"] * 28 + ["y"] * 2)
    assert set(splits) == {"train", "val", "held_out"} and "1 classes have fewer groups" in report.source


def test_a_published_split_can_be_passed_over():
    records = [record(f"g{n}", f"p{n}", "train" if n else "held_out") for n in range(20)]
    splits, report = split_records(records, held_out_fraction=0.2, val_fraction=0.1, published=False)
    assert report.source == "by group" and Counter(splits)["held_out"] == 4


def rows(groups, labels):
    return pd.DataFrame({"group": groups, "labels": [{"tissue": label} if label else None for label in labels]})


def test_shots_come_from_different_groups():
    groups = [f"s{n // 10}" for n in range(60)]
    table = rows(groups, ["a"] * 40 + ["b"] * 20)
    drawn = k_shot(table, "tissue", 4, seed=1)
    a, b = drawn.iloc[:4], drawn.iloc[4:]
    assert len(drawn) == 8 and a["group"].nunique() == 4
    assert Counter(b["group"]) == {"s4": 2, "s5": 2}  # two groups give two each
    assert list(drawn.index) == sorted(drawn.index)
    assert k_shot(table, "tissue", 4, seed=1).equals(drawn) and not k_shot(table, "tissue", 4, seed=2).equals(drawn)
    counts = Counter()
    for seed in range(300):
        counts.update(k_shot(table, "tissue", 1, seed=seed).index.tolist())
    assert len(counts) > 55  # every image may be drawn


def test_classes_with_too_few_are_named():
    table = rows(["a", "b", "c"], ["x", "x", "y"])
    with pytest.raises(UsageError, match=r"y \(1\)"):
        k_shot(table, "tissue", 2)
    with pytest.raises(UsageError, match="there are: tissue"):
        k_shot(table, "grade", 1)
