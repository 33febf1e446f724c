"""Opens DICOM files with care: sizes are checked before anything is decoded; pixels that may name a person are refused."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.dicom_kind import quiet_pydicom
from domainclip.domains.radiology.header import PHOTOMETRIC
from domainclip.domains.radiology.reading import RadiologyReading, check_decoded_size, check_file_size, unreadable
from domainclip.errors import DomainClipError, missing_dependency

_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG2000 = frozenset(("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202"))
_NO_PICTURE = frozenset(("SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "ECG", "DOC"))
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# The package that decodes a compressed transfer syntax, none of them GPL (pylibjpeg-libjpeg is).
_DECODERS = {
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.51": "python-gdcm",
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    **dict.fromkeys(_JPEG2000, "pylibjpeg pylibjpeg-openjpeg"),
}


@contextlib.contextmanager
def foreign_decoder(what: str) -> Iterator[None]:
    """Turns every failure of a foreign decoder into ``UnreadableFileError``, and keeps its warnings to itself.

    pydicom's warnings, log lines and exceptions quote header values, a person's name among them.
    """
    try:
        with quiet_pydicom():
            yield
    except DomainClipError:
        raise
    except Exception as error:  # Decoders of foreign files raise anything; it is passed on as one kind.
        found = f"{what} failed ({type(error).__name__})."
        raise unreadable(found, "Open it in another viewer; if it is damaged, fetch it again.") from error


def read_dataset(path: Path, reading: RadiologyReading, *, pixels: bool) -> Any:
    """Reads a DICOM file.

    Args:
        path: The file, with preamble and file meta information (DICOM part 10).
        reading: Its limits apply to the file and to what a deflated file inflates to.
        pixels: Also load the (still compressed) pixel data.

    Returns:
        A ``pydicom.Dataset``.

    Raises:
        UnreadableFileError: It is no DICOM file, is damaged, or is larger than the limits.
    """
    try:
        import pydicom
    except ImportError as error:
        raise missing_dependency("pydicom", "Reading DICOM", "pydicom") from error

    try:
        check_file_size(path.stat().st_size, reading)
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                raise unreadable(
                    "It has no DICOM preamble (DICM after 128 bytes).",
                    "Check that it is DICOM; files without file meta information are rewritten by e.g. dcmtk's dcmconv.",
                )
        with foreign_decoder("Reading its DICOM header"):
            meta = pydicom.filereader.read_file_meta_info(path)
            if meta.get("TransferSyntaxUID") == _DEFLATED:
                _check_inflated_size(path, int(meta.FileMetaInformationGroupLength), reading)
            return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except OSError as error:
        raise unreadable(f"The file cannot be opened ({error.strerror}).", "Check that it is there and readable.") from error


def _check_inflated_size(path: Path, meta_bytes: int, reading: RadiologyReading) -> None:
    """Inflates a deflated file piecewise and throws the result away: pydicom inflates without a bound."""
    total, inflate = 0, zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        file.seek(132 + 12 + meta_bytes)  # preamble and DICM; the group length element; the rest of group 2
        while piece := file.read(2**16):
            while piece:
                total += len(inflate.decompress(piece, 2**20))
                check_decoded_size(total, reading)
                piece = inflate.unconsumed_tail


def check_readable(dataset: Any, reading: RadiologyReading) -> None:
    """Refuses what this reader would get wrong, from the header alone.

    Raises:
        UnreadableFileError: There are no pixels, too many, several frames, colour, functional groups, a missing decoder,
            or words burnt into the picture.
    """
    modality = str(dataset.get("Modality") or "")
    shape = [dataset.get(tag) for tag in ("Rows", "Columns", "BitsAllocated")]
    if modality in _NO_PICTURE or not all(isinstance(v, int) and v > 0 for v in shape):
        kind = f"modality {modality}" if modality in _NO_PICTURE else "no rows, columns or bits"
        raise unreadable(f"It holds no picture ({kind}).", "Leave it out; radiology reads images such as CR, DX, MG, CT and MR.")
    frames = frame_count(dataset)
    if frames > 1 and reading.frame is None:
        raise unreadable(f"It has {frames} frames; one picture is read.", "Choose one with reading.frame (from 0).")
    if reading.frame is not None and reading.frame >= frames:
        raise unreadable(
            f"reading.frame is {reading.frame}; the file has {frames} frame(s), counted from 0.", "Choose a smaller one."
        )
    samples = int(dataset.get("SamplesPerPixel") or 1)
    check_decoded_size(shape[0] * shape[1] * samples * -(-shape[2] // 8), reading)
    if "SharedFunctionalGroupsSequence" in dataset:
        raise unreadable(
            "It is an enhanced multi-frame object, whose rescaling and windows lie in functional groups.",
            "Convert it to classic DICOM, e.g. with dcm4che's emf2sf.",
        )
    if "PresentationLUTSequence" in dataset:
        raise unreadable("It carries a Presentation LUT Sequence, which is not applied here.", "Export it again without one.")
    if not reading.allow_burned_in and (reason := burned_in(dataset)):
        raise unreadable(reason, "Look at the pixels; if they name nobody, set reading.allow_burned_in.")
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    if photometric not in {"MONOCHROME1", "MONOCHROME2"} and (reading.colour == "refuse" or samples != 3):
        remedy = "Set reading.colour to luma for one grey channel." if samples == 3 else "Export it as MONOCHROME2."
        # Free header text may be a name: only terms of PS3.3 C.7.6.3.1.2 are repeated.
        said = photometric if photometric in PHOTOMETRIC else "missing" if not photometric else "none that DICOM defines"
        raise unreadable(f"Its photometric interpretation is {said}; one grey channel is read.", remedy)
    _check_decoder(dataset)


def known_name(uid: Any, otherwise: str) -> str:
    """Returns the name of one of DICOM's own UIDs; never another one's digits, which may lead to who made it."""
    name = str(getattr(uid, "name", ""))
    return name if name and name != str(uid) else otherwise


def frame_count(dataset: Any) -> int:
    """Returns NumberOfFrames, 1 where it is missing or empty."""
    with foreign_decoder("Reading its number of frames"):
        return int(dataset.get("NumberOfFrames") or 1)


def burned_in(dataset: Any) -> str:
    """Says why the pixels may name a person ("" when the header gives no reason to think so).

    BurnedInAnnotation (0028,0301) YES; or no statement on an ultrasound, a secondary capture, an angiogram or a screen
    capture, where scanners write names into the picture.
    """
    stated = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if stated == "YES":
        return "Its header says that words are burnt into the picture (BurnedInAnnotation YES)."
    if stated == "NO":
        return ""
    kind = " ".join(str(part).upper() for part in (dataset.get("ImageType") or ()))
    risky = {
        "an ultrasound": dataset.get("Modality") in {"US", "IVUS"},
        "an angiogram": dataset.get("Modality") == "XA",
        "a secondary capture": dataset.get("Modality") == "SC"
        or str(dataset.get("SOPClassUID") or "").startswith(_SECONDARY_CAPTURE),
        "a screen capture": "SCREEN" in kind or dataset.get("ConversionType") in {"WSD", "SI"},
    }
    for name, applies in risky.items():
        if applies:
            return f"It is {name} whose header does not say that the picture is free of burnt-in names."
    return ""


def _check_decoder(dataset: Any) -> None:
    """Refuses transfer syntaxes that nothing installed decodes, naming the package."""
    from pydicom.pixels import get_decoder

    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        raise unreadable("Its header names no transfer syntax.", "Rewrite it, e.g. with dcmtk's dcmconv.")
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        found = f"It is stored as {known_name(syntax, 'a transfer syntax of no known name')}, which pydicom does not decode."
        raise unreadable(found, "Convert it, e.g. with dcmtk or gdcmconv.") from None
    if not available:
        package = _DECODERS.get(str(syntax), "python-gdcm")
        found = f"It is compressed as {syntax.name}; the package {package} decodes it and is not installed."
        raise unreadable(found, f"Install it: pip install {package}")


def decode_frame(dataset: Any, frame: int) -> npt.NDArray[Any]:
    """Decodes one frame.

    Args:
        dataset: Read with pixels, passed by ``check_readable``.
        frame: From 0.

    Returns:
        (Y, X) or (Y, X, 3) array of stored integers, colour as RGB.

    Raises:
        UnreadableFileError: The pixel data are damaged or do not agree with the header.
    """
    from pydicom.pixels import pixel_array

    _check_codestream(dataset, frame)
    syntax = dataset.file_meta.TransferSyntaxUID
    what = f"Decoding its pixels ({syntax.name})"
    if syntax.is_compressed and str(syntax) in _DECODERS:
        what = f"Decoding its pixels ({syntax.name}; the package {_DECODERS[str(syntax)]} decodes most of these)"
    with foreign_decoder(what):
        array: npt.NDArray[Any] = np.asarray(pixel_array(dataset, index=frame))
    if array.shape[:2] != (dataset.Rows, dataset.Columns):
        raise unreadable("Its pixels have another size than its header says.", "Fetch it again.")
    return array


def _check_codestream(dataset: Any, frame: int) -> None:
    """Compares JPEG 2000's own image size (SIZ marker, ITU-T T.800 A.5.1) with the header.

    The decoder believes the codestream: 100 bytes may ask for 100 GB, whatever Rows and Columns say.
    """
    if str(dataset.file_meta.TransferSyntaxUID) not in _JPEG2000:
        return
    from pydicom.encaps import get_frame

    with foreign_decoder("Reading its JPEG 2000 header"):
        stream = get_frame(dataset.PixelData, frame, number_of_frames=frame_count(dataset))
        at = stream.index(b"\xff\x4f\xff\x51") + 4
        size = [int.from_bytes(stream[at + o : at + o + 4], "big") for o in (4, 8, 12, 16)]
    if (size[1] - size[3], size[0] - size[2]) != (dataset.Rows, dataset.Columns):
        raise unreadable("Its JPEG 2000 data have another size than its header says.", "Fetch it again.")
