"""Pairs of images one by one: where a map starts and how well it fits, what is no match, which pairs come first, cells, leaks."""

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from blobs import blobs, mapped

from domainclip.data.duplicates import Duplicates, Match, find_duplicates
from domainclip.data.duplicates import leaks as leaks_module
from domainclip.data.duplicates.candidates import LIKELY, indexed
from domainclip.data.duplicates.compare import likeliest
from domainclip.data.duplicates.keypoints import LEAST_INLIERS, SIDE, Features, same_picture
from domainclip.data.duplicates.overlay import SMALL, fit, is_flat, small_picture, start
from domainclip.data.duplicates.polar import ANGLES, CENTRES, agreement, grey, polar_views, rings
from domainclip.data.duplicates.sheet import group_sheet


@pytest.mark.parametrize(
    ("mirrored", "turn", "step", "centre"),
    [(False, 0, 0, 0), (False, 9, 0, 0), (True, 5, 2, 0), (False, -4, 4, 3), (True, 21, 3, 6)],
)
def test_the_best_agreement_says_where_the_map_starts(mirrored, turn, step, centre):
    """A part is cut out by OpenCV's own warp: turned, zoomed and moved by what the views must find again."""
    picture, angle, middle = blobs(31), turn * 360 / ANGLES, (224 - 1) / 2
    # In pixels of the part, of those of the picture: cosine and sine by hand, columns before rows.
    cosine, sine = np.cos(np.radians(angle)) / 1.08**step, np.sin(np.radians(angle)) / 1.08**step
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1 if mirrored and axis == 1 else 1 for axis in range(2)])
    offset = middle + 224 * np.array(CENTRES[centre]) - linear @ [middle, middle]
    affine, how = np.column_stack([linear, offset]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    part = cv2.warpAffine(np.ascontiguousarray(picture.transpose(1, 2, 0)), affine, (224, 224), flags=how).transpose(2, 0, 1)
    own = rings(polar_views(grey(picture), CENTRES)[centre : centre + 1], step)
    (agrees,), (mirror,), (turned,) = agreement(own, rings(polar_views(grey(part))))
    assert agrees > 0.6 and (mirror, turned) == (mirrored, turn % ANGLES)
    begun = start(bool(mirror), int(turned), step, centre)
    scale = np.array([[1, 0, -middle], [0, 1, -middle]])
    there = affine @ np.array([[1, 0, 100], [0, 1, 60], [0, 0, 1]]) @ [0, 0, 1]
    small = (np.array([100, 60]) + scale[:, 2]) * SMALL / 224 + (SMALL - 1) / 2
    assert begun @ [*small, 1] == pytest.approx((there - middle) * SMALL / 224 + (SMALL - 1) / 2, abs=0.05)
    assert fit(small_picture(grey(picture)), small_picture(grey(part)), begun) > 0.9


def test_what_fits_is_told_from_what_does_not():
    one, other = (small_picture(grey(blobs(seed))) for seed in (41, 42))
    begun = start(False, 0, 0, 0)
    assert fit(one, one, begun) == pytest.approx(1, abs=1e-3) and fit(one, other, begun) < 0.4
    # Stretched by 1.4 along one side, and off by more than the views' steps: the map is improved.
    stretch = np.array([[1.4, 0, -0.2 * 224], [0, 1, 5]])
    plain = np.ascontiguousarray(blobs(41).transpose(1, 2, 0))
    stretched = small_picture(
        grey(cv2.warpAffine(plain, stretch, (224, 224), borderMode=cv2.BORDER_REFLECT_101).transpose(2, 0, 1))
    )
    assert fit(one, stretched, start(False, 0, 2, 0)) > 0.85
    blank = small_picture(np.full((90, 90), 128, np.float32))
    assert is_flat(blank) and not is_flat(one) and fit(blank, blank, begun) < 0.2
    shaded = np.tile(np.linspace(0, 255, 200, dtype=np.float32), (200, 1))
    assert is_flat(small_picture(shaded)), "a shade is no structure"


def features(affine=None, shared=60, picture=None):
    """Features made by hand: of a first picture, or of one that has ``shared`` of its features under a map, and else others."""
    draw = np.random.default_rng(5)
    places, words = draw.uniform(40, 216, (60, 2)), draw.standard_normal((60, 128))
    picture = np.clip(grey(blobs(8, side=SIDE)), 0, 255).astype(np.uint8) if picture is None else picture
    if affine is not None:
        other = np.random.default_rng(6)
        places = places @ affine[:, :2].T + affine[:, 2]
        words[shared:] = other.standard_normal((60 - shared, 128))
        picture = cv2.warpAffine(picture, affine, (SIDE, SIDE))
    words = (words / np.linalg.norm(words, axis=1, keepdims=True)).astype(np.float32)
    far = np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    return Features(picture, places.astype(np.float32), words, *far)


def linear(across=1.0, down=1.0, shift=(0.0, 0.0)):
    """A map about the middle."""
    matrix = np.diag([across, down])
    return np.column_stack([matrix, np.full(2, SIDE / 2) - matrix @ np.full(2, SIDE / 2) + shift])


def test_as_many_features_as_two_pictures_may_share_by_chance_are_no_match():
    enough, few = (
        same_picture(0, 1, features(), features(linear(1.1, 1.1), shared)) for shared in (LEAST_INLIERS, LEAST_INLIERS - 1)
    )
    assert few is None and enough is not None and enough.inliers == LEAST_INLIERS == 24
    assert enough.zoom == pytest.approx(1.1, abs=0.01) and enough.turned_deg == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        (linear(1.3, 0.8), linear(1.4, 0.7)),  # stretched by 1.63, by 2
        (linear(2.8, 2.8), linear(3.2, 3.2)),  # zoomed
        (linear(shift=(150, 100)), linear(shift=(190, 120))),  # 25 % shown by both, 14 %
    ],
)
def test_maps_of_no_likely_picture_are_no_match(kept, left):
    assert same_picture(0, 1, features(), features(kept)) is not None
    assert same_picture(0, 1, features(), features(left)) is None


