"""Numbers after the modality LUT, and display values by table: equal to the plain formulas in float64."""

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut

from domainclip.domains.radiology.display import displayed, padding_mask, physical_numbers, physical_values, to_display
from domainclip.domains.radiology.images import read_numbers
from domainclip.domains.radiology.reading import RadiologyReading
from domainclip.errors import UnreadableFileError

READING = RadiologyReading(allow_burned_in=True)
RGB = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
GREY = ("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm",
        "image_dfl.dcm", "J2K_pixelrep_mismatch.dcm", "MR_small_padded.dcm", "rtdose_1frame.dcm")  # fmt: skip


@pytest.mark.parametrize("name", GREY)
def test_as_pydicom_reads_and_rescales(name, pydicom_files):
    path = pydicom_files / name
    dataset = pydicom.dcmread(path)
    if dataset.Modality == "RTDOSE":
        with pytest.raises(UnreadableFileError, match="no picture"):
            read_numbers(path, READING)
        return
    numbers = read_numbers(path, READING)
    assert numbers.dtype == np.float32
    expected = np.asarray(apply_modality_lut(dataset.pixel_array, dataset), np.float64)
    assert np.array_equal(numbers, expected.astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), ("0.0317", "-7.25"), (-2.5, 3), (1, 0.5), (1, 2**24 + 1)])
def test_rescaling_is_rounded_once(dtype, slope, intercept):
    random = np.random.default_rng(0)
    stored = (random.standard_normal((300, 301)) * 1e9).astype(np.int64).astype(dtype)
    header = pydicom.Dataset()
    header.RescaleSlope, header.RescaleIntercept = slope, intercept
    expected = (stored.astype(np.float64) * float(slope) + float(intercept)).astype(np.float32)
    assert np.array_equal(physical_numbers(stored, header), expected)


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": "40.5", "WindowWidth": "350"},
        {"WindowCenter": "-600", "WindowWidth": "1500", "VOILUTFunction": "SIGMOID", "PhotometricInterpretation": "MONOCHROME1"},
        {},
        {"RescaleSlope": "-1.5", "RescaleIntercept": "7"},
        {"PixelPaddingValue": -2000},
        {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -900, "RescaleSlope": "-0.7"},
    ],
)
def test_display_by_table_as_by_pixel(elements):
    random = np.random.default_rng(1)
    stored = (random.standard_normal((400, 300)) * 300).astype(np.int16)
    stored[:100, :90] = -2000
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.PhotometricInterpretation, header.RescaleSlope, header.RescaleIntercept = "MONOCHROME2", "1", "-24"
    for name, value in elements.items():
        setattr(header, name, value)
    padding = padding_mask(stored, header)
    assert (padding is not None) == ("PixelPaddingValue" in elements)
    expected = to_display(physical_values(stored, header), padding, header, READING)
    assert np.array_equal(displayed(stored, padding, header, READING), expected)
    assert len(np.unique(expected)) > 300


def test_checks_hold_for_numbers(make_dicom, ramp, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp)
    assert np.array_equal(read_numbers(path, READING), ramp.astype(np.float32))
    for reading, words in (
        ({"max_decoded_mib": 1e-3}, "limit is"),
        ({"frame": 1}, "1 frame"),
        ({"max_file_mib": 1e-3}, "limit is"),
    ):
        with pytest.raises(UnreadableFileError, match=words):
            read_numbers(path, RadiologyReading(**reading))
    with pytest.raises(UnreadableFileError, match="in colour"):
        read_numbers(make_dicom(path, np.dstack([ramp] * 3), SamplesPerPixel=3, **RGB), RadiologyReading(colour="rgb"))
    with pytest.raises(UnreadableFileError, match="burnt"):
        read_numbers(make_dicom(path, ramp, BurnedInAnnotation="YES"), RadiologyReading())
