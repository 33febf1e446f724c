"""STAC items as their publishers write them, with pystac's reading as the second opinion."""

import json

import numpy as np
import pystac
import pytest
from made_items import COG, COMMON, earth_search, item, landsat, planetary_computer, put, small
from made_products import NUMBER, S2_L2A, flat, write

from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.scene import describe
from domainclip.domains.remote_sensing.stac import stac_product
from domainclip.errors import UnreadableFileError


def numbers(sample):
    return {name: float(band[0, 0]) for name, band in zip(sample.channels, sample.read().array, strict=True)}


def test_earth_search(tmp_path, scenes):
    path = earth_search(tmp_path)
    ((name, samples),) = scenes(tmp_path).items()
    assert name == "item.json" and scenes.listing.rejected == ()
    first = samples[0]
    assert numbers(first) == {band: NUMBER[band] for band in S2_L2A} and first.sensor == "sentinel-2"
    assert {"cloud", "shadow"} <= set(first.read().masks) and len(samples) == 9
    theirs = pystac.Item.from_file(str(path))
    assert first.time == theirs.datetime.replace(tzinfo=None).isoformat()
    # Every file of the item lies beside it and none is a scene of its own, the rendering and the aerosol among them.
    assert {p.name for p in scenes.listing.members[path]} == {p.name for p in tmp_path.glob("*.tif")}


@pytest.mark.parametrize(
    ("applied", "offset", "wanted"), [(True, -0.1, 0.0), (True, 0, 0.0), (False, -0.1, -0.1), (False, 0, 0.0), (None, -0.1, -0.1)]
)
def test_earth_search_s_word_on_the_offset(tmp_path, one_scene, applied, offset, wanted):
    earth_search(tmp_path, applied=applied, offset=offset)
    values = one_scene(tmp_path)[0].values
    assert (values.kind, values.scale, values.offset, values.nodata) == ("reflectance", 1e-4, wanted, 0)


def test_a_copy_at_an_address_counts_only_where_no_file_is_there(tmp_path, one_scene):
    earth_search(tmp_path, jp2=True)
    assert len(one_scene(tmp_path)[0].channels) == 12
    (tmp_path / "red.tif").unlink()
    with pytest.raises(UnreadableFileError, match="addresses") as error:
        one_scene(tmp_path)
    assert "reading.remote" in error.value.remedy


def test_a_jpeg_2000_copy_is_read_where_the_cog_is_absent(tmp_path, one_scene):
    path = earth_search(tmp_path, jp2=True)
    (tmp_path / "red.tif").unlink()
    told = json.loads(path.read_text())
    for key in list(told["assets"]):
        if key.endswith("-jp2"):
            told["assets"][key]["href"] = f"{key}.jp2"
    put(tmp_path, told)
    write(tmp_path / "red-jp2.jp2", flat(1401, 10), 10)
    write(tmp_path / "blue-jp2.jp2", flat(7, 10), 10)
    read = numbers(one_scene(tmp_path)[0])
    assert (read["B04"], read["B02"]) == (1401, 1200)


@pytest.mark.parametrize(
    ("properties", "kind", "offset"),
    [
        ({"s2:processing_baseline": "04.00"}, "reflectance", -0.1),
        ({"s2:processing_baseline": "02.12"}, "reflectance", 0.0),
        ({"s2:processing_baseline": 4.0}, "dn", 0.0),
        ({"s2:processing_baseline": "four"}, "dn", 0.0),
        ({}, "dn", 0.0),
    ],
)
def test_planetary_computer(tmp_path, one_scene, properties, kind, offset):
    planetary_computer(tmp_path, **properties)
    first = one_scene(tmp_path)[0]
    assert numbers(first) == {band: NUMBER[band] for band in S2_L2A}
    assert (first.values.kind, first.values.offset) == (kind, offset) and first.read().masks["cloud"].all()


def test_stac_1_1(tmp_path, one_scene):
    """Bands, numbers and nodata stand in ``bands`` and in the asset."""
    assets = {}
    for key, band in (("red", "B04"), ("nir", "B08"), ("swir", "B11")):
        write(tmp_path / f"{key}.tif", flat(NUMBER[band], 20), 20)
        told = [{"name": band, "eo:common_name": COMMON[band], "raster:scale": 0.0001, "raster:offset": -0.1}]
        assets[key] = {"href": f"{key}.tif", "type": COG, "roles": ["data"], "bands": told, "nodata": 0, "data_type": "uint16"}
    path = put(tmp_path, item(assets, "1.1.0"))
    first = one_scene(tmp_path)[0]
    assert numbers(first) == {"B04": 1400, "B08": 1800, "B11": 2100}
    assert (first.values.kind, first.values.scale, first.values.offset, first.values.nodata) == ("reflectance", 1e-4, -0.1, 0)
    theirs = pystac.Item.from_file(str(path))
    assert [asset.to_dict()["bands"][0]["name"] for asset in theirs.assets.values()] == list(first.channels)


