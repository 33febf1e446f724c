"""What a second reader of the code found: holes in one band, masks and numbers together, alpha that is infrared, odd pixels."""

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError

UTM = {"crs": "EPSG:32630", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_000_000.0)}
TALL = {"crs": "EPSG:32630", "transform": (5.0, 0.0, 600_000.0, 0.0, -20.0, 5_000_000.0)}
"""Pixels four times as high as wide."""


@pytest.mark.parametrize("options", [{}, {"spacing_m": 40}, {"crs": "EPSG:3035"}, {"crs": "EPSG:3035", "resampling": "cubic"}])
@pytest.mark.parametrize(("dtype", "nodata"), [("int16", -9999), ("float32", -9999), ("uint16", 0)])
def test_a_hole_in_one_band_is_a_hole_on_any_grid(write_raster, cut, options, dtype, nodata):
    """GDAL's warper leaves out pixels that lack all bands, unless it is told to go band by band."""
    rng = np.random.default_rng(0)
    array = rng.integers(1000, 1100, (3, 128, 128)).astype(dtype)
    array[1, :, 40:60] = nodata
    path = write_raster(array, names=["B02", "B03", "B8A"], nodata=nodata, **UTM)
    share, lows = [], []
    for sample in cut(path, window_px=16, max_nodata=0.99, **options):
        pixels = sample.read()
        lows.append(pixels.array[:, ~pixels.masks["nodata"]].min(initial=5000))
        share.append(pixels.masks["nodata"].mean())
    assert min(lows) > 900
    assert np.mean(share) > 0.02 or options


@pytest.mark.parametrize("options", [{}, {"spacing_m": 40}, {"crs": "EPSG:3035"}])
def test_a_mask_and_a_number_without_data_both_count(write_raster, cut, options):
    import rasterio

    array = np.full((2, 128, 128), 700, "uint16")
    array[:, :, :30] = 0
    array[:, 90:] = 9999
    path = write_raster(array, names=["B02", "B8A"], **UTM)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        mask = np.full((128, 128), 255, "uint8")
        mask[90:] = 0
        file.write_mask(mask)
    for sample in cut(path, window_px=16, nodata=0, max_nodata=0.99, **options):
        pixels = sample.read()
        assert set(np.unique(pixels.array[:, ~pixels.masks["nodata"]])) <= {700}


@pytest.mark.parametrize("options", [{}, {"crs": "EPSG:3035", "resampling": "nearest"}])
@pytest.mark.parametrize("told", [{"sensor": "naip"}, {"band_names": ("red", "green", "blue", "nir")}, {}])
def test_near_infrared_that_gdal_takes_for_alpha_is_data(write_raster, cut, told, options):
    """rasterio marks the fourth band of an 8-bit file as alpha: pixels without infrared light are no holes."""
    array = np.full((4, 64, 64), 90, "uint8")
    array[3, :, :32] = 0
    path = write_raster(array, names=None if told else ["red", "green", "blue", "nir"], **UTM)
    sample = cut(path, window_px=32, max_nodata=0.99, **told, **options)[0]
    assert sample.channels == ("red", "green", "blue", "nir")
    pixels = sample.read()
    valid = ~pixels.masks["nodata"]
    assert valid.mean() > 0.5 and set(np.unique(pixels.array[3][valid])) <= {0, 90} and (pixels.array[0][valid] == 90).all()


def test_numbers_without_data_that_the_type_cannot_hold_do_not_change_it(write_raster, cut):
    path = write_raster(np.full((1, 128, 128), 700, "uint16"), names=["B8A"], **UTM)
    for nodata in (-9999.0, 0.5):
        sample = cut(path, window_px=16, crs="EPSG:3035", nodata=nodata, max_nodata=0.99)[0]
        assert sample.read().array.dtype == np.uint16


