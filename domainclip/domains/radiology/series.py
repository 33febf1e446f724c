"""Which DICOM files make one series, and which slices of it make one stack."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainclip.domains import magic
from domainclip.domains.base import Gathering
from domainclip.domains.dicom_kind import is_dicom_slide
from domainclip.domains.radiology.dicom import foreign_decoder, frame_count, read_dataset
from domainclip.domains.radiology.functional_groups import FrameHeader
from domainclip.domains.radiology.header import pixel_spacing
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.errors import UnreadableFileError

SAME_PLACE_MM = 0.01
"""Slices nearer to each other than this lie at the same place; headers give positions to 0.001 mm or better."""
_SAME_DIRECTION = 1e-3
_FILES_AHEAD = 8

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """Where one slice lies, and what tells it from others.

    Attributes:
        file: Position among the files of its series.
        frame: From 0, of a multi-frame file.
        size: Rows and columns.
        spacing: Of rows and columns in mm, or None.
        position: Of the centre of the first pixel in mm, LPS (Image Position (Patient), PS3.3 C.7.6.2.1.1), or None.
        orientation: Directions of increasing column and of increasing row, six cosines, or None.
        kind: Image type, object class, photometric interpretation and echo: slices of one stack agree in them.
        marks: By which slices at the same place may differ, the name to its value (time point, b-value, acquisition).
        instance: Instance number, 0 where there is none.
    """

    file: int
    frame: int
    size: tuple[int, int]
    spacing: Vector | None
    position: Vector | None
    orientation: Vector | None
    kind: tuple[str, ...]
    marks: tuple[tuple[str, float], ...]
    instance: int

    def mark(self, name: str) -> float | None:
        """Returns one of the marks, or None."""
        return dict(self.marks).get(name)

    def along(self, direction: Vector) -> float:
        """Returns the place along a direction in mm."""
        assert self.position is not None
        return sum(a * b for a, b in zip(self.position, direction, strict=True))


def gather_series(paths: Sequence[Path]) -> Gathering:
    """Groups the single-frame DICOM files of a source by Series Instance UID, wherever they lie.

    Args:
        paths: All files.

    Returns:
        Of each series of two files or more, the first by path to the others. Files that cannot be read stand for themselves.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    with ThreadPoolExecutor(_FILES_AHEAD) as pool:
        ordered = sorted(paths)
        for path, series in zip(ordered, pool.map(_series_of, ordered), strict=True):
            if series:
                found[series].append(path)
    return Gathering({files[0]: tuple(files[1:]) for files in found.values() if len(files) > 1})


def _series_of(path: Path) -> str:
    """Returns the Series Instance UID of a file of one frame, "" for all others."""
    try:
        with path.open("rb") as file:
            if not magic.is_dicom(file.read(magic.DICOM_HEAD_BYTES)) or path.name.upper().startswith("DICOMDIR"):
                return ""
        if is_dicom_slide(path):
            return ""
        header = read_dataset(path, RadiologyReading(), pixels=False)
        return str(header.get("SeriesInstanceUID") or "") if frame_count(header) == 1 else ""
    except (OSError, UnreadableFileError):
        return ""  # It stands for itself; whoever reads it is told why it cannot be read.


def slice_headers(header: Any, file: int) -> list[SliceHeader]:
    """Returns a header's slices: one of a classic file, one a frame of a multi-frame file.

    Args:
        header: A ``pydicom.Dataset``.
        file: Position of the file among those of its series.

    Raises:
        UnreadableFileError: The header is damaged.
    """
    with foreign_decoder("Reading the place of its slices"):
        return [_slice_header(FrameHeader(header, frame), file, frame) for frame in range(frame_count(header))]


def _slice_header(header: FrameHeader, file: int, frame: int) -> SliceHeader:
    spacing = pixel_spacing(header)[0]
    kind = tuple(str(header.get(tag)) for tag in ("ImageType", "SOPClassUID", "PhotometricInterpretation", "EchoNumbers"))
    marks = ((name, _number(header.get(name), read)) for name, read in _MARKS)
    return SliceHeader(
        file,
        frame,
        (int(header.get("Rows")), int(header.get("Columns"))),
        spacing.values if spacing else None,
        _vector(header.get("ImagePositionPatient"), 3),
        _vector(header.get("ImageOrientationPatient"), 6),
        kind,
        tuple((name, value) for name, value in marks if value is not None),
        int(header.get("InstanceNumber") or 0),
    )


def _seconds(time: Any) -> float:
    """A DICOM time, HHMMSS.FFFFFF (PS3.5 6.2), in seconds of the day."""
    text = str(time)
    return int(text[0:2]) * 3600 + int(text[2:4] or 0) * 60 + float(text[4:] or 0)


