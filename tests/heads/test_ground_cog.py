"""Maps as COG, read by rasterio and checked by rio-cogeo: planted classes lie where they were planted."""

from __future__ import annotations

import json
import re

import ground_predictions as made
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rio_cogeo.cogeo import cog_validate

from domainclip.domains.remote_sensing.score_grid import lay_grid
from domainclip.domains.remote_sensing.score_maps import write_maps
from domainclip.errors import UsageError
from domainclip.heads.export import export
from domainclip.sample import Geo

PLACES = made.places()
INNER = [(0.5, 0.5), (0.02, 0.02), (0.98, 0.02), (0.02, 0.98), (0.98, 0.98)]


def maps_of(tmp_path, scenes, **options):
    made.write_predictions(tmp_path / "predictions", scenes)
    exported = export(tmp_path / "predictions", "cog", tmp_path / "maps", **options)
    return tmp_path / "maps", exported


def valid(path) -> bool:
    good, errors, warnings = cog_validate(path, quiet=True)
    assert (errors, warnings) == ([], [])
    return good


@pytest.mark.parametrize("name", PLACES)
def test_every_window_has_its_class_where_it_lies(tmp_path, name):
    scene = PLACES[name]
    maps, _ = maps_of(tmp_path, [scene])
    with rasterio.open(maps / "classes" / "scene.tif") as classes, rasterio.open(maps / "scores" / "scene.tif") as scores:
        assert classes.crs == scores.crs == rasterio.CRS.from_user_input(scene.crs)
        for number in scene.used():
            for inner in INNER:
                point = scene.point(number, *inner)
                assert next(classes.sample([point]))[0] == (2 if number == scene.planted else 1)
                np.testing.assert_allclose(next(scores.sample([point])), scene.shares(number), atol=1e-6)
        # The cells have the directions of the scene's own pixels.
        for ours, theirs in ((classes.transform.a, scene.affine.a), (classes.transform.e, scene.affine.e)):
            assert np.sign(round(ours, 9)) == np.sign(round(theirs, 9))
    assert valid(maps / "classes" / "scene.tif")
    assert valid(maps / "scores" / "scene.tif")


def test_a_cell_is_a_stride(tmp_path):
    maps, exported = maps_of(tmp_path, [made.Scene("EPSG:32630", PLACES["utm north"].affine, stride=(32, 16))])
    with rasterio.open(maps / "classes" / "scene.tif") as file:
        assert file.transform == Affine(320, 0, 400_000, 0, -160, 4_600_000)
        assert file.shape == (8, 7)
    assert exported.document["scenes_not_aligned"] == 0


def test_overlapping_windows_are_averaged_and_skipped_ones_stay_empty(tmp_path):
    """Against a loop over pixels of the file."""
    random = np.random.default_rng(4)
    shares = {number: tuple(random.dirichlet((1, 1, 1))) for number in range(30)}
    scene = made.Scene("EPSG:32755", Affine(10, 0, 4e5, 0, -10, 6e6), side=(48, 40), stride=(20, 24),
                       probabilities=shares, without=(0, 1, 6, 7, 8, 17, 22, 23, 28, 29))  # fmt: skip
    maps, exported = maps_of(tmp_path, [scene])
    total, count = np.zeros((3, 136, 148)), np.zeros((136, 148))
    for number in scene.used():
        x, y, width, height = scene.windows()[number]
        for row in range(y, y + height):
            for column in range(x, x + width):
                total[:, row, column] += shares[number]
                count[row, column] += 1
    assert (count == 0).any() and count.max() >= 4
    with rasterio.open(maps / "scores" / "scene.tif") as file, rasterio.open(maps / "classes" / "scene.tif") as classes:
        assert np.isnan(file.nodata) and classes.nodata == 0
        for row, column in zip(*np.nonzero(count >= 0), strict=True):
            if row % 3 or column % 3:
                continue
            point = [scene.affine @ (column + 0.5, row + 0.5)]
            got, best = next(file.sample(point)), next(classes.sample(point))[0]
            if count[row, column] == 0:
                assert np.isnan(got).all() and best == 0
            else:
                mean = total[:, row, column] / count[row, column]
                np.testing.assert_allclose(got, mean, atol=1e-6)
                assert best == 1 + mean.argmax()
        empty = int((classes.read(1) == 0).sum())
    assert exported.document["cells_without_data"] == empty > 0


