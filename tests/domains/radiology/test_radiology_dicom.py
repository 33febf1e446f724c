"""Display values against pydicom's own functions and against cases worked by hand."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import JPEG2000Lossless, RLELossless

REAL = [
    "CT_small.dcm",
    "693_J2KI.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_padded.dcm",
    "JPEG2000.dcm",
    "examples_overlay.dcm",
    "image_dfl.dcm",
    "dicomdirtests/77654033/CR1/6154",
    "dicomdirtests/77654033/CR2/6247",
    "dicomdirtests/77654033/CT2/17106",
    "dicomdirtests/98892001/CT2N/6293",
    "dicomdirtests/98892001/CT5N/2062",
    "dicomdirtests/98892003/MR1/15820",
    "dicomdirtests/98892003/MR2/15970",
]


def pydicom_display(path):
    """Pixel values by pydicom alone: modality LUT, VOI LUT, scaled to 0..1 by the output range that pydicom documents."""
    dataset = pydicom.dcmread(path)
    values = apply_modality_lut(dataset.pixel_array, dataset)
    shown = apply_voi_lut(values, dataset).astype(float)
    if dataset.get("WindowWidth") is None:
        low, high = shown.min(), shown.max()
    else:
        bits, signed = dataset.BitsStored, dataset.PixelRepresentation
        ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], float)
        low, high = ends * float(dataset.get("RescaleSlope") or 1) + float(dataset.get("RescaleIntercept") or 0)
    unit = (shown - low) / (high - low)
    return 1 - unit if dataset.PhotometricInterpretation == "MONOCHROME1" else unit


@pytest.mark.parametrize("name", REAL)
def test_display_equals_pydicom(name, read, pydicom_files):
    sample, pixels = read(pydicom_files / name, allow_burned_in=True)
    assert sample.channels == ("MONOCHROME2",) and sample.axes == "CYX"
    assert (sample.values.kind, sample.values.scale, pixels.array.dtype) == ("display", 1.0, np.float32)
    np.testing.assert_allclose(pixels.array[0], pydicom_display(pydicom_files / name), atol=2e-7)


def test_linear_window_by_hand(tmp_path, ramp, read, make_dicom):
    # PS3.3 C.11.2.1.2.1: centre 2048, width 4096 is the identity over 12 bits; 100/100 starts above 50, ends at 149.
    path = make_dicom(tmp_path / "a.dcm", ramp, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_allclose(read(path)[1].array[0].ravel(), np.arange(4096) / 4095, atol=1e-7)
    narrow = read(path, window=(100, 100))[1].array[0].ravel()
    assert narrow[50] == 0 and narrow[149] == 1 and narrow[51] == pytest.approx(1 / 99, abs=1e-6)
    threshold = read(path, window=(100, 1))[1].array[0].ravel()
    assert threshold[99] == 0 and threshold[100] == 1


def test_exact_and_sigmoid_windows_by_hand(tmp_path, ramp, read, make_dicom):
    exact = make_dicom(tmp_path / "e.dcm", ramp, WindowCenter=1000, WindowWidth=500, VOILUTFunction="LINEAR_EXACT")
    assert read(exact)[1].array[0].ravel()[[750, 1000, 1250, 875]] == pytest.approx([0, 0.5, 1, 0.25])
    sigmoid = make_dicom(tmp_path / "s.dcm", ramp, WindowCenter=1000, WindowWidth=400, VOILUTFunction="SIGMOID")
    assert read(sigmoid)[1].array[0].ravel()[[1000, 1100]] == pytest.approx([0.5, 1 / (1 + np.exp(-1))])


def test_monochrome1_twin_shows_the_same_picture(tmp_path, ramp, read, make_dicom):
    plain = make_dicom(tmp_path / "2.dcm", ramp, BitsStored=12, HighBit=11, WindowCenter=1500, WindowWidth=2000)
    # A window around c becomes one around 4096 - c when x becomes 4095 - x (LINEAR's half-pixel offset included).
    twin = make_dicom(
        tmp_path / "1.dcm",
        (4095 - ramp).astype(np.uint16),
        BitsStored=12,
        HighBit=11,
        WindowCenter=4096 - 1500,
        WindowWidth=2000,
        PhotometricInterpretation="MONOCHROME1",
    )
    np.testing.assert_allclose(read(plain)[1].array, read(twin)[1].array, atol=1e-6)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_twin_is_equal(syntax, tmp_path, ramp, read, make_dicom):
    plain = make_dicom(tmp_path / "p.dcm", ramp, BitsStored=12, HighBit=11, WindowCenter=2000, WindowWidth=3000)
    dataset = pydicom.dcmread(plain)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "c.dcm")
    assert np.array_equal(read(plain)[1].array, read(tmp_path / "c.dcm")[1].array)


def lut(entries, first, bits, dtype="<u2"):
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries) % 65536, first, bits], np.array(entries, dtype).tobytes()
    return [item]


def test_voi_lut_wins_over_window_and_equals_pydicom(tmp_path, ramp, read, make_dicom):
    table = (np.linspace(0, 1, 4096) ** 2 * 65535).astype(int).tolist()
    path = make_dicom(tmp_path / "v.dcm", ramp, VOILUTSequence=lut(table, 0, 16), WindowCenter=9, WindowWidth=9)
    dataset = pydicom.dcmread(path)
    expected = apply_voi_lut(dataset.pixel_array, dataset) / 65535
    np.testing.assert_allclose(read(path)[1].array[0], expected, atol=1e-7)


@pytest.mark.parametrize("dtype", ["<u2", "u1"])
def test_long_voi_lut_of_8_bits_does_not_wrap(dtype, tmp_path, ramp, read, make_dicom):
    # 1000 entries from 100 on, worked by hand; pydicom's apply_voi wraps its index at 256 here.
    path = make_dicom(tmp_path / "v8.dcm", ramp, VOILUTSequence=lut([i * 255 // 999 for i in range(1000)], 100, 8, dtype))
    shown = read(path)[1].array[0].ravel()
    assert shown[[0, 100, 600, 1099, 4095]] == pytest.approx([0, 0, (500 * 255 // 999) / 255, 1, 1])


def test_modality_lut_of_12_bits(tmp_path, ramp, read, make_dicom):
    path = make_dicom(
        tmp_path / "m.dcm", ramp, ModalityLUTSequence=lut(list(range(4095, -1, -1)), 0, 12), WindowCenter=2048, WindowWidth=4096
    )
    np.testing.assert_allclose(read(path)[1].array[0].ravel(), 1 - np.arange(4096) / 4095, atol=1e-7)


def test_negative_slope_keeps_the_sense_of_the_window(tmp_path, ramp, read, make_dicom):
    path = make_dicom(tmp_path / "n.dcm", ramp, RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_allclose(read(path)[1].array[0].ravel(), 1 - np.arange(4096) / 4095, atol=1e-6)


def test_second_window_by_index(tmp_path, ramp, read, make_dicom):
    path = make_dicom(tmp_path / "w.dcm", ramp, WindowCenter=[2048, 100], WindowWidth=[4096, 100])
    assert np.array_equal(read(path, voi_index=1)[1].array, read(path, window=(100, 100))[1].array)


def test_hounsfield_units(read, pydicom_files):
    path = pydicom_files / "CT_small.dcm"
    sample, pixels = read(path, output="hu")
    assert sample.values.kind == "hu"
    assert np.array_equal(pixels.array[0], pydicom.dcmread(path).pixel_array.astype(np.float32) - 1024)


def test_padding_is_masked_and_left_out_of_the_range(tmp_path, read, make_dicom):
    pixels = np.array([[-2000, -2000, 0], [100, 200, 50]], np.int16)
    path = make_dicom(tmp_path / "pad.dcm", pixels, PixelPaddingValue=-2000)
    read_pixels = read(path)[1]
    assert read_pixels.masks["nodata"].tolist() == [[True, True, False], [False, False, False]]
    assert read_pixels.array[0, 1].tolist() == [0.5, 1.0, 0.25]


def test_one_frame_of_a_multiframe_file(read, pydicom_files):
    path = pydicom_files / "SC_rgb_rle_2frame.dcm"
    frames = pydicom.dcmread(path).pixel_array.astype(float)
    luma = frames @ [0.299, 0.587, 0.114] / 255
    for number in (0, 1):
        shown = read(path, frame=number, colour="luma", allow_burned_in=True)[1].array[0]
        assert np.abs(shown - luma[number]).max() <= 0.5 / 255 + 1e-6
