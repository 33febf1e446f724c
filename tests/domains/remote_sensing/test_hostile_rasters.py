"""Rasters that lie, lack or are odd: each is read with the right place on the ground, or refused in words."""

import warnings

import numpy as np
import pytest
import rasterio
from hostile_words import NORTH_UP, UTM, numbers, says
from rasterio.transform import Affine

from domainclip.errors import UnreadableFileError

TRANSFORMS = {
    "north up": NORTH_UP,
    "south up": (10.0, 0.0, 600_000.0, 0.0, 10.0, 9_590_000.0),
    "mirrored": (-10.0, 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0),
    "rotated by 30 degrees": (8.660254037844387, 5.0, 600_000.0, 5.0, -8.660254037844387, 9_600_000.0),
    "sheared": (10.0, 3.0, 600_000.0, 0.0, -10.0, 9_600_000.0),
    "quarter turn": (0.0, 10.0, 600_000.0, 10.0, 0.0, 9_600_000.0),
}


@pytest.mark.parametrize("what", TRANSFORMS)
def test_each_pixel_lies_where_its_transform_puts_it(write_raster, cut, what):
    a, b, c, d, e, f = TRANSFORMS[what]
    array = numbers(1, 70, 90)
    path = write_raster(array, names=["B04"], crs="EPSG:32736", transform=TRANSFORMS[what])
    samples = cut(path, window_px=32)
    assert len(samples) == 9
    for sample in samples:
        x, y = sample.window.x, sample.window.y
        np.testing.assert_array_equal(sample.read().array, array[:, y : y + 32, x : x + 32])
        # By hand: the corner and the far corner of the window.
        here = sample.geo.transform
        assert (here[2], here[5]) == (a * x + b * y + c, d * x + e * y + f)
        far = Affine(*here) * (32, 32)
        assert far == pytest.approx((a * (x + 32) + b * (y + 32) + c, d * (x + 32) + e * (y + 32) + f), abs=1e-6)
    assert samples[0].spacing.values == pytest.approx((np.hypot(b, e), np.hypot(a, d)))


@pytest.mark.parametrize(
    "transform",
    [
        (0.0, 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0),
        (10.0, 10.0, 600_000.0, 10.0, 10.0, 9_600_000.0),
        (float("nan"), 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0),
        (10.0, 0.0, float("inf"), 0.0, -10.0, 9_600_000.0),
        (1e308, 0.0, 0.0, 0.0, -1e308, 0.0),
    ],
)
def test_a_transform_without_size_or_place_is_refused(write_raster, cut, domain, transform):
    try:
        path = write_raster(numbers(1, 70, 90), names=["B04"], crs="EPSG:32736", transform=transform)
    except (RuntimeError, rasterio.errors.RasterioError):
        pytest.skip("GDAL does not write this one")
    if rasterio.open(path).transform.is_identity:
        assert cut(path)[0].geo is None or cut(path)[0].geo.transform == tuple(Affine.identity())[:6]
        return
    says(cut, path, "Its transform")
    says(lambda file: [domain.inspect(file)], path, "Its transform")


def test_no_crs_gives_no_place(write_raster, cut, domain):
    path = write_raster(numbers(2, 64, 64), names=["B04", "B8A"], transform=NORTH_UP)
    (sample,) = cut(path)
    assert sample.geo is None and sample.spacing is None and "longitude" not in sample.meta
    assert any("no CRS" in line for line in domain.inspect(path).missing)


@pytest.mark.parametrize(
    ("corner", "longitude", "latitude"),
    [
        ((10.0, 90.0), 10.32, 89.68),
        ((-180.0, 90.0), -179.68, 89.68),
        ((10.0, -89.36), 10.32, -89.68),
        ((179.8, 10.0), -179.88, 9.68),  # crosses the date line: its centre lies behind it
        ((359.0, 10.0), -0.68, 9.68),
    ],
)
def test_degrees_at_the_poles_and_the_date_line(write_raster, cut, domain, corner, longitude, latitude):
    transform = (0.01, 0.0, corner[0], 0.0, -0.01, corner[1])
    path = write_raster(
        numbers(1, 64, 64), names=["B04"], crs="EPSG:4326", transform=transform, tags={"DATE_ACQUIRED": "2023-07-01"}
    )
    (sample,) = cut(path)
    assert sample.geo.transform == transform and sample.spacing.unit == "degree"
    assert sample.meta["longitude"] == pytest.approx(longitude) and sample.meta["latitude"] == pytest.approx(latitude)
    assert domain.inspect(path).details["hemisphere"] == ("north" if latitude > 0 else "south")


