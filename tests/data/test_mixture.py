"""Mixtures: shares of an epoch are exact, caps take whole groups, and what one source tests no other trains."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from domainclip.config import DataConfig
from domainclip.data.epoch_shares import EpochShares
from domainclip.data.mixture import Part, mix
from domainclip.data.prepare import prepare
from domainclip.data.set_summary import draw_summary, summarise, summary_lines
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError


def made(folder, name, seeds, splits, label):
    """A prepared set of noise pictures, one a seed; equal seeds are equal pictures."""
    root = folder / f"{name}-source"
    root.mkdir()
    lines = ["path,caption,language,label:tissue,group,split"]
    for number, (seed, split) in enumerate(zip(seeds, splits, strict=True)):
        noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
        Image.fromarray(noise).save(root / f"{number}.png")
        lines.append(f"{number}.png,{name} {seed},en,{label},{name}{number // 2},{split}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    domain = domains.get("pathology")
    return prepare(open_source(DataConfig(source=str(root)), domain), domain, folder / name, workers=0, val_fraction=0.0).folder


@pytest.fixture
def two(tmp_path):
    one = made(tmp_path, "one", range(20), ["train"] * 16 + ["held_out"] * 4, "tumor")
    # Of the second set's training images two are held out by the first.
    other = made(tmp_path, "other", [16, 17, *range(100, 110)], ["train"] * 8 + ["held_out"] * 4, "stroma")
    return one, other


def test_what_one_tests_no_other_trains(two, tmp_path):
    mixture = mix([Part(two[0]), Part(two[1], weight=0.5)], tmp_path / "mixture")
    rows = mixture.index
    assert Counter(zip(rows["source"], rows["split"], strict=True)) == {
        ("unnamed-1", "train"): 16, ("unnamed-1", "held_out"): 4, ("unnamed-2", "train"): 6, ("unnamed-2", "held_out"): 4,
    }  # fmt: skip
    assert [source["leaks_left_out"] for source in mixture.card["sources"]] == [0, 2]
    held, trained = (set(rows.loc[rows["split"] == part, "pixel_sha256"]) for part in ("held_out", "train"))
    assert not held & trained
    for number in range(len(rows)):  # every row leads to its own picture, and has its own captions
        (caption,) = mixture.captions_of(rows["key"][number])
        seed = int(caption.text.split()[1])
        expected = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
        np.testing.assert_array_equal(mixture.read(number).array.transpose(1, 2, 0), expected)
    assert set(mixture.captions["origin"]) == {"human"} and len(mixture.captions) == 30


def test_caps_take_whole_groups_in_a_seeded_order(two, tmp_path):
    taken = {}
    for seed in (0, 1, 0):
        folder = tmp_path / f"m{len(taken)}-{seed}"
        rows = mix([Part(two[0], cap=5), Part(two[1])], folder, seed=seed).index
        own = rows[(rows["source"] == "unnamed-1") & (rows["split"] == "train")]
        assert len(own) == 5 and own["group"].nunique() == 3  # two whole groups of two, and one of a third
        assert taken.setdefault(seed, set(own["key"])) == set(own["key"])
    assert taken[0] != taken[1]


def test_the_shares_of_an_epoch_are_exact():
    rows = pd.DataFrame({"weight": ["1.0"] * 40 + ["0.25"] * 100})
    shares = EpochShares(rows, np.arange(140), seed=3)
    assert shares.count == 65
    seen = Counter()
    for epoch in range(200):
        order = np.random.default_rng(epoch).permutation(140)
        chosen = shares.chosen(order, epoch)
        assert len(chosen) == 65 and len(set(chosen)) == 65
        assert abs((chosen < 40).sum() - 40) <= 1
        places = {row: place for place, row in enumerate(order)}
        assert sorted(chosen, key=places.__getitem__) == list(chosen)
        seen.update(chosen.tolist())
    assert min(seen[n] for n in range(40)) == 200
    assert all(25 <= seen[n] <= 78 for n in range(40, 140))  # 50 expected of 200, binomial at worst: 4.5 sigma


def test_equal_weights_change_nothing():
    order = np.arange(9)[::-1]
    for rows in (pd.DataFrame({"weight": ["0.5"] * 9}), pd.DataFrame({"x": range(9)})):
        assert EpochShares(rows, np.arange(9), 0).chosen(order, 4) is order


def test_bad_mixtures(two, tmp_path):
    for parts, words in (
        ([Part(two[0])], "1 set was named"),
        ([Part(two[0]), Part(two[1], weight=0)], "not positive"),
        ([Part(two[0], cap=0), Part(two[1])], "not positive"),
        ([Part(two[0]), Part(tmp_path)], "no readable dataset.json"),
    ):
        with pytest.raises(UsageError, match=words):
            mix(parts, tmp_path / "none")
    with pytest.raises(UsageError, match="such a folder already"):
        mix([Part(two[0]), Part(two[1])], two[0])


def test_a_set_is_summarised(two, tmp_path):
    mixture = mix([Part(two[0]), Part(two[1])], tmp_path / "mixture")
    told = summarise(mixture)
    assert told["labels"]["tissue"] == {"stroma": {"train": 6, "held_out": 4}, "tumor": {"train": 16, "held_out": 4}}
    assert told["captions"]["languages"] == {"en": 30} and told["spacing"] == {"unknown": 30}
    assert told["sizes"]["width"] == {"smallest": 24, "median": 24, "largest": 24}
    assert told["sources"] == {"unnamed-1": 20, "unnamed-2": 10}
    assert any("tumor" in line and "16" in line for line in summary_lines(told))
    draw_summary(tmp_path / "summary.png", mixture, told)
    with Image.open(tmp_path / "summary.png") as picture:
        pixels = np.asarray(picture).reshape(-1, 3)
    assert picture.width > 1000 and {(31, 119, 180), (214, 39, 40)} <= set(map(tuple, pixels[::3]))
    with pytest.raises(UsageError, match="ends in"):
        draw_summary(tmp_path / "summary.gif", mixture, told)
