"""Indices against hand-worked pixels and against rasterio and NumPy on the same file."""

import numpy as np
import pytest

from domainclip.domains.remote_sensing.scene_facts.indices import index_fact, values_of
from domainclip.errors import UnreadableFileError
from domainclip.sample import Pixels, Sample, Values

SCALED = Values("reflectance", 0.0001, -0.1, 0)
EUROSAT = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")


def made(array, channels, values=SCALED, sensor="sentinel-2", masks=None, axes="CYX"):
    pixels = Pixels(np.asarray(array), masks or {})
    return Sample("s", axes, channels, values, lambda: pixels, sensor=sensor), pixels


def test_a_pixel_worked_by_hand():
    """Near infrared 4000 is 0.3, red 1500 is 0.05: NDVI 0.25 / 0.35 = 0.714286, not (4000 - 1500) / 5500 = 0.454545."""
    sample, pixels = made([[[1500]], [[4000]]], ("B04", "B08"))
    assert values_of("ndvi", sample, pixels)[0, 0] == pytest.approx(0.25 / 0.35)
    assert index_fact("ndvi", sample, pixels).numbers == {"ndvi": {"mean": 0.7143, "median": 0.7143, "valid": 1.0}}


def test_offsets_count():
    """The same numbers without the offset of processing baseline 04.00 are another NDVI."""
    plain, pixels = made([[[1500]], [[4000]]], ("B04", "B08"), Values("reflectance", 0.0001, 0.0))
    assert values_of("ndvi", plain, pixels)[0, 0] == pytest.approx(2500 / 5500)


def test_each_index_takes_its_bands_by_name():
    reflectance = {"B03": 0.10, "B04": 0.05, "B08": 0.40, "B8A": 0.42, "B11": 0.20, "B12": 0.12}
    order = ("B8A", "B12", "B03", "B11", "B08", "B04")
    sample, pixels = made([[[round((reflectance[name] + 0.1) * 10_000)]] for name in order], order)
    found = {name: values_of(name, sample, pixels)[0, 0] for name in ("ndvi", "ndwi", "nbr")}
    assert found["ndvi"] == pytest.approx((0.40 - 0.05) / 0.45)
    assert found["ndwi"] == pytest.approx((0.10 - 0.40) / 0.50), "McFeeters: green and near infrared; Gao's takes B11"
    assert found["nbr"] == pytest.approx((0.40 - 0.12) / 0.52)


def test_eurosats_order_with_b8a_last_is_no_trap():
    values = np.arange(13, dtype=np.int16).reshape(13, 1, 1) * 500 + 2000
    sample, pixels = made(values, EUROSAT)
    b04, b08, b12 = ((2000 + 500 * EUROSAT.index(name)) / 1e4 - 0.1 for name in ("B04", "B08", "B12"))
    assert values_of("ndvi", sample, pixels)[0, 0] == pytest.approx((b08 - b04) / (b08 + b04))
    assert values_of("nbr", sample, pixels)[0, 0] == pytest.approx((b08 - b12) / (b08 + b12))


@pytest.mark.parametrize(
    ("sensor", "red", "nir", "swir22"),
    [("sentinel-2", "B04", "B08", "B12"), ("landsat-8-9", "OLI_SR_B4", "OLI_SR_B5", "OLI_SR_B7"),
     ("landsat-8-9-l1", "OLI_B4", "OLI_B5", "OLI_B7")],
)  # fmt: skip
def test_families_name_their_bands(sensor, red, nir, swir22):
    sample, pixels = made([[[0.1]], [[0.3]], [[0.2]]], (swir22, nir, red), Values("reflectance"), sensor)
    assert values_of("ndvi", sample, pixels)[0, 0] == pytest.approx(0.1 / 0.5)
    assert values_of("nbr", sample, pixels)[0, 0] == pytest.approx(0.2 / 0.4)


def test_clouds_gaps_and_zeros_are_left_out():
    nir = np.array([[4000, 4000, 0, 1000, np.nan, 4000]], np.float32)
    red = np.array([[1500, 3000, 3000, 900, 3000, 1500]], np.float32)
    masks = {"nodata": np.array([[0, 0, 0, 0, 0, 0]], bool), "cloud_high": np.array([[0, 1, 0, 0, 0, 0]], bool),
             "snow": np.array([[0, 0, 0, 0, 0, 1]], bool)}  # fmt: skip
    sample, pixels = made([red, nir], ("B04", "B08"), masks=masks)
    found = values_of("ndvi", sample, pixels)[0]
    assert np.isnan(found[[1, 2, 3, 4]]).all(), "cloud, nodata number, both at or below zero reflectance, NaN"
    assert found[[0, 5]] == pytest.approx(0.25 / 0.35)
    assert index_fact("ndvi", sample, pixels).numbers["ndvi"]["valid"] == pytest.approx(2 / 6, abs=1e-4)


def test_negative_reflectance_counts_as_zero():
    sample, pixels = made([[[900]], [[4000]]], ("B04", "B08"))
    assert values_of("ndvi", sample, pixels)[0, 0] == 1.0


