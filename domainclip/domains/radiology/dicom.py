"""Opens DICOM files with care: sizes are checked before anything is decoded; pixels that may name a person are refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains import magic
from domainclip.domains.dicom_kind import quiet_pydicom
from domainclip.domains.radiology.header import PHOTOMETRIC
from domainclip.domains.radiology.parsing import parse
from domainclip.domains.radiology.parsing_limits import check_parsing
from domainclip.domains.radiology.reading import RadiologyReading, check_decoded_size, check_file_size, unreadable
from domainclip.errors import DomainClipError, missing_dependency

_LOSSY_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_RLE = "1.2.840.10008.1.2.5"
_NO_PICTURE = frozenset(("SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "ECG", "DOC"))
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PRIVATE = "a private transfer syntax"
_NATIVE_BITS = (1, 8, 16, 32, 64)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
COLOUR = frozenset(("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"))
"""Photometric interpretations that become red, green and blue."""


_MEANING = (
    "Modality", "BurnedInAnnotation", "ImageType", "SOPClassUID", "ConversionType", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "PlanarConfiguration",
    "PhotometricInterpretation", "NumberOfFrames",
    "PixelPresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "ModalityLUTSequence", "PresentationLUTSequence",
    "PresentationLUTShape", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PatientID", "StudyInstanceUID",
    "SeriesInstanceUID", "AccessionNumber", "StudyID", "AdmissionID", "OtherPatientIDs", "ICCProfile",
)  # fmt: skip
"""Elements without which nobody knows what the pixels mean, whose they are, or whether they name a person."""


@contextlib.contextmanager
def foreign_decoder(what: str, dataset: Any = None) -> Iterator[None]:
    """Turns every failure of a foreign decoder into ``UnreadableFileError``, and keeps its warnings to itself.

    pydicom's warnings, log lines and exceptions quote header values, a person's name among them.

    Args:
        what: What is done, for the message.
        dataset: Its damaged element is named, if it is one that readers need.
    """
    try:
        with quiet_pydicom():
            yield
    except DomainClipError:
        raise
    except Exception as error:  # Decoders of foreign files raise anything; it is passed on as one kind.
        if dataset is not None and (element := _damaged_element(dataset)):
            raise unreadable(f"Its {element} cannot be read.", "Export it again, or correct the element.") from error
        found = f"{what} failed ({type(error).__name__})."
        raise unreadable(found, "Open it in another viewer; if it is damaged, fetch it again.") from error


def _damaged_element(dataset: Any) -> str:
    """Names the first needed element that pydicom cannot make sense of ("" when there is none)."""
    for element in _MEANING:
        try:
            dataset.get(element)
        except Exception:  # noqa: BLE001 - pydicom raises anything at a value that is none of its VR
            return element
    return ""


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
        import pydicom  # noqa: F401
    except ImportError as error:
        raise missing_dependency("pydicom", "Reading DICOM", "pydicom") from error

    try:
        check_file_size(path.stat().st_size, reading)
        with path.open("rb") as file:
            if not magic.is_dicom(file.read(magic.DICOM_HEAD_BYTES)):
                raise unreadable(
                    "It has no DICOM preamble (DICM after 128 bytes).",
                    "Check that it is DICOM; files without file meta information are rewritten by e.g. dcmtk's dcmconv.",
                )
            with foreign_decoder("Reading its DICOM header"):
                dataset = parse(file, lambda: check_parsing(path, reading), reading.max_decoded_mib, pixels=pixels)
        if not len(dataset):
            # What pydicom makes of compressed pixels that end without their delimiter.
            raise unreadable("It has no elements that can be read: it is empty or cut short.", "Fetch it again.")
        return dataset
    except OSError as error:
        raise unreadable(f"The file cannot be opened ({error.strerror}).", "Check that it is there and readable.") from error


def check_readable(dataset: Any, reading: RadiologyReading) -> None:
    """Refuses what this reader would get wrong, from the header alone.

    Raises:
        UnreadableFileError: There are no pixels, too many, several frames, colour that was not asked for, a missing decoder, or
            words burnt into the picture.
    """
    modality = str(dataset.get("Modality") or "")
    shape = [dataset.get(tag) for tag in ("Rows", "Columns", "BitsAllocated")]
    if modality in _NO_PICTURE or not all(isinstance(v, int) and v > 0 for v in shape):
        kind = f"modality {modality}" if modality in _NO_PICTURE else "no rows, columns or bits"
        raise unreadable(f"It holds no picture ({kind}).", "Leave it out; radiology reads images such as CR, DX, MG, CT and MR.")
    frames = frame_count(dataset)
    if frames > 1 and reading.frame is None:
        raise unreadable(
            "It has several frames; one picture is read.", "Choose one with reading.frame (from 0); inspect counts them."
        )
    if reading.frame is not None and reading.frame >= frames:
        kind = "1 frame" if frames == 1 else "fewer frames"
        raise unreadable(f"reading.frame is {reading.frame}, counted from 0; the file has {kind}.", "Choose a smaller one.")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    check_decoded_size(shape[0] * shape[1] * samples * -(-shape[2] // 8), reading)
    if shape[2] not in _NATIVE_BITS or samples not in {1, 3}:
        raise unreadable(
            "It has a number of bits or of samples per pixel that is not read.", "Export it with 8 or 16 bits, grey or RGB."
        )
    if not reading.allow_burned_in and (reason := burned_in(dataset)):
        raise unreadable(reason, "Look at the pixels; if they name nobody, set reading.allow_burned_in.")
    _check_colour(dataset, samples, reading)
    _check_decoder(dataset)


def is_colour(dataset: Any) -> bool:
    """Says whether a header describes colour: by its photometric interpretation, or by a supplemental palette.

    Where Pixel Presentation is COLOR (or MIXED, frame by frame), grey pixels are coloured from a stored number on (PS3.3
    C.8.16.2.1.1.1).
    """
    return dataset.get("PhotometricInterpretation") in COLOUR or has_supplemental_palette(dataset)


def has_supplemental_palette(dataset: Any) -> bool:
    """Says whether a grey picture has colours above a stored number (PS3.3 C.7.6.19)."""
    presented = dataset.get("PixelPresentation") in {"COLOR", "MIXED"}
    grey = dataset.get("PhotometricInterpretation") in {"MONOCHROME1", "MONOCHROME2"}
    return grey and presented and "RedPaletteColorLookupTableDescriptor" in dataset


def _check_colour(dataset: Any, samples: int, reading: RadiologyReading) -> None:
    """Refuses colour spaces that are not read, colour that was not asked for, and grey's options for colour."""
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    grey = photometric in {"MONOCHROME1", "MONOCHROME2"}
    planes = 1 if grey or photometric == "PALETTE COLOR" else 3
    if not grey and (photometric not in COLOUR or samples != planes):
        # Free header text may be a name: only the standard's terms are repeated.
        said = photometric if photometric in PHOTOMETRIC else "missing" if not photometric else "none that DICOM defines"
        raise unreadable(f"Its photometric interpretation is {said}, which is not read here.", "Export it as RGB or MONOCHROME2.")
    if grey and samples != planes:
        raise unreadable("It is called grey and has several samples per pixel.", "Export it again.")
    if not is_colour(dataset):
        return
    if reading.colour == "refuse":
        said = "with a colour palette" if grey else f"in colour ({photometric})"
        remedy = "Set reading.colour to rgb for three channels (red, green, blue), or to luma for one grey channel."
        raise unreadable(f"It is {said}; one grey channel is read.", remedy)
    if reading.output == "hu":
        raise unreadable("reading.output is hu; the file is in colour.", "Read it with reading.output=display.")
    if not grey and (reading.window is not None or reading.voi_index):
        raise unreadable("A window was asked for; the file is in colour, which has none.", "Read it without reading.window.")


