"""Volumes and time series as planes: taken apart, drawn for training, augmented alike."""

import numpy as np
import pytest
import torch
from stack_domain import DOMAIN
from test_loader import Letters

from domainclip.config import DataConfig
from domainclip.data.loader import BatchLoader
from domainclip.data.planes import drawn_planes, grouped, plane_count, plane_of
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.data.transforms import transform, transform_planes
from domainclip.errors import UsageError
from domainclip.model_record import Preprocessing
from domainclip.sample import Pixels, Values

PREPROCESSING = Preprocessing(channels=("MONOCHROME2",), values_kind="display", image_size=16, mean=(0.5,), std=(0.25,))
DEPTHS = [5, 9, 20, 3, 12, 7]


def test_planes_of_each_kind():
    rng = np.random.default_rng(0)
    volume, mask = rng.random((1, 4, 5, 6)), rng.random((4, 5, 6)) > 0.5
    pixels = Pixels(volume, {"nodata": mask})
    assert plane_count(volume.shape, "CZYX") == 4
    assert np.array_equal(plane_of(pixels, "CZYX", 2).array, volume[:, 2])
    assert np.array_equal(plane_of(pixels, "CZYX", 2).masks["nodata"], mask[2])
    frames = Pixels(rng.random((4, 3, 5, 6)), {"nodata": mask})
    assert plane_count(frames.array.shape, "TCYX") == 4
    assert np.array_equal(plane_of(frames, "TCYX", 3).array, frames.array[3])
    picture = Pixels(rng.random((3, 5, 6)))
    assert plane_count(picture.array.shape, "CYX") == 1
    assert plane_of(picture, "CYX", 0) is picture
    with pytest.raises(UsageError, match="'ZYX'"):
        plane_count((4, 5, 6), "ZYX")


def test_planes_are_transformed_as_pictures_are():
    volume = np.random.default_rng(0).random((1, 4, 20, 24)).astype(np.float32)
    values, channels = Values("display"), ("MONOCHROME2",)
    together = transform_planes(Pixels(volume), "CZYX", values, channels, PREPROCESSING)
    assert together.shape == (4, 1, 16, 16)
    for number in range(4):
        alone = transform(Pixels(volume[:, number]), values, channels, PREPROCESSING)
        assert torch.equal(together[number], alone)


@pytest.mark.parametrize(("count", "wanted"), [(20, 8), (8, 8), (300, 7), (3, 8), (1, 4)])
def test_drawn_planes_are_spread_over_the_whole(count, wanted):
    seen = set()
    for epoch in range(200):
        drawn = drawn_planes(count, wanted, 1, epoch, 5)
        assert len(drawn) == wanted
        assert (np.diff(drawn) >= 0).all()
        # One of each stretch: the n-th lies between n / wanted and (n + 1) / wanted of the count.
        assert (drawn >= np.floor(np.arange(wanted) * count / wanted)).all()
        assert (drawn <= np.ceil((np.arange(wanted) + 1) * count / wanted) - 1).all()
        seen |= set(drawn.tolist())
    assert seen == set(range(count)) or count == 300
    assert np.array_equal(drawn_planes(count, wanted, 1, 3, 5), drawn_planes(count, wanted, 1, 3, 5))


