"""Products of one band a file, as published: which files are one scene, which band is which, what its numbers are."""

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
    make_bigearthnet_s2,
    make_safe_l1c,
    make_safe_l2a,
    numbers,
    physical,
    safe_xml,
    write,
)

from domainclip.channel_names import channel_positions
from domainclip.errors import UnreadableFileError, UsageError

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


def test_reflectance_beside_radiance_is_the_one_that_is_read(tmp_path, domain, write_raster):
    """PlanetScope orders often hold both; the names differ in _SR alone."""
    from domainclip.domains.folder import list_folder
    from domainclip.sample import SourceItem

    (tmp_path / "order").mkdir()
    for number, kind in enumerate(("AnalyticMS_8b", "AnalyticMS_SR_8b")):
        name = f"order/20230801_101112_12_2456_3B_{kind}.tif"
        write_raster(np.full((8, 64, 64), 100 + number, "uint16"), name, crs="EPSG:32633", transform=(3, 0, 4e5, 0, -3, 5e6))
    listing = list_folder(tmp_path, domain)
    assert [path.name for path in listing.files] == ["20230801_101112_12_2456_3B_AnalyticMS_SR_8b.tif"]
    item = SourceItem(listing.files[0], "order/x.tif", members=listing.members[listing.files[0]])
    sample = next(domain.samples(item, domain.reading_model(sensor="planetscope-8")))
    assert sample.read().array[0, 0, 0] == 101
    seen = domain.inspect_item(item, domain.reading_model(sensor="planetscope-8"))
    assert seen.details["files_aside"] == "1 files of the product are not read"