def frame_count(dataset: Any) -> int:
    """Returns NumberOfFrames, 1 where it is missing or empty."""
    with foreign_decoder("Reading its number of frames"):
        return int(dataset.get("NumberOfFrames") or 1)


def burned_in(dataset: Any) -> str:
    """Says why the pixels may name a person ("" when the header gives no reason to think so).

    BurnedInAnnotation (0028,0301) YES, or anything else than NO; or no statement on an ultrasound, an endoscopy, a fluoroscopy, an
    angiogram, a secondary capture or a screen capture, where devices write names into the picture.
    """
    stated = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if stated == "YES":
        return "Its header says that words are burnt into the picture (BurnedInAnnotation YES)."
    if stated == "NO":
        return ""
    if stated:
        return "Its header says neither YES nor NO to words burnt into the picture (BurnedInAnnotation)."
    kind = " ".join(str(part).upper() for part in (dataset.get("ImageType") or ()))
    risky = {
        "an ultrasound": dataset.get("Modality") in {"US", "IVUS"},
        "an endoscopy": dataset.get("Modality") == "ES",
        "a fluoroscopy": dataset.get("Modality") == "RF",
        "an angiogram": dataset.get("Modality") == "XA",
        "a secondary capture": dataset.get("Modality") == "SC"
        or str(dataset.get("SOPClassUID") or "").startswith(_SECONDARY_CAPTURE),
        "a screen capture": "SCREEN" in kind or dataset.get("ConversionType") in {"WSD", "SI"},
    }
    for name, applies in risky.items():
        if applies:
            return f"It is {name} whose header does not say that the picture is free of burnt-in names."
    return ""


