"""Neighbouring scenes as one: the seam, holes, overlaps, masks and scales of the part that a pixel comes from."""

import numpy as np
import pytest
from made_products import flat, make_landsat, make_safe_l2a, write

from domainclip.errors import UnreadableFileError, UsageError

UTM = "EPSG:32631"


def tile(path, column, row, array=None, crs=UTM, **profile):
    """A tile of 96 x 96 pixels of 10 m at a place of a grid of such tiles."""
    if array is None:
        array = np.random.default_rng([int(column), int(row)]).integers(1, 5000, (2, 96, 96)).astype(np.uint16)
    origin = (600_000.0 + 960 * column, 4_800_000.0 - 960 * row)
    return write(path, array, 10, crs=crs, origin=origin, names=["B02", "B8A"], nodata=0, **profile)


def whole(samples, shape):
    """Puts windows together; -1 where no window lies."""
    array = np.full((len(samples[0].channels), *shape), -1.0)
    for sample in samples:
        w, pixels = sample.window, sample.read()
        array[:, w.y : w.y + w.height, w.x : w.x + w.width] = np.where(pixels.masks["nodata"], 0, pixels.array)
    return array


def merged(paths, **how):
    from rasterio.merge import merge

    return merge(sorted(paths), nodata=0, **how)[0]


def test_neighbours_are_one_scene_and_windows_cross_the_seam(tmp_path, one_scene):
    paths = [tile(tmp_path / f"{name}.tif", x, y) for name, x, y in (("a", 0, 0), ("b", 1, 0), ("c", 0, 1), ("d", 1, 1))]
    samples = one_scene(tmp_path, mosaic=True)
    assert len(samples) == 9 and samples[0].group == "."
    across = next(sample for sample in samples if (sample.window.x, sample.window.y) == (64, 64))
    assert not across.read().masks["nodata"].any()
    np.testing.assert_array_equal(whole(samples, (192, 192)), merged(paths))
    for sample in samples:
        assert (
            sample.geo.transform[2] == 600_000 + 10 * sample.window.x
            and sample.geo.transform[5] == 4_800_000 - 10 * sample.window.y
        )


def test_the_first_by_name_counts_where_it_has_data(tmp_path, one_scene):
    made = np.random.default_rng(1).integers(1, 5000, (2, 96, 96)).astype(np.uint16)
    made[:, 20:40, 60:90] = 0
    # The names' order is not the order of the places, and b lies half over a.
    paths = [tile(tmp_path / "b.tif", 0, 0), tile(tmp_path / "a.tif", 0.5, 0.5, made)]
    samples = one_scene(tmp_path, mosaic=True, max_nodata=0.99)
    wanted = merged(paths)
    np.testing.assert_array_equal(whole(samples, wanted.shape[1:]), wanted)
    assert (wanted == 0).any()


def test_a_pixel_with_a_hole_in_one_band_is_filled_in_all(tmp_path, one_scene):
    """A vector of bands comes from one scene, never from two."""
    first, second = np.full((2, 96, 96), 1000, np.uint16), np.full((2, 96, 96), 3000, np.uint16)
    first[0, :10] = 0
    tile(tmp_path / "a.tif", 0, 0, first)
    tile(tmp_path / "b.tif", 0, 0, second)
    array = whole(one_scene(tmp_path, mosaic=True), (96, 96))
    assert (array[:, :10] == 3000).all() and (array[:, 10:] == 1000).all()


def test_ground_without_a_tile_has_no_data(tmp_path, one_scene):
    for name, x, y in (("a", 0, 0), ("b", 1, 1)):
        tile(tmp_path / f"{name}.tif", x, y)
    samples = one_scene(tmp_path, mosaic=True, max_nodata=0.9)
    array = whole(samples, (192, 192))
    assert (array[:, 100:, 10:90] <= 0).all()
    wholly_empty = [s for s in samples if s.read().masks["nodata"].all()]
    assert not wholly_empty


def test_bands_of_one_file_each_are_filled_by_scene(tmp_path, one_scene):
    """B02 and B8A in files of their own: the hole of one is the hole of both."""
    hole = flat(8200, 30)
    hole[:32] = 0
    make_landsat(tmp_path, bands={"SR_B2": hole})
    make_landsat(tmp_path, date="20210801", bands={f"SR_B{n}": flat(9000 + n, 30) for n in range(1, 8)})
    (sample,) = one_scene(tmp_path, mosaic=True)
    array = sample.read().array
    assert [band[0, 0] for band in array] == [9000 + n for n in range(1, 8)]
    assert [band[40, 0] for band in array] == [8000 + 100 * n for n in range(1, 8)]


