"""Small DICOM files made by pydicom, and pydicom's own real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from domainclip.domains.base import domains
from domainclip.sample import SourceItem

sys.path.append(str(Path(__file__).parent))
PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
NAME, NUMBER = "Brightwater^Cordelia", "PID-7734519"


def _make_dicom(path, pixels, **elements):
    """Writes a minimal CR image, elements winning; bytes of ``pixels`` as they are."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid() for _ in range(3))
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.Modality = NAME, NUMBER, "19510314", "CR"
    bits = pixels.dtype.itemsize * 8
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = *pixels.shape[:2], 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def radiology():
    return domains.get("radiology")


@pytest.fixture
def read(radiology):
    """Reads one file: (sample, pixels)."""

    def one(path, **reading):
        (sample,) = radiology.samples(SourceItem(Path(path), "file"), radiology.reading_model(**reading))
        return sample, sample.read()

    return one


@pytest.fixture
def ramp():
    """(64, 64) uint16 with each number 0..4095 once."""
    return np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.fixture(scope="session")
def make_dicom():
    return _make_dicom


@pytest.fixture(scope="session")
def pydicom_files():
    return PYDICOM_FILES


@pytest.fixture(scope="session")
def secrets():
    """Words of the made-up person that may appear nowhere."""
    return ("Brightwater", "Cordelia", "PID-7734519", "19510314")
