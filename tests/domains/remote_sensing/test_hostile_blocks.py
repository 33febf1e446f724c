"""Blocks that are absent, damaged, lying or on top of each other: no number is made up, and no memory taken for lies."""

import resource
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hostile_words import NORTH_UP, UTM, numbers, says
from rasterio.transform import Affine

from domainclip.errors import UnreadableFileError

sys.path.append(str(Path(__file__).parents[2] / "fuzz"))
import fuzz_tiff


def test_blocks_that_the_file_does_not_hold_have_no_data(tmp_path, cut, domain):
    """GDAL gives zeros for them, and its mask says that they are valid."""
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 2, "width": 96, "height": 64, **UTM}
    profile["transform"] = Affine(*NORTH_UP)
    for interleave in ("pixel", "band"):
        path = tmp_path / f"{interleave}.tif"
        with rasterio.open(
            path, "w", tiled=True, blockxsize=32, blockysize=32, sparse_ok=True, interleave=interleave, **profile
        ) as file:
            file.descriptions = ("B04", "B8A")
            file.write(np.full((2, 64, 32), 9, "uint16"), window=((0, 64), (0, 32)))
            file.write(np.full((1, 32, 32), 9, "uint16"), [1], window=((0, 32), (32, 64)))
        with rasterio.open(path) as file:
            assert file.dataset_mask().all() and (file.read()[:, :, 64:] == 0).all()
        (sample,) = cut(path, window_px=96, max_nodata=0.99)
        empty = sample.read().masks["nodata"]
        assert not empty[:, :32].any() and empty[:, 64:].all() and empty[32:, 32:].all()
        # Band by band one of two bands is there; GDAL writes both where they share a block.
        assert empty[:32, 32:64].all() == (interleave == "band")
        says(lambda file: cut(file, window_px=96), path, "too little data")
        assert domain.inspect(path).range["minimum"] == (9 if interleave == "band" else 0)


def test_windows_that_lie_across_absent_blocks_are_counted_by_pixel(tmp_path, cut):
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 70, "height": 50, "crs": UTM["crs"]}
    with rasterio.open(
        tmp_path / "a.tif", "w", transform=Affine(*NORTH_UP), tiled=True, blockxsize=16, blockysize=16, sparse_ok=True, **profile
    ) as file:
        file.write(np.full((1, 16, 16), 5, "uint8"), window=((16, 32), (16, 32)))
    for sample in cut(tmp_path / "a.tif", window_px=21, stride_px=7, max_nodata=0.999):
        x, y = sample.window.x, sample.window.y
        wanted = np.ones((50, 70), bool)
        wanted[16:32, 16:32] = False
        np.testing.assert_array_equal(sample.read().masks["nodata"], wanted[y : y + 21, x : x + 21])


def tiff(width, height, *more, pixels=b"", bits=8):
    """A minimal little-endian TIFF of one grey sample and one strip, tags by hand."""
    tags = {256: (4, width), 257: (4, height), 258: (3, bits), 259: (3, 1), 262: (3, 1), 273: (4, 0), 277: (3, 1),
            278: (4, height), 279: (4, len(pixels))} | {tag: (kind, value) for tag, kind, value in more}  # fmt: skip
    at = 8 + 2 + 12 * len(tags) + 4
    tags[273] = (4, at)
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4) + pixels


HUGE = struct.pack(">HHIIIIIIIIHBBB", 41, 0, 60_000, 60_000, 0, 0, 1024, 1024, 0, 0, 1, 7, 1, 1)
LYING = {
    "nothing at all": (b"", "by its first bytes"),
    "no pixels": (tiff(0, 0), "declares 0 x 0 pixels"),
    "no columns": (tiff(0, 64, pixels=bytes(64)), "declares 0 x 64 pixels"),
    "60,000 x 60,000 in a kilobyte": (tiff(60_000, 60_000, pixels=bytes(800)), "60000 x 60000 pixels, far more"),
    "one strip of gigabytes": (tiff(60_000, 60_000, pixels=bytes(40_000)), "one of its blocks takes 3600000000 bytes"),
    "tiles that are not listed": (tiff(4096, 4096, (322, 4, 16), (323, 4, 16), (324, 4, 9), (325, 4, 9), pixels=bytes(900)),
                                  "lists 1 of the 65536 blocks"),
    "tiles of no size": (tiff(64, 64, (322, 4, 0), (323, 4, 16), (324, 4, 9), (325, 4, 9), pixels=bytes(900)), "0 x 16 pixels"),
    "no offsets": (tiff(64, 64, (273, 2, 0)).replace(struct.pack("<HH", 273, 4), struct.pack("<HH", 65000, 4)), "lists 0 of"),
    "cut in the header": (tiff(64, 64)[:7], "cannot be read"),
    "cut in the directory": (tiff(64, 64, pixels=bytes(64 * 64))[:40], "cannot be read|GDAL could not"),
    "cut in the pixels": (tiff(64, 64, pixels=bytes(64 * 64))[:2000], "GDAL could not read it"),
    "JPEG 2000 of 60,000 x 60,000": (b"\xff\x4f\xff\x51" + HUGE + bytes(900), "60000 x 60000 pixels in 3481 tiles"),
    "JPEG 2000 of nothing": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "no codestream"),
    "JPEG 2000 cut": (b"\xff\x4f\xff\x51\0", "no SIZ marker"),
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
@pytest.mark.parametrize("what", LYING)
def test_lying_sizes_are_refused_before_memory_is_taken(tmp_path, cut, domain, what):
    content, match = LYING[what]
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for use in (cut, lambda file: [domain.inspect(file)]):
        says(use, path, match)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB"


