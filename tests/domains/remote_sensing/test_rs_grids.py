"""Windows on another grid: CRS, pixel size, mixed resolutions; against rasterio's reproject of whole files and pyproj."""

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError, UsageError
from domainclip.sample import SourceItem

UTM = {"crs": "EPSG:32630", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_000_000.0)}


def waves(count, height, width, dtype="int16"):
    """Smooth bands that differ from each other."""
    y, x = np.mgrid[:height, :width]
    return np.stack([1000 * n + 300 * np.sin(x / (9 + n)) + 200 * np.cos(y / (7 + n)) for n in range(1, count + 1)]).astype(dtype)


def whole(path, grid, how, nodata=None):
    """The file on a grid as rasterio.warp.reproject gives it, in one call."""
    import rasterio
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    with rasterio.open(path) as file:
        target = np.full((file.count, grid.height, grid.width), -1 if nodata is None else nodata, file.dtypes[0])
        reproject(
            file.read(), target, src_transform=file.transform, src_crs=file.crs, dst_transform=Affine(*grid.transform),
            dst_crs=grid.crs, resampling=Resampling[how], src_nodata=nodata, dst_nodata=nodata, init_dest_nodata=True,
        )  # fmt: skip
    return target


def scene(path, **reading):
    from domainclip.domains.remote_sensing.item_products import products_of
    from domainclip.domains.remote_sensing.reading import RemoteSensingReading
    from domainclip.domains.remote_sensing.scene import scene_of_several

    options = RemoteSensingReading(**reading)
    return scene_of_several(products_of(SourceItem(path, path.name), options), options)


@pytest.mark.parametrize("how", ["nearest", "bilinear", "cubic"])
def test_reprojected_windows_are_parts_of_the_reprojected_scene(write_raster, cut, how):
    path = write_raster(
        waves(3, 200, 240), names=["B02", "B03", "B8A"], nodata=-32768, tiled=True, blockxsize=64, blockysize=64, **UTM
    )
    options = {"crs": "EPSG:3035", "spacing_m": 10, "resampling": how, "max_nodata": 0.9}
    grid = scene(path, **options).grid
    oracle = whole(path, grid, how, nodata=-32768)
    samples = cut(path, window_px=64, stride_px=48, **options)
    assert len(samples) > 8 and {s.geo.crs for s in samples} == {"EPSG:3035"}
    for sample in samples:
        w, pixels = sample.window, sample.read()
        part = oracle[:, w.y : w.y + w.height, w.x : w.x + w.width]
        missing = (part == -32768).any(axis=0)
        assert (pixels.masks["nodata"] == missing).mean() > 0.995  # GDAL's approximation may differ by a pixel at the rim
        both = ~missing & ~pixels.masks["nodata"]
        # GDAL transforms by pieces, to an eighth of a pixel: whole scene and windows are cut into other pieces.
        assert np.abs(part[:, both].astype(int) - pixels.array[:, both]).max() <= (0 if how == "nearest" else 12)


def test_windows_do_not_depend_on_what_was_read_before(write_raster, cut):
    path = write_raster(waves(2, 300, 300), names=["B02", "B8A"], nodata=-1, **UTM)
    options = {"crs": "EPSG:3857", "window_px": 64, "max_nodata": 0.9}
    forwards = {s.key: s.read().array for s in cut(path, **options)}
    backwards = {s.key: s.read().array for s in reversed(cut(path, **options))}
    odd = {s.key: s.read().array for s in cut(path, stride_px=32, **options)}
    assert forwards.keys() == backwards.keys()
    for key, array in forwards.items():
        np.testing.assert_array_equal(array, backwards[key])
        if key in odd:
            np.testing.assert_array_equal(array, odd[key])


def test_a_place_is_where_pyproj_says(write_raster, cut):
    """A bright field of 20 x 20 pixels in UTM is found at its longitude and latitude on grids of four CRSs."""
    from pyproj import Transformer

    array = np.full((1, 256, 256), 100, "int16")
    array[:, 100:120, 60:80] = 9000
    path = write_raster(array, names=["B8A"], nodata=-1, **UTM)
    x, y = 600_000 + 70 * 10, 5_000_000 - 110 * 10
    for crs in ("EPSG:3035", "EPSG:3857", "EPSG:4326", "EPSG:32631"):
        east, north = Transformer.from_crs("EPSG:32630", crs, always_xy=True).transform(x, y)
        found = []
        for sample in cut(path, crs=crs, window_px=32, max_nodata=0.95):
            a, b, c, d, e, f = sample.geo.transform
            assert b == d == 0
            column, row = (east - c) / a, (north - f) / e
            if 0 <= column < 32 and 0 <= row < 32:
                found.append(sample.read().array[0, int(row), int(column)])
        assert found == [9000], crs


