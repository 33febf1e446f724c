"""Each defect of published readers that is known to us, as a test; docs/remote-sensing.md maps them."""

import math
import pickle

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError, UsageError
from domainclip.sample import SourceItem

UTM = {"crs": "EPSG:32630", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_000_000.0)}
EUROSAT = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]
S2_10 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


def numbered(count, side=64, dtype="uint16"):
    return np.broadcast_to(np.arange(1, count + 1, dtype=dtype)[:, None, None], (count, side, side)).copy()


def test_dropping_bands_of_eurosat_by_position_takes_the_wrong_ones(write_raster, cut):
    """MS-CLIP deletes positions 0, 9, 10 of 13 bands: in EuroSAT's order that leaves B09, B12 and B8A for B8A, B11 and B12."""
    sample = cut(write_raster(numbered(13)), sensor="sentinel-2-l1c-eurosat", bands=S2_10)[0]
    read = dict(zip(sample.channels, sample.read().array[:, 0, 0].tolist(), strict=True))
    assert read == {name: EUROSAT.index(name) + 1 for name in S2_10}
    by_position = np.delete(np.arange(1, 14), [0, 9, 10])
    assert [EUROSAT[n - 1] for n in by_position[-3:]] == ["B09", "B12", "B8A"] != list(S2_10[-3:])


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_ten_and_twelve_bands_are_read_alike_however_they_are_interleaved(write_raster, cut, interleave):
    """MS-CLIP's TIFF reader turns the axes by the number of channels: ten bands break, planar files skip the choice of bands."""
    for count, sensor in ((10, "sentinel-2-l2a-10"), (12, "sentinel-2-l2a")):
        path = write_raster(numbered(count), f"{count}.tif", interleave=interleave)
        sample = cut(path, sensor=sensor, bands=("B12", "B02"))[0]
        wanted = {10: [10, 1], 12: [12, 2]}[count]
        assert sample.read().array.shape == (2, 64, 64) and sample.read().array[:, 0, 0].tolist() == wanted


def test_the_first_three_bands_are_no_picture(write_raster, cut):
    """geoai takes bands 1 to 3 of any stack for red, green and blue; of Sentinel-2 these are coastal, blue and green."""
    path = write_raster(numbered(12), names=[*EUROSAT[:8], "B8A", "B09", "B11", "B12"])
    sample = cut(path, bands=("B04", "B03", "B02"))[0]
    assert sample.read().array[:, 0, 0].tolist() == [4, 3, 2]
    from domainclip.channel_names import channel_positions

    assert channel_positions(cut(path)[0].channels, ("red", "green", "blue")) == (3, 2, 1)


def test_nodata_does_not_enter_scale_or_statistics(write_raster, cut, domain):
    """geoai stretches each chip from its smallest to its largest number, nodata included."""
    array = np.full((1, 64, 64), 3000, "uint16")
    array[:, :, :10] = 0
    path = write_raster(array, names=["B8A"], nodata=0, **UTM)
    seen = domain.inspect(path)
    assert seen.range["minimum"] == 3000 and seen.range["valid_share"] == pytest.approx(54 / 64)
    sample = cut(path)[0]
    assert sample.values.scale == 1.0 and sample.read().masks["nodata"][:, :10].all()


def test_wavelengths_of_radar_are_lengths_and_a_models_convention_is_its_own():
    """terratorch gives VV and VH 5.405 (gigahertz) where others are micrometres; DOFA v1 wants 3.75 (torchgeo 3931)."""
    from domainclip.domains.remote_sensing.sensors import band_facts, known_wavelengths

    assert band_facts("VV", None).wavelength_um == pytest.approx(299_792_458 / 5.405e9 * 1e6, rel=1e-6)
    assert known_wavelengths(("VV", "VH", "B04", "red"), None) == {"B04": 0.6646, "red": 0.665}


def test_b10_does_not_exist_in_level_2a(write_raster, cut):
    """terratorch 881: B10 among the bands of L2A."""
    from domainclip.domains.remote_sensing.sensors import sensors

    assert "B10" not in sensors()["sentinel-2-l2a"].bands and "B10" in sensors()["sentinel-2-l1c"].bands
    with pytest.raises(UnreadableFileError, match="no band B10"):
        cut(write_raster(numbered(12)), sensor="sentinel-2-l2a", bands=("B10",))


@pytest.mark.parametrize(("south", "name"), [(False, "summer"), (True, "winter")])
def test_seasons_of_both_hemispheres(write_raster, cut, south, name):
    """RS5M's captions have northern seasons everywhere."""
    crs = "EPSG:32736" if south else "EPSG:32630"
    place = (10.0, 0.0, 600_000.0, 0.0, -10.0, 6_000_000.0 if south else 5_000_000.0)
    path = write_raster(numbered(1), names=["B8A"], tags={"DATE_ACQUIRED": "2021-07-15"}, crs=crs, transform=place)
    assert cut(path)[0].meta["season"] == name


def test_a_window_lies_where_its_centre_is(write_raster, cut):
    """RS5M takes the first corner of a footprint for its place."""
    from pyproj import Transformer

    path = write_raster(numbered(1, side=2000), names=["B8A"], **UTM)
    sample = cut(path, window_px=2000)[0]
    middle = Transformer.from_crs("EPSG:32630", "EPSG:4326", always_xy=True).transform(610_000, 4_990_000)
    assert (sample.meta["longitude"], sample.meta["latitude"]) == pytest.approx(middle, abs=1e-4)


