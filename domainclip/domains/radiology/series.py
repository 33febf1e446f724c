"""Which DICOM files make one series, and which slices of it make one stack."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from domainclip.domains.base import Gathering
from domainclip.domains.dicom_kind import is_dicom_slide, quiet_pydicom
from domainclip.domains.radiology.dicom import foreign_decoder, frame_count, is_colour, read_dataset
from domainclip.domains.radiology.display import check_hounsfield
from domainclip.domains.radiology.functional_groups import FrameHeader
from domainclip.domains.radiology.header import pixel_spacing
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.domains.radiology.voi import Voi, choose_voi
from domainclip.errors import UnreadableFileError

SAME_PLACE_MM = 0.01
"""Slices nearer to each other than this lie at the same place; headers give positions to 0.001 mm or better."""
_WHOLE = 0.99
_ROUNDING = 1e-3
_MOST_COMPARED = 1000
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
        kind: Image type, object class and frame of reference: slices of one stack agree in them.
        marks: By which slices at the same place may differ, the name to its value (echo, time point, b-value, acquisition).
        instance: Instance number, 0 where there is none.
        photometric: Whether it is MONOCHROME1 or MONOCHROME2.
        stated_spacing: Distance of slices in mm by Spacing Between Slices, where that is no gap between them; else None.
        voi: Which numbers are shown; None for Hounsfield units and colour.
    """

    file: int
    frame: int
    size: tuple[int, int]
    spacing: Vector | None
    position: Vector | None
    orientation: Vector | None
    kind: tuple[str, ...]
    marks: tuple[tuple[str, Any], ...]
    instance: int
    photometric: str = ""
    stated_spacing: float | None = None
    voi: Voi | None = None

    def mark(self, name: str) -> Any:
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
    # Warnings are the process's and not a thread's: each thread's own silence would end that of the others.
    with quiet_pydicom(), ThreadPoolExecutor(_FILES_AHEAD) as pool:
        ordered = sorted(paths)
        for path, series in zip(ordered, pool.map(_series_of, ordered), strict=True):
            if series:
                found[series].append(path)
    return Gathering({files[0]: tuple(files[1:]) for files in found.values() if len(files) > 1})


def _series_of(path: Path) -> str:
    """Returns the Series Instance UID of a file of one frame, "" for all others."""
    try:
        if path.name.upper().startswith("DICOMDIR") or is_dicom_slide(path):
            return ""
        header = read_dataset(path, RadiologyReading(), pixels=False)
        return str(header.get("SeriesInstanceUID") or "") if frame_count(header) == 1 else ""
    except UnreadableFileError:
        return ""  # It stands for itself; whoever reads it is told why it cannot be read.


def slice_headers(header: Any, file: int, reading: RadiologyReading) -> list[SliceHeader]:
    """Returns a header's slices: one of a classic file, one a frame of a multi-frame file.

    Args:
        header: A ``pydicom.Dataset``.
        file: Position of the file among those of its series.
        reading: Window and output.

    Raises:
        UnreadableFileError: The header is damaged, or has not the window or the Hounsfield units that are asked for.
    """
    with foreign_decoder("Reading the place of its slices"):
        return [_slice_header(FrameHeader(header, frame), file, frame, reading) for frame in range(frame_count(header))]


def _slice_header(header: FrameHeader, file: int, frame: int, reading: RadiologyReading) -> SliceHeader:
    if reading.output == "hu":
        check_hounsfield(header)
    spacing = pixel_spacing(header)[0]
    kind = tuple(str(header.get(tag)) for tag in ("ImageType", "SOPClassUID", "FrameOfReferenceUID"))
    marks = ((name, _mark(_stated(header, name), read)) for name, read in _MARKS)
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
        str(header.get("PhotometricInterpretation")),
        _stated_spacing(header),
        None if reading.output == "hu" or is_colour(header) else choose_voi(header, reading),
    )


