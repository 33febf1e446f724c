"""The starter set: real files, honest splits, truth that fits, the same for any number of workers."""

import csv
import hashlib
import json

import numpy as np
import pytest

from domainclip.domains.regions import read_regions
from domainclip.errors import UsageError
from domainclip.sample import SourceItem

KEPT = ("scale", "density", "form", "composition")
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


@pytest.fixture(scope="module")
def starter(tmp_path_factory):
    from domainclip.starter.remote_sensing import make

    folder = tmp_path_factory.mktemp("starter")
    seen = []
    make(folder, groups=5, seed=3, workers=1, progress=lambda *step: seen.append(step))
    assert [step[:2] for step in seen] == [(i, 5) for i in range(1, 6)]
    return folder


@pytest.fixture(scope="module")
def rows(starter):
    with (starter / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def items(starter, rows):
    for row in rows:
        regions = read_regions(starter / row["regions"], "land_cover", KEPT)
        yield SourceItem(starter / row["path"], row["path"], regions=regions, group=row["group"], split=row["split"])


def test_files_are_what_gdal_reads_as_sentinel_2_like(starter, rows):
    import rasterio

    places = set()
    for row in rows:
        with rasterio.open(starter / row["path"]) as file:
            assert (file.count, file.width, file.height, file.dtypes[0], file.nodata) == (12, 640, 640, "uint16", 0)
            assert file.descriptions == BANDS and set(file.scales) == {1e-4} and set(file.offsets) == {-0.1}
            assert file.profile["tiled"] and file.compression.name == "deflate" and file.res == (10.0, 10.0)
            assert file.tags()["synthetic"] == "yes" and len(file.tags()["ACQUISITION_DATE"]) == 10
            places.add(file.crs.to_epsg() // 100)
            assert bool(file.overviews(1)) == (row["group"] == "scene_000")
    assert places == {326, 327}  # northern and southern zones


def test_samples_have_labels_that_the_truth_confirms(starter, rows, domain):
    import rasterio
    from rasterio.windows import Window

    reading = domain.reading_model()
    seen = {}
    for item in items(starter, rows):
        truth = starter / "truth" / f"{item.group}_land_cover.tif"
        with rasterio.open(truth) as file:
            names = json.loads(file.tags()["values"])
            for sample in domain.samples(item, reading):
                assert sample.values.kind == "reflectance" and sample.channels == BANDS and sample.time
                window = sample.window
                codes = file.read(1, window=Window(window.x, window.y, window.width, window.height))
                code, _ = max(zip(*np.unique(codes[codes > 0], return_counts=True), strict=True), key=lambda pair: pair[1])
                assert names[str(code)] == sample.labels["land_cover"]
                assert set(sample.labels) == {"land_cover", "scale", "density", "form", "composition"}
                seen.setdefault(sample.split, []).append(sample.labels)
    assert set(seen) == {"train", "val", "held_out"} and all(len(labels) > 50 for labels in seen.values())
    assert {labels["composition"] for labels in seen["train"] + seen["val"]} == {"seen"}
    assert {labels["composition"] for labels in seen["held_out"]} == {"seen", "unseen"}
    unseen = {
        tuple(labels[k] for k in ("land_cover", "scale", "form"))
        for labels in seen["held_out"]
        if labels["composition"] == "unseen"
    }
    trained = {tuple(labels[k] for k in ("land_cover", "scale", "form")) for labels in seen["train"] + seen["val"]}
    assert not unseen & trained
    assert {labels["land_cover"] for labels in seen["train"]} == set(domain.facts.labels["land_cover"])


def test_labels_and_attributes_have_names_and_fill_every_template(starter, rows, domain):
    from domainclip.captions.templates import parse_template

    facts = domain.facts
    sample = next(domain.samples(next(iter(items(starter, rows))), domain.reading_model()))
    for label in ("land_cover", "scale", "density", "form"):
        assert facts.labels[label][sample.labels[label]].names["en"]
    templates = [parse_template(text) for text in facts.caption_templates["en"]]
    # Others speak of facts that are not asked for here (reading.facts).
    told = [template for template in templates if not set(template.labels) & set(facts.open_labels)]
    assert len(told) >= 8 and all(set(template.labels) <= set(sample.labels) for template in told)
    assert all(text.count("{}") == 1 for text in facts.prompt_templates["en"])
    assert facts.preprocessing.channels == BANDS


def test_missing_data_and_clouds_are_there_and_known(tmp_path):
    from dataclasses import replace

    from domainclip.starter.remote_sensing import _plan
    from domainclip.starter.remote_sensing_scene import render

    plan = replace(_plan(0, "train", 0), wedge=True, cloudy=True)
    scene = render(plan)
    empty = (scene.numbers == 0).all(axis=0)
    assert 0.03 < empty.mean() < 0.35 and (scene.numbers[:, ~empty] > 0).all()
    np.testing.assert_array_equal(scene.land_cover == 0, empty)
    assert 0.005 < scene.cloud.mean() < 0.25
    bright = scene.numbers[1].astype(float)
    # Clouds are brighter than the land in every scene, whatever its light.
    assert bright[(scene.cloud == 1) & ~empty].mean() > 2 * bright[(scene.cloud == 0) & ~empty].mean()
    plain = render(replace(plan, wedge=False, cloudy=False))
    assert (plain.numbers > 0).all() and not plain.cloud.any() and len(plain.features) >= len(scene.features)


def test_a_scene_follows_from_its_plan(starter):
    import rasterio

    from domainclip.starter.remote_sensing import _plan
    from domainclip.starter.remote_sensing_scene import render

    with rasterio.open(starter / "scenes" / "scene_000.tif") as file:
        np.testing.assert_array_equal(render(_plan(0, "train", 3)).numbers, file.read())
    assert (render(_plan(0, "train", 4)).numbers != render(_plan(0, "train", 3)).numbers).mean() > 0.9


@pytest.mark.slow
def test_the_set_follows_from_its_seed_alone(starter, tmp_path):
    from domainclip.starter.remote_sensing import make

    def digests(folder):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    again = tmp_path / "again"
    again.mkdir()
    make(again, groups=5, seed=3, workers=2, progress=None)
    assert digests(again) == digests(starter)


def test_too_few_scenes_are_refused(tmp_path):
    from domainclip.starter.remote_sensing import make

    with pytest.raises(UsageError, match="5 or more"):
        make(tmp_path, groups=4, seed=0, workers=1, progress=None)


def test_default_splits_hold_out_24_scenes():
    from domainclip.starter.remote_sensing import _splits

    splits = _splits(60)
    assert (splits.count("train"), splits.count("val"), splits.count("held_out")) == (30, 6, 24)


def test_every_composition_that_is_held_out_leaves_its_parts_in_training(domain):
    from domainclip.starter.remote_sensing import _COMPOSITIONS, unseen

    for land_cover in domain.facts.labels["land_cover"]:
        trained = [entry for entry in _COMPOSITIONS if not unseen(land_cover, entry)]
        assert len(trained) == 6
        for attribute in ("scale", "density", "form"):
            assert len({entry[attribute] for entry in trained}) == 2


@pytest.mark.parametrize("name", ["default", "geometric"])
def test_augmentations_take_twelve_float_bands(domain, name):
    from domainclip.data.augment import Augmentation

    change = Augmentation(domain.facts.augmentations[name], 0)
    change.check(12, "reflectance")
    image = np.random.default_rng(0).uniform(0, 1.4, (64, 64, 12)).astype("float32")
    changed, mask = change(image, np.ones((64, 64), bool), 64, 0, 0)
    assert changed.shape == (64, 64, 12) and changed.dtype == np.float32 and changed.max() > 1.0 and mask.all()


def test_the_aerial_augmentation_takes_pictures(domain):
    from domainclip.data.augment import Augmentation

    change = Augmentation(domain.facts.augmentations["aerial"], 0)
    change.check(3, "srgb")
    assert change(np.zeros((256, 256, 3), "uint8"), None, 64, 0, 0)[0].shape == (64, 64, 3)
