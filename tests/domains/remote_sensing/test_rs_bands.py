"""Which band is which: names are told or refused, never taken from the position."""

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError, UsageError

S2_12 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


def numbered(count, side=64, dtype="uint16"):
    """Band k holds k everywhere."""
    return np.broadcast_to(np.arange(1, count + 1, dtype=dtype)[:, None, None], (count, side, side))


def bands_read(sample):
    return dict(zip(sample.channels, sample.read().array[:, 0, 0].tolist(), strict=True))


def test_bands_without_names_are_refused_with_the_orders_that_fit(write_raster, cut):
    with pytest.raises(UnreadableFileError) as error:
        cut(write_raster(numbered(13)))
    assert "13 bands have no names" in error.value.found
    assert "sentinel-2-l1c (" in error.value.remedy and "sentinel-2-l1c-eurosat (" in error.value.remedy
    assert "naip" not in error.value.remedy


def test_half_named_bands_are_refused(write_raster, cut):
    with pytest.raises(UnreadableFileError, match="no names"):
        cut(write_raster(numbered(2), names=["B02", None]))


# phelber/EuroSAT issue 7: the published files end with B8A; ESA's order has it after B08.
@pytest.mark.parametrize(("sensor", "b8a", "b12"), [("sentinel-2-l1c-eurosat", 13, 12), ("sentinel-2-l1c", 9, 13)])
def test_eurosat_order_has_b8a_last(write_raster, cut, sensor, b8a, b12):
    sample = cut(write_raster(numbered(13)), sensor=sensor)[0]
    read = bands_read(sample)
    assert (read["B8A"], read["B12"], read["B08"]) == (b8a, b12, 8)
    assert sample.sensor == "sentinel-2"


def test_l2a_order_has_no_b10(write_raster, cut):
    read = bands_read(cut(write_raster(numbered(12)), sensor="sentinel-2-l2a")[0])
    assert read == {name: i for i, name in enumerate(S2_12, start=1)}


def test_a_subset_comes_by_name_and_in_the_order_asked_for(write_raster, cut):
    path = write_raster(numbered(12), names=S2_12)
    sample = cut(path, bands=("B12", "B02"))[0]
    assert sample.channels == ("B12", "B02")
    assert sample.read().array[:, 0, 0].tolist() == [12, 2]


def test_short_names_are_lengthened_only_where_the_family_is_known(write_raster, cut):
    known = cut(write_raster(numbered(3), "a.tif", names=["B2", "B8A", "B11"]))[0]
    assert known.channels == ("B02", "B8A", "B11")
    # B10 and B11 are cirrus and short-wave infrared for Sentinel-2, thermal for Landsat: without a word from anyone they stay.
    with pytest.raises(UnreadableFileError, match="B10 is lwir11 of Landsat 8/9, cirrus of Sentinel-2") as error:
        cut(write_raster(numbered(3), "b.tif", names=["B2", "B10", "B11"]))
    assert "reading.sensor" in error.value.remedy
    told = cut(write_raster(numbered(3), "c.tif", names=["B2", "B10", "B11"]), sensor="landsat-8-9-l1")[0]
    assert told.channels == ("OLI_B2", "TIRS_B10", "TIRS_B11")


def test_band_tags_name_bands_too(tmp_path, write_raster, cut):
    import rasterio

    path = write_raster(numbered(2))
    with rasterio.open(path, "r+") as file:
        file.update_tags(1, BANDNAME="B04")
        file.update_tags(2, BANDNAME="B8A")
    assert cut(path)[0].channels == ("B04", "B8A")


def test_the_owner_wins_over_the_file(write_raster, cut):
    path = write_raster(numbered(2), names=["B02", "B03"])
    assert cut(path, band_names=("VV", "VH"))[0].channels == ("VV", "VH")


@pytest.mark.parametrize("reading", [{"sensor": "sentinel-2-l2a"}, {"band_names": ("a", "b")}])
def test_a_wrong_number_of_names_is_refused(write_raster, cut, reading):
    with pytest.raises(UnreadableFileError, match="It has 13 bands, but"):
        cut(write_raster(numbered(13)), **reading)


def test_bands_that_the_file_lacks(write_raster, cut):
    with pytest.raises(UnreadableFileError) as error:
        cut(write_raster(numbered(12), names=S2_12), bands=("B02", "B10"))
    assert error.value.found.startswith("It has no band B10")


def test_two_bands_of_one_name(write_raster, cut):
    with pytest.raises(UnreadableFileError, match="same name"):
        cut(write_raster(numbered(2), names=["B02", "b02"]), sensor="sentinel-2-l2a")


def test_an_unknown_sensor_names_the_nearest(write_raster, cut):
    with pytest.raises(UsageError, match="Did you mean 'sentinel-2-l2a'"):
        cut(write_raster(numbered(12)), sensor="sentinel2-l2a")


def test_red_green_blue_by_colour_interpretation(write_raster, cut):
    sample = cut(write_raster(numbered(3, dtype="uint8"), photometric="RGB"))[0]
    assert sample.channels == ("red", "green", "blue") and sample.values.kind == "srgb"
    assert sample.values.scale == pytest.approx(1 / 255)


def test_alpha_is_a_mask_and_no_channel(write_raster, cut):
    array = np.full((4, 64, 64), 200, np.uint8)
    array[3, :, :8] = 0
    sample = cut(write_raster(array, colours=["red", "green", "blue", "alpha"], photometric="RGB"))[0]
    assert sample.channels == ("red", "green", "blue")
    mask = sample.read().masks["nodata"]
    assert mask[:, :8].all() and not mask[:, 8:].any()


def test_naip_needs_to_be_told_then_gives_near_infrared(write_raster, cut):
    path = write_raster(numbered(4, dtype="uint8"), photometric="RGB", alpha="NO")
    with pytest.raises(UnreadableFileError, match="4 bands have no names") as error:
        cut(path)
    assert "sensor: naip" in error.value.remedy
    assert bands_read(cut(path, sensor="naip")[0]) == {"red": 1, "green": 2, "blue": 3, "nir": 4}


def test_a_palette_is_refused(write_raster, cut, tmp_path):
    import rasterio

    path = write_raster(numbered(1, dtype="uint8"), photometric="PALETTE")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (255, 0, 0, 255), 2: (0, 255, 0, 255)})
    with pytest.raises(UnreadableFileError, match="palette"):
        cut(path)


def test_tables_agree_with_each_other():
    from domainclip.domains.remote_sensing.sensors import canonical, sensors

    for sensor in sensors().values():
        assert canonical(sensor.bands, sensor.family) == sensor.bands
        assert len(set(sensor.bands)) == len(sensor.bands)
    assert len(sensors()["sentinel-2-l1c"].bands) == 13 == len(sensors()["sentinel-2-l1c-eurosat"].bands)
    assert set(sensors()["sentinel-2-l1c"].bands) == set(sensors()["sentinel-2-l1c-eurosat"].bands)