def test_tiles_that_lie_on_each_other_are_read_as_they_lie(write_raster, cut):
    path = write_raster(numbers(1, 64, 64), names=["B04"], tiled=True, blockxsize=32, blockysize=32, **UTM)
    data = bytearray(path.read_bytes())
    offsets = fuzz_tiff.directories(data)[0].entry(fuzz_tiff.TILE_OFFSETS)
    first = struct.unpack_from("<I", data, offsets.position(0))[0]
    for index in range(4):
        fuzz_tiff.put(data, offsets, first, index)
    path.write_bytes(data)
    array = cut(path)[0].read().array
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(array, file.read())
    np.testing.assert_array_equal(array[:, :32, :32], array[:, 32:, 32:])


def test_a_damaged_jpeg_tile_is_refused_and_the_others_are_read(write_raster, cut):
    """libtiff fills it up with grey and tells nobody."""
    import tifffile

    array = numbers(3, 128, 128, dtype="uint8")
    path = write_raster(
        array, compress="jpeg", photometric="ycbcr", tiled=True, blockxsize=64, blockysize=64, interleave="pixel", **UTM
    )
    with tifffile.TiffFile(path) as file:
        at, length = file.pages[0].dataoffsets[3], file.pages[0].databytecounts[3]
    data = bytearray(path.read_bytes())
    data[at + length // 2 : at + length - 2] = bytes(length - 2 - length // 2)
    path.write_bytes(data)
    with rasterio.open(path) as file:
        wanted = file.read()
    samples = cut(path)
    for sample in samples[:3]:
        x, y = sample.window.x, sample.window.y
        np.testing.assert_array_equal(sample.read().array, wanted[:, y : y + 64, x : x + 64])
    with pytest.raises(UnreadableFileError, match="JPEG block of it is damaged"):
        samples[3].read()


def test_a_jpeg_2000_that_lacks_a_tile_is_refused(tmp_path, cut, domain):
    profile = {"driver": "JP2OpenJPEG", "dtype": "uint16", "count": 1, "width": 128, "height": 128, "crs": UTM["crs"]}
    path = tmp_path / "a.jp2"
    options = {"blockxsize": 64, "blockysize": 64, "reversible": "YES", "quality": 100}
    with rasterio.open(path, "w", transform=Affine(*NORTH_UP), **options, **profile) as file:
        file.write(numbers(1, 128, 128))
    (sample, *_) = cut(path, band_names=("B04",))
    np.testing.assert_array_equal(sample.read().array, numbers(1, 128, 128)[:, :64, :64])
    assert sample.geo.transform == NORTH_UP and domain.inspect(path).format == "JPEG 2000 (GDAL JP2OpenJPEG)"
    data = path.read_bytes()
    third = [at for at in range(len(data)) if data[at : at + 4] == b"\xff\x90\0\x0a"][2]
    length = int.from_bytes(data[third + 6 : third + 10], "big")
    box = data.index(b"jp2c") - 4
    lost = data[:third] + data[third + length :]
    short = (int.from_bytes(data[box : box + 4], "big") or len(data) - box) - length
    path.write_bytes(lost[:box] + short.to_bytes(4, "big") + lost[box + 4 :])
    says(cut, path, "1 of its 4 tiles are not in the file")
    path.write_bytes(data[: len(data) // 2])
    says(cut, path, "cut short|no codestream")


def test_a_mask_that_is_lost_is_no_reason_to_show_what_it_hides(write_raster, cut, domain):
    path = write_raster(numbers(1, 64, 64), names=["B04"], **UTM)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(path, "r+") as file:
        file.write_mask(np.arange(64 * 64).reshape(64, 64) > 200)
    assert cut(path)[0].read().masks["nodata"].sum() == 201
    data = bytearray(path.read_bytes())
    first = fuzz_tiff.directories(data)[0]
    struct.pack_into("<I", data, first.next_at, len(data) + 100)
    path.write_bytes(data)
    with rasterio.open(path) as file:
        assert file.dataset_mask().all()
    says(cut, path, "further directories")
    says(lambda file: [domain.inspect(file)], path, "further directories")