def _stated_spacing(header: FrameHeader) -> float | None:
    """Spacing Between Slices (0018,0088); some scanners write the gap between slices there, which is less than they are thick."""
    between, thick = (_mark(header.get(tag), float) for tag in ("SpacingBetweenSlices", "SliceThickness"))
    return between if between and (not thick or between >= _WHOLE * thick) else None


def _seconds(time: Any) -> float:
    """A DICOM time, HHMMSS.FFFFFF (PS3.5 6.2), in seconds of the day."""
    text = str(time)
    return int(text[0:2]) * 3600 + int(text[2:4] or 0) * 60 + float(text[4:] or 0)


def _direction(stored: Any) -> Vector:
    """A direction to 0.001, so that equal ones are equal."""
    return tuple(round(float(value), 3) + 0.0 for value in stored)


_MARKS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("EchoNumbers", float),
    ("EchoTime", float),
    ("EffectiveEchoTime", float),
    ("TemporalPositionIdentifier", float),
    ("TemporalPositionIndex", float),
    ("DiffusionBValue", float),
    ("DiffusionGradientOrientation", _direction),
    ("TriggerTime", float),
    ("NominalCardiacTriggerDelayTime", float),
    ("AcquisitionNumber", float),
    ("AcquisitionTime", _seconds),
    ("ContentTime", _seconds),
)
"""What slices at the same place may differ by, in the order in which it is asked; times come last since every slice has its own."""


def _stated(header: FrameHeader, name: str) -> Any:
    value = header.get(name)
    if value is None and name == "DiffusionGradientOrientation":
        # Enhanced objects have it one level deeper (PS3.3 C.8.13.5.9).
        inner = header.get("DiffusionGradientDirectionSequence")
        value = inner[0].get(name) if inner else None
    return value


def _mark(stored: Any, read: Callable[[Any], Any]) -> Any:
    if stored is None or stored == "":
        return None
    try:
        value = read(stored)
        finite = all(math.isfinite(one) for one in (value if isinstance(value, tuple) else (value,)))
    except (TypeError, ValueError):
        return None  # A mark that is no number tells nothing apart.
    return value if finite else None


