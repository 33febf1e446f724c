"""Rasters at addresses: ranges only, errors that say what happened, and no secret of an address in what is written."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from made_products import write
from range_server import serving

from domainclip.data.prepare import prepare
from domainclip.data.sources import open_dataset
from domainclip.domains.base import domains
from domainclip.errors import DomainClipError, UnreadableFileError, UsageError
from domainclip.sample import SourceItem

SECRET = "hunter2secret"  # what must not be found again
SIDE = 4096


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cloud-optimised GeoTIFF of 64 MiB before compression, of noise that no compression makes small."""
    import rasterio
    from rasterio.transform import Affine

    path = tmp_path_factory.mktemp("served") / "scene.tif"
    array = np.random.default_rng(0).integers(1, 4000, (2, SIDE, SIDE)).astype(np.uint16)
    profile = {
        "driver": "COG",
        "dtype": "uint16",
        "count": 2,
        "height": SIDE,
        "width": SIDE,
        "compress": "DEFLATE",
        "blocksize": 256,
    }
    with rasterio.open(path, "w", crs="EPSG:32631", transform=Affine(10, 0, 6e5, 0, -10, 48e5), **profile) as file:
        file.write(array)
        file.descriptions = ("B04", "B8A")
    write(path.parent / "small.tif", array[:, :64, :64], 10, names=["B04", "B8A"])
    rgb = np.random.default_rng(1).integers(0, 255, (3, 64, 64)).astype(np.uint8)
    write(path.parent / "rgb.tif", rgb, 10, photometric="RGB")
    return path.parent


@pytest.fixture
def served(folder):
    with serving(folder) as server:
        yield server


@pytest.fixture
def remote(domain):
    """The samples of an address."""

    def read(address, **reading):
        name = address.rpartition("/")[2].partition("?")[0]
        from pathlib import Path

        return list(domain.samples(SourceItem(Path(name), name, url=address), domain.reading_model(**reading)))

    return read


@pytest.fixture
def impatient(monkeypatch):
    """Waits for servers as in life, but not as long."""
    from domainclip.domains.remote_sensing import raster

    short = {"GDAL_HTTP_TIMEOUT": "2", "GDAL_HTTP_CONNECTTIMEOUT": "2", "GDAL_HTTP_MAX_RETRY": "0", "GDAL_HTTP_RETRY_DELAY": "0"}
    monkeypatch.setattr(raster, "_ELSEWHERE", raster._ELSEWHERE | short)


def cli(*words, cwd):
    run = subprocess.run([sys.executable, "-m", "domainclip", *map(str, words)], capture_output=True, text=True, cwd=cwd)
    return run.returncode, run.stdout, run.stderr


def test_a_few_windows_fetch_a_few_ranges(served, folder, remote):
    import rasterio

    samples = remote(f"{served.address}/scene.tif", max_windows=4, window_px=64)
    size = (folder / "scene.tif").stat().st_size
    assert size > 40e6
    with rasterio.open(folder / "scene.tif") as file:
        for sample in samples:
            w = sample.window
            wanted = file.read(window=((w.y, w.y + 64), (w.x, w.x + 64)))
            np.testing.assert_array_equal(sample.read().array, wanted)
    assert len(samples) == 4 and 0 < served.told()["sent"] < size / 20
    assert all(spread for method, _, spread in served.told()["requests"] if method == "GET")
    # No look at what may lie beside it.
    assert {path for _, path, _ in served.told()["requests"]} == {"/scene.tif"}


def test_inspect_an_address(served, folder, tmp_path):
    code, out, err = cli("inspect", f"{served.address}/scene.tif", "--json", cwd=tmp_path)
    assert code == 0, err
    seen = json.loads(out)
    assert seen["domain"] == "remote-sensing" and seen["channels"] == ["B04", "B8A"] and seen["width"] == SIDE
    assert seen["details"]["crs"] == "EPSG:32631" and served.told()["sent"] < (folder / "scene.tif").stat().st_size / 4
    code, _, err = cli("inspect", f"{served.address}/scene.tif", "--domain", "pathology", cwd=tmp_path)
    assert code == 2 and "Traceback" not in err and "remote-sensing" in err


def everything(folder):
    """All bytes that lie in a folder, archives and compressed members opened."""
    import tarfile

    import zstandard

    texts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            texts.append(path.read_bytes())
            if path.suffix == ".parquet":
                texts.append(pd.read_parquet(path).to_json().encode())
            if path.suffix == ".tar":
                with tarfile.open(path) as tar:
                    for member in tar:
                        data = tar.extractfile(member).read()
                        if member.name.endswith(".zst"):
                            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
                        texts += [member.name.encode(), data]
    return b"\n".join(texts)