@pytest.mark.parametrize("transform", [NORTH_UP, (0.01, 0.0, 10.0, 0.0, -0.01, 95.0), (0.01, 0.0, 700.0, 0.0, -0.01, 0.0)])
def test_metres_that_are_called_degrees_are_refused(write_raster, cut, transform):
    path = write_raster(numbers(1, 64, 64), names=["B04"], crs="EPSG:4326", transform=transform)
    says(cut, path, "counts in degrees.*are these metres")


LOCAL = 'LOCAL_CS["a building site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
ENGINEERING = 'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'


@pytest.mark.parametrize("crs", [LOCAL, ENGINEERING])
def test_a_local_system_of_coordinates_is_read_without_a_place_on_earth(write_raster, cut, domain, crs):
    path = write_raster(numbers(1, 64, 64), names=["B04"], crs=crs, transform=NORTH_UP)
    (sample,) = cut(path)
    assert sample.geo is not None and sample.geo.transform == NORTH_UP and "longitude" not in sample.meta
    assert "centre" not in domain.inspect(path).details


def test_a_place_outside_its_projection_has_no_longitude(write_raster, cut):
    path = write_raster(numbers(1, 64, 64), names=["B04"], crs="EPSG:32736", transform=(10.0, 0.0, 1e300, 0.0, -10.0, 0.0))
    (sample,) = cut(path)
    assert sample.geo.transform[2] == 1e300 and "longitude" not in sample.meta


TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (40, 40)])
def test_all_real_types_and_sizes_are_read_exactly(write_raster, cut, domain, dtype, shape):
    array = np.zeros((2, *shape), dtype)
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    array[0], array[1] = limits.max, limits.min
    path = write_raster(array, names=["B04", "B8A"], **UTM)
    (sample,) = cut(path)
    pixels = sample.read()
    assert pixels.array.dtype == dtype and sample.geo.transform == NORTH_UP
    np.testing.assert_array_equal(pixels.array, array)
    assert not pixels.masks["nodata"].any()
    assert domain.inspect(path).dtype == dtype


def test_float16_is_read_as_gdal_gives_it(tmp_path, cut):
    import tifffile

    array = np.linspace(-2, 2, 64 * 64, dtype=np.float16).reshape(64, 64)
    tifffile.imwrite(tmp_path / "a.tif", array)
    (sample,) = cut(tmp_path / "a.tif", band_names=("VV",))
    np.testing.assert_array_equal(sample.read().array[0], array.astype(np.float32))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_are_refused(write_raster, cut, domain, dtype):
    path = write_raster(np.ones((1, 64, 64), dtype), names=["VV"], **UTM)
    says(cut, path, "complex numbers")
    says(lambda file: [domain.inspect(file)], path, "complex numbers")


def test_bands_of_different_types_are_refused(tmp_path, cut):
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"/>'
        '<VRTRasterBand dataType="Float32" band="2"/></VRTDataset>'
    )
    says(cut, tmp_path / "a.vrt", "different types")


@pytest.mark.parametrize("tagged", [True, False])
def test_nan_everywhere_leaves_no_window_and_says_why(write_raster, cut, domain, tagged):
    path = write_raster(np.full((2, 64, 64), np.nan, "float32"), names=["VV", "VH"], nodata=np.nan if tagged else None, **UTM)
    says(cut, path, "None of its 1 windows is left: 1 with too little data")
    assert domain.inspect(path).range is None


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("int16", -9999), ("uint8", 0), ("float64", 1e308), ("float32", -3.4028234663852886e38), ("float32", -np.inf)],
)
def test_nothing_but_nodata_leaves_no_window_and_one_number_is_found(write_raster, cut, dtype, nodata):
    array = np.full((1, 64, 64), nodata, dtype)
    says(cut, write_raster(array, name="none.tif", names=["B04"], nodata=nodata, **UTM), "too little data")
    array[0, 5, 7] = 3
    (sample,) = cut(write_raster(array, name="one.tif", names=["B04"], nodata=nodata, **UTM), max_nodata=0.9999)
    assert np.argwhere(~sample.read().masks["nodata"]).tolist() == [[5, 7]]


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", "-9999"), ("uint8", "nan"), ("int16", "70000.5"), ("uint16", "1e400"),
                                               ("float32", "1e39")])  # fmt: skip
def test_a_nodata_number_that_no_pixel_can_have_hides_nothing(tmp_path, cut, dtype, nodata):
    import tifffile

    array = numbers(64, 64, dtype=dtype)
    array[0, 0] = 0
    tag = (42113, "s", len(nodata) + 1, nodata, True)
    tifffile.imwrite(tmp_path / "a.tif", array, extratags=[tag], photometric="minisblack", metadata=None)
    (sample,) = cut(tmp_path / "a.tif", band_names=("B04",))
    pixels = sample.read()
    np.testing.assert_array_equal(pixels.array[0], array)
    assert not pixels.masks["nodata"].any()