def test_features_that_agree_on_pictures_that_do_not_are_no_match():
    """As logos and scale bars do."""
    other = features(linear())
    unlike = Features(small := np.ascontiguousarray(other.picture[::-1]), other.places, other.words, *[other.mirrored_places] * 2)
    assert same_picture(0, 1, features(), unlike) is None and small.std() > 10


def test_the_likeliest_pair_of_each_image_comes_first():
    def pair(image, part, agrees):
        return (image, part, agrees, False, 0, 0, 0)

    # 4 and 1 twice, the better from 1's side; 5's only pair; 2 and 4 is of neither the best.
    rows = [pair(1, 2, 0.5), pair(4, 1, 0.6), pair(1, 4, 0.9), pair(2, 4, 0.4), pair(5, 2, 0.3), pair(2, 3, 0.45)]
    first, others = likeliest(np.array(rows, LIKELY), 6)
    assert [(row["image"], row["part"]) for row in first] == [(1, 2), (1, 4), (2, 3), (5, 2)]
    assert [(row["image"], row["part"]) for row in others] == [(2, 4)]


def test_all_pairs_of_images_with_a_twin_are_compared():
    """Five views of one picture: the likeliest pairs alone are at most five of the ten."""
    picture = blobs(77)
    views = [picture, *(mapped(picture, turned_deg=deg, zoom=1.1) for deg in (20, 50, -30)), picture[:, ::-1], blobs(78)]
    found = find_duplicates(6, lambda n: views[n])
    assert [(match.first, match.second) for match in found.matches] == [(a, b) for a in range(5) for b in range(a + 1, 5)]
    assert found.groups == ((0, 1, 2, 3, 4),)


def test_images_of_no_structure_are_said_and_never_match():
    shade = np.tile(np.linspace(0, 200, 96, dtype=np.uint8), (3, 96, 1))
    some = [np.zeros((3, 64, 64), np.uint8), np.full((3, 64, 64), 9, np.uint8), blobs(3), shade, shade]
    found = find_duplicates(5, lambda n: some[n])
    assert found.plain == (0, 1, 3, 4) and found.matches == ()


def test_cells_lose_little():
    """Against the same among all of them: 12,000 descriptors of which each has one that is near, as copies are."""
    draw = np.random.default_rng(0)
    some = draw.standard_normal((12_000, 96), np.float32)
    some[6000:] = some[:6000] + draw.standard_normal((6000, 96), np.float32) * 0.7
    some /= np.linalg.norm(some, axis=1, keepdims=True)
    index = indexed(some)
    asked = np.arange(0, 6000, 12)
    _, near = index.search(some[asked], 11)
    exact = np.argsort(-(some[asked] @ some.T), axis=1)[:, :2]
    assert (exact[:, 1] == asked + 6000).mean() > 0.99, "what is planted is the nearest"
    assert index.nlist > 400 and (near == (asked + 6000)[:, None]).any(axis=1).mean() > 0.93


def test_volumes_are_not_compared_and_only_train_leaks(monkeypatch, tmp_path):
    """A stand-in of a prepared set: its index and card alone. Two show what train shows, two each other."""
    axes = ["CYX", "CZYX", "CYX", "CYX", "CYX", "CYX"]
    splits = ["train", "held_out", "held_out", "val", "held_out", "val"]
    table = {name: [[1] if name == "shape" else 1] * 6 for name in ("shard", "offset", "size", "storage", "shape", "dtype")}
    labels = [{"kind": kind} for kind in "abbaab"]
    index = pd.DataFrame(
        table | {"axes": axes, "split": splits, "group": list("abcdef"), "source_group": list("abcdef"), "labels": labels}
    )
    index["shard"] = "shard.tar"
    seen = []

    def found(count, read, workers):
        seen.append(count)
        # Of the five planes: 0 and 1 (train and held_out), 2 and 3 (val and held_out).
        matches = tuple(Match(*ends, 99, 1.0, 1.0, 0.0, 1.0, False) for ends in ((0, 1), (2, 3)))
        return Duplicates(count, matches, ((0, 1), (2, 3)), (4,), 0, 0)

    monkeypatch.setattr(leaks_module, "find_duplicates", found)
    report = leaks_module.leaks(SimpleNamespace(index=index, folder=tmp_path, card={"class_label": "kind"}))
    assert seen == [5] and report.not_compared == 1 and report.found.groups == ((0, 2), (3, 4)) and report.found.plain == (5,)
    assert report.torn == ((0, 2), (3, 4)), "what val and held_out share is torn, and no leak of train"
    told = {(leak.split, leak.label): (leak.images, leak.leaked) for leak in report.leaks}
    assert told == {
        ("held_out", None): (3, 1), ("held_out", "a"): (1, 0), ("held_out", "b"): (2, 1),
        ("val", None): (2, 0), ("val", "a"): (1, 0), ("val", "b"): (1, 0),
    }  # fmt: skip


def test_the_sheet_begins_with_groups_in_several_splits():
    groups, splits = [(0, 1, 2), (3, 4)], ["train", "train", "train", "train", "held_out"]
    some = [np.full((3, 40, 40), 40 * n, np.uint8) for n in range(5)]
    sheet = group_sheet(groups, lambda n: some[n], splits, rows=1, columns=1)
    assert (sheet == (214, 39, 40)).all(axis=2).any(), "held_out, of the smaller group, is drawn"
