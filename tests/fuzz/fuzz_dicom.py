"""A DICOM whole-slide instance of one level, small and fixed to the byte: VL Whole Slide Microscopy Image Storage, TILED_FULL."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_ROOT = "1.2.826.0.1.3680043.8.498.1"
_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"


def slide_bytes(image: npt.NDArray[np.uint8], tile: int, mpp: float) -> bytes:
    """Writes one level as a DICOM instance that OpenSlide 4 opens.

    Args:
        image: (H, W, 3) uint8.
        tile: Side of a frame, pixels.
        mpp: um per pixel.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _SOP_CLASS
    meta.MediaStorageSOPInstanceUID = f"{_ROOT}.1"
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    meta.ImplementationClassUID = f"{_ROOT}.9"
    data = Dataset()
    data.file_meta = meta
    height, width = image.shape[:2]
    _describe(data, width, height, tile)
    data.SharedFunctionalGroupsSequence = [_shared_groups(mpp)]
    frames = _frames(image, tile)
    data.NumberOfFrames = len(frames)
    data.PixelData = encapsulate(frames)
    data["PixelData"].is_undefined_length = True
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True, little_endian=True, implicit_vr=False)
    return file.getvalue()


def _frames(image: npt.NDArray[np.uint8], tile: int) -> list[bytes]:
    """Baseline JPEG of each tile, row by row; tiles over the edge repeat the last pixels."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % tile), (0, -width % tile), (0, 0)), mode="edge")
    frames = []
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            file = io.BytesIO()
            Image.fromarray(padded[y : y + tile, x : x + tile]).save(file, format="JPEG", quality=80, subsampling="4:4:4")
            frames.append(file.getvalue())
    return frames


def _describe(data: Any, width: int, height: int, tile: int) -> None:
    from pydicom.dataset import Dataset

    data.SOPClassUID, data.SOPInstanceUID = _SOP_CLASS, f"{_ROOT}.1"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = f"{_ROOT}.2", f"{_ROOT}.3", f"{_ROOT}.4"
    data.Modality, data.ImageType = "SM", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.PatientName, data.PatientID, data.InstanceNumber = "Nobody^Made^Up", "SYNTHETIC", 1
    data.Rows = data.Columns = tile
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "YBR_FULL_422", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows, data.TotalPixelMatrixFocalPlanes = width, height, 1
    data.DimensionOrganizationType, data.NumberOfOpticalPaths = "TILED_FULL", 1
    data.LossyImageCompression, data.BurnedInAnnotation = "01", "NO"
    data.ImagedVolumeWidth, data.ImagedVolumeHeight, data.ImagedVolumeDepth = 0.192, 0.16, 0.001
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = 0
    data.TotalPixelMatrixOriginSequence = [origin]
    data.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.ObjectiveLensPower = "20"
    data.OpticalPathSequence = [path]


def _shared_groups(mpp: float) -> Any:
    from pydicom.dataset import Dataset

    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing = [mpp / 1000, mpp / 1000]
    measures.SliceThickness = 0.001
    groups.PixelMeasuresSequence = [measures]
    return groups
