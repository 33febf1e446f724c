"""STAC items that name what they may not, and items that lie."""

import os
import time

import pystac
import pytest
from made_items import COG, earth_search, item, put, small

from domainclip.domains.remote_sensing.stac import is_stac_item, stac_product
from domainclip.errors import DomainClipError, UnreadableFileError

# Where files lie


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
