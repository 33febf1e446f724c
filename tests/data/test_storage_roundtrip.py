"""Every kind of image goes into a member and comes out as it was; damaged members are refused."""

import io
import tarfile

import numpy as np
import pytest
import zstandard
from PIL import Image

from domainclip.data.jpeg import bare_jpeg
from domainclip.data.shards import tar_header
from domainclip.data.storage import decode_image, decode_mask, encode_image, encode_jpeg, mask_shape
from domainclip.errors import UnreadableFileError
from domainclip.sample import Pixels, Values

RNG = np.random.default_rng(1)
SRGB = Values("srgb", 1 / 255)
CASES = {
    "rgb": (RNG.integers(0, 256, (3, 9, 7), dtype=np.uint8), "CYX", SRGB, "png"),
    "grey8": (RNG.integers(0, 256, (1, 9, 7), dtype=np.uint8), "CYX", Values("display", 1 / 255), "png"),
    "grey16": (RNG.integers(0, 65536, (1, 9, 7), dtype=np.uint16), "CYX", Values("dn"), "png"),
    "hu": (RNG.integers(-1000, 2000, (1, 9, 7), dtype=np.int16), "CYX", Values("hu"), "npy.zst"),
    "bands": (RNG.integers(0, 10000, (12, 9, 7), dtype=np.uint16), "CYX", Values("reflectance", 1e-4, -0.1, 0), "npy.zst"),
    "float": (RNG.normal(size=(5, 9, 7)).astype(np.float32), "CYX", Values("db"), "npy.zst"),
    "volume": (RNG.integers(0, 99, (1, 4, 9, 7), dtype=np.int16), "CZYX", Values("hu"), "npy.zst"),
    "series": (RNG.integers(0, 99, (2, 4, 9, 7), dtype=np.uint8), "TCYX", SRGB, "npy.zst"),
    "two": (RNG.integers(0, 256, (2, 9, 7), dtype=np.uint8), "CYX", SRGB, "npy.zst"),
}


@pytest.mark.parametrize("name", CASES)
def test_round_trip(name):
    array, axes, values, storage = CASES[name]
    stored = encode_image(Pixels(array), axes, values)
    assert stored.storage == storage
    assert stored.values == values
    np.testing.assert_array_equal(decode_image(stored.data, storage, array.shape, array.dtype.name), array)