def known_name(uid: Any, otherwise: str) -> str:
    """Returns the name of one of DICOM's own UIDs; never another one's digits, which may lead to who made it."""
    name = str(getattr(uid, "name", "") or "")
    return name if name and name != str(uid) else otherwise


def _check_decoder(dataset: Any) -> None:
    """Refuses transfer syntaxes that nothing installed decodes, naming the package."""
    from domainclip.domains.radiology.frames import frame_decoder, package_of

    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        raise unreadable("Its header names no transfer syntax.", "Rewrite it, e.g. with dcmtk's dcmconv.")
    decoder = frame_decoder(str(syntax))
    if decoder is None:
        found = f"It is stored as {known_name(syntax, _PRIVATE)}, which is not decoded here."
        raise unreadable(found, "Convert it, e.g. with dcmtk or gdcmconv.")
    if not decoder.is_available:
        package = package_of(str(syntax))
        found = f"It is compressed as {known_name(syntax, _PRIVATE)}; the package {package} decodes it and is not installed."
        raise unreadable(found, f"Install it: pip install {package}")


def decode_frame(dataset: Any, frame: int) -> npt.NDArray[Any]:
    """Decodes one frame.

    Args:
        dataset: Read with pixels, passed by ``check_readable``.
        frame: From 0.

    Returns:
        (Y, X), or (Y, X, 3) RGB: stored integers, or the floats of Float and Double Float Pixel Data.

    Raises:
        UnreadableFileError: The pixel data are damaged or do not agree with the header.
    """
    from domainclip.domains.radiology.frames import check_filled, frame_decoder, plain_frame, told_reasons

    with foreign_decoder("Reading its header", dataset):
        if len([keyword for keyword in _PIXELS if keyword in dataset]) != 1:
            raise unreadable("It has no pixel data, or two kinds of them.", "Fetch it again.")
        syntax = dataset.file_meta.TransferSyntaxUID
        lift = _lifted_bits(dataset)
        if syntax.is_encapsulated:
            _check_codestream(dataset, frame)
        else:
            _check_length(dataset)
    with foreign_decoder(f"Decoding its pixels ({known_name(syntax, _PRIVATE)})"), told_reasons():
        if dataset.BitsAllocated == 1 and not syntax.is_encapsulated:
            return _single_bits(dataset, frame)
        if not lift and (plain := plain_frame(dataset, frame)) is not None:
            return np.asarray(plain)
        options = {"correct_unused_bits": False} if lift else {}
        array: npt.NDArray[Any] = np.asarray(frame_decoder(str(syntax)).as_array(dataset, index=frame, **options)[0])
        if lift and (array & (2**lift - 1)).any():
            raise unreadable("Its HighBit says that the lowest bits are unused; they are not.", "Export it again.")
        if lift:
            array = (array << (dataset.BitsAllocated - 1 - dataset.HighBit)) >> (dataset.BitsAllocated - dataset.BitsStored)
        if str(syntax) in _LOSSY_JPEG:
            check_filled(_frame(dataset, frame), array)
    if array.shape[:2] != (dataset.Rows, dataset.Columns):
        raise unreadable("Its pixels have another size than its header says.", "Fetch it again.")
    return array


