"""STAC items as their publishers write them, with pystac's reading as the second opinion; and items that lie."""

import json
import os
import time

import numpy as np
import pystac
import pytest
from made_products import NUMBER, S2_10, S2_20, S2_60, S2_L2A, flat, write

from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.scene import describe
from domainclip.domains.remote_sensing.stac import is_stac_item, stac_product
from domainclip.errors import DomainClipError, UnreadableFileError

RES = dict.fromkeys(S2_10, 10) | dict.fromkeys(S2_20, 20) | dict.fromkeys(S2_60, 60)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
COMMON = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3",
    "B08": "nir", "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22",
}  # fmt: skip


def item(assets, version="1.0.0", **properties):
    told = {"datetime": "2022-06-12T10:56:21.024Z", "platform": "sentinel-2a", "constellation": "sentinel-2"} | properties
    geometry = {"type": "Polygon", "coordinates": [[[4, 43], [5, 43], [5, 44], [4, 44], [4, 43]]]}
    return {
        "type": "Feature", "stac_version": version, "id": "S2A_31TFJ_20220612_0_L2A", "geometry": geometry, "bbox": [4, 43, 5, 44],
        "properties": told, "assets": assets, "links": [], "collection": "sentinel-2-l2a",
    }  # fmt: skip


def put(folder, told, name="item.json"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(told))
    return folder / name


