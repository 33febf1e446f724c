"""Zarr stores in zips: read as GDAL's own Zarr driver reads them, within limits, and damage costs the images that it lies in."""

import json
import re
import struct
import zipfile
import zlib
from collections import Counter

import imagecodecs
import numpy as np
import pytest
import rasterio
import zstandard

from domainclip.config import DataConfig
from domainclip.data import zarr_array
from domainclip.data.inside import samples_of
from domainclip.data.layouts import zarr_images
from domainclip.data.layouts.zarr_images import PARTLY_STORED
from domainclip.data.owner_map import read_owner_map
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.domains.base import checked_reading, domains
from domainclip.errors import RunInterruptedError, UnreadableFileError, UsageError

CARD = """
name: mine
title: a set of the owner
domain: remote-sensing
layout:
  name: table
  options:
    table: rows.csv
    path: "{file}/{id}"
    stores: [{file: "*.zip", array: bands, names: name, bands: band}]
reading: {whole: true, sensor: sentinel-2-l2a}
operations: [{op: columns, rename: {place: group}}, {op: caption_language, language: en}]
licence: none
citation: none
unverified: [layout, reading, operations, licence, citation]
"""
BANDS = ("B08", "B02", "B04", "B03")  # of no sensor, so that a name taken by its place shows
ZLIB = {"id": "zlib", "level": 1}


def blosc(name, shuffle):
    return lambda data, step: imagecodecs.blosc_encode(data, level=5, compressor=name, shuffle=shuffle, typesize=step)


ENCODERS = {
    "blosc": blosc("lz4", 1), "blosc zstd": blosc("zstd", 2), "blosc stored": blosc("blosclz", 0),
    "zlib": lambda data, _: zlib.compress(data), "zstd": lambda data, _: zstandard.ZstdCompressor().compress(data),
    "gzip": lambda data, _: zlib.compress(data, wbits=31), None: lambda data, _: data,
}  # fmt: skip


