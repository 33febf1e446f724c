"""The control: perfect where colour is the class, at chance where only structure is."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from domainclip.benchmarks.control import BINS, fit_control, image_statistics
from domainclip.errors import UsageError
from domainclip.sample import Pixels


class InMemorySet:
    """Imitates ``data.prepared_set.PreparedSet`` as far as the control reads it: rows of ``index`` and ``read(row)``."""

    def __init__(self, arrays, masks=None, **columns):
        self.arrays, self.masks = arrays, masks or [{}] * len(arrays)
        count = len(arrays)
        defaults = {
            "key": [f"k{i}" for i in range(count)],
            "axes": ["CYX"] * count,
            "channels": [["red", "green", "blue"][: arrays[0].shape[0]]] * count,
            "values": [{"kind": "srgb", "scale": 1 / 255, "offset": 0.0, "nodata": None}] * count,
            "position": range(count),
        }
        self.index = pd.DataFrame(defaults | columns)

    def read(self, row):
        return Pixels(self.arrays[row["position"]], self.masks[row["position"]])


def _fit(prepared, classes, cut):
    classes = np.asarray(classes)
    return fit_control(prepared, prepared.index.iloc[:cut], classes[:cut], prepared.index.iloc[cut:]).predicted, classes[cut:]


def test_colour_gives_the_class_away():
    rng = np.random.default_rng(0)
    classes = np.arange(120) % 3
    images = [np.clip(rng.normal(60 + 50 * c, 10, (3, 16, 16)), 0, 255).astype(np.uint8) for c in classes]
    predicted, truth = _fit(InMemorySet(images), classes, 60)
    assert (predicted == truth).all()


def test_structure_alone_leaves_it_at_chance():
    # Every image is a shuffle of the same pixels, in stripes or in squares: equal means, spreads and histograms.
    rng = np.random.default_rng(1)
    stripes, squares = np.indices((16, 16))[0] % 2, np.indices((16, 16)).sum(axis=0) % 2
    classes = np.arange(400) % 2
    images = []
    for c in classes:
        low, high = rng.integers(20, 100), rng.integers(120, 250)
        images.append(np.where([stripes, squares][c], high, low).astype(np.uint8)[None].repeat(3, axis=0))
    predicted, truth = _fit(InMemorySet(images), classes, 200)
    assert abs((predicted == truth).mean() - 0.5) < 0.15


def test_statistics_by_numpy():
    rng = np.random.default_rng(2)
    planes = rng.random((2, 500)).astype(np.float32)
    ranges = np.array([[0.0, 1.0], [0.25, 0.5]], dtype=np.float32)
    found = image_statistics(planes, ranges)
    clipped = np.clip(planes, ranges[:, :1], ranges[:, 1:])
    shares = [np.histogram(clipped[c], bins=BINS, range=tuple(ranges[c]))[0] / 500 for c in range(2)]
    assert found[:4] == pytest.approx([*planes.mean(axis=1), *planes.std(axis=1)], abs=1e-6)
    assert found[4:] == pytest.approx(np.concatenate(shares), abs=2 / 500)  # bin edges round differently


def test_pixels_without_data_are_not_seen():
    # Class 1 differs only in how many pixels are missing, which is no colour.
    rng = np.random.default_rng(3)
    classes = np.arange(200) % 2
    images = [rng.integers(50, 200, (3, 12, 12)).astype(np.uint8) for _ in classes]
    masks = [{"nodata": np.indices((12, 12))[0] < 6 * c} for c in classes]
    for image, mask in zip(images, masks, strict=True):
        image[:, mask["nodata"]] = 255
    predicted, truth = _fit(InMemorySet(images, masks), classes, 100)
    assert abs((predicted == truth).mean() - 0.5) < 0.2
    with_nodata = [{"kind": "srgb", "scale": 1 / 255, "offset": 0.0, "nodata": 255.0}] * 200
    predicted, truth = _fit(InMemorySet(images, values=with_nodata), classes, 100)
    assert abs((predicted == truth).mean() - 0.5) < 0.2
    predicted, truth = _fit(InMemorySet(images), classes, 100)  # neither mask nor nodata: the white half shows
    assert (predicted == truth).mean() > 0.95


def test_channels_are_taken_by_name():
    rng = np.random.default_rng(4)
    classes = np.arange(80) % 2
    images, channels = [], []
    for number, c in enumerate(classes):
        planes = {
            "red": rng.integers(0, 90, (8, 8)) + 150 * c,
            "green": rng.integers(0, 255, (8, 8)),
            "blue": rng.integers(0, 255, (8, 8)),
        }
        order = ["red", "green", "blue"] if number < 40 else ["blue", "red", "green"]
        images.append(np.stack([planes[name] for name in order]).astype(np.uint8))
        channels.append(order)
    predicted, truth = _fit(InMemorySet(images, channels=channels), classes, 40)
    assert (predicted == truth).all()
    channels[60] = ["blue", "red", "nir"]
    with pytest.raises(UsageError, match="lacks green"):
        _fit(InMemorySet(images, channels=channels), classes, 40)


def test_one_class_is_refused():
    prepared = InMemorySet([np.zeros((3, 4, 4), np.uint8)] * 4)
    with pytest.raises(UsageError, match="1 class"):
        _fit(prepared, [0, 0, 0, 1], 3)


@pytest.mark.slow
def test_five_thousand_images_of_twelve_channels_in_ten_seconds():
    rng = np.random.default_rng(5)
    base = rng.integers(0, 4000, (64, 12, 64, 64)).astype(np.uint16)
    values = [{"kind": "reflectance", "scale": 1e-4, "offset": 0.0, "nodata": None}] * 5000
    prepared = InMemorySet([base[i % 64] for i in range(5000)], channels=[[f"B{i:02d}" for i in range(12)]] * 5000, values=values)
    start = time.process_time()
    _fit(prepared, rng.integers(0, 8, 5000), 4000)
    assert time.process_time() - start < 10
