"""What the makers of radiology share: tables as text, gzip without a time, and tiny DICOM files made by pydicom."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from lookalikes.kit import encoded, plain, put
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

SAID = {"1.0": "present", "0.0": "absent", "-1.0": "uncertain"}
"""The codes of CheXpert's labeller; a blank says nothing."""


def csv_text(rows: Iterable[Iterable[object]], header: str = "") -> str:
    """Returns lines with commas and LF, quoted only where needed; the header as it stands."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return (header + "\n" if header else "") + buffer.getvalue()


def gz(text: str) -> bytes:
    """Returns text as a gzip file that is the same on every day."""
    return gzip.compress(text.encode(), mtime=0)


def named(finding: str) -> str:
    """Returns the label's name of a published finding."""
    return finding.strip().lower().replace(" ", "_")


def findings(names: Iterable[str], cells: Iterable[str]) -> dict[str, str]:
    """Returns labels of a row of CheXpert's labeller."""
    return {named(name): SAID[cell] for name, cell in zip(names, cells, strict=True) if cell}


def dicom(path: Path, number: int, bits: int = 12, *, inverted: bool = False, jpeg: bool = False, **elements: object) -> None:
    """Writes the grey picture of a number as DICOM, the window over the whole range; as baseline JPEG of 8 bits without a window.

    Elements win over those made here; they are written as given, valid or not.
    """
    white = 2**bits - 1
    stored = np.rint(plain(number, channels=1) * (white / 255)).astype("<u2" if bits > 8 else "u1")
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    data.SOPClassUID, data.Modality = "1.2.840.10008.5.1.4.1.1.1.1", "DX"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID = (f"2.25.{kind}{number:05d}" for kind in (101, 102, 103))
    data.Rows, data.Columns, data.SamplesPerPixel = *stored.shape, 1
    data.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8 * stored.itemsize, bits, bits - 1, 0
    if jpeg:
        data.LossyImageCompression, data.LossyImageCompressionMethod = "01", "ISO_10918_1"
        data.PixelData = encapsulate([encoded(number, channels=1)])
    else:
        data.WindowCenter, data.WindowWidth = (white + 1) / 2, white + 1
        data.PixelData = (white - stored if inverted else stored).tobytes()
    before, config.settings.writing_validation_mode = config.settings.writing_validation_mode, config.IGNORE
    try:
        for name, value in elements.items():
            setattr(data, name, value)
        buffer = io.BytesIO()
        data.save_as(buffer, enforce_file_format=True)
    finally:
        config.settings.writing_validation_mode = before
    put(path, buffer.getvalue())