def test_infinite_numbers_are_kept(write_raster, cut, domain):
    array = numbers(1, 64, 64, dtype="float32")
    array[0, 3, 4], array[0, 4, 3] = np.inf, -np.inf
    path = write_raster(array, names=["VV"], **UTM)
    np.testing.assert_array_equal(cut(path)[0].read().array, array)
    assert domain.inspect(path).range["maximum"] == np.inf


def test_bits_palettes_and_pages(tmp_path, write_raster, cut, domain):
    import tifffile

    bits = np.random.default_rng(0).integers(0, 2, (64, 64)).astype(bool)
    tifffile.imwrite(tmp_path / "bits.tif", bits)
    np.testing.assert_array_equal(cut(tmp_path / "bits.tif", band_names=("B04",))[0].read().array[0], bits)
    twelve = write_raster(numbers(1, 64, 64) * 30, name="twelve.tif", names=["B04"], nbits=12, **UTM)
    np.testing.assert_array_equal(cut(twelve)[0].read().array, numbers(1, 64, 64) * 30)
    tifffile.imwrite(tmp_path / "palette.tif", numbers(64, 64, dtype="uint8"), photometric="palette",
                     colormap=np.arange(768, dtype="uint16").reshape(3, 256))  # fmt: skip
    says(cut, tmp_path / "palette.tif", "indexes into a palette")
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for number in range(3):
            writer.write(numbers(64, 64) + number, contiguous=False, metadata=None)
    # Further pages are no bands of the first; GDAL calls them subdatasets. The first is read.
    np.testing.assert_array_equal(cut(tmp_path / "pages.tif", band_names=("B04",))[0].read().array[0], numbers(64, 64))


def test_points_and_polynomials_are_no_transform(tmp_path, cut, domain):
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC

    points = [GroundControlPoint(0, 0, 36.0, -3.0), GroundControlPoint(0, 64, 36.1, -3.0), GroundControlPoint(64, 0, 36.0, -3.1)]
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "width": 64, "height": 64}
    with rasterio.open(tmp_path / "points.tif", "w", gcps=points, crs="EPSG:4326", **profile) as file:
        file.write(numbers(1, 64, 64))
    coefficients = [1.0] + [0.0] * 19
    with rasterio.open(tmp_path / "rpc.tif", "w", **profile) as file:
        file.write(numbers(1, 64, 64))
        file.rpcs = RPC(0, 9, -3, 1, coefficients, coefficients, 32, 32, 36, 1, coefficients, coefficients, 32, 32)
    for name in ("points.tif", "rpc.tif"):
        (sample,) = cut(tmp_path / name, band_names=("B04",))
        assert sample.geo is None and sample.spacing is None and "longitude" not in sample.meta, name
        assert any("no CRS" in line for line in domain.inspect(tmp_path / name).missing), name


def test_sidecars_that_are_there_gone_or_lie(tmp_path, write_raster, cut, domain):
    plain = write_raster(numbers(1, 64, 64), name="a.tif", names=["B04"])
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n600005\n9599995\n")
    (sample,) = cut(plain)
    assert sample.geo is None, "a world file gives a transform, and no CRS"
    sidecar = write_raster(numbers(2, 64, 64), name="b.tif", **UTM)
    says(cut, sidecar, "no names")
    bands = "".join(
        f'<PAMRasterBand band="{n}"><Description>{name}</Description></PAMRasterBand>' for n, name in ((1, "B8A"), (2, "B04"))
    )
    (tmp_path / "b.tif.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    sidecar.touch()
    assert cut(sidecar)[0].channels == ("B8A", "B04")
    for damaged in ("<PAMDataset>", "", "\0" * 100, '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><PAMDataset/>'):
        (tmp_path / "b.tif.aux.xml").write_text(damaged)
        sidecar.write_bytes(sidecar.read_bytes())
        try:
            assert cut(sidecar, band_names=("B8A", "B04"))[0].read().array.shape == (2, 64, 64)
        except UnreadableFileError as error:
            assert "GDAL could not read it" in str(error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masked = write_raster(numbers(1, 64, 64), name="c.tif", names=["B04"], **UTM)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(masked, "r+") as file:
            mask = np.full((64, 64), 255, "uint8")
            mask[:8] = 0
            file.write_mask(mask)
    assert (tmp_path / "c.tif.msk").is_file()
    assert cut(masked)[0].read().masks["nodata"].sum() == 8 * 64
    (tmp_path / "c.tif.msk").write_bytes((tmp_path / "c.tif.msk").read_bytes()[:100])
    masked.write_bytes(masked.read_bytes())
    says(cut, masked, "GDAL could not read it|cannot be read")
