"""Strict decoding of JPEG tiles: equal to libjpeg-turbo in another library, and damage is told wherever OpenSlide tells it."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from domainclip.data.ahead import ahead
from domainclip.domains.base import domains
from domainclip.domains.jpeg_tiles import decoded_strictly, jpeg_header
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.slides import open_slide
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem

RNG = np.random.default_rng(7)
APERIO = "Aperio Image Library v12.0.15\r\n1024x768 (256x256) JPEG/RGB Q=80|AppMag = 20|MPP = 0.5"


def tissue(height=768, width=1024):
    y, x = np.mgrid[:height, :width]
    image = np.stack([190 + 40 * np.sin(x / 9), 120 + 60 * np.sin(y / 7), 180 + 30 * np.cos((x + y) / 11)], axis=-1)
    return (image + RNG.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)


def pillow(image, **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=85, **options)
    return stream.getvalue()


TILE = tissue(208, 240)
STREAMS = {
    "4:2:0 JFIF": pillow(TILE),
    "4:4:4": pillow(TILE, subsampling=0),
    "progressive": pillow(TILE, progressive=True),
    "restarts": pillow(TILE, restart_marker_rows=1),
    "RGB with Adobe's mark": bytes(imagecodecs.jpeg8_encode(TILE, level=85, colorspace="RGB", outcolorspace="RGB")),
    "grey": pillow(TILE[..., 0]),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_pixels_are_those_of_pillow(kind):
    data = STREAMS[kind]
    header = jpeg_header(data)
    assert (header.width, header.height, header.bits) == (240, 208, 8)
    with Image.open(io.BytesIO(data)) as image:
        theirs = np.asarray(image).reshape(208, 240, -1)
    np.testing.assert_array_equal(decoded_strictly(data, header), theirs)


def test_the_directory_says_what_three_components_are():
    """Aperio's RGB without a mark: libjpeg takes it for YCbCr unless told; told wrongly, it would turn the colours."""
    bare = bytearray(STREAMS["RGB with Adobe's mark"])
    at = bare.index(b"\xff\xee")
    del bare[at : at + 16]
    bare = bytes(bare).replace(b"\x03R\x11", b"\x03\x01\x11").replace(b"G\x11", b"\x02\x11").replace(b"B\x11", b"\x03\x11")
    bare = bare.replace(b"\x03R\x00G\x00B\x00", b"\x03\x01\x00\x02\x00\x03\x00")
    header = jpeg_header(bare)
    assert header.components == (1, 2, 3) and header.adobe is None and header.ycbcr
    told = imagecodecs.jpeg8_decode(bare, colorspace="RGB", outcolorspace="RGB")
    guessed = imagecodecs.jpeg8_decode(bare)
    assert np.abs(told.astype(int) - TILE).mean() < 4 < np.abs(guessed.astype(int) - TILE).mean()
    np.testing.assert_array_equal(decoded_strictly(bare, header, ycbcr=False), told)
    np.testing.assert_array_equal(decoded_strictly(bare, header), guessed)
    assert decoded_strictly(STREAMS["4:2:0 JFIF"], jpeg_header(STREAMS["4:2:0 JFIF"]), ycbcr=False) is None  # JFIF is YCbCr


def test_other_kinds_of_streams_are_left_to_others():
    twelve = bytes(imagecodecs.jpeg_encode(TILE.astype(np.uint16), level=90, bitspersample=12))
    lossless = bytes(imagecodecs.ljpeg_encode(TILE[..., 0]))
    for data in (twelve, lossless, b"\xff\xd8\xff\xd9", b"\xff\xd8", b"", b"\xff" * 40, STREAMS["grey"][:60]):
        assert decoded_strictly(data, jpeg_header(data)) is None


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_cut_anywhere_is_refused(kind):
    data = STREAMS[kind]
    scan = jpeg_header(data).scan
    for tenth in range(1, 10):
        cut = data[: scan + 20 + (len(data) - scan - 40) * tenth // 10] + b"\xff\xd9"
        with pytest.raises(ValueError, match=r"\w+"):
            decoded_strictly(cut, jpeg_header(cut))


def aperio(path, **options):
    image = tissue()
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, tile=(256, 256), photometric="rgb", metadata=None, description=APERIO, **options)
    return image


def damaged(path, index, how):
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        offset, length = (values[index] for values in (file.pages[0].dataoffsets, file.pages[0].databytecounts))
    how(data, offset, length)
    path.write_bytes(bytes(data))


