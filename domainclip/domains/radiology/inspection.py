"""What ``inspect`` tells about one radiology file; persons appear as the owner's keyed hashes only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from domainclip.domains.base import Inspection
from domainclip.domains.radiology.dicom import (
    COLOUR,
    burned_in,
    check_readable,
    decode_frame,
    foreign_decoder,
    frame_count,
    is_colour,
    known_name,
    read_dataset,
)
from domainclip.domains.radiology.display import is_inverse, padding_mask
from domainclip.domains.radiology.functional_groups import FrameHeader
from domainclip.domains.radiology.header import allowed_facts, group_of, identifiers, pixel_spacing
from domainclip.domains.radiology.picture import open_picture, read_picture
from domainclip.domains.radiology.reading import RadiologyReading
from domainclip.domains.radiology.voi import choose_voi, file_windows, not_hounsfield
from domainclip.domains.radiology.windows import WINDOWS
from domainclip.errors import UnreadableFileError
from domainclip.identifiers import keyed_hash, owner_key

# inspect looks at everything that can be decoded at all; what a run would refuse is listed under ``missing``.
_LOOK = RadiologyReading(frame=0, allow_burned_in=True, colour="rgb", polarity="photometric")
_BITS_OF_12 = 4095
_FLOATS = {"float32": "FloatPixelData", "float64": "DoubleFloatPixelData"}


def inspect_dicom(path: Path) -> Inspection:
    """Looks at a DICOM file.

    Raises:
        UnreadableFileError: It is damaged, too large, or holds no picture.
    """
    with foreign_decoder("Reading its header"):
        return _inspected(read_dataset(path, _LOOK, pixels=True))


def _inspected(dataset: Any) -> Inspection:
    missing: list[str] = []
    with foreign_decoder("Reading its header", dataset):
        facts = allowed_facts(dataset)
        header = FrameHeader(dataset)
        spacing, no_spacing = pixel_spacing(header)
        ids = identifiers(dataset)
        syntax = known_name(getattr(dataset.file_meta, "TransferSyntaxUID", None), "no known transfer syntax")
        kind = f"DICOM {known_name(_class_of(dataset), 'without a known SOP class')}, {syntax}"
        frames = frame_count(dataset)
        rows, columns = (int(dataset.get(tag) or 0) for tag in ("Rows", "Columns"))
        colour, windows = is_colour(dataset), _windows(header, missing)
        refusals = _refusals(dataset, header)
    seen, values = None, "not decoded"
    try:
        values, seen = _look_at_pixels(dataset, header, missing)
    except UnreadableFileError as error:
        if not rows or not columns:
            raise
        refusals.append(f"Pixels: {error.found} {error.remedy}")
    missing = [*dict.fromkeys(refusals), *missing, *([no_spacing] if no_spacing else [])]
    if "patient" not in ids:
        missing.append(
            f"Group: no PatientID; {'the study' if 'study' in ids else 'nothing'} stands for it; give column group in a manifest."
        )
    return Inspection(
        format=kind,
        width=columns,
        height=rows,
        levels=((columns, rows, 1.0),),
        channels=("red", "green", "blue") if colour else ("MONOCHROME2",),
        spacing=None
        if spacing is None
        else {"y": spacing.values[0], "x": spacing.values[1], "unit": "mm", "source": spacing.source},
        dtype=_stored_type(dataset),
        values=values,
        range=seen,
        group=_hashed(group_of(ids)),
        missing=tuple(missing),
        details={
            **facts,
            "frames": frames,
            "bits_stored": dataset.get("BitsStored"),
            # By reading.voi_index.
            **({"windows": {str(index): window for index, window in enumerate(windows)}} if windows else {}),
            **({} if colour or not_hounsfield(header) else {"named_windows": list(WINDOWS)}),
            "ids": {level: _hashed(value) for level, value in ids.items()},
            "burned_in_annotation": {"YES": "yes", "NO": "no"}.get(
                str(dataset.get("BurnedInAnnotation") or "").upper(), "not stated"
            ),
        },
    )


def _class_of(dataset: Any) -> Any:
    try:
        return dataset.get("SOPClassUID")
    except Exception:  # noqa: BLE001 - pydicom raises anything at a value that is none of its VR; no pixel hangs on this one
        return None


def _windows(header: FrameHeader, missing: list[str]) -> list[dict[str, Any]]:
    """Lists the windows; damaged ones do not keep the rest of the file from being seen."""
    try:
        return file_windows(header)
    except UnreadableFileError as error:
        missing.append(f"Windows: {error.found} They are not listed.")
        return []


def _look_at_pixels(dataset: Any, header: FrameHeader, missing: list[str]) -> tuple[str, dict[str, float]]:
    """Describes what the numbers mean and decodes the first frame for their range."""
    with foreign_decoder("Reading its pixels", dataset):
        check_readable(dataset, _LOOK)
        values = _values_of(header, missing)
        stored = decode_frame(dataset, 0)
        seen = {"minimum": float(stored.min()), "maximum": float(stored.max()), "pixels": float(stored.shape[0] * stored.shape[1])}
        padding = None if stored.ndim == 3 else padding_mask(stored, header)
    if padding is not None and padding.any():
        missing.append(f"Padding: {int(padding.sum())} pixels are padding or no numbers; they are masked as no data.")
    return values, seen


def _stored_type(dataset: Any) -> str:
    """Names the type of the stored numbers, as NumPy does."""
    number = next((kind for kind, tag in _FLOATS.items() if tag in dataset), "")
    return number or ("int" if dataset.get("PixelRepresentation") == 1 else "uint") + str(dataset.get("BitsAllocated") or 0)


def _hashed(identifier: str) -> str:
    return keyed_hash(identifier, owner_key()) if identifier else ""


def _refusals(dataset: Any, header: FrameHeader) -> list[str]:
    """Lists what a run with default reading options would refuse, each with the remedy."""
    lines = []
    frames = frame_count(dataset)
    if frames > 1:
        lines.append(f"Frames: it has {frames}; choose one with reading.frame (from 0).")
    if reason := burned_in(dataset):
        lines.append(f"Burnt-in names: {reason} Look at the pixels; if they name nobody, set reading.allow_burned_in.")
    if is_colour(dataset):
        photometric = dataset.get("PhotometricInterpretation")
        said = photometric if photometric in COLOUR else "grey with a colour palette"
        lines.append(f"Colour: {said}; set reading.colour to rgb for three channels, or to luma for one.")
    else:
        try:
            is_inverse(header, RadiologyReading())
        except UnreadableFileError as error:
            lines.append(f"Polarity: {error.found} {error.remedy}")
    return lines


def _values_of(header: FrameHeader, missing: list[str]) -> str:
    """Describes the way from stored numbers to display values."""
    photometric = header.get("PhotometricInterpretation")
    if header.get("ICCProfile") is not None:
        missing.append("Colour profile: the file has an ICC profile, which is not applied.")
    if photometric in COLOUR:
        return f"colour, {photometric} to red, green, blue"
    voi = choose_voi(header, RadiologyReading())
    if voi.source == "image-range":
        missing.append(
            "Window: the file has none, so each image is stretched from its smallest to its largest value; set reading.window."
        )
    steps = []
    if header.get("ModalityLUTSequence"):
        steps.append("modality LUT")
    elif header.get("RescaleSlope") is not None and header.get("RescaleIntercept") is not None:
        steps.append(f"x * {float(header.get('RescaleSlope')):g} + {float(header.get('RescaleIntercept')):g}")
    steps.append(str(voi))
    if header.get("PresentationLUTSequence"):
        steps.append("presentation LUT")
    if is_inverse(header, _LOOK):
        steps.append(f"inverted ({photometric})")
    if is_colour(header):
        steps.append("coloured from a stored number on by the supplemental palette")
    return "display 0..1: " + ", ".join(steps)


def inspect_picture(path: Path) -> Inspection:
    """Looks at a PNG or JPEG.

    Raises:
        UnreadableFileError: It is damaged, too large, or neither.
    """
    with open_picture(path, _LOOK) as picture:
        kind, mode, bands = picture.format, picture.mode, len(picture.getbands())
    missing = ["Spacing: the picture gives no pixel size; give it in the manifest's column spacing."]
    missing.append("Group: each picture is a group of its own; give the patient in the manifest's column group.")
    array = read_picture(path, _LOOK)
    if bands > 1:
        try:
            read_picture(path, RadiologyReading())
        except UnreadableFileError as error:
            missing.insert(0, f"Colour: {error.found} {error.remedy}")
    if array.dtype.itemsize == 2 and 255 < int(array.max()) <= _BITS_OF_12:
        missing.append("Bits: no value is above 4095, so these may be 12 bits in 16; set reading.bits_stored=12 if so.")
    white = 255 if array.dtype.itemsize == 1 else 65535
    return Inspection(
        format=f"{kind} picture",
        width=array.shape[1],
        height=array.shape[0],
        levels=((array.shape[1], array.shape[0], 1.0),),
        channels=("MONOCHROME2",),
        spacing=None,
        dtype=str(array.dtype),
        values=f"display 0..1: x / {white}",
        range={"minimum": float(array.min()), "maximum": float(array.max()), "pixels": float(array.size)},
        group="",
        missing=tuple(missing),
        details={"mode": mode, "bands": bands},
    )