def test_nothing_left_is_said():
    sample, pixels = made([[[0]], [[0]]], ("B04", "B08"))
    fact = index_fact("ndvi", sample, pixels)
    assert fact.numbers == {"ndvi": {"valid": 0.0}} and fact.words == {} and "free of clouds" in fact.absent


@pytest.mark.parametrize(
    ("ndvi", "words"),
    [(-0.3, "hardly any vegetation"), (0.05, "hardly any vegetation"), (0.15, None), (0.3, "sparse vegetation"), (0.55, None),
     (0.8, "dense vegetation"), (1.0, "dense vegetation")],
)  # fmt: skip
def test_words_by_the_ranges_of_usgs(ndvi, words):
    nir = np.full((4, 4), (1 + ndvi) / 2)
    sample, pixels = made([1 - nir, nir], ("B04", "B08"), Values("reflectance"))
    assert index_fact("ndvi", sample, pixels).words.get("vegetation") == words


def test_words_need_most_of_the_window():
    nir = np.full((4, 4), 0.9)
    sample, pixels = made([1 - nir, nir], ("B04", "B08"), Values("reflectance"), masks={"cloud": np.arange(16).reshape(4, 4) < 9})
    fact = index_fact("ndvi", sample, pixels)
    assert fact.words == {} and fact.numbers["ndvi"]["valid"] == pytest.approx(7 / 16)
    green = np.where(np.arange(16).reshape(4, 4) < 8, 0.9, 0.1)
    half, pixels = made([green, 1 - green], ("B03", "B08"), Values("reflectance"))
    assert index_fact("ndwi", half, pixels).words == {}
    green[2, 0] = 0.9
    most, pixels = made([green, 1 - green], ("B03", "B08"), Values("reflectance"))
    assert index_fact("ndwi", most, pixels).words == {"water": "mostly open water"}


def test_series_are_measured_over_time():
    array = np.array([[[[1500]], [[4000]]], [[[1500]], [[2000]]]])
    sample, pixels = made(array, ("B04", "B08"), axes="TCYX")
    np.testing.assert_allclose(values_of("ndvi", sample, pixels)[:, 0, 0], [0.25 / 0.35, 0.05 / 0.15])


def test_missing_bands_and_raw_numbers_are_refused():
    sample, pixels = made([[[1500]], [[4000]]], ("B04", "B03"))
    with pytest.raises(UnreadableFileError, match=r"needs the band nir or nir08.*B04, B03"):
        index_fact("ndvi", sample, pixels)
    raw, pixels = made([[[1500]], [[4000]]], ("B04", "B08"), Values("dn"))
    with pytest.raises(UnreadableFileError, match="The numbers are dn"):
        index_fact("ndvi", raw, pixels)
    # A name of another family is no band of this one: B8 is panchromatic for Landsat.
    landsat, pixels = made([[[0.1]], [[0.2]]], ("OLI_B4", "OLI_B8"), Values("reflectance"), "landsat-8-9-l1")
    with pytest.raises(UnreadableFileError, match="needs the band nir"):
        index_fact("ndvi", landsat, pixels)


def test_against_rasterio_and_numpy_on_a_file(write_raster, cut):
    import rasterio

    draw = np.random.default_rng(3)
    array = draw.integers(1100, 6000, (13, 64, 64)).astype(np.uint16)
    array[:, :5, :7] = 0
    path = write_raster(array, names=EUROSAT, scales=(0.0001,) * 13, offsets=(-0.1,) * 13, nodata=0, crs="EPSG:32636",
                        transform=(10.0, 0.0, 6e5, 0.0, -10.0, 5e6))  # fmt: skip
    (sample,) = cut(path, facts=("ndvi", "ndwi", "nbr"))
    with rasterio.open(path) as file:
        band = {name: file.read(file.descriptions.index(name) + 1, masked=True) * 0.0001 - 0.1 for name in EUROSAT}
    for name, (a, b) in {"ndvi": ("B08", "B04"), "ndwi": ("B03", "B08"), "nbr": ("B08", "B12")}.items():
        wanted = (band[a] - band[b]) / (band[a] + band[b])
        told = sample.meta["facts"][name]
        assert told["mean"] == pytest.approx(float(wanted.mean()), abs=6e-5)
        assert told["median"] == pytest.approx(float(np.ma.median(wanted)), abs=6e-5)
        assert told["valid"] == pytest.approx(wanted.count() / wanted.size, abs=6e-5)


@pytest.mark.real_data
def test_a_real_chip_has_plausible_vegetation(real_data, cut):
    """Tropical savannah in December; the file's scale is not told, so the owner tells it."""
    path = real_data / "remote-sensing" / "sentinel2" / "l2a_12band" / "38D_378R_2_3.tif"
    if not path.is_file():
        pytest.skip("absent")
    options = {"sensor": "sentinel-2-l2a", "values": "reflectance", "scale": 0.0001, "window_px": 224}
    (sample,) = cut(path, facts=("ndvi", "place", "climate", "gsd", "sensor"), **options)
    assert -0.2 < sample.meta["facts"]["ndvi"]["mean"] < 0.9 and sample.labels["sensor"] == "Sentinel-2"
    assert sample.labels["gsd"] == "10 m" and set(sample.labels) >= {"country", "climate"}