def test_windows_of_nothing_but_nodata_are_left_out_and_counted(write_raster, cut):
    """torchgeo 1330, 2029: samplers hand out patches of nodata alone."""
    array = np.ones((1, 256, 256), "int16")
    array[:, :128] = -1
    samples = cut(write_raster(array, names=["B8A"], nodata=-1, **UTM))
    assert samples.account == {"windows": 16, "kept": 8, "with too little data": 8}
    assert not any(s.read().masks["nodata"].any() for s in samples)


def test_nodata_stays_what_it_is_after_reprojection(write_raster, cut):
    """torchgeo 2466, 3847: edges of tiles are filled with zeros that look like data."""
    array = np.full((1, 256, 256), 1500, "int16")
    for nodata in (-9999, None):
        path = write_raster(array, f"{nodata}.tif", names=["B8A"], nodata=nodata, **UTM)
        for sample in cut(path, crs="EPSG:3035", max_nodata=0.99):
            pixels = sample.read()
            assert (pixels.array[0][~pixels.masks["nodata"]] == 1500).all()


def test_tiles_of_a_scene_have_the_places_that_their_pixels_have(write_raster, cut):
    """terratorch 716: indices of tiles are wrong in tiled inference."""
    y, x = np.mgrid[:300, :460]
    path = write_raster((1000 * y + x)[None].astype("int32"), names=["B8A"], **UTM)
    for sample in cut(path, window_px=64, stride_px=40):
        first = int(sample.read().array[0, 0, 0])
        assert (sample.window.x, sample.window.y) == (first % 1000, first // 1000)
        assert sample.geo.transform[2] == 600_000 + 10 * (first % 1000) and sample.geo.transform[5] == 5_000_000 - 10 * (
            first // 1000
        )


def test_a_scene_is_not_reprojected_unless_asked(write_raster, cut):
    """torchgeo 409: scenes of other zones are resampled onto the first one's grid without a word."""
    for number, crs in enumerate(("EPSG:32630", "EPSG:32631")):
        array = np.random.default_rng(number).integers(0, 9000, (1, 64, 64)).astype("uint16")
        sample = cut(write_raster(array, f"{number}.tif", names=["B8A"], crs=crs, transform=UTM["transform"]))[0]
        assert sample.geo.crs == crs
        np.testing.assert_array_equal(sample.read().array, array)


def test_data_are_never_run_as_code(tmp_path, domain):
    """DOFA-CLIP evaluates text of its shards, SkyScript ships pickles: neither is read, whatever it is called."""
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps({"box": (0, 0, 1, 1)}))
    (tmp_path / "a.geoloc").write_text("__import__('os').getpid()")
    (tmp_path / "b.tif").write_bytes(pickle.dumps([1]))
    assert not domain.recognises(tmp_path / "meta.pkl") and not domain.recognises(tmp_path / "a.geoloc")
    with pytest.raises(UnreadableFileError):
        list(domain.samples(SourceItem(tmp_path / "b.tif", "b.tif"), domain.reading_model()))


def test_offsets_of_a_baseline_are_told_and_never_guessed(write_raster, cut):
    """Numbers of Sentinel-2 since baseline 04.00 are 1000 higher: read as before, water reflects a tenth of the light."""
    array = np.full((1, 64, 64), 1350, "uint16")
    path = write_raster(array, names=["B8A"], **UTM)
    assert cut(path)[0].values.kind == "dn"
    old, new = (cut(path, processing_baseline=baseline)[0].values for baseline in ("03.01", "04.00"))
    assert 1350 * old.scale + old.offset == pytest.approx(0.135) and 1350 * new.scale + new.offset == pytest.approx(0.035)
    other = write_raster(array, "vv.tif", names=["VV"], **UTM)
    with pytest.raises(UnreadableFileError, match="Sentinel-2's"):
        cut(other, processing_baseline="04.00")


def test_one_name_is_not_one_band_in_two_sensors():
    """SR_B3 is red on Landsat 5 and green on Landsat 8; B05 is red edge in HLS S30 and near infrared in L30."""
    from domainclip.channel_names import channel_positions
    from domainclip.domains.remote_sensing.sensors import canonical

    five, eight = canonical(("SR_B3", "SR_B4"), "landsat-5"), canonical(("SR_B3", "SR_B4"), "landsat-8-9")
    assert not set(five) & set(eight)
    with pytest.raises(UsageError, match="lacks OLI_SR_B3"):
        channel_positions(five, eight)
    assert canonical(("B05",), "hls-s30") != canonical(("B05",), "hls-l30")


def test_decibel_and_linear_power_are_told_apart(write_raster, cut):
    rng = np.random.default_rng(0)
    power = rng.gamma(2.0, 0.05, (1, 64, 64)).astype("float32") + 1e-4
    path = write_raster(power, names=["VV"], **UTM)
    sample = cut(path, values="power")[0]
    assert sample.values.kind == "db"
    np.testing.assert_allclose(sample.read().array, [[[10 * math.log10(v) for v in row] for row in power[0]]], rtol=1e-5)
    with pytest.raises(UnreadableFileError, match="do not look like db"):
        cut(path, values="db")
    decibel = write_raster(10 * np.log10(power), "db.tif", names=["VV"], **UTM)
    assert cut(decibel, values="db")[0].values.kind == "db"
    with pytest.raises(UnreadableFileError, match="do not look like linear power"):
        cut(decibel, values="power")


def test_windows_come_in_one_order(write_raster, cut):
    """Windows come in one order, whatever the seed, the process or the run."""
    path = write_raster(numbered(1, side=256), names=["B8A"], **UTM)
    keys = [s.key for s in cut(path)]
    assert keys == sorted(keys, key=lambda k: [int(v) for v in k.partition("#")[2].split("_")[1::-1]])
    assert keys == [s.key for s in cut(path)]
