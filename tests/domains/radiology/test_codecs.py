"""Compressed twins of known pixels, in every transfer syntax; and codestreams that lie."""

import numpy as np
import pydicom
import pytest
from imagecodecs import htj2k_encode, jpeg2k_encode, jpeg8_encode, jpegls_encode, ljpeg_encode
from pydicom.encaps import encapsulate
from pydicom.uid import UID, RLELossless

from domainclip.domains.radiology.codestream import read_codestream
from domainclip.domains.radiology.frames import decode_rle, frame_decoder
from domainclip.errors import UnreadableFileError

J = "1.2.840.10008.1.2.4."
NO = {"BurnedInAnnotation": "NO"}
SMOOTH = np.add.outer(np.arange(48) * 30, np.arange(40) * 50).astype(np.uint16)  # 12 bits, smooth
SMOOTH8 = (SMOOTH >> 4).astype(np.uint8)
RGB = np.dstack([SMOOTH8, SMOOTH8.T.copy().repeat(2, 0)[:48, :40], 255 - SMOOTH8])
NOISE = np.random.default_rng(5).integers(0, 4096, (48, 40), np.uint16)
LOSSLESS = {
    "jpeg-57": (J + "57", lambda a: ljpeg_encode(a, bitspersample=12)),
    "jpeg-70": (J + "70", lambda a: ljpeg_encode(a, bitspersample=12)),
    "jpeg-ls": (J + "80", jpegls_encode),
    "jpeg2000": (J + "90", lambda a: jpeg2k_encode(a, level=0, codecformat="j2k", bitspersample=12)),
    "htj2k": (J + "201", htj2k_encode),
    "htj2k-rpcl": (J + "202", htj2k_encode),
}
LOSSY = {
    "jpeg-8": (J + "50", SMOOTH8, lambda a: jpeg8_encode(a, level=95), 4),
    "jpeg-extended-8": (J + "51", SMOOTH8, lambda a: jpeg8_encode(a, level=95), 4),
    "jpeg-extended-12": (J + "51", SMOOTH, lambda a: jpeg8_encode(a, level=95, bitspersample=12), 40),
    "jpeg-ls-near": (J + "81", NOISE, lambda a: jpegls_encode(a, level=3), 3),
    "jpeg2000-lossy": (J + "91", SMOOTH8, lambda a: jpeg2k_encode(a, level=50, codecformat="j2k"), 6),
    "htj2k-lossy": (J + "203", SMOOTH8, lambda a: htj2k_encode(a, level=0.002, reversible=False), 12),
}


@pytest.fixture
def write(make_dicom, tmp_path):
    """Writes a file whose one frame is a codestream."""

    def one(syntax, pixels, codestream, **elements):
        path = make_dicom(tmp_path / "plain.dcm", pixels, **NO)
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.PixelData = encapsulate([bytes(codestream)])
        dataset["PixelData"].VR = "OB"
        if pixels.dtype == np.uint16:
            dataset.BitsStored, dataset.HighBit = 12, 11
        if pixels.ndim == 3:
            dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
        for name, value in elements.items():
            setattr(dataset, name, value)
        dataset.save_as(tmp_path / "packed.dcm", enforce_file_format=True)
        return tmp_path / "packed.dcm"

    return one