def test_masks_are_those_of_the_scene_that_a_pixel_comes_from(tmp_path, one_scene):
    hole = flat(8200, 30)
    hole[:32] = 0
    clear, cloudy = flat(21824, 30), flat(22280, 30)
    clear[40:50] = 22280
    make_landsat(tmp_path, bands={f"SR_B{n}": hole for n in range(1, 8)}, qa=clear)
    make_landsat(tmp_path, date="20210801", qa=cloudy)
    cloud = one_scene(tmp_path, mosaic=True)[0].read().masks["cloud"]
    assert cloud[:32].all() and not cloud[32:40].any() and cloud[40:50].all() and not cloud[50:].any()


def test_blank_clouds_are_filled_from_the_next_scene(tmp_path, one_scene):
    cloudy = flat(21824, 30)
    cloudy[:16] = 22280
    make_landsat(tmp_path, qa=cloudy)
    make_landsat(tmp_path, date="20210801", bands={f"SR_B{n}": flat(9000 + n, 30) for n in range(1, 8)})
    pixels = one_scene(tmp_path, mosaic=True, blank=("cloud",))[0].read()
    assert (pixels.array[0, :16] == 9001).all() and (pixels.array[0, 16:] == 8100).all()
    assert not pixels.masks["nodata"].any() and not pixels.masks["cloud"].any()


def test_scales_that_differ_become_physical_numbers_each_by_its_own(tmp_path, one_scene):
    west = {name: flat(2000, 10) for name in ("B02", "B03", "B04", "B08")}
    make_safe_l2a(tmp_path, suffix="tif", bands=west)
    east = {name: flat(4000, 10) for name in west}
    make_safe_l2a(
        tmp_path, suffix="tif", tile="T31TDJ", baseline="0400", offsets=-1000, bands=east, origin=(601_920.0, 4_800_000.0)
    )
    samples = one_scene(tmp_path, mosaic=True, bands=("B02",))
    array = whole(samples, (192, 384))
    assert samples[0].values.kind == "reflectance" and (samples[0].values.scale, samples[0].values.offset) == (1, 0)
    # 2000 x 0.0001 before baseline 04.00; 4000 x 0.0001 - 0.1 since.
    np.testing.assert_allclose(array[0, :, :192], 0.2, rtol=1e-5)
    np.testing.assert_allclose(array[0, :, 192:], 0.3, rtol=1e-5)


def test_other_grids_and_crss_are_refused_with_the_remedy(tmp_path, one_scene):
    tile(tmp_path / "a.tif", 0, 0)
    tile(tmp_path / "b.tif", 1.0005, 0)  # 0.048 of a pixel off
    with pytest.raises(UnreadableFileError, match="different grids") as error:
        one_scene(tmp_path, mosaic=True)
    assert "reading.crs" in error.value.remedy
    tile(tmp_path / "b.tif", 1, 0, crs="EPSG:32632")
    with pytest.raises(UnreadableFileError, match="different grids"):
        one_scene(tmp_path, mosaic=True)
    with pytest.raises(UnreadableFileError, match="pixels of its own size"):
        one_scene(tmp_path, mosaic=True, crs="EPSG:3035")