def members(values, chunks, told=None, encoder="zlib", leave_out=()):
    """Returns an array of Zarr version 2 as names and bytes; chunks at the far edges are whole, as the specification wants."""
    told = {"order": "C", "dimension_separator": "."} | (told or {})
    compressor = None if encoder is None else {"id": encoder.split()[0]}
    head = {"zarr_format": 2, "filters": None, "fill_value": None, "compressor": compressor, "dtype": values.dtype.str}
    found = {".zarray": json.dumps(head | {"shape": values.shape, "chunks": chunks} | told).encode()}
    for place in np.ndindex(*(-(-size // step) for size, step in zip(values.shape, chunks, strict=True))):
        part = values[tuple(slice(at * step, (at + 1) * step) for at, step in zip(place, chunks, strict=True))]
        chunk = np.zeros(chunks, values.dtype)
        chunk[tuple(slice(size) for size in part.shape)] = part
        key = told["dimension_separator"].join(map(str, place))
        if key not in leave_out:
            found[key] = ENCODERS[encoder](chunk.tobytes(told["order"]), values.dtype.itemsize)
    return found


def images(seed=0, shape=(3, 2, 4, 20, 24), dtype="<i2"):
    return np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)


def store(path, bands, **more):
    """Writes a store: places a, b, c at times 0 and 1; ``more`` are further members, by name, None to leave one out."""
    names = np.array(
        [[f"{place}_{time}" for time in range(bands_shape(bands)[1])] for place in "abcdefgh"[: bands_shape(bands)[0]]]
    )
    arrays = {"bands": bands, "name": members(names, names.shape), "band": members(np.array(BANDS), (4,))}
    whole = {f"{name}/{key}": data for name, array in arrays.items() for key, data in array.items()} | more
    with zipfile.ZipFile(path, "w") as file:
        for name, data in ({".zgroup": b'{"zarr_format": 2}'} | whole).items():
            if data is not None:
                file.writestr(name, data)


def bands_shape(bands):
    return json.loads(bands[".zarray"])["shape"]


def table(root, ids, file="s.zip"):
    rows = [f"{file},{one},{one[0]},A field called {one}." for one in ids]
    (root / "rows.csv").write_text("\n".join(["file,id,place,caption", *rows]) + "\n")


IDS = [f"{place}_{time}" for place in "abc" for time in range(2)]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    table(folder, IDS)
    return folder


def opened(root, card=CARD):
    (root.parent / "mine.yaml").write_text(card)
    return open_source(DataConfig(source=str(root.parent / "mine.yaml"), root=str(root)), domains.get("remote-sensing"))


def read(root, tmp_path, card=CARD, bands=BANDS):
    """Returns id to pixels or to the reason why there are none, and what was counted."""
    source, domain, account = opened(root, card), domains.get("remote-sensing"), Counter()
    reading, found = checked_reading(domain, source.reading), {}
    for item in source.items():
        for cut in samples_of(item, domain, reading, tmp_path, account):
            name = cut.sample.key.rpartition("/")[2]
            try:
                found[name] = cut.sample.read().array
                assert cut.sample.channels == bands and cut.sample.group == name[0]
                assert [caption.text for caption in cut.sample.captions] == [f"A field called {name}."]
            except UnreadableFileError as error:
                found[name] = error.found
    return found, account


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("encoder", "chunks", "told", "dtype"),
    [
        ("blosc", [2, 1, 4, 20, 24], {}, "<i2"),
        ("blosc zstd", [1, 1, 3, 7, 24], {}, "<u2"),
        ("blosc stored", [3, 2, 4, 20, 24], {}, "|u1"),
        ("zlib", [2, 2, 1, 16, 16], {"order": "F"}, "<i2"),
        ("gzip", [1, 2, 4, 20, 5], {}, ">i2"),
        ("zstd", [3, 1, 2, 20, 24], {"dimension_separator": "/"}, "<f4"),
        (None, [1, 1, 4, 20, 24], {}, "<f8"),
    ],
)
def test_images_are_those_that_were_written_and_that_gdal_reads(encoder, chunks, told, dtype, root, tmp_path):
    values = images(dtype=dtype)
    store(root / "s.zip", members(values, chunks, told, encoder))
    found, account = read(root, tmp_path)
    assert set(found) == set(IDS) and not account[PARTLY_STORED]
    for number, name in enumerate(IDS):
        assert np.array_equal(found[name], values[number // 2, number % 2]), name
        assert found[name].dtype == np.dtype(dtype).newbyteorder("=")
    for band in range(4):
        with rasterio.open(f'ZARR:"/vsizip/{root / "s.zip"}":/bands:2:1:{band}') as file:
            assert np.array_equal(found["c_1"][band], file.read(1))


def test_halves_keep_their_numbers(root, tmp_path):
    values = (images() / 8 - 20).astype("<f2")
    store(root / "s.zip", members(values, [3, 1, 4, 20, 24], encoder="blosc"))
    found, _ = read(root, tmp_path)
    assert found["b_1"].dtype == np.float32 and np.array_equal(found["b_1"], values[1, 1])


def test_colours_are_called_as_the_card_says_and_come_as_pictures(root, tmp_path):
    """The store's own order and names; a name that the card does not know is refused, never taken by its place."""
    values = images(shape=(3, 2, 3, 20, 24), dtype="|u1")
    card = CARD.replace("bands: band}", "bands: band, called: {B: blue, G: green, R: red}}").replace(", sensor: sentinel-2-l2a", "")
    names = {f"band/{key}": data for key, data in members(np.array(["B", "G", "R"]), (3,)).items()}
    store(root / "s.zip", members(values, [3, 1, 3, 20, 24]), **names)
    found, _ = read(root, tmp_path, card, ("red", "green", "blue"))
    assert np.array_equal(found["c_0"], values[2, 0, ::-1]) and found["c_0"].dtype == np.uint8
    store(
        root / "s.zip", members(values, [3, 1, 3, 20, 24]), **names | {"band/0": zlib.compress(np.array(["B", "G", "N"]).tobytes())}
    )
    with pytest.raises(UsageError, match="3 bands are called B, G, N; the card knows B, G, R"):
        opened(root, card)


def test_few_images_at_a_time_are_the_same_images(root, tmp_path, monkeypatch):
    values = images()
    store(root / "s.zip", members(values, [3, 2, 4, 20, 24], encoder="blosc"))
    monkeypatch.setattr(zarr_images, "_TOGETHER_BYTES", 2 * values[0, 0].nbytes)
    found, _ = read(root, tmp_path)
    assert all(np.array_equal(found[name], values[number // 2, number % 2]) for number, name in enumerate(IDS))


def test_each_chunk_is_decoded_once(root, tmp_path, monkeypatch):
    store(root / "s.zip", members(images(), [3, 1, 4, 20, 24]))
    source, decoded = opened(root), []
    plain = zarr_array.ZarrArray.decoded
    monkeypatch.setattr(zarr_array.ZarrArray, "decoded", lambda self, data: decoded.append(self.name) or plain(self, data))
    domain = domains.get("remote-sensing")
    (item,) = source.items()
    assert len(list(samples_of(item, domain, checked_reading(domain, source.reading), tmp_path, Counter()))) == 6
    assert decoded.count("bands") == 2


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"dtype": "|O", "filters": [{"id": "pickle"}]}, "Python objects never"),
        ({"dtype": [["a", "<i2"]]}, "text of fixed length"),
        ({"filters": [{"id": "delta", "dtype": "<i2"}]}, "filters are not undone"),
        ({"compressor": {"id": "pickle"}}, "not decoded .*pickle.*\n.*blosc, gzip, zlib, zstd or no compressor"),
        ({"compressor": {"id": "lzma"}}, "not decoded .*lzma"),
        ({"compressor": "zlib"}, "not decoded"),
        ({"zarr_format": 3}, "no array of Zarr version 2"),
        ({"shape": [3, 2, 4, 40000, 40000], "chunks": [3, 1, 4, 1000, 1000]}, "an image would take 12800000000 bytes"),
        ({"chunks": [3, 2, 40, 10000, 10000]}, "has 1 chunks of 48000000000 bytes"),
        ({"chunks": [1, 1, 1, 1, 1], "shape": [3, 2, 4, 3000, 3000]}, "has 216000000 chunks"),
        ({"shape": [4, 2, 4, 20, 24]}, r"'bands' has the shape \(4, 2, .*'name' \(3, 2\)"),
        ({"shape": [3, 2, 5, 20, 24]}, "its 5 bands are called B08, B02, B04, B03"),
        ({"shape": [3, 2, 4, 20]}, "do not fit its shape"),
        ({"shape": [3, 2, 4, -20, 24]}, "a shape or chunks that are none"),
        ({"shape": [3, 2, 4, True, 24]}, "a shape or chunks that are none"),
        ({"chunks": [3, 2, 4, 0, 24]}, "a shape or chunks that are none"),
        ({"fill_value": "AAA="}, "fill value"),
        ({"fill_value": 70000}, "fill value"),
        ({"order": "K"}, "no known order"),
        ({"dtype": "<c8"}, "numbers and text"),
        ({"dtype": "<i8"}, "holds '<i8'"),
    ],
)
def test_a_store_that_asks_for_what_is_not_decoded_is_refused_before(told, words, root):
    bands = members(images(), [3, 1, 4, 20, 24])
    store(root / "s.zip", bands, **{"bands/.zarray": json.dumps(json.loads(bands[".zarray"]) | told).encode()})
    with pytest.raises(UsageError, match=rf"s\.zip.*\n.*{words}"):
        opened(root)


def axes(*names):
    return json.dumps({"_ARRAY_DIMENSIONS": names}).encode()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"bands/.zarray": b"{"}, "no JSON"),
        ({"bands/.zarray": b"[1]"}, "no array of Zarr version 2"),
        ({"bands/.zarray": b" " * 2**21}, "larger than 1048576 bytes"),
        ({"bands/.zarray": None}, "no array 'bands'; there are band, name"),
        ({"name/0.0": None}, "a chunk of 'name' is not stored"),
        ({"name/0.0": zlib.compress(np.array(["a_0"] * 6).tobytes())}, "two of its images have one name"),
        ({"band/0": zlib.compress(np.array(["B02", "B02", "B04", "B08"]).tobytes())}, "called B02, B02"),
        ({"bands/.zattrs": axes("time", "place", "band", "y", "x"), "name/.zattrs": axes("place", "time")}, "has the axes"),
    ],
    ids=range(8),
)
def test_a_store_that_contradicts_itself_is_refused(more, words, root):
    store(root / "s.zip", members(images(), [3, 1, 4, 20, 24]), **more)
    with pytest.raises(UsageError, match=rf"s\.zip.*\n.*{words}"):
        opened(root)


