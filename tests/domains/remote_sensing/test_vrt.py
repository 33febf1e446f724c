"""VRT files: real ones read as rasterio reads them; those that lead anywhere else are refused, and no request is made."""

import http.client
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from domainclip.domains.remote_sensing.vrt import MOST_DEPTH, checked_vrt, vrt_sources
from domainclip.errors import UnreadableFileError

UTM = {"crs": "EPSG:32736", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0)}
NAMES = ("B04", "B8A")
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/ready":
            open(sys.argv[1], "a").write(self.path + "\\n")
        self.send_error(404)
    do_HEAD = do_GET
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def server(tmp_path):
    """A loopback server in its own process (GDAL holds Python's lock while it asks); gives its address and what it was asked."""
    asked = tmp_path / "asked"
    asked.touch()
    with subprocess.Popen([sys.executable, "-c", SERVER, str(asked)], stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 404
        connection.close()
        yield f"http://127.0.0.1:{port}/x.tif", asked
        process.kill()


@pytest.fixture
def scenes(write_raster):
    """Two scenes side by side, 64 x 64 pixels of two bands each."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(1, 4000, (2, 64, 64)).astype("uint16") for _ in range(2)]
    east = dict(UTM, transform=(10.0, 0.0, 600_640.0, 0.0, -10.0, 9_600_000.0))
    return [
        write_raster(array, name=f"{side}.tif", names=NAMES, **place)
        for side, array, place in zip(("west", "east"), arrays, (UTM, east), strict=True)
    ]


def source(name, x=0, kind="SimpleSource", relative=1, band=1, more=""):
    rect = 'xSize="64" ySize="64"'
    return (
        f'<{kind}><SourceFilename relativeToVRT="{relative}">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" {rect}/><DstRect xOff="{x}" yOff="0" {rect}/>{more}</{kind}>'
    )


def vrt(*bands, size=(128, 64), more="", kind="", head=""):
    written = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{number}"><Description>{NAMES[number - 1]}</Description>{inside}</VRTRasterBand>'
        for number, inside in enumerate(bands, 1)
    )
    place = f"<SRS>EPSG:32736</SRS><GeoTransform>{','.join(map(str, (600_000, 10, 0, 9_600_000, 0, -10)))}</GeoTransform>"
    return f'{head}<VRTDataset rasterXSize="{size[0]}" rasterYSize="{size[1]}"{kind}>{place}{more}{written}</VRTDataset>'


def mosaic():
    return vrt(*(source("west.tif", band=band) + source("east.tif", 64, band=band) for band in (1, 2)))


def refused(path, use, match):
    with pytest.raises(UnreadableFileError, match=match) as error:
        for sample in use(path):
            sample.read()
    assert path.name not in str(error.value) and str(path.parent) not in str(error.value)
    assert error.value.remedy


def test_a_mosaic_reads_as_rasterio_reads_it(tmp_path, scenes, cut, domain):
    path = tmp_path / "both.vrt"
    path.write_text(mosaic())
    samples = cut(path, window_px=48)
    with rasterio.open(path) as file:
        wanted = file.read()
        assert wanted.shape == (2, 64, 128) and wanted[:, :, 64:].tolist() == rasterio.open(scenes[1]).read().tolist()
        for sample in samples:
            window = sample.window
            np.testing.assert_array_equal(
                sample.read().array, wanted[:, window.y : window.y + window.height, window.x : window.x + window.width]
            )
            assert sample.geo.crs == "EPSG:32736"
            assert sample.geo.transform[2] == file.transform.c + 10 * window.x and not sample.read().masks["nodata"].any()
    assert samples[0].channels == NAMES and domain.recognises(path)
    assert domain.inspect(path).format == "VRT (GDAL VRT)"
    assert set(vrt_sources(path)) == {scene.resolve() for scene in scenes}


def test_vrts_as_gdal_writes_them_are_read(tmp_path, scenes, cut):
    from rasterio.shutil import copy

    copy(scenes[0], tmp_path / "copy.vrt", driver="VRT")
    assert "relativeToVRT" in (tmp_path / "copy.vrt").read_text()
    for text in ("\ufeff", '<?xml version="1.0"?>\n<!-- of a GIS -->\n'):
        (tmp_path / "marked.vrt").write_text(text + (tmp_path / "copy.vrt").read_text(), encoding="utf-8")
        with rasterio.open(scenes[0]) as file:
            np.testing.assert_array_equal(cut(tmp_path / "marked.vrt")[0].read().array, file.read())


def test_what_no_source_covers_has_no_data(tmp_path, scenes, cut):
    (tmp_path / "gap.vrt").write_text(vrt(*(source("west.tif", band=band) + source("east.tif", 80, band=band) for band in (1, 2)),
                                          size=(144, 64)))  # fmt: skip
    (sample,) = cut(tmp_path / "gap.vrt", window_px=144)
    empty = sample.read().masks["nodata"]
    assert empty[:, 64:80].all() and not empty[:, :64].any() and not empty[:, 80:].any()


def test_blocks_that_a_source_lacks_have_no_data_also_through_a_vrt_within_a_vrt(tmp_path, cut):
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "width": 64, "height": 64, "crs": UTM["crs"]}
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32, "sparse_ok": True}
    with rasterio.open(tmp_path / "west.tif", "w", transform=rasterio.Affine(*UTM["transform"]), **profile, **tiles) as file:
        file.write(np.full((1, 32, 64), 7, "uint16"), window=((0, 32), (0, 64)))
    (tmp_path / "inner.vrt").write_text(vrt(source("west.tif"), size=(64, 64)))
    (tmp_path / "outer.vrt").write_text(vrt(source("inner.vrt", 64)))
    for name, start, side in (("inner.vrt", 0, 64), ("outer.vrt", 64, 128)):
        (sample,) = cut(tmp_path / name, window_px=side, max_nodata=0.9)
        empty = sample.read().masks["nodata"]
        assert not empty[:32, start : start + 64].any() and empty[32:].all() and empty[:, :start].all()
        assert (sample.read().array[0][~empty] == 7).all()


def test_a_damaged_jpeg_block_of_a_source_is_refused(tmp_path, cut):
    import tifffile

    array = np.random.default_rng(0).integers(0, 255, (1, 64, 64)).astype("uint8")
    with rasterio.open(tmp_path / "west.tif", "w", driver="GTiff", dtype="uint8", count=1, width=64, height=64, compress="jpeg",
                       tiled=True, blockxsize=64, blockysize=64) as file:  # fmt: skip
        file.write(array)
    (tmp_path / "a.vrt").write_text(vrt(source("west.tif"), size=(64, 64)).replace("UInt16", "Byte"))
    assert cut(tmp_path / "a.vrt")[0].read().array.shape == (1, 64, 64)
    data = bytearray((tmp_path / "west.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "west.tif") as file:
        at, length = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data[at + length // 2 : at + length - 2] = bytes(length - length // 2 - 2)
    (tmp_path / "west.tif").write_bytes(data)
    (tmp_path / "b.vrt").write_text((tmp_path / "a.vrt").read_text())
    refused(tmp_path / "b.vrt", cut, "JPEG block")


DERIVED = '<VRTRasterBand dataType="UInt16" band="1" subClass="VRTDerivedRasterBand"><PixelFunctionType>f</PixelFunctionType>'
CODE = "<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode>open('hit','w')</PixelFunctionCode></VRTRasterBand>"
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(9))
HOSTILE = {
    "outside": (vrt(source("../west.tif")), "outside its folder"),
    "absolute": (vrt(source("/etc/passwd", relative=0)), "outside its folder"),
    "password": (vrt(source("../../../../../../etc/passwd")), "outside its folder"),
    "absent": (vrt(source("none.tif")), "not there"),
    "folder": (vrt(source(".")), "not there"),
    "text": (vrt(source("notes.txt")), "by its first bytes"),
    "vsizip": (vrt(source("/vsizip/a.zip/west.tif", relative=0)), "no plain file"),
    "archive": (vrt(source("a.zip/west.tif")), "no plain file"),
    "vsimem": (vrt(source("/vsimem/x.tif", relative=0)), "no plain file"),
    "vsistdin": (vrt(source("/vsistdin/", relative=0)), "no plain file"),
    "database": (vrt(source("PG:dbname=x host=127.0.0.1", relative=0)), "no plain file"),
    "subdataset": (vrt(source("NETCDF:west.tif:band", relative=0)), "no plain file"),
    "connection": (vrt(source("vrt://west.tif?bands=1", relative=0)), "address"),
    "wms": (vrt(source("&lt;GDAL_WMS&gt;&lt;/GDAL_WMS&gt;", relative=0)), "no plain file"),
    "inline": (vrt(source("&lt;VRTDataset/&gt;", relative=0)), "no plain file"),
    "empty": (vrt(source("")), "no plain file"),
    "ftp": (vrt(source("ftp://127.0.0.1/x.tif", relative=0)), "address"),
    "s3": (vrt(source("/vsis3/bucket/x.tif", relative=0)), "address"),
    "derived": (f'<VRTDataset rasterXSize="64" rasterYSize="64">{DERIVED}{CODE}</VRTDataset>', "computes"),
    "code": (vrt("<PixelFunctionCode>1</PixelFunctionCode>"), "code"),
    "raw": (vrt("").replace('band="1"', 'band="1" subClass="VRTRawRasterBand"'), "raw pixels"),
    "warped": (vrt(source("west.tif"), kind=' subClass="VRTWarpedDataset"'), "another kind"),
    "warp options": (vrt(source("west.tif"), more="<GDALWarpOptions/>"), "warped"),
    "pansharpened": (vrt(source("west.tif"), kind=' subClass="VRTPansharpenedDataset"'), "another kind"),
    "options": (vrt(source("west.tif", more="<OpenOptions><OOI key='X'>1</OOI></OpenOptions>")), "options"),
    "points": (vrt(source("west.tif"), more="<GCPList/>"), "ground control points"),
    "overviews": (vrt(source("west.tif") + "<Overview><SourceFilename>/etc/passwd</SourceFilename></Overview>"), "overviews"),
    "overview tag": (vrt(source("west.tif"), more='<Metadata domain="overviews"><MDI key="OVERVIEW_FILE">x</MDI></Metadata>'),
                     "overviews"),
    "kernel": (vrt(source("west.tif", kind="KernelFilteredSource")), "filters"),
    "unknown": (vrt(source("west.tif"), more="<Surprise/>"), "element Surprise"),
    "hidden in a rectangle": (vrt(source("west.tif").replace("/>", "><SourceFilename>/etc/passwd</SourceFilename></SrcRect>", 1)),
                              "element SourceFilename"),
    "two names": (vrt(source("west.tif", more="<SourceFilename>/etc/passwd</SourceFilename>")), "which file"),
    "other case": (vrt(source("west.tif").replace("SourceFilename", "sourcefilename")), "which file"),
    "entity": (vrt(source("&e;"), head='<!DOCTYPE VRTDataset [<!ENTITY e SYSTEM "file:///etc/passwd">]>'), "bytes|document type"),
    "entity within": ("<VRTDataset/>" + vrt(source("west.tif")), "no XML"),
    "no band": (vrt(), "no band"),
    "no size": (vrt(source("west.tif")).replace('rasterXSize="128"', 'rasterXSize="-1"'), "whole number of pixels"),
    "endless size": (vrt(source("west.tif")).replace('rasterXSize="128"', 'rasterXSize="99999999999999999999"'), "whole number"),
    "no place": (vrt(source("west.tif").replace('xOff="0"', 'xOff="nan"')), "none in a raster"),
    "cut": (mosaic()[:300], "no XML"),
    "to itself": (vrt(source("hostile.vrt")), "back to itself"),
    "round": (vrt(source("round.vrt")), "back to itself"),
    "many": (vrt("".join(source("west.tif") for _ in range(20_001))), "more than 20000 sources"),
    "two kinds": (vrt(source("both.jpg")), "two kinds"),
    "link": (vrt(source("link.tif")), "leads out of the folder"),
}  # fmt: skip


@pytest.mark.parametrize("what", [pytest.param(what, marks=pytest.mark.slow) if what == "many" else what for what in HOSTILE])
def test_hostile_vrts_are_refused_in_words(tmp_path, scenes, cut, domain, what):
    home = tmp_path / "home"
    home.mkdir()
    scenes[0].rename(home / "west.tif")
    (tmp_path / "west.tif").write_bytes((home / "west.tif").read_bytes())
    (home / "notes.txt").write_text("nothing")
    (home / "round.vrt").write_text(vrt(source("hostile.vrt")))
    (home / "both.jpg").write_bytes(b"\xff\xd8\xff\xfe\x01\x40" + mosaic().encode())
    (home / "link.tif").symlink_to(tmp_path / "west.tif")
    text, match = HOSTILE[what]
    path = home / "hostile.vrt"
    path.write_text(text)
    for use in (cut, lambda file: [domain.inspect(file)]):
        refused(path, use, match)
    assert not Path("hit").exists()


def test_document_types_and_billions_of_laughs_are_refused_at_once(tmp_path, scenes):
    for inside in ('<!ENTITY e SYSTEM "file:///etc/passwd">', LAUGHS, '<!ENTITY % p SYSTEM "http://127.0.0.1/x">%p;'):
        path = tmp_path / "a.vrt"
        path.write_text(f"<!DOCTYPE VRTDataset [{inside}]>" + vrt(source("&l8;")))
        with pytest.raises(UnreadableFileError, match="document type or entities"):
            checked_vrt(path)


def test_vrts_stand_in_each_other_up_to_a_depth(tmp_path, scenes, cut):
    (tmp_path / "v0.vrt").write_text(mosaic())
    for depth in range(1, MOST_DEPTH + 1):
        (tmp_path / f"v{depth}.vrt").write_text(vrt(source(f"v{depth - 1}.vrt"), size=(64, 64)))
    with rasterio.open(scenes[0]) as file:
        np.testing.assert_array_equal(cut(tmp_path / f"v{MOST_DEPTH - 1}.vrt")[0].read().array, file.read([1]))
    refused(tmp_path / f"v{MOST_DEPTH}.vrt", cut, "stand in each other")


def test_other_folders_are_followed_when_allowed(tmp_path, scenes):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a.vrt").write_text(vrt(source("../west.tif")))
    with pytest.raises(UnreadableFileError, match="outside its folder") as error:
        vrt_sources(inner / "a.vrt")
    assert "reading.outside=true" in error.value.remedy
    assert vrt_sources(inner / "a.vrt", outside=True) == (scenes[0].resolve(),)


def test_no_request_is_made_for_addresses(tmp_path, scenes, cut, domain, server):
    address, asked = server
    for name in (address, f"/vsicurl/{address}", f"/vsicurl?url={address}", address.upper()):
        (tmp_path / "a.vrt").write_text(vrt(source(name, relative=0)))
        for use in (cut, lambda file: [domain.inspect(file)]):
            refused(tmp_path / "a.vrt", use, "address")
    assert asked.read_text() == ""
    (tmp_path / "a.vrt").write_text(vrt(source(address, relative=0)))
    with pytest.raises(UnreadableFileError, match="address on a network") as error:
        checked_vrt(tmp_path / "a.vrt")
    assert "reading.remote=true" in error.value.remedy
    allowed = checked_vrt(tmp_path / "a.vrt", remote=True)
    assert allowed.addresses == (address,) and f"/vsicurl/{address}" in allowed.text and asked.read_text() == ""
    # The server does see a request when GDAL reads such a file itself.
    with pytest.raises(rasterio.errors.RasterioIOError), rasterio.open(tmp_path / "a.vrt") as file:
        file.read()
    assert "/x.tif" in asked.read_text()


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_no_request_is_made_for_overviews(tmp_path, scenes, cut, domain, server, inside, prefix):
    """GDAL opens whatever the item OVERVIEW_FILE names, in the file or in its sidecar."""
    address, asked = server
    path = scenes[0]
    if inside:
        with rasterio.open(path, "r+") as file:
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=prefix + address)
    else:
        item = f'<MDI key="OVERVIEW_FILE">{prefix}{address}</MDI>'
        path.with_suffix(".tif.aux.xml").write_text(f'<PAMDataset><Metadata domain="OVERVIEWS">{item}</Metadata></PAMDataset>')
    asked.write_text("")
    (tmp_path / "a.vrt").write_text(mosaic())
    for use in (cut, lambda file: [domain.inspect(file)]):
        refused(path, use, "for its overviews")
        refused(tmp_path / "a.vrt", use, "for its overviews")
    assert asked.read_text() == ""
    with rasterio.open(path) as file:
        file.overviews(1)
    assert "/x.tif" in asked.read_text()


def test_a_vrt_beside_its_sources_is_one_scene(write_raster, tmp_path, domain, cut):
    """Its sources are shown by it: read beside it they would be the same pixels in two groups."""
    from domainclip.domains.folder import list_folder

    array = np.arange(1, 64 * 64 + 1, dtype="uint16").reshape(1, 64, 64)
    left = write_raster(array, "left.tif", names=["B8A"], crs="EPSG:32630", transform=(10, 0, 600_000, 0, -10, 5_000_000))
    right = write_raster(array + 9, "right.tif", names=["B8A"], crs="EPSG:32630", transform=(10, 0, 600_640, 0, -10, 5_000_000))
    band = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/><DstRect xOff="{x}" yOff="0" xSize="64" ySize="64"/></SimpleSource>'
        for path, x in ((left, 0), (right, 64))
    )
    (tmp_path / "both.vrt").write_text(
        '<VRTDataset rasterXSize="128" rasterYSize="64"><SRS>EPSG:32630</SRS>'
        "<GeoTransform>600000, 10, 0, 5000000, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="UInt16" band="1"><Description>B8A</Description>{band}</VRTRasterBand></VRTDataset>'
    )
    listing = list_folder(tmp_path, domain)
    assert [path.name for path in listing.files] == ["both.vrt"]
    assert {path.name for path in listing.members[tmp_path / "both.vrt"]} == {"left.tif", "right.tif"}
    samples = cut(tmp_path / "both.vrt", members=listing.members[tmp_path / "both.vrt"])
    np.testing.assert_array_equal(np.concatenate([s.read().array[0] for s in samples], axis=1), np.hstack([array[0], array[0] + 9]))
