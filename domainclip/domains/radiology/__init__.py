"""Radiology: DICOM, grey and in colour, and pictures saved as PNG or JPEG."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from domainclip.domains import magic
from domainclip.domains.base import DomainFacts, Inspection, load_facts
from domainclip.domains.dicom_kind import is_dicom_slide
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.errors import UsageError
from domainclip.sample import Pixels, Sample, SourceItem, Values

_SUFFIXES = frozenset((".dcm", ".dicom", ".dic", ".ima", ".png", ".jpg", ".jpeg"))
_CHANNELS = ("MONOCHROME2",)
_RGB = ("red", "green", "blue")


def is_dicom(path: Path) -> bool:
    """Says by the DICM marker, else by suffix; never raises."""
    head = _first_bytes(path)
    return magic.is_dicom(head) or (not _is_picture_head(head) and path.suffix.lower() in {".dcm", ".dicom", ".dic", ".ima"})


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(magic.DICOM_HEAD_BYTES)
    except OSError:
        return b""


def _is_picture_head(head: bytes) -> bool:
    return head.startswith((magic.PNG, magic.JPEG))


class Radiology:
    """The domain of medical images; see ``domainclip.domains.base.Domain``.

    Display values are in the sense of MONOCHROME2 whatever the file says, so the one channel has that name. Colour pictures have
    three channels where ``reading.colour`` asks for them.
    """

    name = "radiology"
    reading_model: type[BaseModel] = RadiologyReading

    def __init__(self) -> None:
        self.facts: DomainFacts = load_facts(Path(__file__).with_name("facts.yaml"))

    def recognises(self, path: Path) -> bool:
        """Says by name and first bytes whether this domain reads the file.

        A DICOMDIR is an index, no image; whole-slide images are pathology's.
        """
        if path.name.upper().startswith("DICOMDIR"):
            return False
        head = _first_bytes(path)
        if magic.is_dicom(head):
            return not is_dicom_slide(path)
        return _is_picture_head(head) or path.suffix.lower() in _SUFFIXES

    def inspect(self, path: Path) -> Inspection:
        """Looks at one file; the patient appears as the owner's keyed hash only.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        from domainclip.domains.radiology.inspection import inspect_dicom, inspect_picture

        return inspect_dicom(path) if is_dicom(path) else inspect_picture(path)

    def samples(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Yields the one sample of a file; its pixels are decoded by ``Sample.read``.

        ``ids`` and ``group`` of a DICOM file are raw (patient, study, series); whoever writes them hashes them first.
        The owner's group, ids and spacing win over the file's. Sentences of captions that hold a word of a person's name from the
        header are left out; ``meta`` counts them.

        Raises:
            UnreadableFileError: It cannot be read, or ``reading`` does not allow it.
        """
        if not isinstance(reading, RadiologyReading):
            found = f"They are of type {type(reading).__name__}."
            raise UsageError("Reading options of radiology were needed.", found, "Use DOMAIN.reading_model.")
        yield (_dicom_sample if is_dicom(item.path) else _picture_sample)(item, reading)


def _dicom_sample(item: SourceItem, reading: RadiologyReading) -> Sample:
    from domainclip.captions.names import captions_without
    from domainclip.domains.radiology.colour import colour_values
    from domainclip.domains.radiology.dicom import check_readable, foreign_decoder, is_colour, read_dataset
    from domainclip.domains.radiology.functional_groups import FrameHeader
    from domainclip.domains.radiology.header import (
        allowed_facts,
        group_of,
        identifiers,
        person_names,
        person_numbers,
        pixel_spacing,
    )

    header = read_dataset(item.path, reading, pixels=False)
    with foreign_decoder("Reading its header"):
        check_readable(header, reading)
        ids = identifiers(header) | dict(item.ids)
        facts = allowed_facts(header)
        frame = FrameHeader(header, reading.frame or 0)
        spacing = item.spacing or pixel_spacing(frame)[0]
        rgb = reading.colour == "rgb" and is_colour(header)
        values = colour_values(frame) if rgb else Values("hu" if reading.output == "hu" else "display")
        captions, dropped = captions_without(item.captions, person_names(header), person_numbers(header))
    return Sample(
        key=item.name,
        axes="CYX",
        channels=_RGB if rgb else _CHANNELS,
        values=values,
        reader=partial(read_dicom_pixels, item.path, reading),
        group=item.group or group_of(ids),
        spacing=spacing,
        sensor=facts.get("modality"),
        captions=captions,
        labels=item.labels,
        regions=item.regions,
        ids=ids,
        split=item.split,
        meta=facts | ({"sentences_with_name_dropped": dropped} if dropped else {}),
    )


def read_dicom_pixels(path: Path, reading: RadiologyReading) -> Pixels:
    """Decodes one frame of a DICOM file.

    Returns:
        (1, Y, X) float32: display values 0..1 where larger is brighter, or HU; colour as ``colour.read_colour`` says. The mask
        ``nodata`` marks padding and pixels that are no number.

    Raises:
        UnreadableFileError: The file cannot be read as ``reading`` asks.
    """
    import numpy as np

    from domainclip.domains.radiology.colour import read_colour
    from domainclip.domains.radiology.dicom import check_readable, decode_frame, foreign_decoder, is_colour, read_dataset
    from domainclip.domains.radiology.display import hounsfield, padding_mask, physical_values, to_display
    from domainclip.domains.radiology.functional_groups import FrameHeader

    dataset = read_dataset(path, reading, pixels=True)
    with foreign_decoder("Reading its pixels"):
        check_readable(dataset, reading)
        header = FrameHeader(dataset, reading.frame or 0)
        colour = is_colour(dataset)
        grey = str(dataset.get("PhotometricInterpretation")).startswith("MONOCHROME")
        stored = decode_frame(dataset, reading.frame or 0)
        padding = padding_mask(stored, header) if grey else None
        if stored.dtype.kind == "f" and padding is not None:
            stored = np.where(np.isfinite(stored), stored, 0.0)
        shown = None
        if grey:
            values = physical_values(stored, header)
            shown = hounsfield(values, header) if reading.output == "hu" else to_display(values, padding, header, reading)
        array = read_colour(stored, shown, header, reading) if colour or shown is None else shown[None]
    return Pixels(array, {} if padding is None or not padding.any() else {"nodata": padding})


def _picture_sample(item: SourceItem, reading: RadiologyReading) -> Sample:
    from domainclip.domains.radiology.picture import has_colours, open_picture

    if reading.output == "hu":
        raise unreadable("A PNG or JPEG holds no Hounsfield units.", "Read it with reading.output=display.")
    with open_picture(item.path, reading) as picture:
        white = 2 ** (reading.bits_stored or 16) - 1 if picture.mode.startswith("I") else 255
        rgb = reading.colour == "rgb" and has_colours(picture)
    return Sample(
        key=item.name,
        axes="CYX",
        channels=_RGB if rgb else _CHANNELS,
        values=Values("srgb" if rgb else "display", scale=1.0 / white),
        reader=partial(read_picture_pixels, item.path, reading),
        group=item.group or item.ids.get("patient") or item.name,
        spacing=item.spacing,
        captions=item.captions,
        labels=item.labels,
        regions=item.regions,
        ids=item.ids,
        split=item.split,
    )


def read_picture_pixels(path: Path, reading: RadiologyReading) -> Pixels:
    """Decodes a PNG or JPEG.

    Returns:
        (1, Y, X) uint8 or uint16 as stored, or (3, Y, X) uint8; ``Values.scale`` of the sample takes them to 0..1.

    Raises:
        UnreadableFileError: The file cannot be read as ``reading`` asks.
    """
    from domainclip.domains.radiology.picture import read_picture, white_level

    array: Any = read_picture(path, reading)
    white_level(array, reading)
    return Pixels(array[None] if array.ndim == 2 else array)


DOMAIN = Radiology()