_MARKS: tuple[tuple[str, Callable[[Any], float]], ...] = (
    ("TemporalPositionIdentifier", float),
    ("TemporalPositionIndex", float),
    ("DiffusionBValue", float),
    ("TriggerTime", float),
    ("EchoTime", float),
    ("AcquisitionNumber", float),
    ("AcquisitionTime", _seconds),
    ("ContentTime", _seconds),
)
"""What slices at the same place may differ by, in the order in which it is asked; times come last since every slice has its own."""


def _number(stored: Any, read: Callable[[Any], float]) -> float | None:
    if stored is None or stored == "":
        return None
    try:
        value = read(stored)
    except (TypeError, ValueError):
        return None  # A mark that is no number tells nothing apart.
    return value if math.isfinite(value) else None


def _vector(stored: Any, length: int) -> Vector | None:
    if stored is None or stored == "" or len(stored) != length:
        return None
    values = tuple(float(value) for value in stored)
    return values if all(math.isfinite(value) for value in values) else None


def stacks_of(slices: Iterable[SliceHeader]) -> list[list[SliceHeader]]:
    """Splits the slices of a series into stacks of one size, spacing, direction and kind (a localizer is a stack of its own).

    Slices at the same place are told apart by what their headers have: time point, b-value, echo, acquisition.

    Returns:
        Stacks in the order of their first slices; slices in the order of files and frames.

    Raises:
        UnreadableFileError: Slices lie at the same place and nothing tells them apart.
    """
    stacks: list[list[SliceHeader]] = []
    for one in slices:
        alike = next((stack for stack in stacks if _alike(stack[0], one)), None)
        if alike is None:
            stacks.append([one])
        else:
            alike.append(one)
    return [part for stack in stacks for part in _told_apart(stack)]


def _alike(one: SliceHeader, other: SliceHeader) -> bool:
    plain = one.size == other.size and one.kind == other.kind and (one.position is None) == (other.position is None)
    return plain and _near(one.spacing, other.spacing) and _near(one.orientation, other.orientation)


def _near(one: Vector | None, other: Vector | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _SAME_DIRECTION for a, b in zip(one, other, strict=True))


def _told_apart(stack: list[SliceHeader]) -> list[list[SliceHeader]]:
    if not _overlap(stack):
        return [stack]
    for name, _ in _MARKS:
        parts: dict[float | None, list[SliceHeader]] = defaultdict(list)
        for one in stack:
            parts[one.mark(name)].append(one)
        if 1 < len(parts) < len(stack) and None not in parts:
            try:
                return [alone for value in sorted(v for v in parts if v is not None) for alone in _told_apart(parts[value])]
            except UnreadableFileError:
                continue  # This mark does not tell all of them apart; the next may.
    raise unreadable(
        "Slices of its series lie at the same place, and their headers do not tell which belong together.",
        "Export each volume as a series of its own, or read the slices one by one (reading.axes=CYX).",
    )


def _overlap(stack: Sequence[SliceHeader]) -> bool:
    """Says whether two slices lie at the same place; slices without a place do not."""
    if stack[0].position is None or stack[0].orientation is None:
        return False
    places = sorted(one.along(normal_of(stack[0].orientation)) for one in stack)
    return any(after - before < SAME_PLACE_MM for before, after in itertools.pairwise(places))


def normal_of(orientation: Vector) -> Vector:
    """Returns the direction from slice to slice: the cross product of the directions of columns and rows (PS3.3 C.7.6.2.1.1)."""
    a, b, c, d, e, f = orientation
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def moments_of(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Groups frames into time series: those of one size at one place, in the order of time.

    Returns:
        Groups in the order of their first frames. Time is the first of the marks that differs, then the instance number.
    """
    groups: list[list[SliceHeader]] = []
    for one in slices:
        alike = next((group for group in groups if group[0].size == one.size and _same_place(group[0], one)), None)
        if alike is None:
            groups.append([one])
        else:
            alike.append(one)
    return [sorted(group, key=lambda one: (one.frame, *_time(one), one.instance, one.file)) for group in groups]


def _same_place(one: SliceHeader, other: SliceHeader) -> bool:
    if one.position is None or other.position is None or one.orientation is None or other.orientation is None:
        return one.position is None and other.position is None and one.file == other.file
    return _near(one.orientation, other.orientation) and math.dist(one.position, other.position) < SAME_PLACE_MM


def _time(one: SliceHeader) -> tuple[float, ...]:
    names = ("TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime", "AcquisitionTime", "ContentTime")
    return tuple(value if (value := one.mark(name)) is not None else -math.inf for name in names)
