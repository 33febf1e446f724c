"""Stored numbers of every kind: placed high, signed, deep, floating; padding; frames and their functional groups."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from domainclip.domains.radiology import parsing_limits
from domainclip.domains.radiology.functional_groups import FrameHeader
from domainclip.errors import UnreadableFileError
from domainclip.sample import Spacing

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def test_bits_that_lie_high(read, ramp, make_dicom, tmp_path):
    # PS3.5 8.1.1: bits HighBit - BitsStored + 1 to HighBit; here 12 bits in the upper part of 16.
    low = read(make_dicom(tmp_path / "l.dcm", ramp, BitsStored=12, HighBit=11, **WINDOW))[1].array
    for high in (15, 13):
        lifted = (ramp << (high - 11)).astype(np.uint16)
        path = make_dicom(tmp_path / "h.dcm", lifted, BitsStored=12, HighBit=high, **WINDOW)
        assert np.array_equal(read(path)[1].array, low)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "r.dcm")
    assert np.array_equal(read(tmp_path / "r.dcm")[1].array, low)
    signed = (np.array([[-2048, -1], [0, 2047]]) << 4).astype(np.int16)
    path = make_dicom(tmp_path / "s.dcm", signed, BitsStored=12, HighBit=15, WindowCenter=0, WindowWidth=4096)
    assert read(path)[1].array.ravel() == pytest.approx(np.array([0, 2047, 2048, 4095]) / 4095)


@pytest.mark.parametrize(("high", "words"), [(15, "lowest bits"), (10, "contradicts"), (16, "contradicts")])
def test_a_high_bit_that_the_pixels_contradict(high, words, read, ramp, make_dicom, tmp_path):
    with pytest.raises(UnreadableFileError, match=words):
        read(make_dicom(tmp_path / "a.dcm", ramp, BitsStored=12, HighBit=high, **WINDOW))


def test_unused_bits_do_not_count(read, ramp, make_dicom, tmp_path):
    # Overlays once lay in the upper four bits; a signed number's sign is bit 11.
    dirty = (ramp | 0xA000).astype(np.uint16)
    clean = read(make_dicom(tmp_path / "c.dcm", ramp, BitsStored=12, HighBit=11, **WINDOW))[1].array
    assert np.array_equal(read(make_dicom(tmp_path / "d.dcm", dirty, BitsStored=12, HighBit=11, **WINDOW))[1].array, clean)
    signed = np.array([[0x0FFF, 0x0001]], np.int16)
    path = make_dicom(tmp_path / "s.dcm", signed, BitsStored=12, HighBit=11, WindowCenter=0.5, WindowWidth=3)
    assert read(path)[1].array.ravel().tolist() == [0, 1]  # -1 and 1


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_every_integer(dtype, read, radiology, make_dicom, tmp_path):
    ends = np.iinfo(dtype)
    pixels = np.array([[ends.min, ends.min // 2, 0], [1, ends.max // 2, ends.max]], dtype)
    path = make_dicom(tmp_path / "a.dcm", pixels)
    expected = (pixels.astype(float) - ends.min) / (float(ends.max) - ends.min)
    np.testing.assert_allclose(read(path)[1].array[0], expected, atol=1e-6)
    assert radiology.inspect(path).dtype == dtype


def test_single_bits(read, make_dicom, tmp_path):
    # PS3.5 8.1.1: the first pixel is the lowest bit; the second frame begins within a byte.
    pixels = np.array([0b0100_1101, 0b0000_0010], np.uint8)
    path = make_dicom(
        tmp_path / "a.dcm", pixels[None], Rows=2, Columns=3, NumberOfFrames=2, BitsAllocated=1, BitsStored=1, HighBit=0
    )
    assert read(path, frame=0)[1].array[0].tolist() == [[1, 0, 1], [1, 0, 0]]
    assert read(path, frame=1)[1].array[0].tolist() == [[1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_pixels(dtype, read, radiology, make_dicom, tmp_path):
    pixels = np.array([[-1.5, np.nan, 2.5], [np.inf, 0.5, -9.0]], dtype)
    keyword = "FloatPixel" if dtype == "float32" else "DoubleFloatPixel"
    path = make_dicom(tmp_path / "a.dcm", np.zeros((2, 3), np.uint16))
    dataset = pydicom.dcmread(path)
    for name in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(dataset, name)
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    setattr(dataset, f"{keyword}Data", pixels.tobytes())
    setattr(dataset, f"{keyword}PaddingValue", -9.0)
    dataset.save_as(path)
    assert np.array_equal(dataset.pixel_array, pixels, equal_nan=True)
    shown = read(path)[1]
    assert shown.masks["nodata"].tolist() == [[False, True, False], [True, False, True]]
    assert shown.array[0][~shown.masks["nodata"]].tolist() == [0.0, 1.0, 0.5] and np.isfinite(shown.array).all()
    assert read(path, window=(0.5, 5))[1].array[0, 0, 0] == pytest.approx(0.5 + (-1.5 - 0) / 4)
    assert radiology.inspect(path).dtype == dtype
    with pytest.raises(UnreadableFileError, match="limit is"):
        read(path, max_decoded_mib=1e-6)


@pytest.mark.parametrize("stored", [-2000, 63536])
def test_padding_in_either_sign(stored, read, make_dicom, tmp_path):
    pixels = np.array([[-2000, 0], [100, 200]], np.int16)
    path = make_dicom(tmp_path / "a.dcm", pixels, PixelPaddingValue=0)
    data = path.read_bytes()
    tag = b"\x28\x00\x20\x01"
    at = data.index(tag) + 8
    path.write_bytes(
        data[: at - 4]
        + (b"SS" if stored < 0 else b"US")
        + data[at - 2 : at]
        + (stored & 0xFFFF).to_bytes(2, "little")
        + data[at + 2 :]
    )
    assert read(path)[1].masks["nodata"].tolist() == [[True, False], [False, False]]


def test_padding_range(read, make_dicom, tmp_path):
    pixels = np.array([[0, 5, 10], [11, 20, 30]], np.uint16)
    shown = read(make_dicom(tmp_path / "a.dcm", pixels, PixelPaddingValue=0, PixelPaddingRangeLimit=10))[1]
    assert shown.masks["nodata"].tolist() == [[True, True, True], [False, False, False]]
    assert shown.array[0, 1].tolist() == pytest.approx([0, 9 / 19, 1])


def test_no_pixel_data_or_two_kinds(read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp, **WINDOW)
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(tmp_path / "none.dcm")
    dataset.add_new("PixelData", "OW", ramp.tobytes())
    dataset.FloatPixelData = bytes(4)
    dataset.save_as(tmp_path / "two.dcm")
    for name in ("none.dcm", "two.dcm"):
        with pytest.raises(UnreadableFileError, match="no pixel data, or two kinds"):
            read(tmp_path / name)


def item(**values):
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def enhanced(make_dicom, path, **elements):
    """A CT of three frames: the rescale shared, the window and the place of each frame its own."""
    frames = np.stack([np.full((4, 4), 1000 + 10 * n, np.uint16) for n in range(3)])
    own = [
        item(
            FrameVOILUTSequence=[item(WindowCenter=10 * n, WindowWidth=101)],
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 5 * n])],
            **(
                {"PixelValueTransformationSequence": [item(RescaleSlope=2, RescaleIntercept=-2000, RescaleType="HU")]}
                if n == 2
                else {}
            ),
        )
        for n in range(3)
    ]
    shared = item(
        PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1000, RescaleType="HU")],
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25], SliceThickness=5)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
    )
    elements = {"PerFrameFunctionalGroupsSequence": own, "SharedFunctionalGroupsSequence": [shared]} | elements
    return make_dicom(path, frames, Modality="CT", Rows=4, Columns=4, NumberOfFrames=3, **elements)


def test_functional_groups_shared_and_per_frame(read, radiology, make_dicom, tmp_path):
    """MONAI's PydicomReader reads frames of segmentations only; MedSigLIP's handler refuses more than one frame."""
    path = enhanced(make_dicom, tmp_path / "a.dcm")
    units = [read(path, frame=n, output="hu")[1].array.max() for n in range(3)]
    assert units == [0, 10, 40]  # the third frame has a rescale of its own: 2 * 1020 - 2000
    middle = [read(path, frame=n)[1].array.max() for n in range(3)]
    assert middle == pytest.approx([0.505, 0.505, 0.705])  # (x - (c - 0.5)) / 100 + 0.5
    assert read(path, frame=1)[0].spacing == Spacing((0.5, 0.25), "mm", "PixelSpacing")
    assert read(path, frame=0, window="brain")[1].array.max() == pytest.approx((0 - 39.5) / 79 + 0.5)
    header = FrameHeader(pydicom.dcmread(path), 2)
    assert list(header.get("ImagePositionPatient")) == [0, 0, 10] and "ImageOrientationPatient" in header
    seen = radiology.inspect(path)
    assert seen.details["frames"] == 3 and seen.details["windows"] == {"0": {"centre": 0.0, "width": 101.0}}
    with pytest.raises(UnreadableFileError, match="several frames"):
        read(path)


def test_functional_groups_that_lack_a_frame(read, make_dicom, tmp_path):
    path = enhanced(make_dicom, tmp_path / "a.dcm", PerFrameFunctionalGroupsSequence=[item(), item()])
    read(path, frame=1, output="hu")
    with pytest.raises(UnreadableFileError, match="functional groups say nothing"):
        read(path, frame=2)
    with pytest.raises(UnreadableFileError, match="fewer frames"):
        read(path, frame=3)


@pytest.mark.parametrize("place", range(0, 40, 3))
@pytest.mark.parametrize("big", [False, True])
def test_the_quick_count_of_items_is_never_too_small(place, big, monkeypatch):
    item = b"\xff\xfe\xe0\x00" if big else b"\xfe\xff\x00\xe0"
    data = b"\x01" * place + item + b"\0" * 5 + item * 3
    for size in (1, 2, 3, 7, 16, 64):
        pieces = [data[n : n + size] for n in range(0, len(data), size)]
        assert sum(parsing_limits._at_most(piece, item) for piece in pieces) >= 4 == parsing_limits._count(iter([data]), item)


def test_items_without_end_are_not_parsed(read, ramp, make_dicom, tmp_path, monkeypatch):
    monkeypatch.setattr(parsing_limits, "MOST_ITEMS", 1000)
    path = make_dicom(tmp_path / "a.dcm", ramp, **WINDOW)
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1200
    data = path.read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00")
    bomb = tmp_path / "b.dcm"
    bomb.write_bytes(data[:at] + b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0" + data[at:])
    monkeypatch.setattr(pydicom, "dcmread", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(UnreadableFileError, match="more than 1000 items"):
        read(bomb)
    monkeypatch.undo()
    # Pixels of 0xFFFE are no items, and 1000 items are not too many.
    monkeypatch.setattr(parsing_limits, "MOST_ITEMS", 1000)
    bright = make_dicom(tmp_path / "w.dcm", np.where(ramp < 9, ramp, 0xFFFE).astype(np.uint16), **WINDOW)
    read(bright)
    bomb.write_bytes(
        data[:at] + b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + items[: 8 * 990] + b"\xfe\xff\xdd\xe0\0\0\0\0" + data[at:]
    )
    read(bomb)


def test_thirty_thousand_frames_decode_one(read, make_dicom, tmp_path):
    frames = np.zeros((30_000, 2, 2), np.uint8)
    frames[29_999] = [[0, 255], [255, 0]]
    path = make_dicom(tmp_path / "a.dcm", frames, Rows=2, Columns=2, NumberOfFrames=30_000)
    assert read(path, frame=29_999, max_decoded_mib=0.001)[1].array[0].tolist() == [[0, 1], [1, 0]]
    path = make_dicom(tmp_path / "b.dcm", frames[0], NumberOfFrames=2_000_000_000)
    with pytest.raises(UnreadableFileError, match="cut short"):
        read(path, frame=1)
