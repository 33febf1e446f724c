"""Compressed frames that lost something: what decoders make up is refused, what writers add is not; elements nobody needs."""

import numpy as np
import pydicom
import pytest
from imagecodecs import jpeg8_encode
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from domainclip.domains.radiology.header import person_names
from domainclip.domains.radiology.lossless_jpeg import bits_left
from domainclip.errors import UnreadableFileError

NOISE = np.random.default_rng(3).integers(0, 4096, (40, 48), np.uint16)
BASELINE, LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"


def compressed(make_dicom, path, pixels, stream, syntax):
    bits = 8 if pixels.dtype == np.uint8 else 12
    dataset = pydicom.dcmread(make_dicom(path, pixels, BitsStored=bits, HighBit=bits - 1))
    dataset.file_meta.TransferSyntaxUID, dataset.PixelData = UID(syntax), encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_whole_scans_have_less_than_a_byte_left(bits, predictor):
    rng = np.random.default_rng([bits, predictor])
    for _ in range(10):
        pixels = rng.integers(0, 2**bits, rng.integers(2, 30, 2)).astype(np.uint8 if bits == 8 else np.uint16)
        stream = jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits)
        assert 0 <= bits_left(stream, pixels) < 8


def test_three_components_are_counted_together():
    colours = np.random.default_rng(4).integers(0, 256, (20, 30, 3), np.uint8)
    assert 0 <= bits_left(jpeg8_encode(colours, lossless=True, predictor=1), colours) < 8


@pytest.mark.parametrize("lost", [1, 2, 9, 500])
def test_lossless_scans_that_end_early(lost, read, make_dicom, tmp_path):
    whole = jpeg8_encode(NOISE, lossless=True, predictor=1, bitspersample=12)
    assert np.ptp(read(compressed(make_dicom, tmp_path / "w.dcm", NOISE, whole, LOSSLESS))[1].array) == 1
    cut = whole[: -2 - lost] + whole[-2:]
    with pytest.raises(UnreadableFileError, match="end early"):
        read(compressed(make_dicom, tmp_path / "c.dcm", NOISE, cut, LOSSLESS))


def test_lossless_scans_with_something_left(read, make_dicom, tmp_path):
    whole = jpeg8_encode(NOISE, lossless=True, predictor=1, bitspersample=12)
    padded = whole[:-2] + bytes(5) + whole[-2:]
    assert read(compressed(make_dicom, tmp_path / "p.dcm", NOISE, padded, LOSSLESS))[1].array.shape == (1, 40, 48)
    more = whole[:-2] + b"\x12\x34\x56" + whole[-2:]
    with pytest.raises(UnreadableFileError, match="lost its way"):
        read(compressed(make_dicom, tmp_path / "m.dcm", NOISE, more, LOSSLESS))


def test_grey_that_libjpeg_fills_up(read, make_dicom, tmp_path):
    pixels = (NOISE >> 4).astype(np.uint8)
    whole = jpeg8_encode(pixels, level=95)
    assert read(compressed(make_dicom, tmp_path / "w.dcm", pixels, whole, BASELINE))[1].array.shape == (1, 40, 48)
    cut = whole[: len(whole) * 2 // 3] + b"\xff\xd9"
    with pytest.raises(UnreadableFileError, match="end early"):
        read(compressed(make_dicom, tmp_path / "c.dcm", pixels, cut, BASELINE))
    flat = np.where(np.arange(40)[:, None] < 20, pixels, 128).astype(np.uint8)  # grey of its own at the end
    path = compressed(make_dicom, tmp_path / "f.dcm", flat, jpeg8_encode(flat, level=95), BASELINE)
    assert read(path)[1].array.shape == (1, 40, 48)


def test_rescaling_beyond_all_numbers(read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "r.dcm", ramp, RescaleSlope="1e308", RescaleIntercept="0", WindowCenter=1, WindowWidth=2)
    with pytest.raises(UnreadableFileError, match="no finite numbers"):
        read(path)


def broken(make_dicom, path, ramp, tag, right, wrong, **elements):
    make_dicom(path, ramp, WindowCenter=2048, WindowWidth=4096, **elements)
    data = path.read_bytes()
    assert data.count(tag + right) == 1
    path.write_bytes(data.replace(tag + right, tag + wrong))
    return path


def test_the_name_of_a_broken_element_stays_out_of_captions(ramp, make_dicom, tmp_path):
    path = broken(make_dicom, tmp_path / "n.dcm", ramp, b"\x10\x00\x10\x00", b"PN", b"QX")
    assert {"brightwater", "cordelia"} <= person_names(pydicom.dcmread(path))


def test_a_broken_spacing_is_left_aside_and_told(read, radiology, ramp, make_dicom, tmp_path):
    right, wrong = b"DS\x08\x000.7\\0.80", b"DS\x08\x000.7x0.80"
    path = broken(make_dicom, tmp_path / "s.dcm", ramp, b"\x28\x00\x30\x00", right, wrong, PixelSpacing=["0.7", "0.80"])
    assert read(path)[0].spacing is None
    assert any("PixelSpacing is not two positive numbers" in line for line in radiology.inspect(path).missing)


@pytest.mark.parametrize(
    ("tag", "kind", "name"), [(b"\x10\x00\x20\x00", b"LO", "PatientID"), (b"\x08\x00\x60\x00", b"CS", "Modality")]
)
def test_elements_that_readers_need_are_named(tag, kind, name, read, ramp, make_dicom, tmp_path):
    path = broken(make_dicom, tmp_path / "e.dcm", ramp, tag, kind, b"QX")
    with pytest.raises(UnreadableFileError, match=f"Its {name} cannot be read"):
        read(path)


def test_an_empty_window_among_several(read, radiology, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "w.dcm", ramp, WindowCenter=["2048", ""], WindowWidth=["4096", "400"])
    assert read(path)[1].array.max() > 0.99
    assert radiology.inspect(path).details["windows"]["1"] == {"centre": None, "width": 400.0}
    with pytest.raises(UnreadableFileError, match="window is not valid"):
        read(path, voi_index=1)
