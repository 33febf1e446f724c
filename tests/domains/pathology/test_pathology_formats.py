"""Formats: which reader takes which file, equal pixels through both, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from domainclip.domains.base import domains
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.slides import on_white, open_slide
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem

PATHOLOGY = domains.get("pathology")


def picture(height=300, width=260, channels=3):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (height // 10 + 1, width // 10 + 1, channels), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(small, np.ones((10, 10, 1), np.uint8))[:height, :width])


WRITERS = {
    "tiled": ({"tile": (64, 64)}, "tiled TIFF (tifffile)"),
    "stripped": ({"rowsperstrip": 16}, "stripped TIFF (tifffile)"),
    "one strip": ({}, "stripped TIFF (tifffile)"),
    "deflate strips": ({"compression": "zlib", "predictor": True}, "stripped TIFF (tifffile)"),
    "lzma tiles": ({"tile": (64, 64), "compression": "lzma"}, "tiled TIFF (tifffile)"),
    "big-endian": ({"tile": (64, 64), "byteorder": ">"}, "tiled TIFF (tifffile)"),
    "BigTIFF": ({"tile": (64, 64), "bigtiff": True}, "tiled TIFF (tifffile)"),
    "planar": ({"planarconfig": "separate"}, "stripped TIFF (tifffile)"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_layout_gives_the_pixels_that_were_written(tmp_path, kind):
    options, expected = WRITERS[kind]
    image = picture()
    path = tmp_path / "s.tif"
    options = dict(options)
    data = image.transpose(2, 0, 1) if kind == "planar" else image
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False), byteorder=options.pop("byteorder", None)) as writer:
        writer.write(data, photometric="rgb", metadata=None, **options)
    slide = open_slide(path)
    assert slide.facts.format == expected
    np.testing.assert_array_equal(slide.read_level(0, 0, 0, 260, 300), image)
    np.testing.assert_array_equal(slide.read_level(0, 37, 101, 150, 130), image[101:231, 37:187])


@pytest.mark.parametrize("codec", ["jpeg2000", "webp"])
def test_codecs_that_openslide_refuses(tmp_path, codec):
    image = picture()
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, image, tile=(64, 64), photometric="rgb", compression=codec, compressionargs={"lossless": True}
                     if codec == "webp" else {"reversible": True}, metadata=None)  # fmt: skip
    slide = open_slide(path)
    assert slide.facts.format == "tiled TIFF (tifffile)"
    np.testing.assert_array_equal(slide.read_level(0, 10, 20, 200, 200), image[20:220, 10:210])


def test_pyramids_in_subifds_keep_their_levels(tmp_path):
    # OpenSlide opens this as one level, without a word.
    image = picture(512, 512)
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, tile=(64, 64), photometric="rgb", subifds=2, resolution=(2e4, 2e4), resolutionunit="CENTIMETER")
        for step in (2, 4):
            writer.write(image[::step, ::step], tile=(64, 64), photometric="rgb", subfiletype=1)
    slide = open_slide(path)
    assert [level[:2] for level in slide.facts.levels] == [(512, 512), (256, 256), (128, 128)]
    assert slide.facts.scale.spacing.values == pytest.approx((0.5, 0.5))
    np.testing.assert_array_equal(slide.read_level(2, 0, 0, 128, 128), image[::4, ::4])


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_sixteen_bits_are_inspected_right_and_refused(tmp_path, tile):
    # OpenSlide opens tiled uint16 with wrong values.
    image = picture().astype(np.uint16) * 16
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, image, tile=tile, photometric="rgb", resolution=(2e4, 2e4), resolutionunit="CENTIMETER")
    seen = PATHOLOGY.inspect(path)
    assert seen.dtype == "uint16"
    assert seen.range["maximum"] == image.max()
    assert any("uint16" in text for text in seen.missing)
    with pytest.raises(UnreadableFileError, match="uint16"):
        list(PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading()))


def test_one_channel_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "g.tif", picture(channels=1)[..., 0], tile=(64, 64), photometric="minisblack")
    Image.fromarray(picture()).convert("L").save(tmp_path / "g.png")
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "c.jpg")
    for name in ("g.tif", "g.png", "c.jpg"):
        assert PATHOLOGY.inspect(tmp_path / name).missing
        with pytest.raises(UnreadableFileError):
            list(PATHOLOGY.samples(SourceItem(tmp_path / name, name), PathologyReading()))


def test_transparency_goes_on_white():
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    np.testing.assert_array_equal(on_white(rgba), [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]])
    assert on_white(np.array([[[100, 100, 100, 128]]], np.uint8), premultiplied=True)[0, 0, 0] == 227  # 100 + 255 - 128


def test_flat_patches_without_scale_are_whole_samples(tmp_path):
    image = picture(224, 200)
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    rgba[:10, :, 3] = 0
    Image.fromarray(image).save(tmp_path / "p.png", dpi=(300, 300))
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(image).quantize(200).save(tmp_path / "q.png")
    (sample,) = PATHOLOGY.samples(SourceItem(tmp_path / "p.png", "p.png"), PathologyReading())
    assert sample.spacing is None  # dots per inch are for print
    assert (sample.key, sample.window.width, sample.window.height) == ("p.png", 200, 224)
    np.testing.assert_array_equal(sample.read().array, image.transpose(2, 0, 1))
    (sample,) = PATHOLOGY.samples(SourceItem(tmp_path / "a.png", "a.png"), PathologyReading())
    assert sample.read().array[:, :10].min() == 255
    np.testing.assert_array_equal(sample.read().array[:, 10:], image.transpose(2, 0, 1)[:, 10:])
    (sample,) = PATHOLOGY.samples(SourceItem(tmp_path / "q.png", "q.png"), PathologyReading())
    expected = np.asarray(Image.open(tmp_path / "q.png").convert("RGB"))
    np.testing.assert_array_equal(sample.read().array, expected.transpose(2, 0, 1))


def test_large_flat_images_need_a_scale(tmp_path):
    Image.fromarray(picture(1100, 300)).save(tmp_path / "p.png")
    with pytest.raises(UnreadableFileError, match="no scale"):
        list(PATHOLOGY.samples(SourceItem(tmp_path / "p.png", "p.png"), PathologyReading()))
    assert len(list(PATHOLOGY.samples(SourceItem(tmp_path / "p.png", "p"), PathologyReading(mode="whole")))) == 1


def test_the_cameras_orientation_is_applied(tmp_path):
    image = picture(60, 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    Image.fromarray(image).save(tmp_path / "p.png", exif=exif)
    (sample,) = PATHOLOGY.samples(SourceItem(tmp_path / "p.png", "p"), PathologyReading())
    assert PATHOLOGY.inspect(tmp_path / "p.png").width == 60
    np.testing.assert_array_equal(sample.read().array, np.rot90(image, -1).transpose(2, 0, 1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".svs"])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_cut_off_files_are_refused(tmp_path, suffix, share):
    whole = tmp_path / f"w{suffix}"
    if suffix in {".png", ".jpg"}:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(whole)
    else:
        tifffile.imwrite(whole, picture(), tile=(64, 64) if suffix == ".svs" else None, photometric="rgb")
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(UnreadableFileError):
        [s.read() for s in PATHOLOGY.samples(SourceItem(path, "cut"), PathologyReading())]


def test_png_bombs_are_refused_before_decoding(tmp_path):
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )
    with pytest.raises(UnreadableFileError):
        PATHOLOGY.inspect(path)
    with pytest.raises(UnreadableFileError):
        list(PATHOLOGY.samples(SourceItem(path, "bomb"), PathologyReading(mode="whole")))


def test_recognises(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "image_without_suffix", format="PNG")
    (tmp_path / "._ghost.svs").write_bytes(b"\0")
    (tmp_path / "slide.svs").write_bytes(b"broken")
    (tmp_path / "table.csv").write_text("a,b")
    names = ("image_without_suffix", "slide.svs", "._ghost.svs", "table.csv", "none.svs")
    assert [PATHOLOGY.recognises(tmp_path / name) for name in names] == [True, True, False, False, False]
