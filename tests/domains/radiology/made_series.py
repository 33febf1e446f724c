"""Series of slices whose numbers are a function of their place in the patient, so that every voxel can be checked by hand."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

NAME, NUMBER = "Brightwater^Cordelia", "PID-7734519"

AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)


def write_dicom(path, pixels, **elements):
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


SLOPES = np.array([4.0, 10.0, 22.0])
"""Of the numbers, per mm to the left, the back and the head: all differ, so no exchange or flip of axes goes unnoticed."""


def number_at(points):
    """The value at (..., 3) points in mm, LPS; whole numbers at multiples of half a millimetre."""
    return np.rint(2000 + points @ SLOPES).astype(np.int16)


def points_of(position, orientation, spacing, shape):
    """(rows, columns, 3) places of the pixels of a slice: PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1."""
    across, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.array(position) + columns[..., None] * across * spacing[1] + rows[..., None] * down * spacing[0]


def make_series(make_dicom, folder, positions, orientation=AXIAL, spacing=(2.0, 1.5), shape=(6, 8), values=number_at, **elements):
    """Writes a series of CT slices, a file each, in a shuffled order of names and instance numbers.

    Returns:
        The files in the order of ``positions``.
    """
    folder.mkdir(exist_ok=True)
    shared = {"SeriesInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid(), "Modality": "CT"}
    shared |= {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "RescaleSlope": 1, "RescaleIntercept": -1000, "RescaleType": "HU"}
    shared |= {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "WindowCenter": 40, "WindowWidth": 400, **elements}
    order = np.random.default_rng(3).permutation(len(positions))
    files = []
    for number, position in zip(order, positions, strict=True):
        pixels = values(points_of(position, orientation, spacing, shape))
        own = {name: value(len(files)) if callable(value) else value for name, value in shared.items()}
        path = folder / f"IM{number:04d}"
        make_dicom(
            path, pixels, ImagePositionPatient=[float(v) for v in position], ImageOrientationPatient=list(orientation),
            **{"PixelSpacing": list(spacing), "InstanceNumber": int(number) + 1, **own},
        )  # fmt: skip
        files.append(path)
    return files


def write_ct(folder, count, seed=0):
    """Writes a CT series of random patterns, a patient of its own, slices 3 mm apart."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    cells = rng.integers(-150, 250, (count, 5, 5)).repeat(8, axis=1).repeat(8, axis=2)

    def pattern(points):
        return (cells[round(points[0, 0, 2] / 3)] + 1000).astype(np.int16)

    positions = [(0, 0, 3 * number) for number in range(count)]
    return make_series(write_dicom, folder, positions, shape=(40, 40), values=pattern, PatientID=f"PID-7734519-{seed}")


def write_cine(path, count):
    """Writes a multi-frame file of random patterns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(9).integers(0, 256, (count, 5, 5), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    return write_dicom(path, frames, NumberOfFrames=count, Rows=40, Columns=40, Modality="XA", BurnedInAnnotation="NO")