def test_a_truncated_zip_is_named(root):
    store(root / "s.zip", members(images(), [3, 1, 4, 20, 24]))
    data = (root / "s.zip").read_bytes()
    (root / "s.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match=r"s\.zip.*\n.*cannot be read to its end \(BadZipFile\)"):
        opened(root)


def other_sizes(data):
    """Blosc whose header says that it holds what it does not hold, for which the library reads beyond its input."""
    return data[:12] + struct.pack("<I", len(data)) + data[16:100]


STORED = imagecodecs.blosc_encode(np.random.default_rng(0).bytes(3840), level=5, compressor="lz4", shuffle=1, typesize=2)


@pytest.mark.parametrize(
    ("encoder", "chunk", "words"),
    [
        ("zlib", None, "none of its chunks is stored"),
        ("zlib", zlib.compress(bytes(5 * 10**6)), "other than the 3840 bytes"),
        ("zlib", zlib.compress(bytes(3839)), "other than the 3840 bytes"),
        ("zlib", zlib.compress(bytes(3840))[:-6], "damaged"),
        ("zlib", b"\x80\x04.", "damaged"),
        ("zlib", b"\0" * 10**5, "larger than 8416 bytes"),
        ("zstd", zstandard.ZstdCompressor().compress(bytes(10**7)), "damaged"),
        ("blosc", STORED[:100], "damaged"),
        ("blosc", other_sizes(STORED), "damaged"),
        ("blosc", b"\x02", "damaged"),
        ("blosc", imagecodecs.blosc_encode(bytes(10**7), level=5, compressor="lz4", shuffle=1, typesize=2), "damaged|larger"),
        (None, bytes(3839), "other than the 3840 bytes"),
    ],
    ids=range(12),
)
def test_a_bad_chunk_costs_its_images(encoder, chunk, words, root, tmp_path):
    values = images()
    store(root / "s.zip", members(values, [1, 1, 4, 20, 24], encoder=encoder), **{"bands/1.0.0.0.0": chunk})
    found, _ = read(root, tmp_path)
    reasons = {name: text for name, text in found.items() if isinstance(text, str)}
    assert set(reasons) == {"b_0"}
    assert re.search(words, reasons["b_0"]), reasons
    assert np.array_equal(found["b_1"], values[1, 1])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_fill_value_stands_for_parts_that_are_not_stored_and_is_counted(root, tmp_path):
    values = images()
    store(root / "s.zip", members(values, [1, 1, 4, 10, 24], {"fill_value": 7}, leave_out={"0.1.0.1.0", "2.0.0.0.0", "2.0.0.1.0"}))
    found, account = read(root, tmp_path)
    expected = values[0, 1].copy()
    expected[:, 10:] = 7
    assert np.array_equal(found["a_1"], expected) and account[PARTLY_STORED] == 1
    assert found["c_0"] == "none of its chunks is stored"
    holes = members(values, [1, 1, 4, 10, 24], leave_out={"0.1.0.1.0"})
    store(root / "t.zip", holes)
    table(root, IDS, "t.zip")
    assert read(root, tmp_path)[0]["a_1"] == "a chunk of it is not stored, and no fill value stands for it"
    with rasterio.open(f'ZARR:"/vsizip/{root / "s.zip"}":/bands:0:1:2') as file:
        assert np.array_equal(file.read(1), expected[2])


def test_ids_that_no_store_holds_and_images_without_a_row_are_told(root):
    table(root, [*IDS[:-1], "a_9"])
    store(root / "s.zip", members(images(), [3, 1, 4, 20, 24]))
    with pytest.warns(UserWarning, match=r"1 of the 6 files .* not there .* s\.zip/a_9"):
        source = opened(root)
    assert dict(source.rejections) == {"s.zip/a_9": "the row names a file that is not there", "s.zip/c_1": "the file has no row"}


def test_of_two_members_of_one_name_the_later_counts(root, tmp_path):
    values = images()
    store(root / "s.zip", members(values, [3, 1, 4, 20, 24]))
    late = np.ascontiguousarray(images(1)[:, 1])
    with zipfile.ZipFile(root / "s.zip", "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("bands/0.1.0.0.0", zlib.compress(late.tobytes()))
    found, _ = read(root, tmp_path)
    assert np.array_equal(found["b_1"], late[1]) and np.array_equal(found["b_0"], values[1, 0])


def test_a_set_of_stores_is_resumed_at_the_next_store(root, tmp_path, monkeypatch):
    for number in range(3):
        store(root / f"{number}.zip", members(images(number), [3, 1, 4, 20, 24], encoder="blosc"))
    lines = [f"{n}.zip,{one},{n}{one[0]},A field {one}." for n in range(3) for one in IDS]
    (root / "rows.csv").write_text("\n".join(["file,id,place,caption", *lines]) + "\n")
    source, domain = opened(root), domains.get("remote-sensing")
    assert len(source) == 3

    def stop(done, total, text):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError):
        prepare(source, domain, tmp_path / "set", workers=0, progress=stop)
    kept = sorted((tmp_path / "set" / ".preparing").glob("*.jsonl"))
    assert len(kept) == 2
    decoded, plain = [], zarr_array.ZarrArray.decoded
    monkeypatch.setattr(zarr_array.ZarrArray, "decoded", lambda self, data: decoded.append(self.name) or plain(self, data))
    again = prepare(source, domain, tmp_path / "set", workers=0, resume=True)
    assert decoded.count("bands") == 2  # of the last store alone
    whole = prepare(source, domain, tmp_path / "whole", workers=0)
    assert len(again) == len(whole) == 18
    assert list(again.index["pixel_sha256"]) == list(whole.index["pixel_sha256"])
    told = {line["key"]: line for line in read_owner_map(whole.card["set_id"])}
    assert Counter(told[key]["member"] for key in whole.index["key"]) == Counter(IDS * 3)
    assert not list(tmp_path.rglob("member.*"))