def shown(read, path, white=4095, **reading):
    return read(path, window=((white + 1) / 2, white + 1), **reading)[1].array[0] * white


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_twin_is_equal(name, read, write):
    syntax, encode = LOSSLESS[name]
    np.testing.assert_allclose(shown(read, write(syntax, NOISE, encode(NOISE))), NOISE, atol=1e-3)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_of_lossless_jpeg(predictor, read, write):
    """ITU-T T.81 table H.1, encoded by libjpeg-turbo and decoded by another library."""
    stream = jpeg8_encode(NOISE, lossless=True, predictor=predictor, bitspersample=12)
    np.testing.assert_allclose(shown(read, write(J + "57", NOISE, stream)), NOISE, atol=1e-3)
    _sample, pixels = read(write(J + "57", RGB, jpeg8_encode(RGB, lossless=True, predictor=predictor)), colour="rgb")
    assert np.array_equal(np.moveaxis(pixels.array, 0, -1), RGB)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_twin_is_near(name, read, write):
    syntax, pixels, encode, near = LOSSY[name]
    white = 255 if pixels.dtype == np.uint8 else 4095
    difference = np.abs(shown(read, write(syntax, pixels, encode(pixels)), white) - pixels)
    assert difference.max() <= near and (name in {"jpeg-8", "jpeg-extended-8"} or difference.max() > 0 or near > 10)


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (J + "80", jpegls_encode),
        (J + "57", lambda a: jpeg8_encode(a, lossless=True, predictor=5)),
        (J + "90", lambda a: jpeg2k_encode(a, level=0, codecformat="j2k", mct=False)),
    ],
    ids=["jpeg-ls", "jpeg-lossless", "jpeg2000"],
)
def test_colour_twin_is_equal(syntax, encode, read, write):
    sample, pixels = read(write(syntax, RGB, encode(RGB)), colour="rgb")
    assert sample.channels == ("red", "green", "blue") and np.array_equal(np.moveaxis(pixels.array, 0, -1), RGB)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_colours_of_extended_jpeg_are_those_of_baseline(subsampling, read, write):
    """The same codestream by imagecodecs (process 2) and by pydicom's Pillow plug-in (process 1), YCbCr converted once."""
    smooth = np.dstack([SMOOTH8, SMOOTH8[::-1], SMOOTH8[:, ::-1]])
    stream = jpeg8_encode(smooth, level=95, subsampling=subsampling)
    elements = {"PhotometricInterpretation": "YBR_FULL_422"}
    extended, baseline = (read(write(J + end, smooth, stream, **elements), colour="rgb")[1].array for end in ("51", "50"))
    assert np.array_equal(extended, baseline) and np.abs(np.moveaxis(extended, 0, -1).astype(int) - smooth).mean() < 6


def test_rle_twin_of_signed_and_colour(read, tmp_path, make_dicom):
    for number, (pixels, elements) in enumerate(
        (
            (NOISE.astype(np.int16) - 2000, {}),
            (RGB, {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}),
        )
    ):
        path = make_dicom(tmp_path / f"{number}.dcm", pixels, **NO, **elements)
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(tmp_path / f"{number}r.dcm")
        assert np.array_equal(read(path, colour="rgb")[1].array, read(tmp_path / f"{number}r.dcm", colour="rgb")[1].array)


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_frame_that_is_cut_short_is_refused(name, share, read, write):
    if name in LOSSLESS:
        (syntax, encode), pixels = LOSSLESS[name], NOISE
    else:
        syntax, pixels, encode, _ = LOSSY[name]
    stream = encode(pixels)
    with pytest.raises(UnreadableFileError):
        read(write(syntax, pixels, stream[: int(len(stream) * share)]))


def patched(codestream, marker, offset, value):
    data = bytearray(codestream)
    at = data.index(marker) + len(marker) + offset
    data[at : at + len(value)] = value
    return bytes(data)