def test_png_is_what_another_program_reads():
    stored = encode_image(Pixels(CASES["grey16"][0]), "CYX", Values("dn"))
    import cv2

    read = cv2.imdecode(np.frombuffer(stored.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, CASES["grey16"][0][0])


def test_display_floats_become_sixteen_bit_with_their_scale():
    array = np.array([[[0.0, 0.25], [0.5, 1.0]]], dtype=np.float32)
    stored = encode_image(Pixels(array), "CYX", Values("display"))
    assert (stored.storage, stored.values.scale) == ("png", 1 / 65535)
    back = decode_image(stored.data, "png", (1, 2, 2), "uint16")
    np.testing.assert_array_equal(back[0], [[0, 16384], [32768, 65535]])  # 0.25 * 65535 = 16383.75


def test_display_floats_outside_of_their_range_are_not_clipped():
    array = np.array([[[-0.01, 0.25], [0.5, 1.5]]], dtype=np.float32)
    stored = encode_image(Pixels(array), "CYX", Values("display"))
    assert stored.storage == "npy.zst"
    np.testing.assert_array_equal(decode_image(stored.data, "npy.zst", (1, 2, 2), "float32"), array)


def test_display_floats_without_data_get_a_mask():
    array = np.array([[[np.nan, 0.25], [0.5, 1.0]]], dtype=np.float32)
    stored = encode_image(Pixels(array), "CYX", Values("display"))
    assert stored.storage == "png"
    np.testing.assert_array_equal(decode_mask(stored.masks["nodata"], (2, 2)), [[True, False], [False, False]])


def test_masks_round_trip_and_an_empty_nodata_mask_is_left_out():
    mask = RNG.random((9, 7)) > 0.5
    stored = encode_image(Pixels(CASES["rgb"][0], {"tissue": mask, "nodata": np.zeros((9, 7), bool)}), "CYX", SRGB)
    assert list(stored.masks) == ["tissue"]
    np.testing.assert_array_equal(decode_mask(stored.masks["tissue"], (9, 7)), mask)
    with pytest.raises(UnreadableFileError):
        decode_mask(stored.masks["tissue"], (9, 8))


def jpeg_with_secrets(progressive=False):
    image = Image.fromarray(RNG.integers(0, 256, (40, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "PLANTED^NAME"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, comment=b"PLANTED comment", icc_profile=b"PLANTED profile", progressive=progressive)
    return buffer.getvalue() + b"PLANTED tail"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_kept_without_what_its_makers_wrote_into_it(progressive):
    data = jpeg_with_secrets(progressive)
    pixels = np.asarray(Image.open(io.BytesIO(data))).transpose(2, 0, 1)
    assert data.count(b"PLANTED") == 4
    stored = encode_image(Pixels(pixels), "CYX", SRGB, data)
    assert stored.storage == "jpg"
    assert b"PLANTED" not in stored.data
    np.testing.assert_array_equal(decode_image(stored.data, "jpg", pixels.shape, "uint8"), pixels)
    # What decoding needs is the same bytes: nothing was compressed anew.
    scan = data[data.rindex(b"\xff\xda") : data.rindex(b"\xff\xd9")]
    assert scan in stored.data


def test_a_turned_or_cut_jpeg_is_stored_as_png():
    data = jpeg_with_secrets()
    pixels = np.asarray(Image.open(io.BytesIO(data))).transpose(2, 0, 1)
    for changed in (pixels[:, ::-1].copy(), pixels[:, :20].copy(), 255 - pixels):
        stored = encode_image(Pixels(changed), "CYX", SRGB, data)
        assert stored.storage == "png"
        np.testing.assert_array_equal(stored.pixels, changed)


@pytest.mark.parametrize("cut", [3, 30, 200, -3])
def test_cut_off_jpegs_are_refused(cut):
    data = jpeg_with_secrets()
    data = data[: data.rindex(b"\xff\xd9") + 2]
    with pytest.raises(UnreadableFileError):
        bare_jpeg(data[:cut])


def test_an_index_that_lies_about_an_image_is_not_believed():
    stored = encode_image(Pixels(CASES["bands"][0]), "CYX", SRGB)
    with pytest.raises(UnreadableFileError):
        decode_image(stored.data, "npy.zst", (12, 9, 8), "uint16")
    with pytest.raises(UnreadableFileError):
        decode_image(stored.data, "npy.zst", (12, 9, 7), "int16")
    with pytest.raises(UnreadableFileError):
        decode_image(stored.data[:-9], "npy.zst", (12, 9, 7), "uint16")
    picture = encode_image(Pixels(CASES["rgb"][0]), "CYX", SRGB)
    with pytest.raises(UnreadableFileError):
        decode_image(picture.data, "png", (3, 7, 9), "uint8")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_compression_bomb_and_a_pickle_are_refused(tmp_path):
    bomb = zstandard.ZstdCompressor().compress(bytes(50_000_000))
    with pytest.raises(UnreadableFileError, match="larger"):
        decode_image(bomb, "npy.zst", (1, 4, 4), "uint8")
    streamed = zstandard.ZstdCompressor().compressobj()
    unsized = streamed.compress(bytes(50_000_000)) + streamed.flush()
    with pytest.raises(UnreadableFileError):
        decode_image(unsized, "npy.zst", (1, 4, 4), "uint8")
    buffer = io.BytesIO()
    trap = tmp_path / "ran"
    np.save(buffer, np.array([Trap(trap)], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableFileError):
        decode_image(zstandard.ZstdCompressor().compress(buffer.getvalue()), "npy.zst", (1,), "uint8")
    assert not trap.exists()


@pytest.mark.parametrize("array", [np.zeros((3, 0, 4), np.uint8), np.zeros((4, 4), np.uint8), np.array([[["a"]]])])
def test_arrays_that_do_not_fit_are_refused(array):
    with pytest.raises(UnreadableFileError):
        encode_image(Pixels(array), "CYX", SRGB)


@pytest.mark.parametrize(("name", "size"), [("a", 0), ("k" * 96 + ".png", 8**11 - 1), ("0123.npy.zst", 123456789)])
def test_tar_headers_are_the_standard_librarys(name, size):
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o644
    assert tar_header(name, size) == header.tobuf(format=tarfile.USTAR_FORMAT)


def test_names_that_a_tar_header_cannot_hold_are_refused():
    for name, size in (("k" * 101, 1), ("k", 8**11)):
        with pytest.raises(ValueError, match="at most 100 bytes"):
            tar_header(name, size)


def test_jpeg_bytes_are_pillows():
    rng = np.random.default_rng(0)
    for size in ((64, 64), (97, 131), (8, 9)):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=90, subsampling=2)
        assert encode_jpeg(image, 90) == buffer.getvalue()


def test_lossy_storage_is_asked_for_and_near():
    smooth = np.tile(np.linspace(20, 220, 64).astype(np.uint8), (3, 64, 1))
    values = Values("srgb", 1 / 255)
    stored = encode_image(Pixels(smooth), "CYX", values, jpeg_quality=90)
    assert stored.storage == "jpg"
    decoded = decode_image(stored.data, "jpg", (3, 64, 64), "uint8")
    assert 0 < np.abs(decoded.astype(int) - smooth).max() <= 6
    assert encode_image(Pixels(smooth), "CYX", values).storage == "png"
    deep = encode_image(Pixels(smooth.astype(np.uint16)), "CYX", Values("dn"), jpeg_quality=90)
    assert deep.storage == "npy.zst"  # quality speaks of 8-bit colour alone


@pytest.mark.parametrize(("axes", "shape"), [("CZYX", (1, 4, 5, 6)), ("TCYX", (4, 1, 5, 6))])
def test_volumes_and_time_series_round_trip_with_their_masks(axes, shape):
    array = RNG.random(shape).astype(np.float32)
    mask = RNG.random((4, 5, 6)) > 0.5
    stored = encode_image(Pixels(array, {"nodata": mask}), axes, Values("display"))
    assert (stored.storage, stored.pixels.dtype, stored.values.scale) == ("npy.zst", np.uint16, 1 / 65535)
    back = decode_image(stored.data, "npy.zst", shape, "uint16")
    assert np.abs(back / 65535 - array).max() <= 0.5 / 65535 + 1e-7
    np.testing.assert_array_equal(decode_mask(stored.masks["nodata"], mask_shape(shape, axes)), mask)
    with pytest.raises(UnreadableFileError):
        decode_mask(stored.masks["nodata"], (4, 5, 60))
    with pytest.raises(UnreadableFileError):
        decode_mask(stored.masks["nodata"][:-9], (4, 5, 6))


def test_a_volume_with_holes_gets_a_mask():
    array = np.full((1, 2, 2, 2), 0.5, np.float32)
    array[0, 1, 0, 1] = np.nan
    stored = encode_image(Pixels(array), "CZYX", Values("display"))
    holes = decode_mask(stored.masks["nodata"], (2, 2, 2))
    assert np.argwhere(holes).tolist() == [[1, 0, 1]]
    array[0, 1, 0, 1] = -1
    told = encode_image(Pixels(array), "CZYX", Values("display", nodata=-1.0))
    assert told.pixels.dtype == np.uint16  # the number for no data lies outside of 0..1 and must not keep the others from it
    np.testing.assert_array_equal(decode_mask(told.masks["nodata"], (2, 2, 2)), holes)


def test_whole_hounsfield_units_of_volumes_are_integers():
    whole = RNG.integers(-1024, 3071, (1, 3, 4, 5)).astype(np.float32)
    stored = encode_image(Pixels(whole), "CZYX", Values("hu"))
    assert stored.pixels.dtype == np.int16
    np.testing.assert_array_equal(decode_image(stored.data, "npy.zst", whole.shape, "int16"), whole)
    for odd in (whole + 0.5, whole * 100):  # no whole numbers; more than int16 holds
        kept = encode_image(Pixels(odd), "CZYX", Values("hu"))
        assert kept.pixels.dtype == np.float32
        np.testing.assert_array_equal(decode_image(kept.data, "npy.zst", odd.shape, "float32"), odd)
