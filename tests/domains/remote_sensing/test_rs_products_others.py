"""Products of Landsat, HLS, BigEarthNet, Sentinel-1, Planet, MODIS and NAIP, as published; and folders of several."""

import json

import numpy as np
import pytest
from made_products import (
    NUMBER,
    S2_L1C,
    S2_L2A,
    flat,
    landsat_mtl,
    make_bigearthnet_s1,
    make_bigearthnet_s2,
    make_hls,
    make_landsat,
    make_modis,
    make_naip,
    make_planetscope,
    make_safe_l2a,
    numbers,
    write,
)

from domainclip.channel_names import channel_positions
from domainclip.errors import UnreadableFileError, UsageError

# Landsat


@pytest.mark.parametrize("mtl", ["json", "txt"])
def test_landsat_8_reads_the_factors_of_level_2(tmp_path, one_scene, mtl):
    """A real MTL has level 1's factors under the same names, further down."""
    make_landsat(tmp_path, mtl=mtl)
    (first,) = one_scene(tmp_path, window_px=64)
    assert first.channels == tuple(f"OLI_SR_B{n}" for n in range(1, 8))
    assert numbers(first) == {f"OLI_SR_B{n}": 8000 + 100 * n for n in range(1, 8)}
    assert first.values.kind == "reflectance" and first.values.scale == 2.75e-5 and first.values.offset == -0.2
    assert first.time == "2021-07-16" and first.spacing.values == (30, 30) and first.values.nodata == 0


def test_landsat_without_its_mtl_is_told_by_its_name(tmp_path, one_scene):
    make_landsat(tmp_path, mtl=None)
    values = one_scene(tmp_path)[0].values
    assert (values.kind, values.scale, values.offset) == ("reflectance", 2.75e-5, -0.2)


def test_factors_of_the_mtl_win_over_the_name(tmp_path, one_scene):
    make_landsat(tmp_path, told=landsat_mtl(scale=("2.0e-05", "-0.05")))
    values = one_scene(tmp_path)[0].values
    assert (values.scale, values.offset) == (2.0e-5, -0.05)


def test_band_4_of_landsat_5_is_near_infrared_and_of_landsat_8_red(tmp_path, one_scene):
    from domainclip.domains.remote_sensing.sensors import band_facts

    make_landsat(tmp_path / "5", sensor="LT05", mtl="txt", date="20100716")
    make_landsat(tmp_path / "7", sensor="LE07", date="20100716")
    make_landsat(tmp_path / "8")
    five, seven, eight = (one_scene(tmp_path / name)[0] for name in "578")
    assert numbers(five)["TM_SR_B4"] == numbers(eight)["OLI_SR_B4"] == 8400
    assert band_facts("TM_SR_B4", five.sensor).common == "nir"
    assert band_facts("OLI_SR_B4", eight.sensor).common == "red"
    assert not set(five.channels) & set(eight.channels) and not set(five.channels) & set(seven.channels)
    for found, needed in ((five, eight), (eight, five), (seven, five)):
        with pytest.raises(UsageError, match="lacks"):
            channel_positions(found.channels, needed.channels)


def test_thermal_is_left_out_told_by_inspect_and_read_when_named(tmp_path, one_scene, domain):
    from domainclip.domains.folder import list_folder
    from domainclip.sample import SourceItem

    home = make_landsat(tmp_path)
    listing = list_folder(home, domain)
    item = SourceItem(listing.files[0], "scene", members=listing.members[listing.files[0]])
    told = domain.inspect_item(item, domain.reading_model())
    assert told.details["left_out"].startswith("TIRS_ST_B10 (of another unit") and "TIRS_ST_B10" not in told.channels
    named = one_scene(tmp_path, bands=("ST_B10",))[0]
    assert named.channels == ("TIRS_ST_B10",) and named.values.kind == "dn"
    with pytest.raises(UnreadableFileError, match="different"):
        one_scene(tmp_path, bands=("SR_B4", "ST_B10"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        json.dumps({"L": {"PROCESSING_LEVEL": "L2SP", "REFLECTANCE_MULT_BAND_1": "x", "REFLECTANCE_ADD_BAND_1": "1"}}).encode(),
    ],
)
def test_a_broken_mtl_is_an_error_or_tells_nothing_wrong(tmp_path, one_scene, content):
    home = make_landsat(tmp_path)
    next(home.glob("*_MTL.json")).write_bytes(content)
    try:
        values = one_scene(tmp_path)[0].values
    except UnreadableFileError as error:
        assert "LC08" not in str(error)
    else:
        assert (values.kind, values.scale, values.offset) == ("reflectance", 2.75e-5, -0.2)


def test_a_date_of_the_mtl_that_is_none_is_not_taken(tmp_path, one_scene):
    make_landsat(tmp_path, told=landsat_mtl(date="yesterday"))
    assert one_scene(tmp_path)[0].time == "2021-07-16"


# HLS


def test_b05_of_hls_l30_is_not_b05_of_s30(tmp_path, one_scene):
    make_hls(tmp_path / "s", "S30")
    make_hls(tmp_path / "l", "L30")
    s30, l30 = one_scene(tmp_path / "s")[0], one_scene(tmp_path / "l")[0]
    assert numbers(s30)["B05"] == 500 and numbers(l30)["OLI_SR_B5"] == 500 and set(s30.channels) == set(S2_L1C)
    assert l30.channels == tuple(f"OLI_SR_B{n}" for n in range(1, 8))
    with pytest.raises(UsageError, match="lacks B05"):
        channel_positions(l30.channels, ("B05",))
    assert (s30.values.scale, s30.values.nodata, s30.time) == (1e-4, -9999, "2021-07-16T10:50:31")


