"""Stain normalisation: planted stains are found, changed ones come back, glass stays, a slide has no seams."""

from __future__ import annotations

import importlib.util
import json
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from domainclip.domains.pathology.stain import (
    MACENKO_TARGET,
    REINHARD_TARGET,
    MacenkoNormalizer,
    ReinhardNormalizer,
    stain_normalizer,
)
from domainclip.domains.pathology.stain_augment import StainAugment
from domainclip.domains.pathology.stain_space import lab_from_rgb, rgb_from_lab
from domainclip.errors import UnreadableFileError, UsageError

_spec = importlib.util.spec_from_file_location("stained", Path(__file__).with_name("stained.py"))
stained = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stained)
BOTH = pytest.mark.parametrize("kind", [MacenkoNormalizer, ReinhardNormalizer])


@pytest.mark.parametrize("seed", range(6))
def test_planted_stains_are_found_within_two_degrees(seed):
    stains, made = stained.turned(seed), stained.amounts(seed)
    found = MacenkoNormalizer().fit(stained.mixed(made, stains)).target_
    assert stained.angle(found.haematoxylin, stains[0]) < 2.0
    assert stained.angle(found.eosin, stains[1]) < 2.0
    # Glass and what is nearly glass stand below the 99th percentile of all pixels and of tissue alike.
    tissue = made[(made @ np.stack(stains)).mean(axis=-1) >= 0.15]
    assert found.strongest == pytest.approx(tuple(np.percentile(tissue, 99, axis=0)), rel=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_an_image_in_other_stains_and_amounts_becomes_the_one_in_the_targets(seed):
    made, ours, theirs = stained.amounts(seed), stained.turned(seed), stained.turned(seed + 50)
    factor = np.array([0.7, 1.3])  # their slide is paler in haematoxylin and darker in eosin
    wanted, given = stained.mixed(made, ours, noise=0), stained.mixed(made * factor, theirs, noise=0)
    normalizer = MacenkoNormalizer().fit(wanted).fit_source(given)
    before = np.abs(given.astype(int) - wanted).mean()
    after = np.abs(normalizer.transform(given).astype(int) - wanted).mean()
    assert before > 8 and after < 1.5


def test_an_image_in_the_published_stains_stays_as_it_is():
    image = stained.mixed(stained.amounts(1), (MACENKO_TARGET.haematoxylin, MACENKO_TARGET.eosin), noise=0)
    normalizer = MacenkoNormalizer().fit(image)
    changed = normalizer.transform(image)  # fits the image itself as the source
    off = np.abs(changed.astype(int) - image)
    # Where a channel holds 2 of 240, rounding has taken the pixel out of the stains' plane, and it comes back to it.
    assert off.mean() < 0.25 and off.max() <= 4 and off[image.min(axis=-1) > 10].max() <= 2


def test_what_lies_outside_of_the_two_stains_does_not_light_up():
    """A slide poor in eosin is scaled up in it; a pixel bluer than haematoxylin holds none, not less than none."""
    made = stained.amounts(3) * (1, 0.25)
    normalizer = MacenkoNormalizer().fit_source(stained.mixed(made, (stained.H, stained.E)))
    blue = stained.unit(stained.H) * 1.6 + np.array([0.9, -0.5, 0.1])
    pixel = np.full((1, 1, 3), np.rint(240 * np.exp(-blue)), np.uint8)
    changed = normalizer.transform(pixel)[0, 0].astype(int)
    assert changed.max() < 170 and changed[2] >= changed[0]


def test_reinhard_gives_the_image_itself_when_source_equals_target():
    image = stained.mixed(stained.amounts(1), stained.turned(1))
    changed = ReinhardNormalizer().fit(image).transform(image)
    assert np.abs(changed.astype(int) - image).max() <= 1


def _lab_by_hand(pixel):
    """CIE 15 and IEC 61966-2-1 for one pixel, in plain floats."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in pixel]
    rows = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
    ratios = [sum(m * v for m, v in zip(row, linear, strict=True)) / sum(row) for row in rows]
    x, y, z = (t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29 for t in ratios)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_lab_is_that_of_the_standard_and_comes_back():
    rng = np.random.default_rng(0)
    pixels = np.concatenate([rng.integers(0, 256, (200, 3)), [[0, 0, 0], [255, 255, 255], [2, 1, 0]]]).astype(np.uint8)
    lab = lab_from_rgb(pixels)
    np.testing.assert_allclose(lab, [_lab_by_hand(p.tolist()) for p in pixels], atol=2e-3)
    np.testing.assert_allclose(rgb_from_lab(lab), pixels, atol=0.02)
    cv2 = pytest.importorskip("cv2")
    # OpenCV interpolates in a table, up to 0.5 off.
    np.testing.assert_allclose(cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0], lab, atol=1.0)


def test_reinhard_reaches_the_targets_moments():
    image = stained.mixed(stained.amounts(3, glass=0), stained.turned(3))
    tissue = (-np.log((image + 1.0) / 240)).mean(axis=-1) >= 0.15
    normalizer = ReinhardNormalizer().fit_source(image)
    lab = normalizer._lab(image[tissue], normalizer.source_).astype(np.float64)  # before clipping and rounding
    np.testing.assert_allclose(lab.mean(axis=0), REINHARD_TARGET.mean, atol=1e-2)
    np.testing.assert_allclose(lab.std(axis=0), REINHARD_TARGET.std, atol=1e-2)
    # A target that sRGB can show: rounding apart, the same in the image.
    mild = ReinhardNormalizer(type(REINHARD_TARGET)((60, 20, -12), (6, 3, 3))).fit_source(image)
    shown = lab_from_rgb(mild.transform(image)[tissue]).astype(np.float64)
    np.testing.assert_allclose(shown.mean(axis=0), (60, 20, -12), atol=0.2)


@BOTH
def test_glass_stays(kind):
    normalizer = kind().fit_source(stained.mixed(stained.amounts(2), stained.turned(2)))
    for level in (255, 248, 240):
        white = np.full((32, 32, 3), level, np.uint8)
        np.testing.assert_array_equal(normalizer.transform(white), white)
    noisy = np.clip(240 + np.random.default_rng(0).normal(0, 2, (64, 64, 3)), 0, 255).astype(np.uint8)
    assert np.abs(normalizer.transform(noisy).astype(int) - noisy).max() <= 2
    black = normalizer.transform(np.zeros((8, 8, 3), np.uint8))
    assert black.max() < 60


@BOTH
def test_two_halves_of_a_slide_meet_without_a_seam(kind):
    """One half is full of nuclei, the other of eosin; fitted for the slide they stay one picture, each for itself they do not."""
    made = stained.amounts(4, glass=0)
    made[:, 128:, 0] *= 0.35
    made[:, 120:136] = made[:, 120:121]  # the same tissue on both sides of the cut
    image = stained.mixed(made, stained.turned(4), noise=0)
    left, right = image[:, :128], image[:, 128:]
    slide = kind().fit_source(image)
    np.testing.assert_array_equal(np.concatenate([slide.transform(left), slide.transform(right)], axis=1), slide.transform(image))
    step = np.abs(slide.transform(left)[:, -1].astype(int) - slide.transform(right)[:, 0]).mean()
    alone = np.abs(kind().transform(left)[:, -1].astype(int) - kind().transform(right)[:, 0]).mean()
    assert step == 0 and alone > 5


@BOTH
def test_too_little_tissue_is_refused_at_a_fit_and_no_problem_for_a_tile_of_a_fitted_slide(kind):
    made = stained.amounts(5, side=64, glass=0)
    image = stained.mixed(made, stained.turned(5))
    almost = np.full((64, 64, 3), 245, np.uint8)
    almost[:31, :31] = image[:31, :31]
    for call in (kind().fit, kind().fit_source, kind().transform):
        with pytest.raises(UnreadableFileError, match="pixels of tissue") as caught:
            call(almost)
        assert caught.value.remedy
    changed = kind().fit_source(image).transform(almost)
    np.testing.assert_array_equal(changed[32:], almost[32:])
    assert np.abs(changed[:31, :31].astype(int) - almost[:31, :31]).max() > 5


@pytest.mark.parametrize(
    ("kind", "words"), [(MacenkoNormalizer, "one stain|hold none"), (ReinhardNormalizer, "more than one colour")]
)
def test_flat_colour_is_refused(kind, words):
    with pytest.raises(UnreadableFileError, match=words):
        kind().fit_source(np.full((64, 64, 3), (180, 90, 160), np.uint8))


def test_one_stain_is_refused():
    made = stained.amounts(6)
    made[..., 1] = 0
    with pytest.raises(UnreadableFileError, match="one stain"):
        MacenkoNormalizer().fit(stained.mixed(made, (stained.H, stained.E), noise=0.2))


@BOTH
@pytest.mark.parametrize(
    "image",
    [np.zeros((64, 64, 3), np.float32), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64), np.uint8),
     np.zeros((64, 64, 3), np.uint16), [[0]]],
    ids=["float", "rgba", "grey", "uint16", "list"],
)  # fmt: skip
def test_other_values_are_refused(kind, image):
    step = StainAugment(p=1.0)
    step.set_random_state(np.random.default_rng(0), random.Random(0))
    fitted = kind().fit_source(stained.mixed(stained.amounts(0), stained.turned(0)))
    for call in (kind().fit, kind().fit_source, kind().transform, fitted.transform, step):
        with pytest.raises(UsageError, match="uint8 sRGB"):
            call(image)


@BOTH
def test_state_comes_back_from_json_and_travels_to_workers(kind):
    image = stained.mixed(stained.amounts(7), stained.turned(7))
    fitted = kind().fit(stained.mixed(stained.amounts(8), stained.turned(8))).fit_source(image)
    restored = kind.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert (restored.target_, restored.source_) == (fitted.target_, fitted.source_)
    travelled = pickle.loads(pickle.dumps(fitted))  # what multiprocessing does; files hold JSON
    for other in (restored, travelled):
        np.testing.assert_array_equal(other.transform(image), fitted.transform(image))
    assert kind.from_dict(kind().to_dict()).source_ is None
    broken = fitted.to_dict()
    first = next(iter(broken["target"]))
    for bad in ({}, {**broken, "method": "vahadane"}, {**broken, "target": {**broken["target"], first: [1.0, float("nan"), 0.0]}}):
        with pytest.raises(UsageError, match="restored"):
            kind.from_dict(bad)


def test_names():
    assert isinstance(stain_normalizer("macenko"), MacenkoNormalizer)
    assert isinstance(stain_normalizer("reinhard"), ReinhardNormalizer)
    with pytest.raises(UsageError, match="'macenko'"):
        stain_normalizer("macenco")


@pytest.mark.real_data
def test_reinhards_target_is_that_of_the_slide_that_it_names(real_data):
    image = _cmu(real_data)
    found = ReinhardNormalizer().fit(image).target_
    np.testing.assert_allclose(found.mean, REINHARD_TARGET.mean, atol=2e-2)
    np.testing.assert_allclose(found.std, REINHARD_TARGET.std, atol=2e-2)


@pytest.mark.real_data
def test_real_slides_come_closer_to_the_target(real_data):
    from PIL import Image

    folders = [real_data / "pathology" / "lc25000" / "lung_image_sets" / name for name in ("lung_aca", "lung_n")]
    slides = {"cmu": _cmu(real_data)}
    for folder in folders:
        files = sorted(folder.glob("*.jpeg"))[:16]
        slides[folder.name] = np.concatenate([np.asarray(Image.open(file).convert("RGB")) for file in files])
    for name, image in slides.items():
        normalizer = MacenkoNormalizer().fit_source(image)
        before, after = normalizer.source_, MacenkoNormalizer().fit(normalizer.transform(image)).target_
        angles = [[stained.angle(getattr(s, stain), getattr(MACENKO_TARGET, stain)) for stain in ("haematoxylin", "eosin")]
                  for s in (before, after)]  # fmt: skip
        print(name, np.round(angles, 1).tolist(), np.round([before.strongest, after.strongest], 2).tolist())
        assert max(angles[1]) < 4.0 and sum(angles[1]) < sum(angles[0])
        # Amounts are counted over pixels above 0.15, which are others when a slide has become paler: nearer, not equal.
        strength = [np.abs(np.log(np.divide(s.strongest, MACENKO_TARGET.strongest))).sum() for s in (before, after)]
        assert strength[1] < strength[0]


@pytest.mark.real_data
def test_a_fit_on_a_thumbnail_finds_half_the_stain(real_data):
    """Why fits belong on tiles: light averages, density does not (8 um/px against 1 um/px here)."""
    from PIL import Image

    tiles = _cmu(real_data)
    near, far = (MacenkoNormalizer().fit(i).target_ for i in (tiles, np.asarray(Image.fromarray(tiles).reduce(8))))
    turned = [stained.angle(getattr(near, name), getattr(far, name)) for name in ("haematoxylin", "eosin")]
    print(np.round(turned, 1), np.round([near.strongest, far.strongest], 2).tolist())
    assert far.strongest[0] < 0.65 * near.strongest[0] and max(turned) > 5
    assert stained.angle(far.haematoxylin, far.eosin) < stained.angle(near.haematoxylin, near.eosin) - 10


def _cmu(real_data):
    from PIL import Image

    from domainclip.domains.pathology.slides import open_slide

    slide = open_slide(real_data / "pathology" / "slides" / "cmu-1-small-region.svs")
    width, height, _ = slide.facts.levels[0]
    return np.asarray(Image.fromarray(slide.read_level(0, 0, 0, width // 2 * 2, height // 2 * 2)).reduce(2))