def test_of_equal_means_the_first_class_wins(tmp_path):
    shares = {0: (0.1, 0.7, 0.2), 1: (0.7, 0.1, 0.2)}
    maps, _ = maps_of(
        tmp_path, [made.Scene("EPSG:32630", Affine(1, 0, 0, 0, -1, 0), (2, 1), stride=(32, 64), probabilities=shares)]
    )
    with rasterio.open(maps / "classes" / "scene.tif") as file:
        assert file.read(1).tolist() == [[2, 1, 1]]


def test_what_a_map_says_of_itself(tmp_path):
    maps, exported = maps_of(tmp_path, [PLACES["utm north"]])
    legend = json.loads((maps / "legend.json").read_text())
    assert [row["class"] for row in legend["classes"]] == list(made.CLASSES)
    assert legend["synthetic"] is True and legend["model"] == exported.document["model"] == "domainclip-abababababab"
    with rasterio.open(maps / "classes" / "scene.tif") as file:
        assert file.dtypes == ("uint8",) and file.nodata == 0 and file.descriptions == ("class",)
        colors = file.colormap(1)
        assert colors[0] == (0, 0, 0, 0)
        assert [list(colors[row["value"]][:3]) for row in legend["classes"]] == [row["color"] for row in legend["classes"]]
        assert len({colors[value] for value in range(4)}) == 4
        tags = file.tags()
        rasterio.shutil.copy(file, tmp_path / "map.vrt", driver="VRT")
    named = re.findall("<Category>(.*?)</Category>", (tmp_path / "map.vrt").read_text())
    assert named == ["no data", "land", "water", "ice &amp; snow"]
    with rasterio.open(maps / "scores" / "scene.tif") as file:
        assert file.descriptions == made.CLASSES and set(file.dtypes) == {"float32"}
        assert file.tags()["synthetic"] == tags["synthetic"] == "yes"
    assert tags["model"] == "domainclip-abababababab" and json.loads(tags["prompts"]) == ["a satellite image of {}"]
    assert tags["TIFFTAG_SOFTWARE"].startswith("domainclip ")
    texts = b"".join(path.read_bytes() for path in maps.rglob("*") if path.is_file())
    assert b"secret" not in texts and b"someone" not in texts and b"/tmp" not in texts
    from PIL import Image

    seen = {color[:3] for _, color in Image.open(maps / "legend.png").convert("RGB").getcolors(10**6)}
    assert {tuple(row["color"]) for row in legend["classes"]} <= seen


def test_real_models_are_not_called_synthetic(tmp_path):
    made.write_predictions(tmp_path / "p", [PLACES["degrees"]], synthetic=False)
    export(tmp_path / "p", "cog", tmp_path / "maps")
    with rasterio.open(tmp_path / "maps" / "classes" / "scene.tif") as file:
        assert "synthetic" not in file.tags()


def _large(tmp_path, classes):
    random = np.random.default_rng(1)
    winners = random.integers(0, classes, (300, 400))
    geos = [Geo("EPSG:32630", (10, 0, 4e5 + 80 * x, 0, -10, 4.6e6 - 80 * y)) for y in range(300) for x in range(400)]
    grid = lay_grid(geos, [(8, 8)] * len(geos))
    values = np.eye(classes)[winners.ravel()]
    write_maps(
        (tmp_path / "c.tif", tmp_path / "s.tif" if classes < 9 else None), grid, [f"class {n}" for n in range(classes)], values, {}
    )
    return winners


