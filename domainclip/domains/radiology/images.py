"""One picture of a radiology file: its sample, and its pixels when they are asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.sample import Pixels, Sample, SourceItem, Values

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CHANNELS = ("MONOCHROME2",)
RGB = ("red", "green", "blue")


def dicom_sample(item: SourceItem, reading: RadiologyReading) -> Sample:
    """Reads the header of a DICOM file; see ``Radiology.samples``.

    Raises:
        UnreadableFileError: It cannot be read, or ``reading`` does not allow it.
    """
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
    with foreign_decoder("Reading its header", header):
        check_readable(header, reading)
        ids = identifiers(header) | dict(item.ids)
        facts = allowed_facts(header)
        frame = FrameHeader(header, reading.frame or 0)
        spacing = item.spacing or pixel_spacing(frame)[0]
        rgb = reading.colour in {"rgb", "rgb_all"} and is_colour(header)
        if reading.colour == "rgb_all" and not rgb:
            raise unreadable("It is a grey DICOM file; its display values are no colours.", "Read it with reading.colour=rgb.")
        values = colour_values(frame) if rgb else Values("hu" if reading.output == "hu" else "display")
        known = (person_names(header), person_numbers(header)) if item.captions else (frozenset[str](), frozenset[str]())
        captions, dropped = captions_without(item.captions, *known)
    return Sample(
        key=item.name,
        axes="CYX",
        channels=RGB if rgb else CHANNELS,
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
    from domainclip.domains.radiology.colour import read_colour
    from domainclip.domains.radiology.dicom import check_readable, decode_frame, foreign_decoder, is_colour, read_dataset
    from domainclip.domains.radiology.display import displayed, hounsfield, masked
    from domainclip.domains.radiology.functional_groups import FrameHeader

    dataset = read_dataset(path, reading, pixels=True)
    with foreign_decoder("Reading its pixels", dataset):
        check_readable(dataset, reading)
        header = FrameHeader(dataset, reading.frame or 0)
        colour = is_colour(dataset)
        grey = str(dataset.get("PhotometricInterpretation")).startswith("MONOCHROME")
        stored, padding, shown = decode_frame(dataset, reading.frame or 0), None, None
        if grey:
            stored, padding = masked(stored, header)
            shown = hounsfield(stored, header) if reading.output == "hu" else displayed(stored, padding, header, reading)
        array = read_colour(stored, shown, header, reading) if colour or shown is None else shown[None]
    return Pixels(array, {} if padding is None or not padding.any() else {"nodata": padding})


def read_numbers(path: Path, reading: RadiologyReading) -> npt.NDArray[np.float32]:
    """Reads one grey frame of a DICOM file as numbers after the modality LUT: no window, no polarity, padding as it is stored.

    All checks of the header and of compressed frames apply, as for pictures.

    Args:
        path: The file.
        reading: Its limits, ``frame`` and ``allow_burned_in`` apply; ``output`` and the window do not.

    Returns:
        (Y, X) float32: Hounsfield units of CT, the stored numbers where the file has neither a modality LUT nor rescaling.

    Raises:
        UnreadableFileError: The file cannot be read as ``reading`` asks, or is in colour.
    """
    from domainclip.domains.radiology.dicom import check_readable, decode_frame, foreign_decoder, is_colour, read_dataset
    from domainclip.domains.radiology.display import physical_numbers
    from domainclip.domains.radiology.functional_groups import FrameHeader

    dataset = read_dataset(path, reading, pixels=True)
    with foreign_decoder("Reading its pixels"):
        check_readable(dataset, reading)
        if is_colour(dataset):
            raise unreadable("It is in colour; its numbers are no measurements.", "Read it with reading.colour=rgb.")
        header = FrameHeader(dataset, reading.frame or 0)
        return physical_numbers(decode_frame(dataset, reading.frame or 0), header)


def picture_sample(item: SourceItem, reading: RadiologyReading) -> Sample:
    """Looks at a PNG or JPEG; see ``Radiology.samples``.

    Raises:
        UnreadableFileError: It cannot be read, or ``reading`` does not allow it.
    """
    from domainclip.domains.radiology.picture import has_colours, open_picture

    if reading.output == "hu":
        raise unreadable("A PNG or JPEG holds no Hounsfield units.", "Read it with reading.output=display.")
    with open_picture(item.path, reading) as picture:
        white = 2 ** (reading.bits_stored or 16) - 1 if picture.mode.startswith("I") else 255
        rgb = reading.colour == "rgb_all" or (reading.colour == "rgb" and has_colours(picture))
    return Sample(
        key=item.name,
        axes="CYX",
        channels=RGB if rgb else CHANNELS,
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
    import numpy as np

    from domainclip.domains.radiology.picture import read_picture, white_level

    array: Any = read_picture(path, reading)
    white_level(array, reading)
    if reading.colour == "rgb_all" and array.ndim == 2:
        array = np.broadcast_to(array, (3, *array.shape))
    return Pixels(array[None] if array.ndim == 2 else array)
