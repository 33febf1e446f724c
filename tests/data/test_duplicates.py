"""Duplicates: views that turns and zooms shift, maps recovered against OpenCV's, planted copies, leaks counted by hand."""

import errno
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blobs import blobs, mapped
from PIL import Image

from domainclip.cli.main import main
from domainclip.data.duplicates import find_duplicates
from domainclip.data.duplicates.descriptor import mirrored, raw_descriptors
from domainclip.data.duplicates.find import joined
from domainclip.data.duplicates.keypoints import features_of, same_picture
from domainclip.data.duplicates.leaks import leaks
from domainclip.data.duplicates.polar import ANGLES, RINGS, STEPS, agreement, grey, polar_views, rings
from domainclip.data.prepared_set import PreparedSet
from domainclip.errors import DiskFullError


def cosine(one, other):
    return float((one * other).sum() / math.sqrt((one**2).sum() * (other**2).sum()))


def view(picture):
    return polar_views(grey(picture))


def test_a_quarter_turn_shifts_the_view_by_a_quarter_of_the_angles():
    picture = blobs(1)
    # np.rot90 turns counter-clockwise as seen; angles grow clockwise, rows going down.
    turned = np.rot90(picture, axes=(1, 2))
    assert np.abs(np.roll(view(picture), -ANGLES // 4, axis=2).astype(int) - view(turned)).max() <= 1


def test_a_zoom_shifts_the_view_along_the_radius():
    picture = blobs(2)
    near, far = view(mapped(picture, zoom=1.08**3)), view(picture)
    same = float(agreement(rings(near), rings(far, 3))[0][0])
    assert same > 0.9 and same > agreement(rings(near), rings(far, 1))[0][0] + 0.2
    assert rings(far, 3).shape == (1, RINGS, ANGLES) and rings(far, STEPS).base is not None


def test_the_descriptor_does_not_change_with_turns_and_mirrors_as_it_says():
    raw = {name: raw_descriptors(rings(view(picture))) for name, picture in {
        "plain": blobs(3), "turned": np.rot90(blobs(3), axes=(1, 2)), "mirrored": blobs(3)[:, :, ::-1], "other": blobs(4),
    }.items()}  # fmt: skip
    assert cosine(raw["plain"], raw["turned"]) > 0.99
    assert cosine(mirrored(raw["plain"]), raw["mirrored"]) > 0.99
    assert cosine(raw["plain"], raw["mirrored"]) < 0.9 and cosine(raw["plain"], raw["other"]) < 0.9
    assert cosine(raw["plain"], raw_descriptors(rings(view(mapped(blobs(3), turned_deg=33))))) > 0.9


@pytest.mark.parametrize(
    ("turned_deg", "zoom", "shift", "mirror"),
    [
        (0, 1.0, (0, 0), False),
        (30, 1.0, (0, 0), False),
        (-100, 1.25, (0, 0), True),
        (12, 0.8, (15, -10), False),
        (180, 1, (9, 9), True),
    ],
)
def test_the_map_between_two_pictures_is_found(turned_deg, zoom, shift, mirror):
    picture = blobs(5)
    other = mapped(picture[:, :, ::-1] if mirror else picture, turned_deg, zoom, shift)
    match = same_picture(3, 8, features_of(grey(picture)), features_of(grey(other)))
    assert (match.first, match.second, match.mirrored) == (3, 8, mirror)
    # OpenCV's angle is counter-clockwise as seen; that of the map is clockwise.
    assert abs((match.turned_deg + turned_deg + 180) % 360 - 180) < 1 and match.zoom == pytest.approx(zoom, rel=0.02)
    assert match.correlation > 0.9 and match.inliers >= 20


def test_other_pictures_and_plain_ones_are_no_match():
    features = [features_of(grey(blobs(seed))) for seed in range(20, 28)]
    assert not any(same_picture(0, 1, one, other) for n, one in enumerate(features) for other in features[:n])
    blank = features_of(grey(np.full((3, 99, 80), 7, np.uint8)))
    assert blank.is_plain and same_picture(0, 1, blank, blank) is None


def test_grey_stretches_and_survives_holes():
    picture = blobs(6).astype(np.float32) / 20000 - 1
    assert np.allclose(grey(picture), grey(blobs(6)), atol=0.1)
    picture[:, :50] = np.nan
    assert np.isfinite(grey(picture)).all() and grey(np.full((2, 5, 5), np.nan)).max() == 0
    assert grey(np.full((1, 9, 9), 3, np.uint16)).max() == 0


@pytest.fixture(scope="module")
def planted():
    """Thirty-two pictures and eight copies: of number n number 32 + n."""
    pictures = [blobs(seed) for seed in range(100, 132)]
    copies = [
        pictures[0].copy(),
        np.rot90(pictures[1], axes=(1, 2)),
        pictures[2][:, ::-1],
        mapped(pictures[3], turned_deg=20, zoom=1.2),
        np.asarray(Image.fromarray(pictures[4].transpose(1, 2, 0)).resize((150, 150))).transpose(2, 0, 1),
        (255 * (pictures[5] / 255) ** np.array([0.7, 1.2, 1.4])[:, None, None]).astype(np.uint8),
        mapped(pictures[6], zoom=1.3, shift=(18, -14)),
        mapped(pictures[7][:, :, ::-1], turned_deg=-25, zoom=1.1),
    ]
    return pictures + copies


def test_planted_copies_are_found_and_nothing_else(planted):
    found = find_duplicates(len(planted), lambda n: planted[n])
    assert found.groups == tuple((n, 32 + n) for n in range(8))
    assert [match.mirrored for match in found.matches] == [False, False, True, False, False, False, False, True]
    again = find_duplicates(len(planted), lambda n: planted[n], workers=1)
    assert again == found and found.images == 40 and found.plain == ()
    assert 8 <= found.compared <= 12 < found.candidates / 20, "small pictures that do not fit spare the look at features"


def test_sets_of_none_one_and_two():
    picture = blobs(7)
    assert find_duplicates(0, lambda n: picture).groups == find_duplicates(1, lambda n: picture).groups == ()
    assert find_duplicates(2, lambda n: picture).groups == ((0, 1),)


def test_large_sets_go_through_cells(planted, monkeypatch):
    from domainclip.data.duplicates import candidates

    monkeypatch.setattr(candidates, "_EXACT_UP_TO", 10)
    assert find_duplicates(len(planted), lambda n: planted[n]).groups == tuple((n, 32 + n) for n in range(8))


def test_groups_are_whole():
    assert joined([(4, 9), (1, 2), (9, 5), (7, 8), (2, 3)]) == ((1, 2, 3), (4, 5, 9), (7, 8)) and joined([]) == ()


@pytest.fixture
def torn_set(tmp_path):
    """Twelve pictures of two classes: of held_out one of three of class a and both of b lie in train as copies; val none."""
    rows = []
    plan = [
        ("train", "a", 1), ("train", "a", 2), ("train", "b", 3), ("train", "b", 4), ("train", "a", 5),
        ("held_out", "a", -1), ("held_out", "a", 6), ("held_out", "a", 7), ("held_out", "b", -3), ("held_out", "b", -4),
        ("val", "a", 8), ("val", "b", 9),
    ]  # fmt: skip
    for number, (split, label, seed) in enumerate(plan):
        picture = blobs(200 + abs(seed))
        picture = picture if seed > 0 else mapped(picture[:, :, ::-1], turned_deg=15, zoom=1.15)
        path = tmp_path / f"{number:02d}.png"
        Image.fromarray(picture.transpose(1, 2, 0)).save(path)
        rows.append({"path": path.name, "split": split, "label:diagnosis": label, "group": f"g{number}"})
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    assert run("prepare", str(tmp_path / "manifest.csv"), "--domain", "pathology", "--output", str(tmp_path / "set")) == 0
    return tmp_path / "set"


def run(*words):
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return stopped.value.code


def test_leaks_are_counted_by_class(torn_set, capfd):
    report = leaks(PreparedSet(torn_set))
    assert len(report.torn) == 3 and report.across_groups == 3 and not report.clean
    told = {(leak.split, leak.label): (leak.leaked, leak.images) for leak in report.leaks}
    assert told[("held_out", None)] == (3, 5) and told[("val", None)] == (0, 2)
    capfd.readouterr()
    sheet = torn_set.parent / "twins.png"
    assert run("audit", str(torn_set), "--duplicates", "--json", "--sheet", str(sheet)) == 1
    told = json.loads(capfd.readouterr().out)
    assert told["duplicate_groups"] == 3 and told["torn_groups"] == 3 and told["clean"] is False
    with Image.open(sheet) as picture:
        frames = {picture.convert("RGB").getpixel((5 + 116 * n, 23)) for n in range(2)}
    assert frames == {(31, 119, 180), (214, 39, 40)}, "train beside held_out"


def test_a_clean_set_and_wrong_options(torn_set, capfd):
    assert run("audit", str(torn_set), "--sheet", "x.png") == 2
    assert "Add --duplicates" in capfd.readouterr().err
    assert run("audit", str(torn_set), "--duplicates", "--sheet", "x.bmp") == 2
    assert "ends in .bmp" in capfd.readouterr().err


def pictures(folder, plan):
    """A manifest of pictures: (split, seed) each; a negative seed is the mirrored and turned copy."""
    folder.mkdir()
    rows = []
    for number, (split, seed) in enumerate(plan):
        picture = blobs(300 + abs(seed))
        picture = picture if seed > 0 else mapped(picture[:, :, ::-1], turned_deg=15, zoom=1.15)
        Image.fromarray(picture.transpose(1, 2, 0)).save(folder / f"{number:02d}.png")
        rows.append({"path": f"{number:02d}.png", "label:diagnosis": "ab"[number % 2], "group": f"g{number}", "split": split})
    pd.DataFrame(rows).dropna(axis=1, how="all").to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def test_groups_that_show_the_same_picture_lie_on_one_side_of_the_split(tmp_path, capfd):
    plan = [(None, seed) for seed in (*range(1, 7), *range(-6, 0))]
    manifest = pictures(tmp_path / "pictures", plan)
    words = ("prepare", str(manifest), "--domain", "pathology", "--json", "--set", "data.val_fraction=0.3")
    assert run(*words, "--output", str(tmp_path / "near"), "--set", "data.duplicates=near") == 0
    counts = json.loads(capfd.readouterr().out)["counts"]
    assert counts["groups_of_same_picture"] == 6 and counts["same_picture_across_splits"] == 0
    prepared = PreparedSet(tmp_path / "near")
    assert prepared.card["duplicates"] == "near" and set(prepared.index["split"]) == {"train", "val", "held_out"}
    assert leaks(prepared).torn == () and run("audit", str(tmp_path / "near"), "--duplicates") == 0
    assert "No split shows what train shows" in capfd.readouterr().out
    assert run(*words, "--output", str(tmp_path / "exact")) == 0
    capfd.readouterr()
    assert "duplicates" not in PreparedSet(tmp_path / "exact").card and leaks(PreparedSet(tmp_path / "exact")).torn


def test_blank_images_join_no_groups(tmp_path):
    """One white tile in each of two slides is no reason to count them as one; equal tissue is."""
    (tmp_path / "in").mkdir()
    white, tissue = np.full((64, 64, 3), 255, np.uint8), blobs(9, side=64).transpose(1, 2, 0)
    for name, picture in (("a1", white), ("b1", white), ("c1", tissue), ("d1", tissue), ("a2", tissue // 2), ("b2", tissue // 3)):
        Image.fromarray(picture).save(tmp_path / f"in/{name}.png")
    rows = [{"path": f"{name}.png", "group": name[0], "label:kind": "x"} for name in ("a1", "b1", "c1", "d1", "a2", "b2")]
    pd.DataFrame(rows).to_csv(tmp_path / "in/manifest.csv", index=False)
    assert run("prepare", str(tmp_path / "in/manifest.csv"), "--domain", "pathology", "--output", str(tmp_path / "set")) == 0
    prepared = PreparedSet(tmp_path / "set")
    joined_to = prepared.index.groupby("source_group")["group"].first()
    assert len(joined_to) == 4 and joined_to.nunique() == 3 and prepared.card["counts"]["duplicates"] == 1


def test_what_jpeg_makes_blank_is_blank_and_like_no_other():
    """Glass is white and some noise: the encoder makes equal bytes of it, which would join all slides that have some."""
    from domainclip.data.spool import _told_apart_by
    from domainclip.data.storage import StoredImage

    def told(pixels, digest="same", key="a", storage="jpg"):
        return _told_apart_by(StoredImage(storage, b"", None, {}, pixels), digest, key)

    draw = np.random.default_rng(0)
    glass = [draw.integers(240, 246, (3, 64, 64)).astype(np.uint8) for _ in range(2)]
    assert told(glass[0], key="a") != told(glass[1], key="b") and told(blobs(1)) == told(blobs(2)) == "same"
    # Without loss they are what they are: equal or not.
    assert told(glass[0], None, "a", "png") == told(glass[0], None, "b", "png") != told(glass[1], None, "a", "png")
    white, black = np.full((3, 9, 9), 255, np.uint8), np.zeros((3, 9, 9), np.uint8)
    assert told(white, None, "a", "png") != told(white, None, "b", "png")
    assert told(white, None, "a", "png") != told(black, None, "a", "png"), "of two sets, under one name"
    wide = np.array([[[-32768, 32767]]], np.int16)
    assert told(wide, None, "a", "npy") == told(wide, None, "b", "npy") and told(wide > 0, None) == told(wide > 0, None, "b")


def test_a_full_disk_is_said_before_it_ends_the_process(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DiskFullError, match=r"no room for 0\.0 GB[^\n]*\n.*TMPDIR"):
        find_duplicates(3, blobs)


def test_the_source_s_own_split_is_kept_and_what_it_tears_apart_is_said(tmp_path, capfd):
    plan = [("train", 1), ("train", 2), ("train", 3), ("held_out", -1), ("held_out", -2), ("held_out", 4), ("val", 5)]
    words = ("prepare", str(pictures(tmp_path / "pictures", plan)), "--domain", "pathology", "--output", str(tmp_path / "set"))
    assert run(*words, "--set", "data.duplicates=near") == 0
    assert "2 pairs of groups show the same picture" in capfd.readouterr().out
    assert sorted(PreparedSet(tmp_path / "set").index["split"]) == sorted(split for split, _ in plan)


def test_what_was_found_is_kept_for_a_call_that_goes_on(tmp_path):
    """Spools are gone by then as far as their shards are written."""
    from domainclip.data.duplicates.before_split import same_pictures
    from domainclip.data.entries import Gathered

    (tmp_path / "duplicates.jsonl").write_text('{"one": "a", "other": "b"}\n')
    assert same_pictures(Gathered(), tmp_path) == [("a", "b")]


@pytest.mark.slow
@pytest.mark.real_data
def test_lc25000_is_copies_of_some_hundred_pictures(real_data):
    """Its 15,000 images of the lung are 750 turned and mirrored; of 900 most have a twin (looked at: docs/duplicates.md)."""
    paths = sorted((real_data / "pathology/lc25000").rglob("*.jpeg"))
    found = find_duplicates(len(paths), lambda n: np.asarray(Image.open(paths[n]).convert("RGB")).transpose(2, 0, 1), workers=1)
    assert len(paths) == 900 and 215 <= len(found.groups) <= 245 and 540 <= sum(map(len, found.groups)) <= 600
    assert max(map(len, found.groups)) <= 10
    classes = [paths[n].parent.name for n in range(900)]
    assert all(len({classes[n] for n in group}) == 1 for group in found.groups), "no class shows what another one does"


def test_a_card_of_copies_looks_for_them_unless_told_otherwise(tmp_path):
    """LC25000's card; its folder holds pictures and their copies."""
    from domainclip.cli.prepare import _lines
    from domainclip.config import DataConfig
    from domainclip.data.prepare import prepare
    from domainclip.data.shots import k_shot
    from domainclip.data.sources import open_source
    from domainclip.domains.base import domains

    for place, name in enumerate(("lung_n", "lung_aca", "lung_scc")):
        folder = tmp_path / "root" / "lung_image_sets" / name
        folder.mkdir(parents=True)
        for number in range(2):
            picture = blobs(600 + 2 * place + number)
            Image.fromarray(picture.transpose(1, 2, 0)).save(folder / f"{number}.png")
            copy = mapped(picture[:, :, ::-1], turned_deg=15, zoom=1.15)
            Image.fromarray(copy.transpose(1, 2, 0)).save(folder / f"{number}-copy.png")
    pathology = domains.get("pathology")
    source = open_source(DataConfig(source="lc25000-lung", root=str(tmp_path / "root")), pathology)
    near = prepare(source, pathology, tmp_path / "near", workers=0)
    assert near.card["duplicates"] == "near" and near.card["counts"]["groups_of_same_picture"] == 6
    exact = prepare(source, pathology, tmp_path / "exact", workers=0, duplicates="exact")
    assert "duplicates" not in exact.card and exact.card["counts"]["groups_of_same_picture"] is None
    assert any("groups_of_same_picture: not looked for" in line for line in _lines(tmp_path, exact.card))
    assert list(near.index["group"].value_counts()) == [2] * 6  # a picture and its copy are one group
    assert near.index["source_group"].is_unique and set(near.index["group"]) < set(near.index["source_group"])
    assert exact.index["group"].equals(exact.index["source_group"]) and exact.index["group"].is_unique
    pictures_of = {key: Path(path).stem.removesuffix("-copy") for key, path in near.paths().items()}
    for seed in range(5):
        drawn = k_shot(near.index, "diagnosis", 2, seed=seed)
        shown = {(labels["diagnosis"], pictures_of[key]) for labels, key in zip(drawn["labels"], drawn["key"], strict=True)}
        assert len(shown) == len(drawn) == 6, "two shots of a class are two pictures, not one and its copy"