def test_overviews_mix_scores_and_never_classes(tmp_path):
    winners = _large(tmp_path, 8)  # with so many, a mean of colours is often nearest to a third class
    assert valid(tmp_path / "c.tif") and valid(tmp_path / "s.tif")
    with rasterio.open(tmp_path / "c.tif") as file, rasterio.open(tmp_path / "c.tif", overview_level=0) as half:
        assert file.overviews(1) == [2] and (file.read(1) == winners + 1).all()
        blocks = file.read(1).reshape(150, 2, 200, 2).transpose(0, 2, 1, 3).reshape(150, 200, 4)
        counts = np.array([[np.bincount(block, minlength=9) for block in row] for row in blocks])
        clear = (counts == counts.max(axis=-1, keepdims=True)).sum(axis=-1) == 1
        most = counts.argmax(axis=-1)
        assert (half.read(1)[clear] == most[clear]).all()
    with rasterio.open(tmp_path / "s.tif", overview_level=0) as half:
        shares = (winners == 1).reshape(150, 2, 200, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(half.read(2), shares, atol=1e-6)


@pytest.mark.slow
def test_more_than_255_classes(tmp_path):
    winners = _large(tmp_path, 300)
    assert valid(tmp_path / "c.tif")
    with rasterio.open(tmp_path / "c.tif") as file:
        assert file.dtypes == ("uint16",) and (file.read(1) == winners + 1).all()
        assert len({file.colormap(1)[value] for value in range(301)}) > 290


def windows_of(affine, boxes, out=None, crs="EPSG:32630"):
    geos = [
        Geo(crs, tuple((affine @ Affine.translation(x, y) @ Affine.scale(w / (out or w), h / (out or h)))[:6]))
        for x, y, w, h in boxes
    ]
    return geos, [(out or w, out or h) for _, _, w, h in boxes]


@pytest.mark.parametrize("pixel", [10, 0.01, 1e-4])
@pytest.mark.parametrize(("length", "step"), [(1001, 1), (1070, 107), (1000, 1), (535, 107)])
def test_the_last_window_moved_inwards_is_placed_to_the_pixel(pixel, length, step):
    affine = Affine(pixel, 0, 123.4567, 0, -pixel, -33.3) if pixel < 1e-3 else Affine(pixel, 0, 4e5, 0, -pixel, 9_999_999.9)
    starts = sorted({*range(0, length - 106, 107), length - 107})
    boxes = [(x, y, 107, 107) for y in starts for x in starts]
    grid = lay_grid(*windows_of(affine, boxes, 64))
    assert grid.aligned and grid.shape == (length // step,) * 2
    assert (grid.boxes * step == [(x, y, x + w, y + h) for x, y, w, h in boxes]).all()
    np.testing.assert_allclose(grid.geo.transform, (affine @ Affine.scale(step))[:6], rtol=1e-9)


def test_too_many_cells_become_larger_ones_and_windows_move_by_half_of_one():
    starts = [*range(0, 10_900, 64), 10_917]
    boxes = [(x, y, 64, 64) for y in starts for x in starts]
    grid = lay_grid(*windows_of(Affine(10, 0, 4e5, 0, -10, 4.6e6), boxes), most_cells=1_000_000)
    assert not grid.aligned and grid.shape[0] * grid.shape[1] <= 1_000_000
    cell = grid.geo.transform[0] / 10
    assert np.abs(grid.boxes * cell - [(x, y, x + w, y + h) for x, y, w, h in boxes]).max() <= cell / 2 + 0.01
    assert grid.covered().min() >= 1


@pytest.mark.parametrize(("boxes", "found"), [
    ([(0, 0, 64, 64), (1_000_001, 3, 64, 64), (3, 1_000_003, 64, 64)], "far apart"),
])  # fmt: skip
def test_scattered_windows_are_no_map(boxes, found):
    with pytest.raises(UsageError, match=found):
        lay_grid(*windows_of(Affine(10, 0, 4e5, 0, -10, 4.6e6), boxes))


def test_windows_of_unequal_size_each_keep_theirs():
    boxes = [(0, 0, 64, 64), (64, 0, 32, 64), (0, 64, 96, 16)]
    grid = lay_grid(*windows_of(Affine(10, 0, 4e5, 0, -10, 4.6e6), boxes))
    assert grid.aligned and grid.shape == (5, 3)
    assert grid.covered().tolist() == [[1] * 3] * 5
    values = grid.mean(np.array([0.25, 0.5, 0.75]), grid.covered())
    assert values.tolist() == [[0.25, 0.25, 0.5]] * 4 + [[0.75] * 3]