def test_utm_takes_the_zone_of_the_centre(write_raster):
    path = write_raster(waves(1, 64, 64), names=["B8A"], crs="EPSG:4326", transform=(1e-4, 0, 18.42, 0, -1e-4, -33.92))
    assert scene(path, crs="utm").grid.crs == "EPSG:32734"  # Cape Town
    assert scene(path, crs="utm", spacing_m=10).grid.transform[0] == 10
    polar = write_raster(waves(1, 64, 64), "polar.tif", names=["B8A"], crs="EPSG:3413", transform=(100, 0, 0, 0, -100, 0))
    with pytest.raises(UnreadableFileError, match="UTM has no zone"):
        scene(polar, crs="utm")


def test_grids_of_one_crs_and_pixel_are_parts_of_one_grid(write_raster):
    one = write_raster(waves(1, 100, 100), "one.tif", names=["B8A"], **UTM)
    other = write_raster(
        waves(1, 90, 70), "other.tif", names=["B8A"], crs="EPSG:32631", transform=(10, 0, 166_123, 0, -10, 5_000_777)
    )
    for path in (one, other):
        transform = scene(path, crs="EPSG:3035", spacing_m=10).grid.transform
        assert transform[2] % 10 == 0 and transform[5] % 10 == 0 and transform[:2] == (10, 0)


