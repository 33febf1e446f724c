"""PNG and JPEG radiographs."""

import numpy as np
import pytest
from PIL import Image

from domainclip.domains.base import domains
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def physical(sample, pixels):
    return pixels.array[0] * sample.values.scale


def test_grey_of_8_and_16_bits(read, tmp_path):
    sample, pixels = read(save(tmp_path / "a.png", GREY))
    assert sample.values.kind == "display" and pixels.array.dtype == np.uint8 and sample.channels == ("MONOCHROME2",)
    assert np.array_equal(pixels.array[0], GREY) and physical(sample, pixels).max() == 1.0
    deep = (GREY.astype(np.uint16) * 257)[:, :9]
    sample, pixels = read(save(tmp_path / "b.png", deep))
    assert pixels.array.dtype == np.uint16 and pixels.array.shape == (1, 16, 9) and np.array_equal(pixels.array[0], deep)
    assert sample.values.scale == pytest.approx(1 / 65535)


def test_12_bits_in_16(read, tmp_path):
    path = save(tmp_path / "a.png", GREY.astype(np.uint16) * 16)
    assert physical(*read(path, bits_stored=12)).max() == pytest.approx(255 * 16 / 4095)
    with pytest.raises(UnreadableFileError, match="bits_stored allows 1023"):
        read(path, bits_stored=10)


def test_three_equal_channels_are_one(read, tmp_path):
    rgb = np.repeat(GREY[..., None], 3, 2)
    for array in (rgb, np.dstack([rgb, np.full_like(GREY, 255)])):
        assert np.array_equal(read(save(tmp_path / "a.png", array))[1].array[0], GREY)
    palette = Image.fromarray(GREY).convert("P")
    palette.save(tmp_path / "p.png")
    assert np.array_equal(read(tmp_path / "p.png")[1].array[0], GREY)
    smooth = save(tmp_path / "j.jpg", rgb, quality=95)
    assert np.array_equal(read(smooth)[1].array[0], np.asarray(Image.open(smooth))[..., 0])


def test_colour_is_refused_or_luma(read, tmp_path):
    path = save(tmp_path / "c.png", np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))
    with pytest.raises(UnreadableFileError, match=r"reading\.colour"):
        read(path)
    assert read(path, colour="luma")[1].array[0].tolist() == [[76, 150, 29]]  # 0.299, 0.587, 0.114 of 255, rounded


def test_transparency_is_refused(read, tmp_path):
    path = save(tmp_path / "t.png", np.dstack([GREY] * 3 + [GREY]))
    with pytest.raises(UnreadableFileError, match="transparent"):
        read(path)


def test_jpeg_orientation_is_applied(read, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 2  # mirrored left to right
    marked = np.zeros((32, 32), np.uint8)
    marked[:, :8] = 255
    shown = read(save(tmp_path / "o.jpg", marked, exif=exif, quality=95))[1].array[0]
    assert shown[:, 24:].min() > 200 and shown[:, :8].max() < 50


def test_broken_pictures(read, tmp_path):
    good = save(tmp_path / "g.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).read_bytes()
    for name, data in {
        "cut.png": good[:900],
        "text.png": b"no picture at all",
        "empty.jpg": b"",
        "flip.png": good[:200] + b"x" + good[201:],
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableFileError) as error:
            read(tmp_path / name)
        assert name not in str(error.value)


def test_size_limits_and_units(read, tmp_path):
    path = save(tmp_path / "big.png", np.zeros((2000, 2000), np.uint8))
    with pytest.raises(UnreadableFileError, match="limit is 1 MiB"):
        read(path, max_decoded_mib=1)
    with pytest.raises(UnreadableFileError, match="no Hounsfield"):
        read(path, output="hu")


def test_a_decompression_bomb(read, tmp_path, monkeypatch):
    path = save(tmp_path / "bomb.png", np.zeros((3000, 3000), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000_000)
    with pytest.raises(UnreadableFileError, match="DecompressionBomb"):
        read(path)


def test_group_is_the_picture_unless_told(read, tmp_path):
    assert read(save(tmp_path / "a.png", GREY))[0].group == "file"


def test_recognises_by_bytes_and_name(radiology, tmp_path, pydicom_files):
    save(tmp_path / "noname", GREY, format="PNG")
    (tmp_path / "broken.dcm").write_bytes(b"nothing")
    (tmp_path / "notes.txt").write_text("x")
    answers = {p.name: radiology.recognises(p) for p in tmp_path.iterdir()}
    assert answers == {"noname": True, "broken.dcm": True, "notes.txt": False}
    assert not radiology.recognises(pydicom_files / "dicomdirtests" / "DICOMDIR")
    assert radiology.recognises(pydicom_files / "dicomdirtests" / "77654033" / "CR1" / "6154")
    assert not radiology.recognises(tmp_path / "gone.tif")


def test_figures_that_mix_grey_and_colour_become_three_channels(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(colour[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(colour[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    reading = domains.get("radiology").reading_model(colour="rgb_all")
    seen = {}
    for name in ("colour", "grey", "deep"):
        (sample,) = domains.get("radiology").samples(SourceItem(tmp_path / f"{name}.png", name), reading)
        assert sample.channels == ("red", "green", "blue") and sample.values.kind == "srgb"
        seen[name] = sample.read().array * sample.values.scale
    np.testing.assert_allclose(seen["colour"], colour.transpose(2, 0, 1) / 255)
    np.testing.assert_allclose(seen["grey"], np.stack([colour[..., 0]] * 3) / 255)
    np.testing.assert_allclose(seen["deep"], seen["grey"])