def test_one_asset_of_many_bands(tmp_path, one_scene):
    array = np.stack([flat(n, 10) for n in (11, 12, 13)])
    write(tmp_path / "stack.tif", array, 10)
    bands = [{"name": name} for name in ("B8A", "B04", "B11")]
    put(tmp_path, item({"data": {"href": "stack.tif", "type": COG, "roles": ["data"], "eo:bands": bands}}))
    assert numbers(one_scene(tmp_path)[0]) == {"B8A": 11, "B04": 12, "B11": 13}
    bands.pop()
    put(tmp_path, item({"data": {"href": "stack.tif", "type": COG, "roles": ["data"], "eo:bands": bands}}))
    with pytest.raises(UnreadableFileError, match="It has 3 bands, but the item beside it names 2"):
        one_scene(tmp_path)


def test_landsat_8(tmp_path, one_scene):
    landsat(tmp_path)
    first = one_scene(tmp_path)[0]
    assert numbers(first) == {f"OLI_SR_B{n}": 8000 + 100 * n for n in range(1, 8)} and first.read().masks["cloud"].all()
    assert (first.values.kind, first.values.scale, first.values.offset) == ("reflectance", 2.75e-5, -0.2)


@pytest.mark.parametrize(("platform", "names"), [("landsat-5", "TM_B{}"), ("landsat-7", "ETM_B{}")])
def test_landsat_5_and_7_keep_their_near_infrared(tmp_path, one_scene, platform, names):
    landsat(tmp_path, platform, names)
    own = names.format(0)[:-3]
    first = one_scene(tmp_path)[0]
    assert numbers(first) == {f"{own}_SR_B{n}": 8000 + 100 * n for n in (1, 2, 3, 4, 5, 7)}
    # Bit 3 of 22280 is cloud, bit 2 is not used by TM and ETM+.
    assert first.read().masks["cloud"].all()


def test_landsat_level_1_is_no_surface_reflectance(tmp_path, one_scene):
    landsat(tmp_path, correction="L1TP", scale=2e-5, offset=-0.1)
    assert not any("_SR_" in name for name in one_scene(tmp_path, bands=("red", "nir08"))[0].channels)


def test_hls_items_have_the_bands_of_hls(tmp_path, one_scene):
    """At NASA the platform of L30 is Landsat's, and its B05 is near infrared."""
    assets = {}
    for name in ("B04", "B05"):
        write(tmp_path / f"{name}.tif", flat(100 * int(name[1:]), 30, "int16"), 30, nodata=-9999)
        assets[name] = {"href": f"{name}.tif", "type": COG, "roles": ["data"]}
    write(tmp_path / "Fmask.tif", flat(2, 30, "uint8"), 30, nodata=255)
    assets["Fmask"] = {"href": "Fmask.tif", "type": COG, "roles": ["data"]}
    for collection, platform, names in (
        ("HLSL30_2.0", "LANDSAT-8", ("OLI_SR_B4", "OLI_SR_B5")),
        ("hls2-l30", "landsat-9", ("OLI_SR_B4", "OLI_SR_B5")),
        ("HLSS30_2.0", "Sentinel-2A", ("B04", "B05")),
    ):
        put(tmp_path, item(assets, platform=platform, constellation=None) | {"collection": collection})
        first = one_scene(tmp_path)[0]
        assert first.channels == names and first.read().masks["cloud"].all()


# Time


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"datetime": "2022-06-12T23:30:00-05:00"}, "2022-06-13T04:30:00"),
        ({"datetime": "2022-06-12T00:30:00+02:00"}, "2022-06-11T22:30:00"),
        ({"datetime": "2022-06-12T10:00:00Z"}, "2022-06-12T10:00:00"),
        (
            {"datetime": None, "start_datetime": "2022-06-01T00:00:00Z", "end_datetime": "2022-06-30T00:00:00Z"},
            "2022-06-01T00:00:00",
        ),
        ({"datetime": "0001-01-01T00:00:00+14:00"}, None),
        ({"datetime": "soon"}, None),
        ({"datetime": 20220612}, None),
        ({"datetime": ["2022-06-12T10:00:00Z"]}, None),
    ],
)
def test_times_are_utc(around, told, wanted):
    path = small(around / "in", "deep/red.tif", **told)
    assert describe(stac_product(path), RemoteSensingReading()).time == wanted
    if wanted and told["datetime"]:
        from datetime import UTC

        theirs = pystac.Item.from_file(str(path)).datetime
        assert theirs.astimezone(UTC).replace(tzinfo=None).isoformat() == wanted


def test_two_items_of_one_folder_stay_apart(tmp_path, scenes):
    for name, number in (("a", 5), ("b", 6)):
        write(tmp_path / f"{name}.tif", flat(number, 10), 10)
        put(tmp_path, item({"red": {"href": f"{name}.tif", "type": COG, "eo:bands": [{"name": "B04"}]}}), f"{name}.json")
    found = scenes(tmp_path)
    assert [numbers(found[name][0]) for name in ("a.json", "b.json")] == [{"B04": 5}, {"B04": 6}]


def test_an_item_goes_into_a_set(tmp_path):
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains

    earth_search(tmp_path / "in")
    for source in (tmp_path / "in", tmp_path / "in" / "item.json"):
        opened = open_dataset(source, domain="remote-sensing")
        assert len(opened) == 1
        made = prepare(opened, domains.get("remote-sensing"), tmp_path / "set", workers=0, overwrite=True)
        assert numbers(made.sample(0)) == {band: NUMBER[band] for band in S2_L2A} and made.sample(0).values.scale == 1e-4