def test_coarser_pixels_average_and_finer_ones_interpolate(write_raster, cut):
    path = write_raster(waves(1, 128, 128, "float32"), names=["B8A"], nodata=-1, **UTM)
    sample = cut(path, spacing_m=20, window_px=64)[0]
    means = waves(1, 128, 128, "float32")[0].reshape(64, 2, 64, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(sample.read().array[0], means, rtol=1e-5)
    assert sample.spacing.values == (20.0, 20.0)
    fine = cut(path, spacing_m=5, window_px=64, resampling="nearest")[0].read().array[0]
    np.testing.assert_array_equal(fine, np.kron(waves(1, 128, 128, "float32")[0, :32, :32], np.ones((2, 2))))


def test_without_nodata_the_corners_of_a_turned_scene_are_missing(write_raster, cut):
    path = write_raster(np.full((1, 200, 200), 500, "uint16"), names=["B8A"], **UTM)
    samples = cut(path, crs="EPSG:3035", window_px=64, max_nodata=0.99)
    masks = [s.read().masks["nodata"] for s in samples]
    assert any(mask.any() for mask in masks) and any(not mask.any() for mask in masks)
    for sample, mask in zip(samples, masks, strict=True):
        assert (sample.read().array[0][~mask] == 500).all()


def test_metres_of_web_mercator_are_no_metres_on_the_ground(write_raster, cut):
    """At 60 degrees a metre of EPSG:3857 is half a metre; a reader that takes the geotransform for metres is off by two."""
    from pyproj import Transformer

    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(25.0, 60.0)
    path = write_raster(waves(1, 128, 128), names=["B8A"], crs="EPSG:3857", transform=(20, 0, x, 0, -20, y))
    sample = cut(path)[0]
    assert sample.spacing.values == pytest.approx((10.0, 10.0), rel=0.005) and "on the ground" in sample.spacing.source
    assert cut(path, window_m=320, window_px=32)[0].window.width == 32
    with pytest.raises(UnreadableFileError, match=r"is 0\.50 m on the ground"):
        cut(path, spacing_m=10)


def test_degrees_where_metres_are_meant(write_raster, cut):
    path = write_raster(waves(1, 64, 64), names=["B8A"], crs="EPSG:4326", transform=(1e-4, 0, 5.0, 0, -1e-4, 45.0))
    for option in ({"spacing_m": 10}, {"window_m": 320}, {"stride_m": 100}):
        with pytest.raises(UnreadableFileError, match="degrees") as error:
            cut(path, **option)
        assert "utm" in error.value.remedy


def test_a_crs_that_is_none(write_raster, cut):
    path = write_raster(waves(1, 64, 64), names=["B8A"], **UTM)
    with pytest.raises(UsageError, match="no CRS that PROJ knows"):
        cut(path, crs="EPSG:999999")
    bare = write_raster(waves(1, 64, 64), "bare.tif", names=["B8A"])
    with pytest.raises(UnreadableFileError, match="no CRS"):
        cut(bare, crs="utm")


def test_a_crs_far_from_the_scene(write_raster, cut):
    path = write_raster(waves(1, 64, 64), names=["B8A"], crs="EPSG:3031", transform=(10, 0, 0, 0, -10, 0))
    with pytest.raises(UnreadableFileError):
        cut(path, crs="EPSG:3857")


def test_strides_in_metres(write_raster, cut):
    path = write_raster(waves(1, 128, 128), names=["B8A"], **UTM)
    assert [s.window.x for s in cut(path, window_px=64, stride_m=200)[:4]] == [0, 20, 40, 60]


def test_a_window_larger_than_the_scene(write_raster, cut):
    path = write_raster(waves(1, 40, 40), names=["B8A"], **UTM)
    with pytest.raises(UnreadableFileError, match="larger than it") as error:
        cut(path, window_m=640, window_px=64)
    assert "mosaic" in error.value.remedy
    with pytest.raises(UnreadableFileError, match="larger than it"):
        cut(path, window_px=64)
    assert cut(path)[0].read().array.shape == (1, 40, 40)  # where no size is asked for, a small scene is taken as it is
    strip = write_raster(waves(1, 40, 200), "strip.tif", names=["B8A"], **UTM)
    with pytest.raises(UnreadableFileError, match="stretched"):
        cut(strip, window_m=640, window_px=64)


def test_the_date_line(write_raster, cut):
    """Fiji's UTM zone 60 and a scene across 180 degrees in longitude and latitude."""
    east = write_raster(
        waves(1, 64, 64), "east.tif", names=["B8A"], crs="EPSG:32760", transform=(10, 0, 820_000, 0, -10, 8_000_000)
    )
    over = write_raster(
        waves(1, 64, 64), "over.tif", names=["B8A"], crs="EPSG:4326", transform=(0.001, 0, 179.97, 0, -0.001, -17.0)
    )
    for path in (east, over):
        longitude = cut(path)[0].meta["longitude"]
        assert abs(abs(longitude) - 180) < 0.1
    assert scene(over, crs="utm", spacing_m=100).grid.width < 100


def test_points_on_both_sides_of_the_date_line(write_raster, cut, tmp_path):
    path = write_raster(waves(1, 64, 64), names=["B8A"], crs="EPSG:4326", transform=(0.001, 0, 179.97, 0, -0.001, -17.0))
    at = tmp_path / "at.csv"
    at.write_text("longitude,latitude\n179.9805,-17.0305\n-179.9895,-17.0305\n")
    assert [(s.window.x + 4, s.window.y + 4) for s in cut(path, points=str(at), window_px=8)] == [(10, 30), (40, 30)]


def test_a_map_of_the_whole_world_is_read_as_it_is(write_raster, cut):
    array = np.arange(180 * 360, dtype="int32").reshape(1, 180, 360)
    path = write_raster(array, names=["B8A"], crs="EPSG:4326", transform=(1, 0, -180, 0, -1, 90))
    samples = cut(path, window_px=60)
    np.testing.assert_array_equal(samples[5].read().array, array[:, :60, 300:])
    assert samples[5].geo.transform == (1, 0, 120, 0, -1, 90)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("int16", -32768), ("uint8", 255), ("float32", -9999.5), ("float32", float("nan")), ("float64", None)]
)
def test_nearest_pixels_are_those_that_gdal_gives_with_its_own_look_for_nodata(write_raster, cut, dtype, nodata):
    """Every pixel of the scene on another grid, holes of single bands and the rim with it."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT

    rng = np.random.default_rng(0)
    array = rng.integers(1, 200, (3, 150, 170)).astype(dtype)
    if nodata is not None:
        array[1][rng.random((150, 170)) < 0.1] = nodata
    path = write_raster(array, names=["B02", "B03", "B8A"], nodata=nodata, **UTM)
    grid = scene(path, crs="EPSG:3035", spacing_m=10, resampling="nearest").grid
    hole = np.nan if nodata is None else nodata
    with rasterio.open(path) as file, WarpedVRT(
        file, crs=grid.crs, transform=Affine(*grid.transform), width=grid.width, height=grid.height, resampling=Resampling.nearest,
        src_nodata=hole, nodata=hole, UNIFIED_SRC_NODATA="NO",
    ) as warped:  # fmt: skip
        oracle = warped.read()
    seen = 0
    for sample in cut(path, crs="EPSG:3035", spacing_m=10, resampling="nearest", window_px=16, max_nodata=0.99):
        w, pixels = sample.window, sample.read()
        part = oracle[:, w.y : w.y + 16, w.x : w.x + 16]
        np.testing.assert_array_equal(pixels.array, part)
        missing = (np.isnan(part) if np.isnan(hole) else part == hole).any(axis=0)
        np.testing.assert_array_equal(pixels.masks["nodata"], missing)
        seen += 1
    assert seen > 80