def _frame(dataset: Any, frame: int) -> bytes:
    """One frame of encapsulated pixel data, still compressed."""
    from pydicom.encaps import get_frame

    found: bytes = get_frame(dataset.PixelData, frame, number_of_frames=frame_count(dataset))
    return found


def _single_bits(dataset: Any, frame: int) -> npt.NDArray[Any]:
    """Unpacks a frame of single bits, the lowest first (PS3.5 8.1.1); pydicom loses those of frames that begin within a byte."""
    count = dataset.Rows * dataset.Columns
    first, begin = divmod(count * frame, 8)
    packed = np.frombuffer(dataset.PixelData, np.uint8)[first : first + -(-(begin + count) // 8)]
    return np.unpackbits(packed, bitorder="little")[begin : begin + count].reshape(dataset.Rows, dataset.Columns)


def _lifted_bits(dataset: Any) -> int:
    """Returns how many unused bits lie below the stored ones.

    None by today's standard, where HighBit is BitsStored - 1 (PS3.3 C.7.6.3); older files keep 12 bits in the upper part of 16,
    which pydicom reads as if they lay at the lower end.

    Raises:
        UnreadableFileError: HighBit leaves no room for the stored bits, or the pixels are compressed or in colour.
    """
    high, stored, allocated = (dataset.get(tag) for tag in ("HighBit", "BitsStored", "BitsAllocated"))
    if "PixelData" not in dataset or high is None or stored is None or high == stored - 1:
        return 0
    syntax = dataset.file_meta.TransferSyntaxUID
    plain = (not syntax.is_encapsulated or syntax == _RLE) and int(dataset.get("SamplesPerPixel") or 1) == 1
    if not plain or not stored - 1 < high < allocated:
        raise unreadable("Its HighBit contradicts its BitsStored.", "Export it again.")
    return int(high + 1 - stored)


def _check_length(dataset: Any) -> None:
    """Refuses uncompressed pixel data that are shorter than the header says; pydicom's own message would hold numbers only."""
    pixels = dataset[next(keyword for keyword in _PIXELS if keyword in dataset)].value or b""
    bits = dataset.Rows * dataset.Columns * int(dataset.get("SamplesPerPixel") or 1) * dataset.BitsAllocated
    share = 2 / 3 if dataset.get("PhotometricInterpretation") == "YBR_FULL_422" else 1
    if len(pixels) * 8 < bits * frame_count(dataset) * share:
        raise unreadable("Its pixel data are cut short.", "Fetch it again.")


def _check_codestream(dataset: Any, frame: int) -> None:
    """Compares what a compressed frame says of itself with the header.

    Decoders believe the codestream: 100 bytes may ask for 100 GB, whatever Rows and Columns say.
    """
    if dataset.file_meta.TransferSyntaxUID == _RLE:
        return
    from domainclip.domains.radiology.codestream import read_codestream

    with foreign_decoder("Finding its compressed pixels"):
        stream = _frame(dataset, frame)
    try:
        found = read_codestream(stream)
    except ValueError as error:
        raise unreadable("The header or the end of its compressed pixels is damaged.", "Fetch it again.") from error
    if (found.rows, found.columns, found.components) != (dataset.Rows, dataset.Columns, int(dataset.get("SamplesPerPixel") or 1)):
        raise unreadable("Its compressed pixels have another size than its header says.", "Fetch it again.")
    wrong = found.bits > dataset.BitsAllocated or (found.components == 3 and found.bits != dataset.BitsStored)
    if wrong:
        raise unreadable("Its compressed pixels have another number of bits than its header says.", "Fetch it again.")