def _vector(stored: Any, length: int) -> Vector | None:
    if stored is None or stored == "" or len(stored) != length:
        return None
    values = tuple(float(value) for value in stored)
    return values if all(math.isfinite(value) for value in values) else None


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices that make one volume.

    Attributes:
        slices: In the order of files and frames.
        told_by: What tells it from others at the same places: the name of a mark to its value.
        lacking: Slices that it has fewer than the others at the same places.
    """

    slices: tuple[SliceHeader, ...]
    told_by: tuple[tuple[str, Any], ...] = ()
    lacking: int = 0


def stacks_of(slices: Iterable[SliceHeader]) -> list[Stack]:
    """Splits the slices of a series into stacks of one size, spacing, direction and kind (a localizer is a stack of its own).

    Slices at the same place are told apart by what their headers have: echo, time point, b-value, direction, acquisition. A mark
    counts only if all that it tells apart lie at the same places; one of them may be incomplete.

    Returns:
        Stacks in the order of their first slices.

    Raises:
        UnreadableFileError: Slices lie at the same place and nothing tells them apart.
    """
    stacks = _grouped(slices, lambda one: (one.size, one.kind, one.position is None), lambda one: (one.spacing, one.orientation))
    return [part for stack in stacks for part in _told_apart(stack, tuple(name for name, _ in _MARKS))]


def _grouped(
    slices: Iterable[SliceHeader], exact: Callable[[SliceHeader], Any], near: Callable[[SliceHeader], tuple[Vector | None, ...]]
) -> list[list[SliceHeader]]:
    """Groups slices whose exact part is equal, and whose numbers are equal but for the rounding of headers.

    Headers with many different numbers are grouped by equal ones alone: to compare all with all would take for ever.
    """
    equal: dict[Any, list[SliceHeader]] = defaultdict(list)
    for one in slices:
        equal[exact(one), near(one)].append(one)
    if len(equal) > _MOST_COMPARED:
        return list(equal.values())
    groups: list[tuple[Any, list[SliceHeader]]] = []
    for (same, numbers), members in equal.items():
        found = next((group for key, group in groups if key[0] == same and _near(key[1], numbers)), None)
        if found is None:
            groups.append(((same, numbers), list(members)))
        else:
            found += members
    return [sorted(group, key=lambda one: (one.file, one.frame)) for _, group in groups]


def _near(one: tuple[Vector | None, ...], other: tuple[Vector | None, ...]) -> bool:
    return all(
        a is b or (a is not None and b is not None and all(abs(x - y) <= _ROUNDING for x, y in zip(a, b, strict=True)))
        for a, b in zip(one, other, strict=True)
    )


def _told_apart(stack: list[SliceHeader], marks: Sequence[str], told: tuple[tuple[str, Any], ...] = ()) -> list[Stack]:
    places = _places(stack)
    if places is None or len(set(places)) == len(places):
        return [Stack(tuple(stack), told)]
    for number, name in enumerate(marks):
        parts: dict[Any, list[SliceHeader]] = defaultdict(list)
        for one in stack:
            parts[one.mark(name)].append(one)
        if not 1 < len(parts) < len(stack) or None in parts or not _at_same_places(list(parts.values()), len(set(places))):
            continue
        try:
            # Later marks alone are asked: to try all orders of them would take for ever.
            found = [
                stack for value in sorted(parts) for stack in _told_apart(parts[value], marks[number + 1 :], (*told, (name, value)))
            ]
        except UnreadableFileError:
            continue
        most = max(len(one.slices) for one in found)
        return [replace(one, lacking=max(one.lacking, most - len(one.slices))) for one in found]
    raise unreadable(
        "Slices of its series lie at the same place, and their headers do not tell which belong together.",
        "Read frames at one place as a time series (reading.axes=TCYX), or slices one by one (CYX).",
    )


def _at_same_places(parts: Sequence[Sequence[SliceHeader]], every: int) -> bool:
    """Says whether all parts cover every place of the stack; one may lack some."""
    covered = [len(set(_places(part) or ())) for part in parts]
    return sum(count < every for count in covered) <= (1 if len(parts) > 2 else 0)


def _places(stack: Sequence[SliceHeader]) -> list[int] | None:
    """Returns the number of each slice's place along the normal, equal for slices at the same place; None without places."""
    if stack[0].position is None or stack[0].orientation is None:
        return None
    normal = normal_of(stack[0].orientation)
    along = [one.along(normal) for one in stack]
    order = sorted(range(len(along)), key=along.__getitem__)
    numbers, number = [0] * len(along), 0
    for before, at in itertools.pairwise(order):
        number += along[at] - along[before] >= SAME_PLACE_MM
        numbers[at] = number
    return numbers


def normal_of(orientation: Vector) -> Vector:
    """Returns the direction from slice to slice: the cross product of the directions of columns and rows (PS3.3 C.7.6.2.1.1)."""
    a, b, c, d, e, f = orientation
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def moments_of(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Groups frames into time series: those of one size and kind at one place, in the order of time.

    Returns:
        Groups in the order of their first frames. Time is the first of the marks that differs, then the instance number.
    """
    # Without places, the frames of one file are at one.
    groups = _grouped(
        slices,
        lambda one: (one.size, one.kind, one.file if one.position is None or one.orientation is None else -1),
        lambda one: (one.spacing, one.orientation, one.position),
    )
    return [sorted(group, key=lambda one: (one.frame, *_time(one), one.instance, one.file)) for group in groups]


def _time(one: SliceHeader) -> tuple[float, ...]:
    names = (
        "TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime", "NominalCardiacTriggerDelayTime", "AcquisitionTime",
        "ContentTime",
    )  # fmt: skip
    return tuple(value if (value := one.mark(name)) is not None else -math.inf for name in names)
