"""The starter set: readable by OpenSlide itself, true to its truth, reproducible; its tissue mask and pen against the truth."""

from __future__ import annotations

import csv
import hashlib

import numpy as np
import openslide
import pytest

from domainclip.domains.base import domains
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.segmenters import otsu
from domainclip.domains.pathology.slides import open_slide
from domainclip.domains.pathology.tissue import tissue_mask
from domainclip.domains.regions import read_regions
from domainclip.errors import UsageError
from domainclip.sample import SourceItem
from domainclip.starter.pathology import UNSEEN, make, plan_slides
from domainclip.starter.pathology_tissue import TISSUES

KEPT = ("density", "texture", "composition")


@pytest.fixture(scope="module")
def starter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starter")
    make(folder, groups=3, seed=3, workers=1, progress=None)
    with (folder / "manifest.csv").open() as file:
        return folder, list(csv.DictReader(file))


def test_openslide_sees_three_levels_and_the_scale(starter):
    folder, rows = starter
    for row in rows:
        slide = openslide.OpenSlide(str(folder / row["path"]))
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert slide.level_count == 3
        um = float(slide.properties["openslide.mpp-x"])
        assert slide.dimensions[0] * um == pytest.approx(1056, abs=0.6)


def test_labels_are_those_of_the_facts(starter):
    folder, rows = starter
    facts = domains.get("pathology").facts
    for row in rows:
        for region in read_regions(folder / row["regions"], "tissue", KEPT):
            assert set(region.labels) == {"tissue", "density", "texture", "composition"}
            for label in ("tissue", "density", "texture"):
                assert region.labels[label] in facts.labels[label]


def test_tissue_mask_and_pen_agree_with_the_truth(starter):
    folder, rows = starter
    inked = 0
    for row in rows:
        slide = open_slide(folder / row["path"])
        mask = tissue_mask(slide, slide.facts.scale.spacing.values)
        truth = np.load(folder / "truth" / f"{row['group']}.npz", allow_pickle=False)
        step = float(truth["step_um"]) / slide.facts.scale.spacing.values[0]
        index = [((np.arange(truth["tissue"].shape[0]) + 0.5) * step / s).astype(int) for s in mask.step]
        ours = mask.tissue[np.ix_(np.minimum(index[1], mask.tissue.shape[0] - 1), np.minimum(index[0], mask.tissue.shape[1] - 1))]
        pen = mask.pen[np.ix_(np.minimum(index[1], mask.pen.shape[0] - 1), np.minimum(index[0], mask.pen.shape[1] - 1))]
        overlap = (ours & truth["tissue"]).sum() / (ours | truth["tissue"]).sum()
        assert overlap > 0.88, row["path"]
        assert pen[~truth["pen"]].mean() < 0.02
        if truth["pen"].any():
            inked += 1
            assert pen[truth["pen"]].mean() > 0.85, row["path"]
            assert ours[truth["pen"]].mean() < 0.12
    assert inked


def test_tiles_are_cut_at_the_default_reading(starter):
    folder, rows = starter
    for row in rows[:2]:
        item = SourceItem(folder / row["path"], row["path"], regions=read_regions(folder / row["regions"], "tissue", KEPT))
        samples = list(domains.get("pathology").samples(item, PathologyReading()))
        assert len(samples) > 60
        assert samples[0].read().array.shape == (3, 64, 64)
        assert len({s.labels["tissue"] for s in samples}) >= 2


def test_unseen_compositions_are_on_held_out_slides_only():
    plans = plan_slides(64, 0)
    splits = [plan.split for plan in plans]
    assert splits.count("held_out") >= 24
    assert splits.count("val") == 6
    for plan in plans:
        kinds = {piece.composition for piece in plan.pieces}
        assert kinds == ({"seen", "unseen"} if plan.split == "held_out" else {"seen"})
        for piece in plan.pieces:
            assert ((piece.tissue, piece.density) in UNSEEN) == (piece.composition == "unseen")
    for split in ("train", "held_out"):
        seen = [p.tissue for plan in plans if plan.split == split for p in plan.pieces if p.composition == "seen"]
        assert set(seen) == set(TISSUES)
        assert max(map(seen.count, TISSUES)) - min(map(seen.count, TISSUES)) <= 1
    trained = {(p.tissue, p.density) for plan in plans if plan.split == "train" for p in plan.pieces}
    assert {t for t, _ in trained} == set(TISSUES)
    assert not trained & UNSEEN


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_other_workers(starter, tmp_path):
    folder, rows = starter
    make(tmp_path, groups=3, seed=3, workers=2, progress=None)
    for row in rows:
        first, second = (hashlib.sha256((root / row["path"]).read_bytes()).hexdigest() for root in (folder, tmp_path))
        assert first == second


def test_otsu_splits_two_peaks():
    values = np.repeat(np.array([10, 12, 200, 205], np.uint8), (50, 50, 30, 30))
    assert 12 <= otsu(values) < 200
    assert otsu(np.full(10, 7, np.uint8)) in range(256)


def test_too_few_slides_are_refused(tmp_path):
    with pytest.raises(UsageError):
        make(tmp_path, groups=2, seed=0, workers=1, progress=None)
