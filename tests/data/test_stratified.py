"""Stratified splits by group and k-shot draws, against counts by hand and scikit-learn's stratification."""

import hashlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from domainclip.data.shots import k_shot
from domainclip.data.splits import split_records
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
