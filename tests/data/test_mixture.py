"""Mixtures: shares of an epoch are exact, caps take whole groups, and what one source tests no other trains."""

import json
import shutil
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blobs import blobs
from PIL import Image

from domainclip.cli.main import main
from domainclip.config import DataConfig
from domainclip.data.duplicates.leaks import leaks
from domainclip.data.epoch_shares import EpochShares
from domainclip.data.mixture import Part, mix
from domainclip.data.mixture_rows import choose_rows, own_groups
from domainclip.data.prepare import prepare
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.set_summary import draw_summary, summarise, summary_lines
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError


def noise(seed):
    """A picture of a seed."""
    return np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)


def made(folder, name, seeds, splits, label, groups=None, drawn=noise):
    """A prepared set of pictures, one a seed; equal seeds are equal pictures. By default two each make a group of its own."""
    root = folder / f"{name}-source"
    root.mkdir()
    lines = ["path,caption,language,label:tissue,group,split"]
    for number, (seed, split) in enumerate(zip(seeds, splits, strict=True)):
        Image.fromarray(drawn(seed)).save(root / f"{number}.png")
        group = groups[number] if groups else f"{name}{number // 2}"
        lines.append(f"{number}.png,{name} {seed},en,{label},{group},{split}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    domain = domains.get("pathology")
    return prepare(open_source(DataConfig(source=str(root)), domain), domain, folder / name, workers=0, val_fraction=0.0).folder


def saying(folder, copy, **changes):
    """A copy of a set whose dataset.json says something else."""
    shutil.copytree(folder, copy)
    card = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps(card | changes))
    return copy


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Sets that several tests mix, made once: those of ``two`` and of ``same_patients``."""
    folder = tmp_path_factory.mktemp("sets")
    patients = [f"patient{number}" for number in range(10)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOMAINCLIP_HOME", str(tmp_path_factory.getbasetemp() / "owner"))  # as for every test
        return {
            "one": made(folder, "one", range(20), ["train"] * 16 + ["held_out"] * 4, "tumor"),
            # Of the second set's training images two are held out by the first.
            "other": made(folder, "other", [16, 17, *range(100, 110)], ["train"] * 8 + ["held_out"] * 4, "stroma"),
            "here": made(folder, "here", range(10), ["train"] * 6 + ["held_out"] * 3 + ["val"], "tumor", patients),
            "there": made(folder, "there", range(20, 30), ["held_out"] * 3 + ["val"] + ["train"] * 6, "tumor", patients),
        }


@pytest.fixture
def two(sets):
    return sets["one"], sets["other"]


@pytest.fixture
def same_patients(sets):
    """Ten patients twice, in different pictures: the first set trains on 0 to 5, the second on 4 to 9."""
    return sets["here"], sets["there"]


def test_what_one_tests_no_other_trains(two, tmp_path):
    mixture = mix([Part(two[0]), Part(two[1], weight=0.5)], tmp_path / "mixture")
    rows = mixture.index
    assert Counter(zip(rows["source"], rows["split"], strict=True)) == {
        ("unnamed-1", "train"): 16, ("unnamed-1", "held_out"): 4, ("unnamed-2", "train"): 6, ("unnamed-2", "held_out"): 4,
    }  # fmt: skip
    assert [source["leaks_left_out"] for source in mixture.card["sources"]] == [0, 2]
    assert mixture.card["counts"]["groups_in_several_sources"] == 0
    held, trained = (set(rows.loc[rows["split"] == part, "pixel_sha256"]) for part in ("held_out", "train"))
    assert not held & trained
    for number in range(len(rows)):  # every row leads to its own picture, and has its own captions
        (caption,) = mixture.captions_of(rows["key"][number])
        seed = int(caption.text.split()[1])
        np.testing.assert_array_equal(mixture.read(number).array.transpose(1, 2, 0), noise(seed))
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
    assert told["sources"] == {"unnamed-1": 20, "unnamed-2": 10} and told["rejected"] == 0
    assert any("tumor" in line and "16" in line for line in summary_lines(told))
    draw_summary(tmp_path / "summary.png", mixture, told)
    with Image.open(tmp_path / "summary.png") as picture:
        pixels = np.asarray(picture).reshape(-1, 3)
    assert picture.width > 1000 and {(31, 119, 180), (214, 39, 40)} <= set(map(tuple, pixels[::3]))
    with pytest.raises(UsageError, match="ends in"):
        draw_summary(tmp_path / "summary.gif", mixture, told)


def parts_of(rows, column):
    """The parts in which each value of a column lies, e.g. {"abc": {"train"}}."""
    return {value: set(some["split"]) for value, some in rows.groupby(column)}


def test_groups_that_one_source_evaluates_on_no_other_trains_on(same_patients, tmp_path):
    mixture = mix([Part(folder) for folder in same_patients], tmp_path / "mixture")
    # By hand: of the first set's training patients 0 to 5 the second holds out 0 to 2 and validates on 3; of the second's 4 to 9
    # the first holds out 6 to 8 and validates on 9. Patients 4 and 5 both train on.
    assert [source["leaks_by_group"] for source in mixture.card["sources"]] == [4, 4]
    assert all(len(parts) == 1 for parts in parts_of(mixture.index, "group").values())
    counts = mixture.card["counts"]
    assert (counts["train"], counts["val"], counts["held_out"]) == (4, 2, 6) and mixture.index["group"].nunique() == 10
    assert counts["leaks_left_out"] == 8 and counts["leaks_by_pixels"] == 0 and counts["leaks_of_val"] == 0
    assert counts["groups_in_several_sources"] == 10 and counts["groups_across_splits"] == 0
    assert counts["captions_left_out"] == 8 and len(mixture.captions) == 12


def test_groups_whose_names_merely_look_alike_are_told_apart(same_patients, tmp_path):
    apart = mix([Part(folder) for folder in same_patients], tmp_path / "apart", groups_apart=True)
    assert len(apart) == 20 and apart.index["group"].nunique() == 20 and apart.card["groups_apart"] is True
    assert apart.card["counts"]["groups_in_several_sources"] == 10 and apart.card["counts"]["leaks_left_out"] == 0
    # A further mixture still knows them by the names that their first sources gave: the third set holds out patients 0 and 5, on
    # which one and two of the sets within train.
    third = made(tmp_path, "third", range(40, 42), ["held_out"] * 2, "tumor", ["patient0", "patient5"])
    again = mix([Part(apart.folder), Part(third)], tmp_path / "again")
    assert [source["leaks_by_group"] for source in again.card["sources"]] == [3, 0]
    names = parts_of(again.index, "group_in_source")
    assert len(names) == 10 and sum(parts == {"held_out"} for parts in names.values()) == 2  # 0, 5; others differ within


def test_a_group_that_its_own_source_tears_apart_stays_as_published():
    def table(groups, splits, keys="abcd"):
        rows = [*zip(keys, groups, splits, keys, strict=False)]
        return pd.DataFrame(rows, columns=["key", "group", "split", "pixel_sha256"])

    torn = table("ppqs", ["train", "held_out", "val", "held_out"])
    other = table("pqrs", ["train", "train", "train", "val"], "wxyz")
    first, second = choose_rows([torn, other], [None, None], 0, groups_apart=False)
    assert list(first.rows["key"]) == ["a", "b", "c", "d"] and list(second.rows["key"]) == ["y"]
    assert second.counts["leaks_by_group"] == 3 and second.counts["leaks_of_val"] == 1
    # An image named as its group is in it, where others are; alone it is nobody's.
    named = table("aac", ["train", "held_out", "train"])
    assert list(own_groups(named)) == ["a", "a"]


def test_a_group_that_was_joined_to_another_is_known_by_its_own_name_and_takes_its_duplicates_along():
    """The first set joined x to y, of which it has copies; the second evaluates on x. z is another patient."""
    columns = ["key", "split", "group", "source_group", "pixel_sha256"]
    first = pd.DataFrame(
        [("1", "train", "y", "x", "p1"), ("2", "train", "y", "y", "p2"), ("3", "train", "z", "z", "p3")], columns=columns
    )
    second = pd.DataFrame([("4", "held_out", "x", "p4")], columns=["key", "split", "group", "pixel_sha256"])
    kept, _ = choose_rows([first, second], [None, None], 0, groups_apart=False)
    assert list(kept.rows["key"]) == ["3"] and kept.counts["leaks_by_group"] == 2
    assert len(choose_rows([first, second], [None, None], 0, groups_apart=True)[0].rows) == 3


def test_the_group_of_a_picture_that_another_source_evaluates_on_goes_with_it():
    """The same patient under another name: of x one picture is held out by the second source; the first tears w apart itself."""
    columns = ["key", "split", "group", "pixel_sha256"]
    first = [("1", "train", "x", "p1"), ("2", "train", "x", "p2"), ("3", "train", "z", "p3"), ("5", "train", "w", "p5")]
    first += [("6", "train", "w", "p6"), ("7", "val", "v", "p5")]
    second = pd.DataFrame([("4", "held_out", "y", "p1")], columns=columns)
    for apart in (False, True):
        kept, _ = choose_rows([pd.DataFrame(first, columns=columns), second], [None, None], 0, groups_apart=apart)
        assert list(kept.rows["key"]) == ["3", "6", "7"]
        assert kept.counts["leaks_by_pixels"] == 2 and kept.counts["leaks_by_group"] == 1


def test_images_without_a_group_share_none(tmp_path):
    """Two sources may both call an image 0.png; that makes no patient of the two."""
    none = [""] * 4
    one = made(tmp_path, "one", range(4), ["train"] * 3 + ["held_out"], "tumor", none)
    other = made(tmp_path, "other", range(10, 14), ["held_out"] + ["train"] * 3, "tumor", none)
    mixture = mix([Part(one), Part(other)], tmp_path / "mixture")
    assert len(mixture) == 8 and mixture.index["group"].nunique() == 8
    assert mixture.card["counts"]["groups_in_several_sources"] == 0
    assert len(mix([Part(mixture.folder), Part(one)], tmp_path / "again").index) == 8  # and no picture comes twice


def test_images_without_a_group_share_none_though_copies_are_joined(tmp_path):
    """Each set has a picture twice (0.png and 1.png, no group): one group in each, and not the same one."""
    none = [""] * 4
    one = made(tmp_path, "one", [0, 0, 1, 2], ["train"] * 3 + ["held_out"], "tumor", none)
    other = made(tmp_path, "other", [10, 10, 11, 12], ["held_out"] * 2 + ["train"] * 2, "tumor", none)
    mixture = mix([Part(one), Part(other)], tmp_path / "mixture")
    assert len(mixture) == 8 and sorted(mixture.index["group"].value_counts()) == [1, 1, 1, 1, 2, 2]
    assert mixture.index["source_group"].nunique() == 8 and set(mixture.index["group"]) <= set(mixture.index["key"])


def test_validated_images_are_not_trained_on_and_held_out_ones_not_validated_on(tmp_path):
    one = made(tmp_path, "one", [1, 2, 3, 4], ["train", "train", "val", "val"], "tumor", [*"abcd"])
    other = made(tmp_path, "other", [3, 5, 4, 1], ["train", "train", "held_out", "held_out"], "tumor", [*"efgh"])
    mixture = mix([Part(one), Part(other)], tmp_path / "mixture")
    rows = mixture.index
    texts = [mixture.captions_of(key)[0].text for key in rows["key"]]
    # 1 and 4 are held out by the second, 3 is validated on by the first; 2 and 5 nobody evaluates on.
    assert sorted(zip(rows["source"], rows["split"], texts, strict=True)) == [
        ("unnamed-1", "train", "one 2"), ("unnamed-1", "val", "one 3"),
        ("unnamed-2", "held_out", "other 1"), ("unnamed-2", "held_out", "other 4"), ("unnamed-2", "train", "other 5"),
    ]  # fmt: skip
    counts = mixture.card["counts"]
    assert counts["leaks_by_pixels"] == 3 and counts["leaks_of_val"] == 1


def test_no_picture_comes_twice(two, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixture = mix([Part(two[0]), Part(two[0])], tmp_path / "mixture")
    assert len(mixture) == mixture.index["pixel_sha256"].nunique() == 20 and set(mixture.index["source"]) == {"unnamed-1"}
    assert [source["copies_left_out"] for source in mixture.card["sources"]] == [0, 20]
    # What a cap leaves out of one source, a later one may give.
    capped = mix([Part(two[0], cap=3), Part(two[0])], tmp_path / "capped")
    assert len(capped) == 20 and [source["over_cap"] for source in capped.card["sources"]] == [13, 0]


def test_nothing_left_to_train_on_is_said(same_patients, tmp_path):
    held = made(tmp_path, "held", range(50, 60), ["held_out"] * 10, "tumor", [f"patient{number}" for number in range(10)])
    with pytest.warns(UserWarning, match="No training image is left"):
        mix([Part(same_patients[0]), Part(held)], tmp_path / "mixture")


def test_a_cap_leaves_val_and_held_out_whole(tmp_path):
    one = made(tmp_path, "one", range(8), ["train"] * 4 + ["val"] * 2 + ["held_out"] * 2, "tumor")
    other = made(tmp_path, "other", range(10, 12), ["train"] * 2, "tumor")
    counts = mix([Part(one, cap=1), Part(other)], tmp_path / "mixture").card["counts"]
    assert (counts["train"], counts["val"], counts["held_out"]) == (3, 2, 2)


def test_a_mixture_of_a_mixture_keeps_sources_and_multiplies_weights(two, tmp_path):
    inner = mix([Part(two[0], weight=0.1), Part(two[1])], tmp_path / "inner", name="inner")
    assert dict(zip(inner.index["source"], inner.index["weight"], strict=True)) == {"unnamed-1": "0.1", "unnamed-2": "1.0"}
    third = made(tmp_path, "third", range(200, 204), ["train"] * 4, "tumor")
    outer = mix([Part(inner.folder, weight=0.5), Part(third, weight=2)], tmp_path / "outer")
    weights = {name: float(weight) for name, weight in zip(outer.index["source"], outer.index["weight"], strict=True)}
    assert weights == {"unnamed-1": pytest.approx(0.05), "unnamed-2": 0.5, "unnamed": 2.0}
    assert [source["in_index"] for source in outer.card["sources"]] == [["unnamed-1", "unnamed-2"], ["unnamed"]]
    assert [source["weight"] for source in outer.card["sources"][0]["sources"]] == [0.1, 1.0]
    # Names that are taken are not given again.
    names = set(mix([Part(inner.folder), Part(third), Part(third)], tmp_path / "three").card["sources"][1]["in_index"])
    assert names == {"unnamed-3"}


def test_what_sources_say_goes_into_the_mixture(two, tmp_path):
    """Forbidden uses, what was rejected, and the owner's map."""
    counts = PreparedSet(two[1]).card["counts"] | {"rejected": 2}
    forbidding = saying(two[1], tmp_path / "forbidding", forbids=["commercial"], counts=counts)
    lines = [{"key": "a", "reason": "damaged"}, {"key": "b", "reason": "empty"}]
    (forbidding / "rejected.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    mixture = mix([Part(two[0]), Part(forbidding)], tmp_path / "mixture")
    assert mixture.card["forbids"] == ["commercial"]
    assert mixture.card["counts"]["rejected"] == summarise(mixture)["rejected"] == 2
    kept = [json.loads(line) for line in (mixture.folder / "rejected.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in kept] == ["damaged", "empty"] and not {"a", "b"} & {line["key"] for line in kept}
    seeds = {"one": [*range(20)], "other": [16, 17, *range(100, 110)]}
    paths = mixture.paths()
    for key in mixture.index["key"]:  # the picture of a seed lies where the owner's map says
        name, seed = mixture.captions_of(key)[0].text.split()
        assert Path(paths[key]).parts[-2:] == (f"{name}-source", f"{seeds[name].index(int(seed))}.png")


def test_sets_of_two_domains_are_refused(two, tmp_path):
    elsewhere = saying(two[1], tmp_path / "elsewhere", domain="radiology")
    with pytest.raises(UsageError, match="several domains: pathology, radiology"):
        mix([Part(two[0]), Part(elsewhere)], tmp_path / "mixture")
    assert not (tmp_path / "mixture").exists()


def test_equal_pixels_cannot_be_told_from_other_jpeg_qualities(two, tmp_path):
    lossy = saying(two[1], tmp_path / "lossy", jpeg_quality=90)
    with pytest.warns(UserWarning, match=r"different data\.jpeg_quality"):
        mix([Part(two[0]), Part(lossy)], tmp_path / "mixture")


def test_shares_are_relative_to_the_largest_weight_and_epochs_differ():
    rows = pd.DataFrame({"weight": ["0.5"] * 10 + ["0.1"] * 50})
    shares = EpochShares(rows, np.arange(60), seed=1)
    assert shares.count == 20  # ten at 0.5/0.5, fifty at 0.1/0.5
    shown = [set(shares.chosen(np.arange(60), epoch).tolist()) for epoch in range(6)]
    assert all(len(one) == 20 and one >= set(range(10)) for one in shown)
    assert len({frozenset(one) for one in shown}) > 1  # the same order, and yet another start


def test_the_pixel_of_a_summary_is_its_width(two):
    """Of a volume with thick slices and of a pixel that is no square, the last of Z, Y and X is told."""
    prepared = PreparedSet(two[0])
    spacings = [{"unit": "mm", "values": [5.0, 2.0, 1.5]}, {"unit": "mm", "values": [3.0, 2.5]}, *[None] * 18]
    prepared.index["spacing"] = pd.Series(spacings, dtype=object)
    told = summarise(prepared)["spacing"]
    assert told == {"mm": {"smallest": 1.5, "median": 2.0, "largest": 2.5}, "unknown": 18}


def test_the_verb_says_what_was_left_out_and_why(same_patients, tmp_path, capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["mix", *map(str, same_patients), "--output", str(tmp_path / "mixture")])
    said = capfd.readouterr().out
    assert stopped.value.code == 0 and "4 left out whose group another source evaluates on" in said
    assert "10 groups (patients, slides, scenes) have the same name in several sources and count as the same" in said
    assert f"domainclip audit {tmp_path / 'mixture'} --duplicates" in said


def test_near_duplicates_across_sources_are_found_by_the_audit(tmp_path):
    """A mirrored, darker copy has other pixels: the mixture takes it, and the audit of the mixture finds it."""

    def mirrored(seed):
        picture = blobs(300 + seed).transpose(1, 2, 0)[:, ::-1]
        return picture - picture // 8

    one = made(tmp_path, "one", [1, 2], ["train", "held_out"], "a", "pq", lambda seed: blobs(300 + seed).transpose(1, 2, 0))
    other = made(tmp_path, "other", [3, 1], ["train", "held_out"], "a", "rs", mirrored)
    mixture = mix([Part(one), Part(other)], tmp_path / "mixture")
    assert len(mixture) == 4 and mixture.card["counts"]["leaks_left_out"] == 0
    (torn,) = leaks(mixture).torn
    assert sorted(zip(mixture.index["source"][[*torn]], mixture.index["split"][[*torn]], strict=True)) == [
        ("unnamed-1", "train"), ("unnamed-2", "held_out"),
    ]  # fmt: skip
