"""Products of one band a file, as published: which files are one scene, which band is which, what its numbers are."""

import json

import numpy as np
import pytest
from made_products import (
    NUMBER,
    S2_10,
    S2_20,
    S2_60,
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
    make_safe_l1c,
    make_safe_l2a,
    safe_xml,
    write,
)

from domainclip.channel_names import channel_positions
from domainclip.errors import UnreadableFileError, UsageError


def numbers(sample):
    """Each band's one number; a band with several fails."""
    array = sample.read().array
    assert all(len(np.unique(band)) == 1 for band in array)
    return {name: float(band.flat[0]) for name, band in zip(sample.channels, array, strict=True)}


def physical(sample, stored):
    return stored * sample.values.scale + sample.values.offset


# Sentinel-2


def test_a_safe_is_one_scene_of_twelve_bands_on_the_10_m_grid(tmp_path, scenes):
    make_safe_l2a(tmp_path)
    ((name, samples),) = scenes(tmp_path).items()
    assert len(samples) == 9 and scenes.listing.rejected == ()
    # 12 bands, their coarser copies, AOT, WVP, TCI, SCL, MSK_CLDPRB and PVI: all are of the scene, none is a scene.
    rasters = sum(path.suffix == ".jp2" for path in tmp_path.rglob("*"))
    assert len(scenes.listing.members[tmp_path / name]) == rasters - 1
    first = samples[0]
    assert set(first.channels) == set(S2_L2A) and first.sensor == "sentinel-2"
    assert numbers(first) == {band: NUMBER[band] for band in S2_L2A}
    assert first.spacing.values == (10.0, 10.0) and first.geo.transform == (10.0, 0.0, 600_000.0, 0.0, -10.0, 4_800_000.0)
    assert first.time == "2020-01-01T10:54:41.024000" and first.meta["season"] == "winter"


def test_level_1c_has_b10_and_the_offset_of_its_metadata(tmp_path, one_scene):
    make_safe_l1c(tmp_path, baseline="0400", offsets=-1000)
    first = one_scene(tmp_path)[0]
    assert set(first.channels) == set(S2_L1C) and numbers(first) == NUMBER
    assert (first.values.kind, first.values.scale, first.values.offset) == ("reflectance", 1e-4, pytest.approx(-0.1))


def test_bands_come_by_name_in_the_order_asked_for(tmp_path, one_scene):
    make_safe_l2a(tmp_path)
    first = one_scene(tmp_path, bands=("B8A", "B02", "B12"))[0]
    assert first.channels == ("B8A", "B02", "B12") and list(first.read().array[:, 0, 0]) == [2350, 1200, 2200]


def test_20_m_bands_alone_are_read_on_their_own_grid(tmp_path, one_scene):
    make_safe_l2a(tmp_path)
    samples = one_scene(tmp_path, bands=("B8A", "B05"))
    assert samples[0].spacing.values == (20.0, 20.0) and samples[0].geo.transform[0] == 20