def test_thermal_bands_of_hls_l30_are_no_reflectance(tmp_path, one_scene):
    """B10 and B11 are degrees Celsius x 100 (HLS user guide v2.0), whatever the reflective bands are."""
    make_hls(tmp_path, "L30")
    assert one_scene(tmp_path, bands=("B10",))[0].values.kind == "dn"
    with pytest.raises(UnreadableFileError, match="different"):
        one_scene(tmp_path, bands=("B04", "B10"))


# Others


def test_a_bigearthnet_patch_is_one_scene(tmp_path, scenes):
    make_bigearthnet_s2(tmp_path)
    make_bigearthnet_s2(tmp_path, "S2A_MSIL2A_20170613T101031_0_4", offset=1)  # its name is the beginning of the other's
    write(tmp_path / "S2A_MSIL2A_20170613T101031_0_45" / "S2A_MSIL2A_20170613T101031_0_45_map.tif", flat(1, 10, side_m=1200), 10)
    first, second = (samples[0] for samples in scenes(tmp_path).values())
    assert numbers(second) == {band: NUMBER[band] for band in S2_L2A}
    assert numbers(first) == {band: NUMBER[band] + 1 for band in S2_L2A}
    assert second.time == "2017-06-13T10:10:31" and len(scenes.listing.files) == 2


def test_patches_whose_names_begin_alike_keep_their_own_files(tmp_path, scenes):
    for patch in ("S2A_MSIL2A_20170613T101031_0_4", "S2A_MSIL2A_20170613T101031_0_45"):
        for name in ("B02", "B8A"):
            write(tmp_path / f"{patch}_{name}.tif", flat(NUMBER[name], 10), 10)
    write(tmp_path / "S2A_MSIL2A_20170613T101031_0_45_map.tif", flat(1, 10), 10)
    scenes(tmp_path)
    for first, others in scenes.listing.members.items():
        assert ("map" in " ".join(path.name for path in others)) == ("_0_45_" in first.name)


def test_radar_is_read_in_its_own_unit(tmp_path, one_scene):
    make_bigearthnet_s1(tmp_path)
    first = one_scene(tmp_path, values="db")[0]
    assert numbers(first) == {"VV": -11.5, "VH": -18.25} and first.values.kind == "db" and first.sensor == "sentinel-1"
    with pytest.raises(UnreadableFileError, match="linear power"):
        one_scene(tmp_path, values="power")


def test_linear_power_becomes_decibel(tmp_path, one_scene):
    scene = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39"
    for name, power in (("VV", 0.1), ("VH", 0.01)):
        array = flat(power, 10, "float32")
        array[0, 0] = 0  # has no logarithm
        write(tmp_path / scene / f"{scene}_{name}.tif", array, 10)
    first = one_scene(tmp_path, values="power", bands=("VV", "VH"))[0]
    pixels = first.read()
    assert first.values.kind == "db" and pixels.masks["nodata"].sum() == 1
    np.testing.assert_allclose(pixels.array[:, 1, 1], [-10, -20], rtol=1e-6)


def test_planetscope_and_its_mask_are_one_scene(tmp_path, one_scene):
    make_planetscope(tmp_path)
    (first,) = one_scene(tmp_path)
    assert list(numbers(first).values()) == [1000 + 10 * n for n in range(1, 9)] and first.sensor == "planetscope"
    assert first.time == "2022-06-12T10:01:23" and first.spacing.values == (3, 3)


def test_modis_is_read_on_its_sinusoidal_grid(tmp_path, one_scene):
    make_modis(tmp_path)
    (first,) = one_scene(tmp_path)
    assert numbers(first) == {f"MODIS_B{n}": 1000 + 100 * n for n in range(1, 8)}
    assert (first.values.kind, first.values.scale, first.values.nodata) == ("reflectance", 1e-4, -28672)
    assert first.time == "2021-07-16"


def test_naip_is_told_by_its_owner(tmp_path, one_scene):
    make_naip(tmp_path / "m_4107201_ne.tif")
    with pytest.raises(UnreadableFileError, match="have no names"):
        one_scene(tmp_path)
    assert numbers(one_scene(tmp_path, sensor="naip")[0]) == {"red": 50, "green": 60, "blue": 70, "nir": 80}


def test_other_rasters_of_a_folder_stay_scenes_of_their_own(tmp_path, scenes):
    make_landsat(tmp_path)
    write(tmp_path / "aerial.tif", np.stack([flat(n, 30, "uint8") for n in (1, 2, 3)]), 30, photometric="RGB")
    found = scenes(tmp_path)
    assert len(found) == 2 and found["aerial.tif"][0].channels == ("red", "green", "blue")


def test_the_order_of_paths_changes_nothing(tmp_path):
    from domainclip.domains.remote_sensing.products import products_among

    make_safe_l2a(tmp_path, suffix="tif")
    make_landsat(tmp_path)
    make_hls(tmp_path)
    paths = sorted(tmp_path.rglob("*.[tT][iI][fF]"))
    shuffled = [paths[n] for n in np.random.default_rng(0).permutation(len(paths))]
    assert products_among(shuffled) == products_among(paths) and len(products_among(paths)) == 3


def test_a_folder_becomes_a_prepared_set(tmp_path):
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains

    make_landsat(tmp_path / "in")
    source = open_dataset(tmp_path / "in", domain="remote-sensing")
    assert len(source) == 1
    made = prepare(source, domains.get("remote-sensing"), tmp_path / "set", workers=0)
    sample = made.sample(0)
    assert numbers(sample) == {f"OLI_SR_B{n}": 8000 + 100 * n for n in range(1, 8)}
    assert (sample.values.kind, sample.values.scale, sample.values.offset) == ("reflectance", 2.75e-5, -0.2)
    assert {"cloud", "shadow", "snow", "water"} <= set(sample.read().masks)