SOF = {J + "50": b"\xff\xc0", J + "51": b"\xff\xc1", J + "57": b"\xff\xc3", J + "80": b"\xff\xf7"}
LIES = {
    "baseline": (J + "50", SMOOTH8, jpeg8_encode(SMOOTH8), b"\xff\xc0"),
    "lossless": (J + "57", NOISE, ljpeg_encode(NOISE, bitspersample=12), b"\xff\xc3"),
    "jpeg-ls": (J + "80", NOISE, jpegls_encode(NOISE), b"\xff\xf7"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("what", ["rows", "columns", "components", "bits", "two headers", "cut short", "none"])
def test_a_codestream_that_lies_is_not_decoded(name, what, read, write, monkeypatch):
    syntax, pixels, stream, marker = LIES[name]
    at = stream.index(marker)
    length = int.from_bytes(stream[at + 2 : at + 4], "big") + 2
    stream = {
        "rows": lambda: patched(stream, marker, 3, b"\xff\xff"),
        "columns": lambda: patched(stream, marker, 5, b"\xff\xff"),
        "components": lambda: patched(stream, marker, 7, b"\x03"),
        "bits": lambda: patched(stream, marker, 2, b"\x20"),
        "two headers": lambda: stream[:at] + stream[at : at + length] * 2 + stream[at + length :],
        "cut short": lambda: stream[: at + 6],
        "none": lambda: b"\xff\xd8\xff\xd9",
    }[what]()
    path = write(syntax, pixels, stream)
    decoder = frame_decoder(syntax)
    monkeypatch.setattr(type(decoder), "as_array", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(UnreadableFileError) as error:
        read(path)
    assert "compressed pixels" in error.value.found


@pytest.mark.parametrize(("offset", "value"), [(6, (60000).to_bytes(4, "big")), (2, (60000).to_bytes(4, "big")), (34, b"\x40\x00")])
def test_a_jpeg2000_codestream_that_lies(offset, value, read, write):
    stream = jpeg2k_encode(NOISE, level=0, codecformat="j2k", bitspersample=12)
    with pytest.raises(UnreadableFileError, match="compressed pixels"):
        read(write(J + "90", NOISE, patched(stream, b"\xff\x4f\xff\x51", offset + 2, value)))


def test_the_frame_header_behind_an_embedded_thumbnail_counts():
    stream, thumbnail = jpeg8_encode(SMOOTH8), jpeg8_encode(SMOOTH8[:8, :8])
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert read_codestream(stream[:2] + segment + stream[2:]).rows == 48


class Runner:
    rows, columns, samples_per_pixel, bits_allocated = 4, 4, 1, 16

    def set_option(self, name, value):
        assert (name, value) == ("planar_configuration", 1)


def rle(*segments):
    offsets, at = [len(segments)], 64
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    return np.array(offsets + [0] * (16 - len(offsets)), "<u4").tobytes() + b"".join(segments)


def test_rle_by_hand_and_bounded():
    # PS3.5 G.3: the first segment holds the high bytes; 0xF1 repeats the next byte 16 times.
    assert decode_rle(rle(b"\xf1\x01", b"\xf1\x02"), Runner()) == b"\x02\x01" * 16
    for broken in (
        rle(b"\xf1\x01"),  # one segment for two bytes
        rle(b"\xf1\x01", b"\xf8\x02"),  # the second has 9 bytes
        rle(b"\xf1\x01", b"\x81\x00" * 2**16),  # 128 for 2, eight million in all
        b"\x02\x00\x00\x00",
        np.array([2, 200, 64, *[0] * 13], "<u4").tobytes() + b"\xf1\x01\xf1\x02",
    ):
        with pytest.raises(Exception, match=r"do not fit its header|end early"):
            decode_rle(broken, Runner())


def test_the_decoders_do_not_depend_on_what_else_is_installed(monkeypatch):
    """torchxrayvision and MONAI decode with whatever plug-in pydicom finds; here each syntax has one, and none is GPL."""
    for syntax in (
        J + "50",
        J + "51",
        J + "57",
        J + "70",
        J + "80",
        J + "81",
        J + "90",
        J + "91",
        J + "201",
        J + "203",
        str(RLELossless),
    ):
        decoder = frame_decoder(syntax)
        assert decoder.available_plugins == ("chosen",) and decoder.is_available
        assert "libjpeg" not in str(decoder._available["chosen"].__module__).removeprefix("pydicom.pixels.decoders.pylibjpeg")
    assert frame_decoder(J + "100") is None  # MPEG2


def test_video_and_private_syntaxes_are_named_or_not(read, write):
    for end, name in (("100", "MPEG2"), ("107", "HEVC"), ("94", "JPIP")):
        with pytest.raises(UnreadableFileError, match=name):
            read(write(J + end, SMOOTH8, b"\0\0"))
    with pytest.raises(UnreadableFileError, match="a private transfer syntax") as error:
        read(write("1.2.826.0.1.3680043.7734519", SMOOTH8, b"\0\0"))
    assert "7734519" not in str(error.value)