def test_groups_have_so_many_planes():
    images = [torch.zeros(n, 1, 2, 2) for n in (1, 1, 5, 1, 1, 1, 1)]
    assert [[len(image) for image in group] for group in grouped(images, 4)] == [[1, 1, 5], [1, 1, 1, 1]]
    assert list(grouped([], 4)) == []


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Six volumes; plane n of image m is a ramp whose mean is (n + 1) / 100 + m / 10."""
    folder = tmp_path_factory.mktemp("stacks")
    rows = ["path,caption,split"]
    ramp = np.linspace(-0.01, 0.01, 20 * 24).reshape(20, 24)
    for m, depth in enumerate(DEPTHS):
        np.save(folder / f"{m}.npy", np.stack([ramp + (n + 1) / 100 + m / 10 for n in range(depth)])[None].astype(np.float32))
        rows.append(f"{m}.npy,text {m},train")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    source = open_source(DataConfig(source=str(folder / "manifest.csv")), DOMAIN)
    return prepare(source, DOMAIN, folder / "set", workers=0, val_fraction=0)


def loader(prepared, **more):
    return BatchLoader(prepared, "train", PREPROCESSING, Letters(), **({"batch_size": 6, "seed": 3, "planes": 4} | more))


def levels(batch):
    """(B, K) means of the planes in hundredths: the plane's number and ten times the image's."""
    return torch.round((batch.images.mean(dim=(2, 3, 4)) * 0.25 + 0.5) * 100).long()


@pytest.mark.parametrize("cache_gib", [2.0, 0.0])
def test_a_batch_shows_drawn_planes_of_each_volume(prepared, cache_gib):
    batches = loader(prepared, cache_gib=cache_gib)
    for step in range(3):
        batch = batches.batch(step)
        assert batch.images.shape == (6, 4, 1, 16, 16)
        for key, row in zip(batch.keys, levels(batch).tolist(), strict=True):
            number = list(prepared.index["key"]).index(key)
            image = int(prepared.captions_of(key)[0].text.split()[-1])
            assert DEPTHS[image] == prepared.index["depth"].iloc[number]
            position = list(batches.rows["key"]).index(key)
            drawn = drawn_planes(DEPTHS[image], 4, 3, step, position)
            assert row == [10 * image + n + 1 for n in drawn]


def test_batches_do_not_depend_on_cache_or_world_size(prepared):
    whole, uncached = loader(prepared), loader(prepared, cache_gib=0.0)
    halves = [loader(prepared, batch_size=3, rank=rank, world_size=2) for rank in range(2)]
    for step in range(3):
        batch = whole.batch(step)
        assert torch.equal(batch.images, uncached.batch(step).images)
        assert torch.equal(batch.images, torch.cat([half.batch(step).images for half in halves]))


def test_all_planes_of_a_volume_are_changed_alike(prepared):
    # Planes of one image differ by a constant alone; a change of geometry keeps that difference only if it is the same for all.
    steps = [{"name": "Affine", "rotate": [-30, 30], "translate_percent": [-0.2, 0.2], "border_mode": 4, "p": 1.0}]
    batch = loader(prepared, augmentation=steps).batch(0)
    plain = loader(prepared).batch(0)
    assert not torch.allclose(batch.images, plain.images, atol=1e-3)
    for planes in batch.images:
        against_first = planes - planes[:1]
        assert against_first.std(dim=(1, 2, 3)).max() < 1e-4
    shapes = batch.images - batch.images.mean(dim=(3, 4), keepdim=True)
    assert not torch.allclose(shapes[0, 0], shapes[1, 0], atol=1e-3)  # images are changed differently


def test_the_pipelines_of_radiology_take_planes(prepared):
    from domainclip.domains.base import domains

    pipelines = domains.get("radiology").facts.augmentations
    assert {"CZYX", "TCYX", "CZYX-hu", "CYX-hu"} <= set(pipelines)
    for name in ("CZYX", "TCYX"):
        changed = loader(prepared, augmentation=pipelines[name])
        images = torch.stack([changed.batch(step).images for step in range(5)])
        assert torch.isfinite(images).all()
        assert torch.equal(images[0], changed.batch(0).images)


def test_the_pipeline_of_hounsfield_units_keeps_them():
    from domainclip.data.augment import Augmentation
    from domainclip.domains.base import domains

    steps = domains.get("radiology").facts.augmentations["CZYX-hu"]
    augmentation = Augmentation(steps, 0)
    augmentation.check(1, "hu")
    image = np.full((32, 32, 1), 60, np.float32)
    seen = np.stack([augmentation(image, None, 32, epoch, 0)[0][..., 0] for epoch in range(40)])
    assert seen.min() < -900  # what a turn brings in is air
    assert 1 < np.abs(seen[:, 12:20, 12:20] - 60).max() <= 60 * 0.03 + 15 + 1e-3


def test_a_set_is_of_one_kind(prepared, tmp_path):
    mixed = prepared.index.copy()
    mixed.loc[0, "axes"] = "TCYX"
    other = type(prepared)(prepared.folder)
    other.__dict__["index"] = mixed
    with pytest.raises(UsageError, match="CZYX, TCYX"):
        loader(other)
