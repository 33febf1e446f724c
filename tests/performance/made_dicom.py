"""DICOM files for the speed tests: chests, CT slices and MR slices drawn from a seed, with headers as scanners write them.

    python tests/performance/made_dicom.py --root FOLDER

No patient data: names and numbers are made up. Codecs see what they see in hospitals: smooth anatomy with a scanner's noise on it,
air around it. A header has some hundred elements, a third of them private, and a few sequences.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, generate_uid
from scipy.ndimage import gaussian_filter

from domainclip.starter.radiology_phantom import Finding, draw_anatomy, draw_radiograph

Pixels = npt.NDArray[np.integer[Any]]
_CODECS = {
    "rle": RLELossless,
    "jpeg-lossless": "1.2.840.10008.1.2.4.70",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg2000": "1.2.840.10008.1.2.4.90",
    "htj2k": "1.2.840.10008.1.2.4.201",
    "jpeg8": "1.2.840.10008.1.2.4.50",
}
_CONTENTS = ("ct", "mr", "dx")


@dataclass(frozen=True, slots=True)
class Kind:
    """Files of one content and one storage.

    Attributes:
        content: ``ct``, ``mr``, ``dx`` or ``cr``.
        codec: "" where the pixels are not compressed.
        files: How many different files.
        passes: How often they are read in a timed run.
    """

    content: str
    codec: str
    files: int
    passes: int

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.content}, {self.codec or 'uncompressed'}"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("ct", "", 40, 5),
        Kind("mr", "", 40, 8),
        Kind("dx", "", 4, 5),
        Kind("cr", "", 3, 5),
        *(Kind(content, codec, *shape) for codec in list(_CODECS)[:-1] for content, shape in
          zip(_CONTENTS, ((20, 2), (20, 4), (3, 2)), strict=True)),
        Kind("dx", "jpeg8", 4, 3),
    )
}  # fmt: skip
"""All kinds by name."""


def make_files(root: Path, kind: Kind, seed: int = 0) -> list[Path]:
    """Writes the files of a kind that are not there yet.

    Args:
        root: Folder; made if need be.
        kind: Of ``KINDS``.
        seed: Everything follows from it and the file's number.

    Returns:
        Their paths; all slices of CT and MR belong to one series. Compressed files hold
        what the uncompressed ones of the same number hold.
    """
    folder = root / kind.name.replace(", ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03d}.dcm" for number in range(kind.files)]
    plain = make_files(root, KINDS[f"{kind.content}, uncompressed"], seed) if kind.codec else []
    for number, path in enumerate(paths):
        if not path.exists():
            dataset = _header(kind.content, number, seed)
            pixels = pydicom.dcmread(plain[number]).pixel_array if plain else _DRAWN[kind.content](number, seed)
            _store(dataset, pixels, kind)
            dataset.save_as(path.with_suffix(".part"), enforce_file_format=True)
            path.with_suffix(".part").rename(path)
    return paths


def _grid(side: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    line = (np.arange(side) + 0.5) / side * 2 - 1
    return tuple(np.meshgrid(line, line))  # type: ignore[return-value]


def _noise(side: int, blur: float, random: np.random.Generator) -> npt.NDArray[np.float64]:
    noise = gaussian_filter(random.standard_normal((side, side)), blur)
    return np.asarray(noise / noise.std())


def _ct(number: int, seed: int) -> Pixels:
    """One axial slice through a chest, (512, 512) int16, HU + 1024; -2000 outside the circle of reconstruction."""
    random = np.random.default_rng((seed, 1, number))
    x, y = _grid(512)
    level = number / 40 - 0.5
    hu = np.full(x.shape, -1000.0)
    skin = (x / 0.85) ** 2 + (y / 0.6) ** 2
    hu[skin < 1] = -100  # fat
    hu[(x / 0.78) ** 2 + (y / 0.53) ** 2 < 1] = 50  # muscle
    for side in (-1, 1):
        lung = ((x - side * 0.38) / 0.27) ** 2 + ((y + 0.02) / (0.42 - 0.1 * level)) ** 2
        vessels = np.clip(_noise(512, 3.0, random), 1.2, 4) - 1.2
        hu = np.where(lung < 1, np.minimum(-850 + 350 * vessels, 30), hu)
    hu[((x - 0.08) / 0.22) ** 2 + ((y + 0.05 + level / 5) / 0.25) ** 2 < 1] = 120  # heart
    hu[(x / 0.09) ** 2 + ((y - 0.33) / 0.1) ** 2 < 1] = 400  # spine
    ribs = (np.abs(np.sqrt((x / 0.76) ** 2 + (y / 0.51) ** 2) - 0.97) < 0.03) & (np.sin(9 * np.arctan2(y, x) + 4 * level) > 0.3)
    hu[ribs] = 700
    hu[(np.abs(y - 0.72) < 0.02) & (np.abs(x) < 0.8)] = -200  # table
    hu = gaussian_filter(hu, 0.7) + 14 * _noise(512, 0.6, random) * (0.4 + 0.6 * (skin < 1))
    stored = np.clip(np.rint(hu), -1024, 3071) + 1024
    stored[x**2 + y**2 > 1] = -2000
    return stored.astype(np.int16)


def _mr(number: int, seed: int) -> Pixels:
    """One axial slice through a head, (256, 256) uint16 of 12 bits; Rician noise, as magnitudes have."""
    random = np.random.default_rng((seed, 2, number))
    x, y = _grid(256)
    size = 1 - 0.5 * (number / 40 - 0.5) ** 2
    head = (x / 0.68) ** 2 + (y / 0.85) ** 2
    signal = np.where(head < size, 1500.0, 0)
    signal = np.where(head < 0.86 * size, 100, signal)  # skull
    folds = _noise(256, 3.5, random)
    signal = np.where(head < 0.8 * size, np.where(folds > 0, 1100, 800), signal)
    signal = np.where((np.abs(x) / 0.14) ** 2 + (y / 0.2) ** 2 < size, 300, signal)  # ventricles
    signal = gaussian_filter(signal, 0.6) * (1 + 0.2 * x)
    real, imaginary = (28 * random.standard_normal(x.shape) for _ in range(2))
    return np.clip(np.rint(np.hypot(signal + real, imaginary)), 0, 4095).astype(np.uint16)


def _radiograph(side: int, rows: int, columns: int, number: int, seed: int) -> Pixels:
    random = np.random.default_rng((seed, side, number))
    drawn = draw_radiograph(draw_anatomy(random), Finding("normal"), "PA", side, random)
    top, left = (side - rows) // 2, (side - columns) // 2
    return np.ascontiguousarray(drawn[top : top + rows, left : left + columns])


def _dx(number: int, seed: int) -> Pixels:
    """One chest radiograph, (2500, 2048) uint16 of 12 bits."""
    return _radiograph(2500, 2500, 2048, number, seed)


def _cr(number: int, seed: int) -> Pixels:
    """One chest radiograph, (3000, 2500) uint16 of 12 bits."""
    return _radiograph(3000, 3000, 2500, number, seed)


_DRAWN: dict[str, Callable[[int, int], Pixels]] = {"ct": _ct, "mr": _mr, "dx": _dx, "cr": _cr}
_CLASSES = {"ct": "2", "mr": "4", "dx": "1.1.1", "cr": "1"}


def _header(content: str, number: int, seed: int) -> Dataset:
    """Elements of patient, study, series, equipment and image, private ones, and sequences; no pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{_CLASSES[content]}"
    series = content in {"ct", "mr"}
    words = {"study": (0 if series else number,), "series": (0 if series else number,), "instance": (number,), "frame": (0,)}
    uids = {name: generate_uid(entropy_srcs=["speed", str(seed), content, name, *map(str, of)]) for name, of in words.items()}
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids["instance"], uids["study"], uids["series"]
    dataset.FrameOfReferenceUID, dataset.Modality = uids["frame"], content.upper()
    texts = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "SpecificCharacterSet": "ISO_IR 100", "Manufacturer": "Made Up Systems",
        "InstitutionName": "Made Up Hospital", "InstitutionAddress": "1 Nowhere Street", "StationName": "ROOM1",
        "ReferringPhysicianName": "Nobody^Doctor", "PerformingPhysicianName": "Noone^Doctor", "OperatorsName": "Somebody^Op",
        "StudyDescription": "Made up study", "SeriesDescription": "Made up series", "ManufacturerModelName": "Phantom 1",
        "InstitutionalDepartmentName": "Radiology", "PatientName": "Made^Up", "PatientID": "SPEED-0001", "PatientSex": "O",
        "PatientBirthDate": "19500101", "PatientAge": "070Y", "PatientWeight": "70", "PatientSize": "1.7", "StudyID": "1",
        "AccessionNumber": "A1", "StudyDate": "20200101", "SeriesDate": "20200101", "AcquisitionDate": "20200101",
        "ContentDate": "20200101", "StudyTime": "101010.123456", "SeriesTime": "101010.123456", "ContentTime": "101010.123456",
        "AcquisitionTime": "101010.123456", "BodyPartExamined": "CHEST", "ProtocolName": "made up", "SoftwareVersions": "1.0",
        "DeviceSerialNumber": "0000", "PatientPosition": "HFS", "KVP": "120", "SeriesNumber": "1", "AcquisitionNumber": "1",
        "InstanceNumber": str(number + 1), "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PatientComments": "made up",
        "ImagePositionPatient": [-180.0, -180.0, 2.5 * number], "SliceLocation": 2.5 * number, "SliceThickness": "2.5",
        "PixelSpacing": [0.703125, 0.703125], "BurnedInAnnotation": "NO", "PositionReferenceIndicator": "SN",
        "ExposureTime": "500", "XRayTubeCurrent": "200", "Exposure": "100", "FilterType": "BODY", "FocalSpots": "1.2",
        "ConvolutionKernel": "STANDARD", "GantryDetectorTilt": "0", "TableHeight": "150", "RotationDirection": "CW",
        "ReconstructionDiameter": "360", "DistanceSourceToDetector": "950", "DistanceSourceToPatient": "540",
        "EchoTime": "20", "RepetitionTime": "500", "FlipAngle": "90", "MagneticFieldStrength": "1.5", "ScanOptions": "HELICAL",
        "PerformedProcedureStepID": "1", "PerformedProcedureStepDescription": "made up", "WindowCenter": ["40", "-600"],
        "WindowWidth": ["400", "1500"],
    }  # fmt: skip
    for name, value in texts.items():
        setattr(dataset, name, value)
    for sequence in ("ReferencedStudySequence", "ReferencedImageSequence", "SourceImageSequence"):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, uids["frame"]
        setattr(dataset, sequence, [item] * 3)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C1", "99MADEUP", "made up"
    dataset.ProcedureCodeSequence = [code]
    for group in (0x0009, 0x0019, 0x0043):
        block = dataset.private_block(group, "MADE UP", create=True)
        for element in range(15):
            block.add_new(element, ("LO", "DS", "SL")[element % 3], ("private words", "1.5", 7)[element % 3])
    return dataset


