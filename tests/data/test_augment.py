"""Random changes: drawn from (seed, epoch, row) alone, image and mask together, from a closed list."""

import numpy as np
import pytest

from domainclip.data.augment import Augmentation
from domainclip.errors import UsageError

RNG = np.random.default_rng(3)
STEPS = [
    {"name": "D4", "p": 1.0},
    {"name": "Affine", "translate_percent": [-0.05, 0.05], "scale": [0.9, 1.1], "rotate": [-10, 10], "p": 0.8},
    {"name": "RandomResizedCrop", "scale": [0.5, 1.0], "p": 0.9},
    {
        "name": "ColorJitter",
        "brightness": [0.8, 1.2],
        "contrast": [0.8, 1.2],
        "saturation": [0.8, 1.2],
        "hue": [-0.05, 0.05],
        "p": 0.8,
    },
    {"name": "GaussNoise", "std_range": [0.01, 0.05], "p": 0.5},
    {"name": "CoarseDropout", "p": 0.3},
]
IMAGE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_draws_depend_on_seed_epoch_and_row_and_on_nothing_else():
    one, two, other = Augmentation(STEPS, 1), Augmentation(STEPS, 1), Augmentation(STEPS, 2)
    for row in (5, 3, 9):  # Another history than that of ``two``.
        one(IMAGE, None, 32, 7, row)
    first, again = one(IMAGE, None, 32, 0, 4)[0], two(IMAGE, None, 32, 0, 4)[0]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, one.copy()(IMAGE, None, 32, 0, 4)[0])
    assert not np.array_equal(first, other(IMAGE, None, 32, 0, 4)[0])
    assert not np.array_equal(first, one(IMAGE, None, 32, 1, 4)[0])
    assert not np.array_equal(first, one(IMAGE, None, 32, 0, 5)[0])


def test_every_orientation_of_the_square_is_drawn_about_equally():
    augmentation = Augmentation([{"name": "D4", "p": 1.0}], 0)
    seen = {}
    for row in range(800):
        key = augmentation(IMAGE, None, 32, 0, row)[0].tobytes()
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 8
    assert min(seen.values()) > 60 and max(seen.values()) < 145  # 100 each, 4 standard deviations are 37


def test_image_and_mask_move_together():
    valid = np.zeros((32, 32), bool)
    valid[4:20, 9:30] = True
    image = np.repeat(np.where(valid, 200, 0)[..., None], 3, axis=2).astype(np.uint8)
    augmentation = Augmentation(
        [{"name": "D4", "p": 1.0}, {"name": "Affine", "rotate": [-90, 90], "interpolation": 0, "p": 1.0}], 0
    )
    for row in range(20):
        changed, mask = augmentation(image, valid, 32, 0, row)
        np.testing.assert_array_equal(changed[..., 0] == 200, mask)


def test_crops_give_the_size_that_is_wanted():
    augmentation = Augmentation([{"name": "RandomResizedCrop", "size": [64, 64], "scale": [0.25, 1.0], "p": 0.5}], 0)
    assert augmentation.smallest_crop == 0.5
    shapes = {augmentation(IMAGE, np.ones((32, 32), bool), 20, 0, row)[0].shape for row in range(20)}
    assert shapes == {(20, 20, 3)}


@pytest.mark.parametrize(("bands", "dtype"), [(1, np.uint8), (3, np.uint8), (1, np.float32), (12, np.float32)])
def test_band_gain_is_linear_and_clips_floats_nowhere(bands, dtype):
    image = (RNG.random((16, 16, bands)) * (255 if dtype == np.uint8 else 3)).astype(dtype)
    augmentation = Augmentation([{"name": "BandGain", "gain": [0.8, 1.25], "offset": [-0.02, 0.02], "p": 1.0}], 0)
    changed, _ = augmentation(image, None, 16, 0, 0)
    assert changed.dtype == dtype and changed.shape == image.shape
    for band in range(bands):
        x, y = image[..., band].ravel().astype(float), changed[..., band].ravel().astype(float)
        inner = (y > 0) & (y < 255)
        gain, offset = np.polyfit(x[inner], y[inner], 1)
        unit = 255 if dtype == np.uint8 else 1
        assert 0.79 < gain < 1.26 and abs(offset) < 0.03 * unit
    if bands > 1:
        assert len({round(float(changed[..., b].mean() / image[..., b].mean()), 5) for b in range(bands)}) == bands


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="'ColorJitter'"):
        Augmentation([{"name": "ColorJiter"}], 0)
    with pytest.raises(UsageError, match="to be built"):
        Augmentation([{"name": "Affine", "rotatee": 5}], 0)
    with pytest.raises(UsageError, match="to be built"):
        Augmentation([{"name": "BandGain", "gain": [2, 1]}], 0)
    with pytest.raises(UsageError, match="colour only"):
        Augmentation(STEPS, 0).check(12, "reflectance")
    with pytest.raises(UsageError, match="clips everything"):
        Augmentation([{"name": "GaussNoise"}], 0).check(12, "reflectance")
    Augmentation([{"name": "BandGain"}, {"name": "D4"}], 0).check(12, "reflectance")


def test_the_domains_own_pipelines_fit_their_images():
    from domainclip.domains.base import domains

    for name in ("pathology", "radiology", "remote-sensing"):
        facts = domains.get(name).facts
        for steps in facts.augmentations.values():
            Augmentation(steps, 0)
        Augmentation(facts.augmentations["default"], 0).check(len(facts.preprocessing.channels), facts.preprocessing.values_kind)
