"""Small DICOM files made by pydicom, and pydicom's own real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from domainclip.domains.base import domains
from domainclip.sample import SourceItem

sys.path.insert(0, str(Path(__file__).parent))

from made_series import write_dicom

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


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
    return write_dicom


@pytest.fixture(scope="session")
def pydicom_files():
    return PYDICOM_FILES


@pytest.fixture(scope="session")
def secrets():
    """Words of the made-up person that may appear nowhere."""
    return ("Brightwater", "Cordelia", "PID-7734519", "19510314")