def test_scenes_of_two_zones_meet_on_one_grid(tmp_path, one_scene):
    """A gradient of longitude, stored in two zones, is one gradient on the grid asked for; rasterio merges the same."""
    import rasterio
    from rasterio.merge import merge
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import transform

    paths = []
    for name, crs, x in (("a", "EPSG:32631", 738_000.0), ("b", "EPSG:32632", 259_200.0)):
        xs, ys = np.meshgrid(x + 10 * (np.arange(192) + 0.5), 4_800_000.0 - 10 * (np.arange(192) + 0.5))
        longitude, _ = transform(crs, "EPSG:4326", xs.ravel().tolist(), ys.ravel().tolist())
        array = ((np.asarray(longitude).reshape(192, 192) - 5.9) * 1e4).astype(np.float32)
        paths.append(write(tmp_path / f"{name}.tif", array, 10, crs=crs, origin=(x, 4_800_000.0), names=["B8A"], nodata=-9999))
    samples = one_scene(tmp_path, mosaic=True, crs="EPSG:32631", spacing_m=10, max_nodata=0.9)
    assert {sample.geo.crs for sample in samples} == {"EPSG:32631"}
    for sample in samples:
        pixels = sample.read()
        a, _, c, _, e, f = sample.geo.transform
        xs, ys = np.meshgrid(c + a * (np.arange(64) + 0.5), f + e * (np.arange(64) + 0.5))
        longitude, _ = transform("EPSG:32631", "EPSG:4326", xs.ravel().tolist(), ys.ravel().tolist())
        wanted = (np.asarray(longitude).reshape(64, 64) - 5.9) * 1e4
        valid = ~pixels.masks["nodata"]
        np.testing.assert_allclose(pixels.array[0][valid], wanted[valid], atol=0.8)  # a pixel is 1.2 wide
    with rasterio.open(paths[0]) as one, rasterio.open(paths[1]) as other:
        warped = WarpedVRT(other, crs="EPSG:32631", resampling=rasterio.enums.Resampling.bilinear)
        bounds = samples[0].geo.transform
        box = (bounds[2], bounds[5] - 640, bounds[2] + 640, bounds[5])
        wanted = merge([one, warped], bounds=box, res=10, nodata=-9999)[0]
    first = samples[0].read()
    valid = ~first.masks["nodata"] & (wanted[0] != -9999)
    assert valid.any()
    np.testing.assert_allclose(first.array[0][valid], wanted[0][valid], atol=1.2)


def test_parts_of_different_bands_types_or_quantities_are_refused(tmp_path, one_scene):
    tile(tmp_path / "a.tif", 0, 0)
    write(tmp_path / "b.tif", flat(9, 10)[None], 10, origin=(600_960.0, 4_800_000.0), names=["B8A"])
    with pytest.raises(UnreadableFileError, match="different bands"):
        one_scene(tmp_path, mosaic=True)
    assert one_scene(tmp_path, mosaic=True, bands=("B8A",))
    write(tmp_path / "b.tif", np.ones((2, 96, 96), np.float32), 10, origin=(600_960.0, 4_800_000.0), names=["B02", "B8A"])
    with pytest.raises(UnreadableFileError, match="different types"):
        one_scene(tmp_path, mosaic=True)


def test_quality_bands_beside_some_parts_alone_are_refused(tmp_path, one_scene):
    make_landsat(tmp_path)
    home = make_landsat(tmp_path, date="20210801")
    next(home.glob("*QA_PIXEL*")).unlink()
    with pytest.raises(UnreadableFileError, match="quality"):
        one_scene(tmp_path, mosaic=True)


def test_tiles_far_apart_are_no_mosaic(tmp_path, one_scene):
    tile(tmp_path / "a.tif", 0, 0)
    tile(tmp_path / "b.tif", 0, 50_000)
    with pytest.raises(UnreadableFileError, match="far apart"):
        one_scene(tmp_path, mosaic=True)


def test_a_mosaic_of_one_is_that_one(tmp_path, one_scene):
    tile(tmp_path / "a.tif", 0, 0)
    alone = one_scene(tmp_path)
    mosaic = one_scene(tmp_path, mosaic=True)
    assert [s.window for s in alone] == [s.window for s in mosaic]
    np.testing.assert_array_equal(alone[0].read().array, mosaic[0].read().array)


def test_mosaic_and_series_exclude_each_other(domain):
    from domainclip.config import validated

    with pytest.raises(UsageError, match="one of them"):
        validated(domain.reading_model, {"mosaic": True, "axes": "TCYX"}, "reading")


def test_a_mosaic_goes_into_a_set(tmp_path):
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains

    paths = [tile(tmp_path / "in" / f"{name}.tif", x, 0) for name, x in (("a", 0), ("b", 1))]
    reading = {"mosaic": True}
    source = open_dataset(tmp_path / "in", domain="remote-sensing", reading=reading)
    assert len(source) == 1
    made = prepare(source, domains.get("remote-sensing"), tmp_path / "set", reading=reading, workers=0)
    samples = [made.sample(n) for n in range(len(made))]
    wanted = merged(paths)
    assert len(samples) == 6
    for sample in samples:
        x, y = round((sample.geo.transform[2] - 600_000) / 10), round((4_800_000 - sample.geo.transform[5]) / 10)
        np.testing.assert_array_equal(sample.read().array, wanted[:, y : y + 64, x : x + 64])