DAMAGE = {
    "early end": lambda data, at, size: struct.pack_into("2s", data, at + size // 2, b"\xff\xd9"),
    "marker": lambda data, at, size: struct.pack_into("2s", data, at + size // 2, b"\xff\xd3"),
    "zeros": lambda data, at, size: data.__setitem__(slice(at + size // 2, at + size // 2 + 400), bytes(400)),
    "noise": lambda data, at, size: data.__setitem__(slice(at + size // 2, at + size // 2 + 64), RNG.bytes(64)),
    "a lost piece": lambda data, at, size: data.__setitem__(
        slice(at, at + size), data[at : at + size // 2] + data[at + size // 2 + 100 : at + size] + bytes(98) + b"\xff\xd9"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_tile_is_refused_where_openslide_refuses_it_and_equal_where_it_reads_it(tmp_path, damage):
    path = tmp_path / "s.svs"
    aperio(path, compression="jpeg", compressionargs={"level": 80, "outcolorspace": "YCBCR"}, subsampling=(2, 2))
    damaged(path, 5, DAMAGE[damage])
    slide = open_slide(path)
    assert type(slide).__name__ == "DirectSlide"
    refused = 0
    for number in range(12):
        x, y = number % 4 * 256, number // 4 * 256
        try:
            with openslide.OpenSlide(str(path)) as other:
                theirs = np.asarray(other.read_region((x, y), 0, (256, 256)))[..., :3]
        except openslide.OpenSlideError:
            refused += 1
            with pytest.raises(UnreadableFileError):
                slide.read_level(0, x, y, 256, 256)
            continue
        np.testing.assert_array_equal(slide.read_level(0, x, y, 256, 256), theirs)
    assert refused == 1 or damage == "noise"


def without_a_judge(path, kind):
    """JPEG that OpenSlide does not read, or not as this: strips, a level in SubIFDs, a channel of grey."""
    image, plain = tissue(512, 512), {"compression": "jpeg", "compressionargs": {"level": 80}, "metadata": None}
    if kind == "strips":
        tifffile.imwrite(path, image, rowsperstrip=64, photometric="rgb", **plain)
        return image
    if kind == "grey":
        tifffile.imwrite(path, image[..., 0], tile=(128, 128), photometric="minisblack", **plain)
        return image[..., :1]
    with tifffile.TiffWriter(path) as writer:
        writer.write(tissue(1024, 1024), tile=(128, 128), photometric="rgb", subifds=1, **plain)
        writer.write(image, tile=(128, 128), photometric="rgb", subfiletype=1, **plain)
    return image


@pytest.mark.parametrize("kind", ["strips", "grey", "subifd"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_where_nobody_else_can_be_asked_damage_is_refused_too(tmp_path, kind, damage):
    path = tmp_path / "s.tif"
    without_a_judge(path, kind)
    whole = open_slide(path)
    level = 1 if kind == "subifd" else 0
    before = whole.read_masked(level, 0, 0, 512, 512).array
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        page = file.pages[0].pages[0] if kind == "subifd" else file.pages[0]
        offset, length = page.dataoffsets[3], page.databytecounts[3]
        DAMAGE[damage](data, offset, length)
        stream = (page.jpegtables[:-2] if page.jpegtables else b"\xff\xd8") + bytes(data[offset + 2 : offset + length])
    path.write_bytes(bytes(data))
    place = (0, 192, 512, 64) if kind == "strips" else (384, 0, 128, 128)
    warned = warns(stream)
    assert warned or damage in {"noise", "zeros"}
    slide = open_slide(path)
    if warned:
        with pytest.raises(UnreadableFileError):
            slide.read_masked(level, *place)
    else:
        slide.read_masked(level, *place)  # libjpeg notices nothing
    x, y, wide, high = (0, 0, 512, 64) if kind == "strips" else (128, 128, 128, 128)
    np.testing.assert_array_equal(slide.read_masked(level, x, y, wide, high).array, before[y : y + high, x : x + wide])


def warns(stream):
    """OpenCV's libjpeg says on standard error what it warns about: an oracle in another process."""
    code = "import sys, cv2, numpy as np; cv2.imdecode(np.frombuffer(sys.stdin.buffer.read(), np.uint8), cv2.IMREAD_UNCHANGED)"
    said = subprocess.run([sys.executable, "-c", code], input=stream, capture_output=True, check=True).stderr
    return b"Corrupt JPEG data" in said or b"Premature end" in said


@pytest.mark.parametrize("threads", [1, 4])
def test_one_damaged_tile_costs_no_other_whatever_the_threads(tmp_path, threads):
    """OpenSlide's handle answers nothing any more after one failure; JPEG 2000 in SVS is read through it."""
    image = aperio(tmp_path / "s.svs", compression="aperio_jp2000_rgb", compressionargs={"level": 0})
    damaged(tmp_path / "s.svs", 5, lambda data, at, size: data.__setitem__(slice(at, at + 60), bytes(60)))
    reading = PathologyReading(mode="tiles", tile_um=128, tile_px=256, min_tissue=0)

    def look(sample):
        place = sample.window.x, sample.window.y
        try:
            return place, sample.read().array
        except UnreadableFileError:
            return place, None

    samples = domains.get("pathology").samples(SourceItem(tmp_path / "s.svs", "s"), reading)
    read = dict(ahead(look, samples, threads))
    assert [place for place, array in read.items() if array is None] == [(256, 256)] and len(read) == 12
    for (x, y), array in read.items():
        if array is not None:
            np.testing.assert_array_equal(array.transpose(1, 2, 0), image[y : y + 256, x : x + 256])


def test_twelve_bit_tiles_that_end_early_are_refused(tmp_path):
    """Decoded by imagecodecs, which fills up what is missing with the middle grey of 12 bits."""
    image = np.ascontiguousarray(tissue(256, 256)[..., 0].astype(np.uint16) * 15)
    tiles = [
        bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(image[y : y + 128, x : x + 128]), level=90, bitspersample=12))
        for y in (0, 128)
        for x in (0, 128)
    ]
    tiles[1] = tiles[1][: len(tiles[1]) // 2] + b"\xff\xd9"
    assert (imagecodecs.jpeg8_decode(tiles[1])[-16:, -16:] == 2048).all()
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, iter(tiles), shape=(256, 256), dtype=np.uint16, tile=(128, 128), photometric="minisblack",
                     compression="jpeg", metadata=None)  # fmt: skip
    slide = open_slide(path)
    with pytest.raises(UnreadableFileError, match="cannot be decoded"):
        slide.read_masked(0, 128, 0, 128, 128)
    whole = slide.read_masked(0, 0, 0, 128, 128).array[..., 0]
    assert np.abs(whole.astype(int) - image[:128, :128]).mean() < 20  # lossy, of 4,095
