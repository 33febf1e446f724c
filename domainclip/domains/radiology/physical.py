"""Frames of DICOM files as the numbers that the modality means, one after the other, each file opened once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.colour import read_colour
from domainclip.domains.radiology.dicom import check_readable, decode_frame, foreign_decoder, is_colour, read_dataset
from domainclip.domains.radiology.display import masked, physical_numbers
from domainclip.domains.radiology.functional_groups import FrameHeader
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.domains.radiology.series import SliceHeader
from domainclip.heartbeat import beat


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame after the modality LUT.

    Attributes:
        header: As the frame sees it.
        values: (Y, X) float32 numbers, or (3, Y, X) red, green, blue of a colour frame.
        padding: (Y, X) True where there is no data, or None.
    """

    header: FrameHeader
    values: npt.NDArray[Any]
    padding: npt.NDArray[np.bool_] | None


def frames_of(paths: Sequence[Path], slices: Sequence[SliceHeader], reading: RadiologyReading) -> Iterator[Frame]:
    """Decodes slices in their order.

    Args:
        paths: The files of the series.
        slices: Which frames of which files.
        reading: Limits and policies.

    Raises:
        UnreadableFileError: A file cannot be read as ``reading`` asks, or is not what it was when the series was looked at.
    """
    dataset, opened = None, -1
    for one in slices:
        if one.file != opened or dataset is None:
            dataset, opened = read_dataset(paths[one.file], reading, pixels=True), one.file
        frame = _frame(dataset, one.frame, reading)
        if frame.values.shape[-2:] != one.size:
            raise unreadable("A file of its series changed while it was read.", "Read it again once nobody writes to it.")
        yield frame
        beat()


def _frame(dataset: Any, number: int, reading: RadiologyReading) -> Frame:
    with foreign_decoder("Reading its pixels", dataset):
        check_readable(dataset, reading.model_copy(update={"frame": number}))
        header = FrameHeader(dataset, number)
        stored = decode_frame(dataset, number)
        if is_colour(dataset):
            if str(dataset.get("PhotometricInterpretation")).startswith("MONOCHROME"):
                raise unreadable("It is grey with a colour palette, which volumes and time series do not take.", "Use axes=CYX.")
            return Frame(header, read_colour(stored, None, header, reading), None)
        stored, padding = masked(stored, header)
        return Frame(header, physical_numbers(stored, header), padding)