def _store(dataset: Dataset, pixels: Pixels, kind: Kind) -> None:
    """Puts pixels into a header as the kind says: rescaling, bits, transfer syntax."""
    rescale = {"ct": ("1", "-1024"), "mr": ("1.25", "-8"), "dx": ("1", "0")}.get(kind.content)
    if rescale is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept = rescale
        dataset.RescaleType = {"ct": "HU"}.get(kind.content, "US")
    if kind.codec == "jpeg8":
        pixels = (pixels >> 4).astype(np.uint8)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    signed, bits = pixels.dtype.kind == "i", 8 * pixels.dtype.itemsize
    stored = {"ct": 16}.get(kind.content, min(12, bits))
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, stored, stored - 1, int(signed)
    meta = dataset.file_meta
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if kind.content == "cr" else ExplicitVRLittleEndian
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    if kind.codec == "rle":
        dataset.compress(RLELossless, generate_instance_uid=False)
    elif kind.codec:
        dataset.PixelData = encapsulate([_compressed(pixels, kind.codec, stored)])
        dataset["PixelData"].is_undefined_length, dataset["PixelData"].VR = True, "OB"
        meta.TransferSyntaxUID = pydicom.uid.UID(_CODECS[kind.codec])


def _compressed(pixels: Pixels, codec: str, bits: int) -> bytes:
    """Encodes a frame without loss (``jpeg8``: quality 95)."""
    import imagecodecs

    if codec == "jpeg8":
        return bytes(imagecodecs.jpeg8_encode(pixels, level=95))
    if codec in {"jpeg2000", "htj2k"}:
        encode = imagecodecs.jpeg2k_encode if codec == "jpeg2000" else imagecodecs.htj2k_encode
        options = {"level": 0, "codecformat": "j2k", "bitspersample": bits} if codec == "jpeg2000" else {}
        return bytes(encode(pixels, reversible=True, **options))
    # JPEG's numbers have no sign: the header's Pixel Representation reads the same bits as signed ones (PS3.5 8.2).
    plain = pixels.view(np.uint16)
    if codec == "jpeg-ls":
        return bytes(imagecodecs.jpegls_encode(plain))
    return bytes(imagecodecs.ljpeg_encode(plain, bitspersample=bits))


def main() -> None:
    """Writes all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    options = parser.parse_args()
    for kind in KINDS.values():
        paths = make_files(options.root, kind)
        print(f"{kind.name}: {len(paths)} files, {sum(path.stat().st_size for path in paths) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