def test_a_scene_across_the_date_line_is_whole_in_utm(write_raster, cut):
    path = write_raster(
        np.full((1, 64, 64), 700, "uint16"),
        names=["B8A"],
        nodata=0,
        crs="EPSG:4326",
        transform=(0.001, 0, 179.97, 0, -0.001, -17.0),
    )
    samples = cut(path, crs="utm", spacing_m=100, window_px=8, max_nodata=0.99)
    data = {(s.window.x + x, s.window.y + y) for s in samples for y, x in np.argwhere(~s.read().masks["nodata"])}
    assert len(data) == pytest.approx(
        64 * 64 * 106.3 * 110.7 / 1e4, rel=0.03
    )  # metres of a thousandth of a degree at 17 S, by hand


def test_an_area_beyond_the_date_line(write_raster, cut, tmp_path):
    import json

    path = write_raster(
        np.ones((1, 64, 64), "uint16"), names=["B8A"], crs="EPSG:4326", transform=(0.001, 0, 179.97, 0, -0.001, -17.0)
    )
    ring = [[-180, -18], [-179, -18], [-179, -16], [-180, -16], [-180, -18]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert {s.window.x for s in cut(path, window_px=8, area=str(tmp_path / "a.geojson"))} == {32, 40, 48, 56}


def test_names_that_mean_different_bands_are_refused_and_those_that_agree_are_not(write_raster, cut):
    array = np.ones((4, 64, 64), "uint16")
    landsat = write_raster(array, "l.tif", names=["SR_B2", "SR_B3", "SR_B4", "SR_B5"], **UTM)
    with pytest.raises(UnreadableFileError, match="SR_B2 is green of Landsat 5, green of Landsat 7, blue of Landsat 8/9"):
        cut(landsat)
    assert cut(landsat, sensor="landsat-5-l2sp")[0].channels == ("TM_SR_B2", "TM_SR_B3", "TM_SR_B4", "TM_SR_B5")
    with pytest.raises(UnreadableFileError, match="B05 is"):
        cut(write_raster(array, "b.tif", names=["B02", "B03", "B04", "B05"], **UTM))
    assert cut(write_raster(array, "c.tif", names=["B02", "B03", "B04", "B08"], **UTM))[0].channels == ("B02", "B03", "B04", "B08")
    both = write_raster(array[:2], "d.tif", names=["OLI_B1", "OLI_B6"], **UTM)
    assert cut(both)[0].sensor == "landsat-8-9-l1"


def test_grey_is_a_name_of_8_bit_pictures_alone(write_raster, cut):
    with pytest.raises(UnreadableFileError, match="no names"):
        cut(write_raster(np.ones((1, 64, 64), "float32"), **UTM))


def test_products_of_other_families_have_their_hole_as_a_number(tmp_path, cut, write_raster):
    """Landsat files without a nodata tag: the product's own 0 counts."""
    array = np.full((1, 64, 64), 9000, "uint16")
    array[:, :, :8] = 0
    path = write_raster(array, "LC08_L2SP_190024_20210601_20210608_02_T1_SR_B4.TIF", **UTM)
    sample = cut(path)[0]
    assert sample.read().masks["nodata"][:, :8].all() and sample.values.kind == "reflectance"


def test_windows_of_pixels_that_are_not_square(write_raster, cut, tmp_path):
    """Steps, sizes and places along rows and columns differ: none may stand for the other."""
    y, x = np.mgrid[:64, :256]
    path = write_raster((1000 * y + x)[None].astype("int32"), names=["B8A"], **TALL)
    samples = cut(path, window_px=16, stride_m=160)
    assert [(s.window.x, s.window.y) for s in samples if s.window.y < 9 and s.window.x < 65] == [
        (0, 0),
        (32, 0),
        (64, 0),
        (0, 8),
        (32, 8),
        (64, 8),
    ]
    metres = cut(path, window_m=320, window_px=16)
    assert {(s.window.width, s.window.height) for s in metres} == {(64, 16)} and metres[0].spacing.values == (20.0, 20.0)
    second = next(s for s in metres if (s.window.x, s.window.y) == (64, 16))
    assert second.geo.transform == (20.0, 0.0, 600_320.0, 0.0, -20.0, 4_999_680.0)
    from pyproj import Transformer

    longitude, latitude = Transformer.from_crs("EPSG:32630", "EPSG:4326", always_xy=True).transform(
        600_002.5 + 5 * 100, 4_999_990 - 20 * 30
    )
    (tmp_path / "at.csv").write_text(f"longitude,latitude\n{longitude},{latitude}\n")
    (sample,) = cut(path, points=str(tmp_path / "at.csv"), window_m=320, window_px=16)
    assert (sample.window.x, sample.window.y, sample.window.width, sample.window.height) == (100 - 32, 30 - 8, 64, 16)


def test_a_mask_holds_where_it_covers_half_of_a_resampled_pixel(write_raster, cut):
    array = np.full((2, 64, 64), 700, "uint16")
    array[1] = 0
    array[1, :, ::2] = 1 << 10  # every second column: half of each pixel of the coarser grid
    array[1, :32] = 0
    array[1, :32, ::4] = 1 << 10  # a quarter
    path = write_raster(array, names=["B8A", "QA60"], **UTM)
    cloud = cut(path, window_m=640, window_px=16)[0].read().masks["cloud"]
    assert not cloud[:8].any() and cloud[8:].all()


def test_points_that_lie_elsewhere_are_said(write_raster, cut, tmp_path):
    path = write_raster(np.ones((1, 64, 64), "uint16"), names=["B8A"], **UTM)
    (tmp_path / "at.csv").write_text("longitude,latitude\n120,10\n")
    with pytest.raises(UnreadableFileError, match="None of the 1 points lies in it"):
        cut(path, points=str(tmp_path / "at.csv"))


def test_points_that_changed_are_read_again(write_raster, cut, tmp_path):
    import os

    from pyproj import Transformer

    path = write_raster(np.ones((1, 64, 64), "uint16"), names=["B8A"], **UTM)
    to = Transformer.from_crs("EPSG:32630", "EPSG:4326", always_xy=True)
    places = []
    for n, (x, y) in enumerate(((600_205, 4_999_795), (600_305, 4_999_795))):
        (tmp_path / "at.csv").write_text("longitude,latitude\n{},{}\n".format(*to.transform(x, y)))
        os.utime(tmp_path / "at.csv", (n + 1, n + 1))
        places.append(cut(path, points=str(tmp_path / "at.csv"), window_px=8)[0].window.x)
    assert places == [16, 26]


def test_wavelengths_are_those_of_the_published_edges():
    """Middles of band edges: USGS for OLI (B5 0.85 to 0.88) and TM (B4 0.76 to 0.90), NASA for MODIS (band 2 841 to 876 nm)."""
    from domainclip.domains.remote_sensing.sensors import band_facts

    edges = {
        ("OLI_SR_B4", "landsat-8-9"): (0.636, 0.673), ("OLI_SR_B5", "landsat-8-9"): (0.851, 0.879),
        ("TM_SR_B4", "landsat-5"): (0.76, 0.90),
        ("ETM_SR_B7", "landsat-7"): (2.09, 2.35), ("MODIS_B2", "modis"): (0.841, 0.876), ("B8A", "sentinel-2"): (0.848, 0.881),
        ("B11", "hls-s30"): (1.565, 1.655), ("rededge", "planetscope"): (0.697, 0.713), ("OLI_SR_B6", "hls-l30"): (1.57, 1.65),
    }  # fmt: skip
    for (name, family), (low, high) in edges.items():
        assert low < band_facts(name, family).wavelength_um < high, name


def test_a_mask_of_its_own_counts_beside_an_alpha_band_that_is_data(write_raster, cut):
    import rasterio

    array = np.full((4, 64, 64), 90, "uint8")
    array[3] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_raster(array, names=["red", "green", "blue", "nir"], **UTM)
        with rasterio.open(path, "r+") as file:
            mask = np.full((64, 64), 255, "uint8")
            mask[:, :10] = 0
            file.write_mask(mask)
    missing = cut(path)[0].read().masks["nodata"]
    assert missing[:, :10].all() and not missing[:, 10:].any()
