"""Windows: covering, place on the ground, resampling, regions."""

import multiprocessing
import pickle

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError
from domainclip.sample import Region, Spacing

UTM = {"crs": "EPSG:32736", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0)}


def ramp(height, width):
    """One band: 1000 * row + column."""
    return (np.arange(height)[:, None] * 1000.0 + np.arange(width))[None].astype("float32")


def square(x, y, size, **labels):
    return Region(((x, y), (x + size, y), (x + size, y - size), (x, y - size)), labels)


def test_a_scene_that_is_not_square_is_covered_by_equal_windows(write_raster, cut):
    samples = cut(write_raster(ramp(158, 214), names=["B8A"], **UTM))
    assert [(s.window.x, s.window.y) for s in samples] == [(x, y) for y in (0, 64, 94) for x in (0, 64, 128, 150)]
    assert all(s.read().array.shape == (1, 64, 64) for s in samples)
    last = samples[-1]
    assert last.key == "folder/scene.tif#150_94_64_64" and last.group == "folder/scene"
    assert last.read().array[0, 0, 0] == 94_150 and last.read().array[0, -1, -1] == 157_213


def test_a_scene_smaller_than_the_window_is_taken_as_it_is(write_raster, cut):
    samples = cut(write_raster(ramp(40, 100), names=["B8A"], **UTM))
    assert [s.read().array.shape for s in samples] == [(1, 40, 64), (1, 40, 64)]


def test_stride_and_place_on_the_ground_agree_with_rasterio(write_raster, cut):
    import rasterio
    from rasterio.windows import Window, transform

    path = write_raster(ramp(128, 96), names=["B8A"], **UTM)
    samples = cut(path, window_px=64, stride_px=32)
    assert len(samples) == 6
    with rasterio.open(path) as file:
        for sample in samples:
            wanted = transform(Window(sample.window.x, sample.window.y, 64, 64), file.transform)
            assert sample.geo.transform == pytest.approx(wanted[:6])
            assert sample.geo.crs == "EPSG:32736"
    assert samples[0].spacing == Spacing((10.0, 10.0), "m", "geotransform")


def test_windows_in_metres_are_resampled(write_raster, cut):
    samples = cut(write_raster(ramp(128, 128), names=["B8A"], **UTM), window_m=640, window_px=32)
    assert [s.window.width for s in samples] == [64, 64, 64, 64]
    first = samples[1]
    assert first.spacing.values == (20.0, 20.0)
    assert first.geo.transform == (20.0, 0.0, 600_640.0, 0.0, -20.0, 9_600_000.0)
    pixels = first.read()
    means = ramp(128, 128)[0, :64, 64:].reshape(32, 2, 32, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(pixels.array[0], means, rtol=1e-6)
    assert not pixels.masks["nodata"].any()


def test_resampling_never_mixes_missing_data_in(write_raster, cut):
    array = np.full((1, 64, 64), 1000, "uint16")
    array[:, :, :9] = 0
    sample = cut(write_raster(array, names=["B8A"], nodata=0, **UTM), window_m=640, window_px=32, max_nodata=0.5)[0]
    pixels = sample.read()
    assert pixels.masks["nodata"][:, :5].all() and not pixels.masks["nodata"][:, 5:].any()
    assert (pixels.array[0][~pixels.masks["nodata"]] == 1000).all()


def test_degrees_are_no_metres(write_raster, cut):
    path = write_raster(ramp(64, 64), names=["B8A"], crs="EPSG:4326", transform=(0.001, 0, 5.0, 0, -0.001, 45.0))
    assert cut(path)[0].spacing == Spacing((0.001, 0.001), "degree", "geotransform")
    with pytest.raises(UnreadableFileError, match="degrees"):
        cut(path, window_m=100)


def test_feet_become_metres(write_raster, cut):
    # EPSG:2263 is in US survey feet of 1200/3937 m.
    path = write_raster(ramp(64, 64), names=["B8A"], crs="EPSG:2263", transform=(2.0, 0, 980_000, 0, -3.0, 200_000))
    spacing = cut(path)[0].spacing
    assert spacing.unit == "m" and spacing.values == pytest.approx((3 * 1200 / 3937, 2 * 1200 / 3937))


def test_a_turned_geotransform_keeps_its_pixel_size(write_raster, cut):
    path = write_raster(ramp(64, 64), names=["B8A"], crs="EPSG:32736", transform=(6.0, -8.0, 6e5, -8.0, -6.0, 9e6))
    assert cut(path)[0].spacing.values == pytest.approx((10.0, 10.0))


def test_regions_in_the_crs_label_windows_by_purity(write_raster, cut):
    path = write_raster(ramp(128, 128), names=["B8A"], **UTM)
    forest = square(600_000, 9_600_000, 640, land_cover="forest", density="dense")
    most = square(600_640, 9_600_000, 560, land_cover="river")  # 56 x 56 of 64 x 64 = 0.766
    some = square(600_000, 9_599_360, 500, land_cover="ponds")  # 50 x 50 of 64 x 64 = 0.61
    samples = cut(path, [forest, most, some])
    assert [s.labels for s in samples] == [{"land_cover": "forest", "density": "dense"}, {"land_cover": "river"}]
    assert samples.account["not enough in one region"] == 2
    assert len(cut(path, [forest, most, some], region_purity=0.6)) == 3
    assert len(cut(path, [forest, most, some], region_purity=1.0)) == 1


def test_what_counts_is_the_polygon_and_not_its_box(write_raster, cut):
    path = write_raster(ramp(128, 128), names=["B8A"], **UTM)
    # A triangle over the whole scene: it covers all of the upper left window and half of its neighbours.
    triangle = Region(((600_000, 9_600_000), (601_280, 9_600_000), (600_000, 9_598_720)), {"land_cover": "forest"})
    assert [(s.window.x, s.window.y) for s in cut(path, [triangle])] == [(0, 0)]
    assert len(cut(path, [triangle], region_purity=0.5)) == 3


def test_regions_of_a_file_without_crs_are_in_pixels(write_raster, cut):
    array = np.zeros((3, 128, 128), "uint8")
    region = Region(((0, 64), (64, 64), (64, 128), (0, 128)), {"land_cover": "forest"})
    samples = cut(write_raster(array, photometric="RGB"), [region], window_px=64)
    assert [(s.window.x, s.window.y) for s in samples] == [(0, 64)]


def test_regions_in_other_coordinates_are_refused(write_raster, cut):
    path = write_raster(ramp(128, 128), names=["B8A"], **UTM)
    with pytest.raises(UnreadableFileError, match="None of its regions touches it") as error:
        cut(path, [square(34.0, -3.0, 1, land_cover="forest")])
    assert "EPSG:32736" in error.value.remedy


def _sum(sample):
    return float(sample.read().array.sum())


def test_samples_cross_processes(write_raster, cut):
    samples = cut(write_raster(ramp(128, 128), names=["B8A"], **UTM))
    assert _sum(samples[0]) == ramp(128, 128)[0, :64, :64].sum()
    samples = [pickle.loads(pickle.dumps(s.reader)) for s in samples]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        read = pool.map(_call, samples)
    assert [float(p.array.sum()) for p in read] == [float(r().array.sum()) for r in samples]


def _call(reader):
    return reader()


def test_a_file_that_changed_is_opened_anew(write_raster, cut):
    import os

    path = write_raster(ramp(64, 64), names=["B8A"], **UTM)
    sample = cut(path)[0]
    sample.read()
    write_raster(ramp(64, 64) + 7, names=["B8A"], **UTM)
    os.utime(path, (1, 1))
    assert sample.read().array[0, 0, 0] == 7
