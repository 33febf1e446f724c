"""What ``inspect`` says of real files, beside what independent tools say: PNG's own header, imagecodecs, pydicom."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest

from domainclip.domains.base import domains
from domainclip.identifiers import keyed_hash, owner_key

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
DTYPES = {(8, 0): "uint8", (16, 0): "uint16"}
# Width, height, stored type, smallest and largest number, spacing (y, x; mm) and its source: from the bytes.
GOLDEN_DICOM = {
    "CT_small.dcm": (128, 128, "int16", 128, 2191, (0.661468, 0.661468), "PixelSpacing"),
    "MR_small.dcm": (64, 64, "int16", 127, 2145, (0.3125, 0.3125), "PixelSpacing"),
    "MR_small_RLE.dcm": (64, 64, "int16", 127, 2145, (0.3125, 0.3125), "PixelSpacing"),
    "examples_overlay.dcm": (484, 300, "uint16", 0, 1123, (0.72314049586777, 0.72314049586777), "PixelSpacing"),
    "693_J2KI.dcm": (512, 512, "int16", None, None, None, None),
    "image_dfl.dcm": (512, 512, "uint8", 0, 255, None, None),
    "dicomdirtests/77654033/CR1/6154": (16, 16, "uint16", 1994, 2802, (0.1, 0.1), "ImagerPixelSpacing"),
    "dicomdirtests/77654033/CT2/17106": (16, 16, "int16", 43, 1101, (0.488281, 0.488281), "PixelSpacing"),
    "SC_rgb_jpeg_gdcm.dcm": (100, 100, "uint8", None, None, None, None),
}


@pytest.fixture(scope="module")
def radiology():
    return domains.get("radiology")


@pytest.mark.real_data
def test_every_hannover_picture(radiology, real_data):
    paths = sorted((real_data / "radiology" / "hannover_cxr" / "png").glob("*.png"))
    assert len(paths) == 139
    for path in paths:
        data = path.read_bytes()
        width, height, bits, colour = struct.unpack(">IIBB", data[16:26])  # IHDR, PNG specification 11.2.1
        seen = radiology.inspect(path)
        assert (seen.width, seen.height, seen.dtype) == (width, height, DTYPES[bits, colour]), path.name
        assert seen.format == "PNG picture" and seen.channels == ("MONOCHROME2",) and seen.spacing is None
        assert seen.details["mode"] == "L" and len(seen.missing) == 2


@pytest.mark.real_data
def test_pixels_of_some_hannover_pictures(radiology, real_data):
    for path in sorted((real_data / "radiology" / "hannover_cxr" / "png").glob("*.png"))[::20]:
        pixels = imagecodecs.png_decode(path.read_bytes())
        seen = radiology.inspect(path)
        assert seen.range == {"minimum": pixels.min(), "maximum": pixels.max(), "pixels": pixels.size}


@pytest.mark.parametrize("name", GOLDEN_DICOM)
def test_dicom_table(name, radiology):
    width, height, dtype, low, high, spacing, source = GOLDEN_DICOM[name]
    seen = radiology.inspect(PYDICOM_FILES / name)
    assert (seen.width, seen.height, seen.dtype) == (width, height, dtype)
    assert seen.levels == ((width, height, 1.0),)
    if low is not None:
        assert (seen.range["minimum"], seen.range["maximum"], seen.range["pixels"]) == (low, high, width * height)
    if source is not None:
        assert seen.spacing == {"y": spacing[0], "x": spacing[1], "unit": "mm", "source": source}


@pytest.mark.parametrize("name", [name for name in GOLDEN_DICOM if name != "SC_rgb_jpeg_gdcm.dcm"])
def test_dicom_beside_pydicom(name, radiology):
    path = PYDICOM_FILES / name
    dataset, seen = pydicom.dcmread(path), radiology.inspect(path)
    pixels = dataset.pixel_array
    assert seen.range == {"minimum": pixels.min(), "maximum": pixels.max(), "pixels": pixels.size}
    assert seen.details["modality"] == dataset.Modality and seen.details["bits_stored"] == dataset.BitsStored
    assert dataset.file_meta.TransferSyntaxUID.name in seen.format
    assert np.dtype(seen.dtype).itemsize * 8 == dataset.BitsAllocated
    if dataset.get("PatientID"):
        assert seen.group == keyed_hash(str(dataset.PatientID), owner_key())


def test_what_is_missing_is_said(radiology):
    said = " ".join(radiology.inspect(PYDICOM_FILES / "SC_rgb_jpeg_gdcm.dcm").missing)
    assert "reading.allow_burned_in" in said and "reading.colour" in said
    said = " ".join(radiology.inspect(PYDICOM_FILES / "image_dfl.dcm").missing)
    assert "reading.window" in said and "no PatientID" in said and "spacing" in said
    assert "reading.frame" in " ".join(radiology.inspect(PYDICOM_FILES / "examples_ybr_color.dcm").missing)


def test_contradicting_presentation_shape_is_said(radiology, tmp_path):
    dataset = pydicom.dcmread(PYDICOM_FILES / "dicomdirtests" / "77654033" / "CR1" / "6154")
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.save_as(tmp_path / "a.dcm")
    seen = radiology.inspect(tmp_path / "a.dcm")
    assert any("contradicts its photometric" in line and "reading.polarity" in line for line in seen.missing)
    assert "inverted" in seen.values