def test_an_address_becomes_a_set_without_its_secret(served, tmp_path):
    address = f"{served.address}/small.tif?sig={SECRET}"
    source = open_dataset(address, domain="remote-sensing")
    made = prepare(source, domains.get("remote-sensing"), tmp_path / "set", workers=0)
    assert len(made) == 1 and made.sample(0).channels == ("B04", "B8A")
    written = everything(tmp_path / "set")
    assert SECRET.encode() not in written and b"127.0.0.1" not in written
    assert any(SECRET in path for _, path, _ in served.told()["requests"])
    # The owner's map, on the owner's machine, tells where it came from.
    assert set(made.paths().values()) == {address}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_manifest_of_addresses(served, tmp_path, workers):
    rows = ["path,label", f"{served.address}/small.tif?sig={SECRET},field", f"{served.address}/absent.tif?sig={SECRET},field"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    source = open_dataset(tmp_path / "manifest.csv", domain="remote-sensing")
    assert len(source) == 2
    made = prepare(source, domains.get("remote-sensing"), tmp_path / "set", workers=workers)
    assert len(made) == 1 and made.sample(0).labels["land_cover"] == "field"
    (rejected,) = [json.loads(line) for line in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    assert "address" in rejected["reason"]
    assert SECRET.encode() not in everything(tmp_path / "set")


def test_a_new_signature_is_the_same_scene(served, tmp_path):
    """Signed addresses expire: keys and groups must not change with them."""
    keys = []
    for number, signature in enumerate(("one", "two")):
        (tmp_path / "manifest.csv").write_text(f"path\n{served.address}/small.tif?sig={signature}\n")
        source = open_dataset(tmp_path / "manifest.csv", domain="remote-sensing")
        made = prepare(source, domains.get("remote-sensing"), tmp_path / f"set{number}", workers=0)
        keys.append((made.index.iloc[0]["key"], made.index.iloc[0]["group"]))
    assert keys[0] == keys[1]


def test_addresses_that_differ_in_their_query_alone_stay_apart(served, tmp_path):
    rows = [f"{served.address}/small.tif?date={n}" for n in (1, 2)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path", *rows]) + "\n")
    source = open_dataset(tmp_path / "manifest.csv", domain="remote-sensing")
    assert len({item.name for item in source.items()}) == 2


@pytest.mark.slow
def test_zero_shot_of_an_address(served, tmp_path):
    """The shipped model wants 12 bands: both are named, and the secret of the address is not."""
    address = f"{served.address}/small.tif?sig={SECRET}"
    code, out, err = cli("zero-shot", "starter-remote-sensing", address, "--classes", "forest,water", "--output", "p", cwd=tmp_path)
    assert code != 0 and "Traceback" not in err
    assert SECRET not in err and SECRET.encode() not in everything(tmp_path)
    assert "B8A" in out + err


@pytest.mark.slow
def test_zero_shot_of_an_address_that_fits(served, folder, tmp_path):
    bands = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
    write(folder / "twelve.tif", np.random.default_rng(2).integers(500, 4000, (12, 64, 64)).astype(np.uint16), 10, names=bands)
    address = f"{served.address}/twelve.tif?sig={SECRET}"
    told = ("--set", "reading.values=reflectance", "--set", "reading.scale=0.0001")
    words = ("zero-shot", "starter-remote-sensing", address, "--classes", "forest,ponds", *told)
    code, out, err = cli(*words, "--output", "p", cwd=tmp_path)
    assert code == 0, err
    assert "forest" in out or "ponds" in out
    assert SECRET.encode() not in everything(tmp_path) and SECRET not in err


@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_a_server_refuses(served, remote, impatient, status):
    served.misbehave("/gone.tif", status=status)
    with pytest.raises(UnreadableFileError) as error:
        remote(f"{served.address}/gone.tif?sig={SECRET}")
    assert "address" in error.value.found and SECRET not in str(error.value) and "127.0.0.1" not in str(error.value)


def test_a_server_that_hangs_is_given_up(served, remote, impatient):
    served.misbehave("/slow.tif", seconds=30)
    began = time.monotonic()
    with pytest.raises(UnreadableFileError, match="address"):
        remote(f"{served.address}/slow.tif")
    assert time.monotonic() - began < 20


def test_waiting_has_an_end_by_default():
    from domainclip.domains.remote_sensing.raster import _ELSEWHERE

    assert 0 < int(_ELSEWHERE["GDAL_HTTP_TIMEOUT"]) <= 120 and 0 < int(_ELSEWHERE["GDAL_HTTP_CONNECTTIMEOUT"]) <= 30


@pytest.mark.parametrize("claim", [100, 10**9, 0])
def test_a_server_that_lies_about_length(served, folder, remote, impatient, claim):
    served.misbehave("/liar.tif", file="small.tif", claim=claim)
    try:
        samples = remote(f"{served.address}/liar.tif")
        arrays = [sample.read().array for sample in samples]
    except UnreadableFileError:
        return
    import rasterio

    with rasterio.open(folder / "small.tif") as file:  # right, or not at all
        np.testing.assert_array_equal(arrays[0], file.read())


def test_a_server_without_ranges(served, folder, remote, impatient):
    served.misbehave("/plain.tif", file="small.tif", ranges=False)
    try:
        array = remote(f"{served.address}/plain.tif")[0].read().array
    except UnreadableFileError:
        return
    import rasterio

    with rasterio.open(folder / "small.tif") as file:
        np.testing.assert_array_equal(array, file.read())


def test_a_page_instead_of_a_raster(served, remote, impatient):
    served.misbehave("/login.tif", content=b"<html>please log in</html>" * 50)
    with pytest.raises(UnreadableFileError, match="address"):
        remote(f"{served.address}/login.tif")


def test_a_redirect_within_http_is_followed(served, remote):
    served.misbehave("/moved.tif", to=f"{served.address}/small.tif")
    assert remote(f"{served.address}/moved.tif")[0].channels == ("B04", "B8A")


@pytest.mark.parametrize("target", ["file://{}/small.tif", "/vsicurl/file://{}/small.tif", "ftp://127.0.0.1:1/a.tif"])
def test_a_redirect_to_a_file_or_another_scheme_is_not_followed(served, folder, remote, impatient, target):
    served.misbehave("/trap.tif", to=target.replace("{}", str(folder)))
    with pytest.raises(UnreadableFileError, match="address"):
        remote(f"{served.address}/trap.tif")


def test_redirects_without_end(served, remote, impatient):
    served.misbehave("/round.tif", to=f"{served.address}/round.tif")
    with pytest.raises(UnreadableFileError):
        remote(f"{served.address}/round.tif")


def test_a_vrt_at_an_address_is_not_opened(served, tmp_path, folder, remote, impatient):
    """Else a server could name any file of its reader."""
    vrt = (
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="UInt16" band="1"><Description>B8A</Description>'
        f'<SimpleSource><SourceFilename relativeToVRT="0">{folder}/small.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    ).encode()
    for name in ("/a.vrt", "/a.tif"):
        served.misbehave(name, content=vrt)
        with pytest.raises(UnreadableFileError):
            remote(f"{served.address}{name}")


@pytest.mark.parametrize(
    "address", ["ftp://h/a.tif", "file:///etc/passwd", "gopher://h/a.tif", "vsicurl://h/a.tif", "javascript://x/a.tif"]
)
def test_other_schemes_are_refused(tmp_path, address):
    source = open_dataset(address, domain="remote-sensing")
    with pytest.raises(DomainClipError, match=r"scheme|address"):
        prepare(source, domains.get("remote-sensing"), tmp_path / "set", workers=0)


@pytest.mark.parametrize("domain_name", ["pathology", "radiology"])
def test_other_domains_refuse_addresses_and_keep_the_secret(tmp_path, domain_name):
    address = f"https://h/a.svs?sig={SECRET}"
    with pytest.raises(UsageError, match="reads files in folders") as error:
        open_dataset(address, domain=domain_name)
    assert SECRET not in str(error.value)
    (tmp_path / "manifest.csv").write_text(f"path\n{address}\n")
    with pytest.raises(UsageError, match="reads files in folders") as error:
        open_dataset(tmp_path / "manifest.csv", domain=domain_name)
    assert SECRET not in str(error.value)
    code, _, err = cli("inspect", address, "--domain", domain_name, cwd=tmp_path)
    assert code == 2 and SECRET not in err


def test_an_item_reads_its_files_at_addresses_where_it_is_allowed(served, tmp_path, one_scene):
    told = {
        "type": "Feature", "stac_version": "1.0.0", "id": "a",
        "properties": {"datetime": "2022-06-12T10:00:00Z", "platform": "sentinel-2a"},
        "assets": {"both": {"href": f"{served.address}/small.tif?sig={SECRET}", "eo:bands": [{"name": "B04"}, {"name": "B8A"}]}},
    }  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(told))
    with pytest.raises(UnreadableFileError, match="addresses"):
        one_scene(tmp_path)
    assert not served.told()["requests"]
    first = one_scene(tmp_path, remote=True)[0]
    assert first.read().array.shape == (2, 64, 64) and first.time == "2022-06-12T10:00:00"
    served.misbehave("/small.tif", status=404)
    told["assets"]["both"]["href"] += "&more"
    (tmp_path / "item.json").write_text(json.dumps(told))
    with pytest.raises(UnreadableFileError) as error:
        one_scene(tmp_path, remote=True)
    assert SECRET not in str(error.value)