def earth_search(folder, *, applied=True, offset=-0.1, jp2=True, href="./{}.tif", baseline="04.00", **properties):
    """Element 84's sentinel-2-l2a, version 1 of Earth Search."""
    assets = {"thumbnail": {"href": "https://e84/thumb.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}}
    for band, key in COMMON.items():
        write(folder / f"{key}.tif", flat(NUMBER[band], RES[band]), RES[band])
        numbers = {"nodata": 0, "data_type": "uint16", "bits_per_sample": 15, "spatial_resolution": RES[band], "scale": 0.0001}
        common = key if key not in {"rededge1", "rededge2", "rededge3"} else "rededge"
        assets[key] = {
            "href": href.format(key), "type": COG, "roles": ["data", "reflectance"], "raster:bands": [numbers | {"offset": offset}],
            "eo:bands": [{"name": key, "common_name": common, "center_wavelength": 0.5}],
        }  # fmt: skip
        if jp2:
            assets[f"{key}-jp2"] = assets[key] | {"href": f"s3://sentinel-s2-l2a/{band}.jp2", "type": "image/jp2"}
    write(folder / "scl.tif", flat(4, 20, "uint8"), 20, nodata=0)
    assets["scl"] = {"href": "./scl.tif", "type": COG, "roles": ["data", "reflectance"], "raster:bands": [{"nodata": 0}]}
    write(folder / "aot.tif", flat(77, 20), 20)
    assets["aot"] = {"href": "./aot.tif", "type": COG, "roles": ["data", "reflectance"], "raster:bands": [{"scale": 0.001}]}
    write(folder / "visual.tif", np.stack([flat(9, 10, "uint8")] * 3), 10, photometric="RGB")
    bands = [{"name": name, "common_name": name} for name in ("red", "green", "blue")]
    assets["visual"] = {"href": "./visual.tif", "type": COG, "roles": ["visual"], "eo:bands": bands}
    properties = {"earthsearch:boa_offset_applied": applied, "s2:processing_baseline": baseline} | properties
    return put(folder, item(assets, **properties))


def planetary_computer(folder, **properties):
    """Microsoft's sentinel-2-l2a: keys are bands, the visual one is called data, only the baseline tells the numbers."""
    assets = {}
    for band in S2_L2A:
        write(folder / f"{band}_10m.tif", flat(NUMBER[band], RES[band]), RES[band])
        assets[band] = {"href": f"{band}_10m.tif", "type": COG, "roles": ["data"], "eo:bands": [{"name": band}], "gsd": RES[band]}
    write(folder / "SCL_20m.tif", flat(9, 20, "uint8"), 20)
    assets["SCL"] = {"href": "SCL_20m.tif", "type": COG, "roles": ["data"], "title": "Scene classification map (SCL)"}
    write(folder / "TCI_10m.tif", np.stack([flat(9, 10, "uint8")] * 3), 10)
    bands = [{"name": name} for name in ("B04", "B03", "B02")]
    assets["visual"] = {"href": "TCI_10m.tif", "type": COG, "roles": ["data"], "title": "True color image", "eo:bands": bands}
    assets["preview"] = {"href": "https://x/preview.png", "type": COG, "roles": ["thumbnail"]}
    assets["safe-manifest"] = {"href": "manifest.safe", "type": "application/xml", "roles": ["metadata"]}
    return put(folder, item(assets, **properties))


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


def landsat(folder, platform="landsat-8", names="OLI_B{}", correction="L2SP", scale=2.75e-5, offset=-0.2):
    """landsat-c2-l2 of Planetary Computer."""
    eight = platform in {"landsat-8", "landsat-9"}
    keys = (
        ("coastal", "blue", "green", "red", "nir08", "swir16", "swir22")
        if eight
        else ("blue", "green", "red", "nir08", "swir16", "", "swir22")
    )
    assets = {}
    for number, key in enumerate(keys, start=1):
        if key:
            write(folder / f"{key}.TIF", flat(8000 + 100 * number, 30), 30, nodata=0)
            assets[key] = {
                "href": f"{key}.TIF", "type": COG, "roles": ["data", "reflectance"],
                "eo:bands": [{"name": names.format(number), "common_name": key}],
                "raster:bands": [{"nodata": 0, "scale": scale, "offset": offset, "data_type": "uint16"}],
            }  # fmt: skip
    write(folder / "lwir.TIF", flat(44_000, 30), 30)
    assets["lwir11" if eight else "lwir"] = {
        "href": "lwir.TIF", "type": COG, "roles": ["data", "temperature"],
        "eo:bands": [{"name": "TIRS_B10" if eight else "TM_B6", "common_name": "lwir11" if eight else "lwir"}],
        "raster:bands": [{"nodata": 0, "scale": 0.00341802, "offset": 149.0}],
    }  # fmt: skip
    write(folder / "qa.TIF", flat(22280, 30), 30, nodata=1)
    assets["qa_pixel"] = {"href": "qa.TIF", "type": COG, "roles": ["cloud", "cloud-shadow"], "raster:bands": [{"nodata": 1}]}
    told = item(assets, platform=platform, constellation=None, **{"landsat:correction": correction})
    return put(folder, told | {"collection": "landsat-c2-l2"})


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


# Where files lie


def small(folder, href, **properties):
    return put(folder, item({"red": {"href": href, "type": COG, "eo:bands": [{"name": "B04"}]}}, **properties))


@pytest.fixture
def around(tmp_path):
    """A raster beside the item and one outside its folder."""
    write(tmp_path / "in" / "deep" / "red.tif", flat(1, 10), 10)
    write(tmp_path / "outside.tif", flat(2, 10), 10)
    return tmp_path


def first_number(path, **reading):
    product = stac_product(path, **reading)
    import rasterio

    with rasterio.open(product.files[0].place().name) as file:
        return int(file.read(1)[0, 0])


@pytest.mark.parametrize(
    "href",
    ["deep/red.tif", "./deep/red.tif", "deep/../deep/red.tif", "{in}/deep/red.tif", "file://{in}/deep/red.tif", "deep/%72ed.tif"],
)
def test_files_inside(around, href):
    path = small(around / "in", href.replace("{in}", str(around / "in")))
    assert first_number(path) == 1
    if "%" not in href and "file:" not in href:
        theirs = pystac.Item.from_file(str(path)).assets["red"].get_absolute_href()
        assert os.path.realpath(theirs) == os.path.realpath(stac_product(path).files[0].path)


@pytest.mark.parametrize(
    "href",
    [
        "../outside.tif",
        "deep/../../outside.tif",
        "{up}/outside.tif",
        "file://{up}/outside.tif",
        "%2e%2e/outside.tif",
        "link.tif",
        "linked/outside.tif",
    ],
)
def test_files_outside_are_refused_unless_allowed(around, href):
    (around / "in" / "link.tif").symlink_to(around / "outside.tif")
    (around / "in" / "linked").symlink_to(around)
    path = small(around / "in", href.replace("{up}", str(around)))
    with pytest.raises(UnreadableFileError, match="outside its folder") as error:
        stac_product(path)
    assert "reading.outside" in error.value.remedy and str(around) not in str(error.value)
    assert first_number(path, outside=True) == 2


def test_a_loop_of_links_is_no_file(around):
    (around / "in" / "a.tif").symlink_to(around / "in" / "b.tif")
    (around / "in" / "b.tif").symlink_to(around / "in" / "a.tif")
    with pytest.raises(UnreadableFileError):
        stac_product(small(around / "in", "a.tif"))


@pytest.mark.parametrize(
    "href", ["https://host/a.tif?token=SECRET", "s3://bucket/a.tif", "HTTP://host/a.tif", "http://[bad/a.tif", "ftp://h/a.tif"]
)
def test_addresses_are_refused_unless_allowed(tmp_path, href):
    path = small(tmp_path, href)
    with pytest.raises(UnreadableFileError, match="addresses") as error:
        stac_product(path)
    assert "SECRET" not in str(error.value) and "host" not in str(error.value)
    assert stac_product(path, remote=True).files[0].url == href


@pytest.mark.parametrize(
    "href", ["/vsicurl/http://h/a.tif", "/vsimem/a.tif", "/vsizip/a.zip/a.tif", "/vsistdin/", "/dev/zero", "/dev/stdin"]
)
def test_names_of_gdal_and_devices_are_never_opened(tmp_path, href):
    for outside in (False, True):
        with pytest.raises(UnreadableFileError):
            stac_product(small(tmp_path, href), outside=outside)


def test_what_is_not_there_is_told(tmp_path, domain):
    from domainclip.sample import SourceItem

    path = earth_search(tmp_path, jp2=False)
    (tmp_path / "nir08.tif").unlink()
    assert stac_product(path).absent == ("nir08",)
    told = domain.inspect_item(SourceItem(path, "item.json"), domain.reading_model())
    assert any("nir08" in line for line in told.missing) and len(told.channels) == 11
    for tif in tmp_path.glob("*.tif"):
        tif.unlink()
    with pytest.raises(UnreadableFileError, match="not there: 13"):
        stac_product(path)


def test_an_asset_that_is_no_raster_is_refused(tmp_path):
    (tmp_path / "a.tif").write_text("<html>404</html>")
    with pytest.raises(UnreadableFileError, match="no raster by its first bytes"):
        stac_product(small(tmp_path, "a.tif"))


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


# Items that lie


def test_deep_and_large_json(tmp_path):
    start = '{"type": "Feature", "stac_version": "1.0.0", "assets": {}, "properties": '
    bombs = {
        "deep.json": start + "[" * 200_000,
        "open.json": start,
        "number.json": start + "9" * 100_000 + "}",
        "list.json": '[{"type": "Feature", "stac_version": "1.0.0"}]',
        "none.json": start + "null}",
        "bytes.json": start + '"\udcff"}',
    }
    for name, text in bombs.items():
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        assert is_stac_item(tmp_path / name)
        began = time.monotonic()
        with pytest.raises(UnreadableFileError):
            stac_product(tmp_path / name)
        assert time.monotonic() - began < 5
    with (tmp_path / "large.json").open("w") as file:
        file.write(start)
        file.truncate(17 * 2**20)
    with pytest.raises(UnreadableFileError, match="16 MiB"):
        stac_product(tmp_path / "large.json")


WRONG = [
    None,
    True,
    0,
    -1,
    1e308,
    10**400,
    float("nan"),
    "",
    "x",
    "\0",
    "x" * 5000,
    [],
    [[]],
    [None],
    {},
    {"a": {}},
    [{}],
    [{"name": 5}],
    [{"name": [1]}],
]


@pytest.mark.parametrize("place", ["href", "type", "roles", "eo:bands", "bands", "raster:bands", "scale", "nodata", "asset"])
def test_wrong_types_are_refused_or_ignored_and_never_a_crash(around, scenes, place):
    for wrong in WRONG:
        asset = {"href": "deep/red.tif", "type": COG, "eo:bands": [{"name": "B04"}]}
        asset = wrong if place == "asset" else asset | {place: wrong}
        path = put(around / "in", item({"red": asset}))
        try:
            product = stac_product(path)
            samples = scenes(around / "in")
            assert product.files and samples
        except DomainClipError as error:
            assert str(around) not in str(error)


@pytest.mark.parametrize(
    "place",
    ["platform", "constellation", "datetime", "s2:processing_baseline", "earthsearch:boa_offset_applied", "landsat:correction"],
)
def test_wrong_properties_are_ignored(around, place):
    for wrong in WRONG:
        told = item({"red": {"href": "deep/red.tif", "type": COG, "eo:bands": [{"name": "B04"}]}}, **{place: wrong})
        product = stac_product(put(around / "in", told))
        assert len(product.files) == 1 and not product.told.scale


@pytest.mark.parametrize("scale", [0, -0.0001])
def test_scales_that_are_none_are_refused(around, scale):
    asset = {"href": "deep/red.tif", "type": COG, "eo:bands": [{"name": "B04"}], "raster:bands": [{"scale": scale}]}
    with pytest.raises(UnreadableFileError, match="scale"):
        stac_product(put(around / "in", item({"red": asset})))


def test_a_broken_item_does_not_keep_a_folder_from_being_read(around, scenes):
    (around / "in" / "broken.json").write_text('{"type": "Feature", "stac_version": "1.0.0", ')
    odd = item({"red": {"href": "http://[", "roles": 5}, "blue": {"href": "\0"}, "green": 7})
    put(around / "in", odd, "odd.json")
    from domainclip.domains.folder import list_folder
    from domainclip.domains.remote_sensing import DOMAIN

    listing = list_folder(around / "in", DOMAIN)
    assert {path.name for path in listing.files} == {"odd.json", "red.tif"}
    assert [(path.name, "no JSON" in reason) for path, reason in listing.rejected] == [("broken.json", True)]


def test_other_json_is_no_item(tmp_path):
    for text in ('{"type": "FeatureCollection", "stac_version": "1.0.0"}', '{"type": "Feature"}', "{}", ""):
        (tmp_path / "a.json").write_text(text)
        assert not is_stac_item(tmp_path / "a.json")


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
