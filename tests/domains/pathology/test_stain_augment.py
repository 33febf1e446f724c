"""Augmentation in stain space: drawn from its generators, bounded, refused where there is no stain, and a pipeline of pathology."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest

from domainclip.data.augment import Augmentation
from domainclip.domains.base import domains
from domainclip.domains.pathology.stain_augment import StainAugment
from domainclip.errors import UsageError

_spec = importlib.util.spec_from_file_location("stained", Path(__file__).with_name("stained.py"))
stained = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stained)


def _drawn(image, seed, **arguments):
    step = StainAugment(**arguments)
    step.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return step(image=image, mask="kept")


def test_augmentation_scales_and_shifts_the_stains_and_nothing_else():
    """Against amounts that were scaled before the image was mixed: the draw is read from the same generator."""
    made = stained.amounts(9, glass=0) + 0.3
    image = stained.mixed(made, (stained.H, stained.E), noise=0)
    changed = _drawn(image, 3, sigma=0.2, bias=0.05, p=1.0)
    assert changed["mask"] == "kept"
    drawn = np.random.default_rng(3).uniform(-1, 1, (2, 3))
    stains = np.stack([stained.unit(stained.H), stained.unit(stained.E)])
    rest = stained.unit(np.cross(*stains))
    density = (made * (1 + 0.2 * drawn[0, :2]) + 0.05 * drawn[1, :2]) @ stains + 0.05 * drawn[1, 2] * rest
    wanted = np.clip(240 * np.exp(-density), 0, 255)
    inner = image.min(axis=-1) > 5  # 1 of 5 levels is too coarse to tell
    assert np.abs(changed["image"].astype(float) - wanted)[inner].mean() < 1.0
    assert np.abs(image.astype(float) - wanted)[inner].mean() > 3.0


def test_augmentation_leaves_glass_and_without_strength_all():
    white = np.full((16, 16, 3), 244, np.uint8)
    np.testing.assert_array_equal(_drawn(white, 0, sigma=0.3, bias=0.2, p=1.0)["image"], white)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.abs(_drawn(image, 0, sigma=0.0, bias=0.0, p=1.0)["image"].astype(int) - image).max() <= 1
    np.testing.assert_array_equal(_drawn(image, 0, sigma=0.3, bias=0.2, p=0.0)["image"], image)


def test_the_step_is_refused_where_there_is_no_stain():
    steps = [{"name": "StainAugment", "sigma": 0.05, "bias": 0.01, "p": 0.5}]
    Augmentation(steps, 0).check(3, "srgb")
    with pytest.raises(UsageError, match="12 channels"):
        Augmentation(steps, 0).check(12, "reflectance")
    for kind in ("display", "hu", "dn"):
        with pytest.raises(UsageError, match=kind):
            Augmentation(steps, 0).check(3, kind)
    for wrong in ({"sigma": 1.5}, {"bias": -1}, {"p": 2}, {"sigmaa": 0.1}):
        with pytest.raises(UsageError, match="to be built"):
            Augmentation([{"name": "StainAugment", **wrong}], 0)


def test_the_pipeline_stain_is_the_default_and_the_stains_and_is_drawn_the_same_again():
    pipelines = domains.get("pathology").facts.augmentations
    assert [step for step in pipelines["stain"] if step["name"] != "StainAugment"] == pipelines["default"]
    image = stained.mixed(stained.amounts(1, side=64), stained.turned(1))
    one, two = (Augmentation(pipelines["stain"], 5) for _ in range(2))
    one(image, None, 64, 3, 2)  # another history
    for row in range(20):
        first, again = one(image, None, 64, 1, row)[0], two.copy()(image, None, 64, 1, row)[0]
        assert first.dtype == np.uint8 and first.shape == (64, 64, 3)
        np.testing.assert_array_equal(first, again)


class Letters:
    """A tokenizer of one token a letter."""

    context_length = 24

    def __call__(self, texts):
        import torch

        return torch.tensor([([ord(letter) for letter in text] + [0] * 24)[:24] for text in texts])

    def count_truncated(self, texts):
        return sum(len(text) > 24 for text in texts)


def test_batches_go_through_the_pipeline(tmp_path):
    """As training reads them: prepared files, the domain's preprocessing, ``training.augmentation=stain``."""
    import torch
    from PIL import Image

    from domainclip.config import DataConfig
    from domainclip.data.loader import BatchLoader
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_source

    domain = domains.get("pathology")
    rows = ["path,caption,group,split"]
    for n in range(8):
        Image.fromarray(stained.mixed(stained.amounts(n, side=72), stained.turned(n))).save(tmp_path / f"{n}.png")
        rows.append(f"{n}.png,tissue {n},g{n},train")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    source = open_source(DataConfig(source=str(tmp_path / "manifest.csv")), domain)
    prepared = prepare(source, domain, tmp_path / "set", workers=0, val_fraction=0)

    def batch(pipeline):
        steps = domain.facts.augmentations[pipeline]
        return BatchLoader(
            prepared, "train", domain.facts.preprocessing, Letters(), batch_size=8, seed=3, augmentation=steps
        ).batch(0)

    first, again, other = batch("stain"), batch("stain"), batch("default")
    assert first.images.shape == (8, 3, 64, 64) and bool(torch.isfinite(first.images).all())
    torch.testing.assert_close(first.images, again.images, rtol=0, atol=0)
    assert first.keys == other.keys and not torch.equal(first.images, other.images)
