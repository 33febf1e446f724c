"""The radiology seeds that mutants are made of: DICOM images, small, whole, with texture everywhere and a made-up person in
them.

Fixed to the byte as the slides' seeds are (``fuzz_seeds``). Every seed states that nothing is burnt in, has sequences of defined
and of undefined length, a private block, and the person in plain, nested and private elements.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

PLANTED = ("Brightwater", "Cordelia", "PID-7734519", "19510314", "Ostrowski", "St Ottilien", "Hollowell")
"""No refusal and nothing of ``inspect`` may hold one of these."""
READINGS: dict[str, dict[str, Any]] = {
    "ct": {}, "cr": {}, "mr": {}, "enhanced": {"frame": 2}, "deflated": {}, "colour": {"colour": "rgb"},
}  # fmt: skip
"""Format to the options of ``RadiologyReading`` that its mutants are read with."""
IMAGES = tuple(READINGS)
WIDTH, HEIGHT, FRAMES = 96, 80, 4
PADDING = -2000
_ROOT = "1.2.826.0.1.3680043.8.498.2"
_J = "1.2.840.10008.1.2.4."
_EXPLICIT, _DEFLATED, _RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
_CLASS = "1.2.840.10008.5.1.4.1.1."


def field(bits: int, seed: int) -> npt.NDArray[np.uint16]:
    """Draws (HEIGHT, WIDTH) numbers below ``2**bits``; no 8 x 8 block is of one number."""
    rng = np.random.default_rng(seed)
    total = np.zeros((HEIGHT, WIDTH), np.int64)
    for cell, weight in ((32, 4), (8, 3), (1, 1)):
        small = rng.integers(0, 2**bits, (HEIGHT // cell + 1, WIDTH // cell + 1), dtype=np.int64)
        total += weight * np.kron(small, np.ones((cell, cell), np.int64))[:HEIGHT, :WIDTH]
    return (total // 8).astype(np.uint16)


def ct_seed() -> bytes:
    """CT, uncompressed, signed 12 bits in 16: rescale, two windows, a padding value, sequences in sequences."""
    data = _image("CT", _CLASS + "2", _EXPLICIT)
    stored = field(12, 1).astype(np.int16) - 1024
    stored[::13, ::7] = PADDING
    _grey(data, 12, signed=True)
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = "-24", "1.5", "HU"
    data.WindowCenter, data.WindowWidth, data.WindowCenterWidthExplanation = ["40", "600"], ["400", "1500"], ["SOFT TISSUE", "BONE"]
    data.PixelPaddingValue = PADDING
    data.PixelData = stored.astype("<i2").tobytes()
    return _file(data)


def cr_seed() -> bytes:
    """CR, MONOCHROME1, 12 bits in JPEG lossless, process 14, selection value 1."""
    from imagecodecs import jpeg8_encode

    data = _image("CR", _CLASS + "1", _J + "70")
    _grey(data, 12, photometric="MONOCHROME1")
    data.WindowCenter, data.WindowWidth, data.PresentationLUTShape = "2048", "3000", "INVERSE"
    return _compressed(data, [bytes(jpeg8_encode(field(12, 2), lossless=True, predictor=1, bitspersample=12))])


def mr_seed() -> bytes:
    """MR, 12 bits in lossless JPEG 2000, a window of function SIGMOID."""
    from imagecodecs import jpeg2k_encode

    data = _image("MR", _CLASS + "4", _J + "90")
    _grey(data, 12)
    data.WindowCenter, data.WindowWidth, data.VOILUTFunction = "1800", "2500", "SIGMOID"
    stream = jpeg2k_encode(field(12, 3), level=0, codecformat="j2k", bitspersample=12, reversible=True)
    return _compressed(data, [bytes(stream)])


def enhanced_seed() -> bytes:
    """Enhanced CT of four frames in RLE; rescale and window in the functional groups, other ones for each frame."""
    from pydicom.dataset import Dataset
    from pydicom.pixels.encoders import RLELosslessEncoder

    data = _image("CT", _CLASS + "2.1", _RLE)
    _grey(data, 16)
    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.7, 0.7], 1.0
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    items = []
    for number in range(FRAMES):
        group, values, window, content = Dataset(), Dataset(), Dataset(), Dataset()
        values.RescaleIntercept, values.RescaleSlope, values.RescaleType = -1024 - number, 1 + number, "HU"
        window.WindowCenter, window.WindowWidth = 3000 * (1 + number), 5000 + 100 * number
        content.StackID, content.InStackPositionNumber, content.FrameComments = "1", number + 1, "Cordelia Brightwater"
        group.PixelValueTransformationSequence, group.FrameVOILUTSequence, group.FrameContentSequence = (
            [values],
            [window],
            [content],
        )
        items.append(group)
    data.PerFrameFunctionalGroupsSequence = items
    data.NumberOfFrames = FRAMES
    described = {
        "rows": HEIGHT, "columns": WIDTH, "samples_per_pixel": 1, "bits_allocated": 16, "bits_stored": 16,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2", "number_of_frames": 1,
    }  # fmt: skip
    frames = [RLELosslessEncoder.encode(field(16, 10 + n), encoding_plugin="pydicom", **described) for n in range(FRAMES)]
    return _compressed(data, frames)


def deflated_seed() -> bytes:
    """DX in a deflated file: 10 bits, a modality LUT and two VOI LUTs, stored as they stand."""
    from pydicom.dataset import Dataset

    data = _image("DX", _CLASS + "1.1", _DEFLATED)
    stored = field(10, 4)
    _grey(data, 10)
    steps = np.arange(1024)
    tables = [(steps * 4).astype(np.uint16), np.round(4095 * (steps / 1023.0) ** 0.5).astype(np.uint16)]
    modality, items = Dataset(), []
    modality.LUTDescriptor, modality.ModalityLUTType = [1024, 0, 16], "US"
    modality.add_new("LUTData", "OW", (1023 - steps).astype("<u2").tobytes())
    for table, words in zip(tables, ("NORMAL", "HARDER"), strict=True):
        item = Dataset()
        item.LUTDescriptor, item.LUTExplanation = [1024, 0, 12], words
        item.add_new("LUTData", "OW", table.astype("<u2").tobytes())
        items.append(item)
    data.ModalityLUTSequence, data.VOILUTSequence = [modality], items
    for item in (modality, *items):
        item["LUTDescriptor"].VR = "US"
    data.PixelData = stored.astype("<u2").tobytes()
    return _file(data)


def colour_seed() -> bytes:
    """A photograph in baseline JPEG, YBR_FULL_422."""
    from PIL import Image

    data = _image("XC", _CLASS + "77.1.4", _J + "50")
    data.Rows, data.Columns, data.SamplesPerPixel, data.PlanarConfiguration = HEIGHT, WIDTH, 3, 0
    data.PhotometricInterpretation, data.LossyImageCompression = "YBR_FULL_422", "01"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    picture = np.dstack([field(8, 5), field(8, 6), field(8, 7)]).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=90, subsampling="4:2:2")
    return _compressed(data, [file.getvalue()])


WRITERS: dict[str, Callable[[], bytes]] = {
    "ct": ct_seed, "cr": cr_seed, "mr": mr_seed, "enhanced": enhanced_seed, "deflated": deflated_seed, "colour": colour_seed,
}  # fmt: skip


def _image(modality: str, sop_class: str, syntax: str) -> Any:
    """Begins an image: the person, the study, what all seeds say."""
    from pydicom.dataset import Dataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, f"{_ROOT}.1"
    meta.TransferSyntaxUID, meta.ImplementationClassUID = syntax, f"{_ROOT}.9"
    data = Dataset()
    data.file_meta = meta
    data.SpecificCharacterSet = ["ISO_IR 100"]
    data.SOPClassUID, data.SOPInstanceUID = sop_class, f"{_ROOT}.1"
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{_ROOT}.2", f"{_ROOT}.3"
    data.Modality, data.ImageType, data.BurnedInAnnotation = modality, ["ORIGINAL", "PRIMARY", "AXIAL"], "NO"
    data.PatientName, data.PatientID, data.PatientBirthDate = "Brightwater^Cordelia", "PID-7734519", "19510314"
    data.PatientSex, data.PatientAge, data.BodyPartExamined, data.InstitutionName = "F", "064Y", "CHEST", "St Ottilien"
    data.ReferringPhysicianName, data.StudyDescription = "Ostrowski^Ian", "Brightwater follow-up"
    data.StudyDate, data.StudyTime, data.InstanceNumber, data.SliceThickness = "20150704", "101500.25", "7", "1.25"
    data.PixelSpacing, data.ImagePositionPatient, data.ImageOrientationPatient = ["0.7", "0.8"], ["1", "2", "3"], list("100010")
    code, inner, outer = Dataset(), Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-D3000", "SRT", "Chest"
    inner.RequestingPhysician, inner.RequestedProcedureCodeSequence = "Hollowell^Tess", [code]
    outer.ScheduledProcedureStepDescription, outer.ScheduledProtocolCodeSequence = "for Cordelia", [code]
    outer.RequestAttributesSequence = [inner]
    data.RequestAttributesSequence = [outer]
    data["RequestAttributesSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    block = data.private_block(0x0029, "FUZZ SEED", create=True)
    block.add_new(0x10, "LO", "Brightwater, Cordelia")
    block.add_new(0x11, "OB", b"\xfe\xff\x00\xe0private\0" * 4)
    return data


def _grey(data: Any, bits: int, *, signed: bool = False, photometric: str = "MONOCHROME2") -> None:
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = HEIGHT, WIDTH, 1, photometric
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, bits, bits - 1, int(signed)


def _compressed(data: Any, frames: list[bytes]) -> bytes:
    from pydicom.encaps import encapsulate

    data.PixelData = encapsulate(frames)
    data["PixelData"].is_undefined_length = True
    return _file(data)


def _file(data: Any) -> bytes:
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 and not data["PixelData"].is_undefined_length else "OB"
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()