@pytest.fixture
def textured(tmp_path):
    """A SAFE whose bands have texture, and the arrays by name."""
    made = np.random.default_rng(5)
    arrays = {}
    for res, names in ((10, S2_10), (20, S2_20), (60, S2_60)):
        for name in names:
            arrays[name] = made.integers(500, 6000, (1920 // res, 1920 // res)).astype(np.uint16)
    make_safe_l2a(tmp_path, bands=arrays)
    return arrays


def test_coarser_bands_are_replicated_by_nearest(tmp_path, textured, one_scene):
    read = {}
    for sample in one_scene(tmp_path, resampling="nearest"):
        window = sample.window
        for name, band in zip(sample.channels, sample.read().array, strict=True):
            read.setdefault(name, np.zeros((192, 192), np.uint16))[window.y : window.y + 64, window.x : window.x + 64] = band
    for name, array in textured.items():
        times = 192 // len(array)
        np.testing.assert_array_equal(read[name], np.kron(array, np.ones((times, times), np.uint16)), err_msg=name)


@pytest.mark.parametrize("name", ["B05", "B01", "B03"])
def test_auto_is_bilinear_to_finer_as_rasterio_does_it(tmp_path, textured, one_scene, name):
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    array = textured[name]
    wanted, res = np.zeros((192, 192), np.float32), 1920 / len(array)
    reproject(
        array.astype(np.float32),
        wanted,
        src_transform=Affine(res, 0, 600_000, 0, -res, 4_800_000),
        dst_transform=Affine(10, 0, 600_000, 0, -10, 4_800_000),
        src_crs="EPSG:32631",
        dst_crs="EPSG:32631",
        resampling=Resampling.bilinear,
    )
    for sample in one_scene(tmp_path):
        x, y = sample.window.x, sample.window.y
        band = sample.read().array[sample.channels.index(name)].astype(float)
        np.testing.assert_allclose(band, wanted[y : y + 64, x : x + 64], atol=0.51)


def test_auto_averages_to_coarser(tmp_path, textured, one_scene):
    samples = one_scene(tmp_path, spacing_m=20, bands=("B02", "B05"))
    read = samples[0].read().array
    means = textured["B02"].reshape(96, 2, 96, 2).mean(axis=(1, 3))[:64, :64]
    np.testing.assert_allclose(read[0], means, atol=0.51)
    np.testing.assert_array_equal(read[1], textured["B05"][:64, :64])


def test_missing_pixels_of_a_coarser_band_are_missing_and_never_mixed_in(tmp_path, one_scene):
    hole = flat(3000, 20)
    hole[10:20, 10:20] = 0
    make_safe_l2a(tmp_path, bands={"B05": hole})
    first = one_scene(tmp_path, bands=("B02", "B05"), max_nodata=0.9)[0]
    pixels = first.read()
    mask = pixels.masks["nodata"]
    assert mask[21:39, 21:39].all() and not mask[:19].any() and not mask[41:].any()
    assert set(np.unique(pixels.array[1][~mask])) == {3000}


def test_two_safes_in_one_folder_stay_apart(tmp_path, scenes):
    make_safe_l2a(tmp_path)
    make_safe_l2a(
        tmp_path, tile="T31TDJ", bands={name: flat(NUMBER[name] + 5, 10) for name in S2_10}, origin=(700_000.0, 4_800_000.0)
    )
    first, second = scenes(tmp_path).values()
    assert numbers(first[0])["B02"] == 1200 and numbers(second[0])["B02"] == 1205 and first[0].group != second[0].group


@pytest.mark.parametrize("inside", ["", "GRANULE", "IMG_DATA"])
def test_a_safe_is_one_scene_from_wherever_in_it_one_starts(tmp_path, one_scene, monkeypatch, inside):
    from pathlib import Path

    folder = make_safe_l2a(tmp_path)
    if inside:
        folder = next(folder.rglob(inside))
    monkeypatch.chdir(folder)
    assert len(one_scene(Path())[0].channels) == 12


def test_a_granule_s_images_without_their_safe_are_one_scene(tmp_path, one_scene):
    images = next(make_safe_l2a(tmp_path / "a").rglob("IMG_DATA"))
    images.rename(tmp_path / "copied")
    assert len(one_scene(tmp_path / "copied")[0].channels) == 12


def test_bands_of_bare_names_are_sentinel_2_s_where_b8a_is_among_them(tmp_path, one_scene):
    for name in ("B02", "B8A", "SCL"):
        write(tmp_path / "chip" / f"{name}.tif", flat(NUMBER.get(name, 4), 10, "uint8" if name == "SCL" else "uint16"), 10)
    first = one_scene(tmp_path)[0]
    assert first.sensor == "sentinel-2" and numbers(first) == {"B02": 1200, "B8A": 2350} and "cloud" in first.read().masks


def test_bands_of_bare_names_without_b8a_are_of_no_known_sensor(tmp_path, one_scene):
    for name in ("B02", "B03"):
        write(tmp_path / "chip" / f"{name}.tif", flat(NUMBER[name], 10), 10)
    first = one_scene(tmp_path)[0]
    assert first.sensor is None and first.values.kind == "dn"


# Values of Sentinel-2


@pytest.mark.parametrize(
    ("baseline", "offsets", "offset"), [("0213", None, 0.0), ("0301", 0, 0.0), ("0400", -1000, -0.1), ("0510", -1000, -0.1)]
)
@pytest.mark.parametrize("xml", [True, False], ids=["metadata", "name"])
def test_offset_by_metadata_or_by_the_name_s_baseline(tmp_path, one_scene, baseline, offsets, offset, xml):
    make_safe_l2a(tmp_path, baseline=baseline, offsets=offsets, xml=xml, suffix="tif")
    first = one_scene(tmp_path, bands=("B02", "B05"))[0]
    assert (first.values.kind, first.values.scale, first.values.nodata) == ("reflectance", 1e-4, 0)
    assert first.values.offset == pytest.approx(offset)
    # B02 holds 1200: 0.12 before, 0.02 since.
    assert physical(first, 1200) == pytest.approx(0.12 + offset)


def test_a_reprocessed_product_with_the_offset_in_its_metadata_alone(tmp_path, one_scene):
    """Metadata win over the name."""
    make_safe_l2a(tmp_path, baseline="0213", offsets=-1000, suffix="tif")
    assert one_scene(tmp_path, bands=("B02",))[0].values.offset == pytest.approx(-0.1)


@pytest.mark.parametrize(("baseline", "offset"), [("03.01", 0.0), ("04.00", -0.1), ("05.11", -0.1)])
def test_the_owner_tells_the_baseline(tmp_path, one_scene, baseline, offset):
    make_bigearthnet_s2(tmp_path)
    assert one_scene(tmp_path)[0].values.kind == "dn"
    values = one_scene(tmp_path, processing_baseline=baseline)[0].values
    assert (values.kind, values.scale, values.offset) == ("reflectance", 1e-4, offset)


def test_offsets_that_differ_per_band_are_refused_unless_bands_of_one_are_read(tmp_path, one_scene):
    make_safe_l2a(tmp_path, baseline="0400", offsets=[-1000] * 3 + [-900] + [-1000] * 9, suffix="tif")  # the fourth is B04
    with pytest.raises(UnreadableFileError, match="different scales in the product's metadata"):
        one_scene(tmp_path)
    assert one_scene(tmp_path, bands=("B04",))[0].values.offset == pytest.approx(-0.09)
    assert one_scene(tmp_path, bands=("B02", "B8A"))[0].values.offset == pytest.approx(-0.1)


def test_offsets_of_bands_that_the_metadata_do_not_name_are_refused(tmp_path, one_scene):
    """Without Spectral_Information nobody says which band a number is: no silent fall back to digital numbers."""
    safe = make_safe_l2a(tmp_path, baseline="0400", offsets=[-1000] * 3 + [-900] + [-1000] * 9, suffix="tif")
    xml = safe / "MTD_MSIL2A.xml"
    text = xml.read_text()
    head, tail = text.split("<Spectral_Information_List>")
    xml.write_text(head + tail.split("</Spectral_Information_List>")[1])
    with pytest.raises(UnreadableFileError, match="metadata"):
        one_scene(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace(">10000<", "><"),
        lambda text: text.replace(">10000<", ">many<"),
        lambda text: text.replace(">10000<", ">0<"),
        lambda text: text.replace(">10000<", ">-10000<"),
        lambda text: text.replace(">10000<", ">nan<"),
        lambda text: text.replace(">10000<", ">inf<"),
        lambda text: text.replace(">10000<", ">1e-320<"),
        lambda text: text.replace(">-1000<", ">nan<"),
        lambda text: text.replace(">-1000<", "><"),
        lambda text: '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;">]>' + text.split("?>")[1].replace(">-1000<", ">&d;<"),
        lambda text: '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + text.split("?>")[1].replace(">-1000<", ">&b;<"),
    ],
)
def test_metadata_that_cannot_be_read_are_an_error_and_no_digital_numbers(tmp_path, one_scene, spoil):
    xml = make_safe_l2a(tmp_path, baseline="0400", offsets=-1000, suffix="tif") / "MTD_MSIL2A.xml"
    xml.write_text(spoil(xml.read_text()))
    with pytest.raises(UnreadableFileError, match="metadata") as error:
        one_scene(tmp_path)
    assert "T31TCJ" not in str(error.value)


def test_a_time_that_is_none_is_not_taken(tmp_path, one_scene):
    xml = make_safe_l2a(tmp_path, suffix="tif") / "MTD_MSIL2A.xml"
    xml.write_text(safe_xml("2A", None, time="some day"))
    # The name of the files tells one.
    assert one_scene(tmp_path)[0].time == "2020-01-01T10:54:41"


def test_metadata_that_the_numbers_contradict_are_refused(tmp_path, one_scene):
    xml = make_safe_l2a(tmp_path, suffix="tif") / "MTD_MSIL2A.xml"
    xml.write_text(safe_xml("2A", None, quantification=100))
    with pytest.raises(UnreadableFileError, match="do not look like reflectance"):
        one_scene(tmp_path)


# Missing and broken


def test_a_band_that_is_not_there_is_named_when_asked_for(tmp_path, one_scene, domain):
    safe = make_safe_l2a(tmp_path, suffix="tif")
    for path in safe.rglob("*_B8A_*.tif"):
        path.unlink()
    assert len(one_scene(tmp_path)[0].channels) == 11
    with pytest.raises(UnreadableFileError, match="It has no band B8A"):
        one_scene(tmp_path, bands=("B02", "B8A"))
    with pytest.raises(UsageError, match="lacks B8A"):
        channel_positions(one_scene(tmp_path)[0].channels, ("B02", "B8A"))


@pytest.mark.parametrize("suffix", ["jp2", "tif"])
def test_a_truncated_band_is_an_error_that_names_no_path(tmp_path, one_scene, suffix):
    made = np.random.default_rng(0).integers(0, 4000, (96, 96)).astype(np.uint16)
    safe = make_safe_l2a(tmp_path, suffix=suffix, bands={"B11": made})
    path = next(safe.rglob(f"*_B11_20m.{suffix}"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableFileError) as error:
        for sample in one_scene(tmp_path):
            sample.read()
    assert "T31TCJ" not in str(error.value) and str(tmp_path) not in str(error.value)


def test_an_empty_band_file_is_no_silent_loss_of_a_band(tmp_path, scenes):
    safe = make_safe_l2a(tmp_path, suffix="tif")
    next(safe.rglob("*_B11_20m.tif")).write_bytes(b"")
    next(safe.rglob("*_B11_60m.tif")).write_bytes(b"")
    try:
        samples = [sample for some in scenes(tmp_path).values() for sample in some]
    except UnreadableFileError:
        return
    rejected = scenes.listing.rejected
    assert rejected or all("B11" in sample.channels for sample in samples)


def test_files_in_different_crss_are_refused_unless_one_is_asked_for(tmp_path, one_scene):
    safe = make_safe_l2a(tmp_path, suffix="tif")
    path = next(safe.rglob("*_B05_20m.tif"))
    write(path, flat(1500, 20), 20, crs="EPSG:32630", origin=(1_088_000.0, 4_830_000.0))
    with pytest.raises(UnreadableFileError, match="different CRSs"):
        one_scene(tmp_path)


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
    from domainclip.domains.remote_sensing.sensors import band_by_common_name

    make_landsat(tmp_path / "5", sensor="LT05", mtl="txt", date="20100716")
    make_landsat(tmp_path / "7", sensor="LE07", date="20100716")
    make_landsat(tmp_path / "8")
    five, seven, eight = (one_scene(tmp_path / name)[0] for name in "578")
    assert numbers(five)["TM_SR_B4"] == numbers(eight)["OLI_SR_B4"] == 8400
    assert band_by_common_name("nir", five.channels, five.sensor) == "TM_SR_B4"
    assert band_by_common_name("red", eight.channels, eight.sensor) == "OLI_SR_B4"
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
