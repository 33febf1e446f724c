"""Headers of DICOM whole-slide images: the technical facts that reading pixels needs, and nothing of the patient.

Attributes after PS3.3 C.8.12 (VL Whole Slide Microscopy) and C.7.6.17 (multi-frame dimensions).
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from domainclip.domains.dicom_kind import DEFLATED, TRANSFER_SYNTAX, file_meta, is_dicom_slide, quiet_pydicom
from domainclip.domains.pathology.scale import COARSEST_UM, Scale, file_scale
from domainclip.domains.pathology.slides import MAX_FLAT_PIXELS, unreadable
from domainclip.errors import DomainClipError, missing_dependency
from domainclip.sample import Spacing

DAMAGED = "The file is damaged; copy it again."
_PEEK_BYTES, _HEADER_BYTES = 2**22, 2**28
_LAST_PEEKED, _BEFORE_PIXELS = 0x00480007, 0x7FE0000F
_PEEKED = (
    *("ImageType", "SeriesInstanceUID", "SOPInstanceUID", "SOPInstanceUIDOfConcatenationSource", "InConcatenationNumber"),
    *("InConcatenationTotalNumber", "ConcatenationFrameOffsetNumber", "NumberOfFrames", "Rows", "Columns"),
    *("TotalPixelMatrixColumns", "TotalPixelMatrixRows"),
)
_READ = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "BurnedInAnnotation"),
    *("SpecimenLabelInImage", "TotalPixelMatrixFocalPlanes", "NumberOfOpticalPaths", "OpticalPathSequence", "ImagedVolumeWidth"),
    *("ImagedVolumeHeight", "SharedFunctionalGroupsSequence", "DimensionOrganizationType", "ExtendedOffsetTable"),
    "ExtendedOffsetTableLengths",
)
_MAX_FRAMES = 2**24
_PIXELS = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0"
"""PixelData of undefined length in explicit little-endian, and the item of its offset table."""
_POSITION = re.compile(rb"\x48\x00\x1e\x02SL\x04\x00(.{4})\x48\x00\x1f\x02SL\x04\x00(.{4})", re.DOTALL)
"""Column and row position (0048,021E), (0048,021F), which follow each other in explicit little-endian headers."""
_DEFINED = {
    *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"),
    *("HSV", "ARGB", "CMYK", "XYB"),
}


@dataclass(frozen=True, slots=True)
class Instance:
    """One file of a series, as its first few kilobytes tell. Identifiers are for comparing only and go nowhere else.

    Attributes:
        path: The file.
        series: SeriesInstanceUID; that of the image where it is lost, and the file then stands alone.
        image: SOPInstanceUID, of the whole where the file is a part of a concatenation.
        kind: Third value of ImageType: VOLUME for a level; LABEL, OVERVIEW, THUMBNAIL.
        resampled: Fourth value of ImageType is RESAMPLED: a coarser level, not what the scanner took.
        size: (columns, rows) of the whole level.
        tile: (columns, rows) of a frame.
        frames: Of this file.
        part: (number, total, frames before it); (1, 1, 0) where the level is one file.
    """

    path: Path
    series: str
    image: str
    kind: str
    resampled: bool
    size: tuple[int, int]
    tile: tuple[int, int]
    frames: int
    part: tuple[int, int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """(columns, rows) of frames that cover the level."""
        return -(-self.size[0] // self.tile[0]), -(-self.size[1] // self.tile[1])


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How one file of a level holds its pixels.

    Attributes:
        syntax: Transfer syntax UID.
        photometric: PhotometricInterpretation, a term that DICOM defines, or ``"unknown"``.
        samples: SamplesPerPixel.
        bits: BitsAllocated.
        planar: PlanarConfiguration.
        sparse: Frames carry their positions (TILED_SPARSE, or no statement).
        start: Where the element PixelData begins in the file, in bytes.
        offsets: Of the extended offset table, relative to the first frame's item; empty without one.
        focal_planes: How many.
        optical_paths: How many.
        labelled: The header says that the slide's label or other words are in the picture.
        scale: What the header says of the scale.
        power: Objective power, or None.
    """

    syntax: str
    photometric: str
    samples: int
    bits: int
    planar: int
    sparse: bool
    start: int
    offsets: tuple[int, ...]
    focal_planes: int
    optical_paths: int
    labelled: bool
    scale: Scale
    power: float | None


class _Bounded:
    """A file that gives out so many bytes and no more: a header may claim to be as large as the disk."""

    def __init__(self, file: BinaryIO, budget: int) -> None:
        self._file, self._budget = file, budget

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(self._budget + 1 if count is None or count < 0 else min(count, self._budget + 1))
        self._budget -= len(data)
        if self._budget < 0:
            raise ValueError("header too large")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextlib.contextmanager
def foreign_header(what: str) -> Iterator[None]:
    """Turns what pydicom raises at broken input into ``UnreadableFileError`` and keeps its words, which quote values, to itself."""
    try:
        with quiet_pydicom():
            yield
    except DomainClipError:
        raise
    except Exception as error:  # pydicom's own errors have no base, and broken headers raise others as well; passed on as one kind.
        raise unreadable(f"{what} cannot be read ({type(error).__name__}).", DAMAGED) from error


def peek(path: Path) -> Instance:
    """Reads what groups a file with its siblings, a few kilobytes of it; remembered until the file changes.

    Raises:
        UnreadableFileError: It is gone, no DICOM whole-slide image, or damaged.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable(f"The file cannot be opened ({type(error).__name__}).", "Check that it exists and may be read.") from error
    return _peeked(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=65536)
def _peeked(path: Path, mtime_ns: int, size: int) -> Instance:
    try:
        from pydicom.datadict import tag_for_keyword
        from pydicom.filereader import read_partial
    except ImportError as error:
        raise missing_dependency("pydicom", "Reading DICOM slides", "pydicom imagecodecs") from error
    if not is_dicom_slide(path):
        raise unreadable("It is no DICOM whole-slide image.", DAMAGED)
    with foreign_header("The DICOM header"), path.open("rb") as file:
        for last in (_LAST_PEEKED, _BEFORE_PIXELS):  # a spoilt tag among the first may stand for one behind them
            file.seek(0)
            header = read_partial(
                _Bounded(file, _PEEK_BYTES),
                stop_when=lambda tag, _vr, _length, last=last: last < tag <= _BEFORE_PIXELS + 1,
                specific_tags=[tag_for_keyword(name) or 0 for name in _PEEKED],
            )
            if "TotalPixelMatrixRows" in header:
                break
        kinds = [str(part) for part in header.ImageType]
        number, total, before = (
            header.get(name) for name in ("InConcatenationNumber", "InConcatenationTotalNumber", "ConcatenationFrameOffsetNumber")
        )
        image = str(header.get("SOPInstanceUIDOfConcatenationSource") or header.SOPInstanceUID)
        instance = Instance(
            path=path,
            series=str(header.get("SeriesInstanceUID") or image),
            image=image,
            kind=kinds[2],
            resampled=kinds[3:4] == ["RESAMPLED"],
            size=(int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)),
            tile=(int(header.Columns), int(header.Rows)),
            frames=int(header.get("NumberOfFrames") or 1),
            part=(int(number or 1), int(total or number or 1), int(before or 0)),
        )
        if min(*instance.size, *instance.tile, instance.frames, instance.part[0]) < 1:
            raise ValueError("empty")
    return instance


def read_layout(instance: Instance) -> PixelLayout:
    """Reads the rest of a level's header, up to the pixels.

    Raises:
        UnreadableFileError: It is damaged, or its sizes are over the limits.
    """
    import pydicom
    from pydicom.datadict import tag_for_keyword

    syntax = file_meta(instance.path).get(TRANSFER_SYNTAX, "")
    cells = max(instance.frames, instance.grid[0] * instance.grid[1])
    if instance.tile[0] * instance.tile[1] > MAX_FLAT_PIXELS or cells > _MAX_FRAMES:
        found = f"It has {cells} frames of {instance.tile[0]} x {instance.tile[1]} pixels: too many."
        raise unreadable(found, "Convert it to tiles of 256 to 1024 pixels, e.g. with wsidicomizer.")
    if syntax == DEFLATED:
        raise unreadable(
            "The whole file is deflated, so no frame can be found in it.", "Inflate it, e.g. dcmconv +te in.dcm out.dcm."
        )
    with foreign_header("The DICOM header"), instance.path.open("rb") as file:
        tags: list[Any] = [tag_for_keyword(name) for name in _READ]
        header = pydicom.dcmread(
            _Bounded(file, _HEADER_BYTES),
            stop_before_pixels=True,
            specific_tags=tags,
        )
        start = _pixels_start(file, instance, file.tell())
        paths = header.get("OpticalPathSequence") or []
        photometric = str(header.PhotometricInterpretation)
        table = bytes(header.get("ExtendedOffsetTable") or b"")
        power = _power(paths)
        return PixelLayout(
            syntax=syntax,
            photometric=photometric if photometric in _DEFINED else "unknown",
            samples=int(header.SamplesPerPixel),
            bits=int(header.BitsAllocated),
            planar=int(header.get("PlanarConfiguration") or 0),
            sparse=str(header.get("DimensionOrganizationType") or "") != "TILED_FULL",
            start=start,
            offsets=tuple(int.from_bytes(table[at : at + 8], "little") for at in range(0, len(table), 8)),
            focal_planes=_possible(header.get("TotalPixelMatrixFocalPlanes"), instance),
            optical_paths=max(_possible(header.get("NumberOfOpticalPaths"), instance), len(paths)),
            labelled="YES" in {str(header.get(name) or "") for name in ("BurnedInAnnotation", "SpecimenLabelInImage")},
            scale=_scale(header, instance.size, power),
            power=power,
        )


def _possible(count: Any, instance: Instance) -> int:
    """A number of planes or paths; 1 where it is more than there are frames, which no file can mean."""
    return int(count) if count and int(count) <= instance.frames else 1


def _pixels_start(file: BinaryIO, instance: Instance, said: int) -> int:
    """Where PixelData begins: where pydicom stopped, or, if a wrong length led it astray, where frames in items begin.

    Those are found by the element's own bytes with an offset table of no or all frames behind (PS3.5 A.4); else ``said`` is kept.
    """
    file.seek(said)
    if file.read(4) == _PIXELS[:4]:
        return said
    file.seek(0)
    data = file.read(_PEEK_BYTES)
    for length in (0, 4 * instance.frames):
        at = data.find(_PIXELS + length.to_bytes(4, "little"))
        if at >= 0:
            return at
    return said


def frame_positions(instance: Instance, layout: PixelLayout) -> list[tuple[int, int]]:
    """Reads where the frames of a TILED_SPARSE file lie.

    Args:
        instance: The file.
        layout: Of the same file.

    Returns:
        (column, row) in the grid of frames, one for each frame.

    Raises:
        UnreadableFileError: There are none, they lie off the grid, or outside of the level.
    """
    with foreign_header("The positions of the frames"):
        origins = _scanned_positions(instance, layout) or _parsed_positions(instance)
    if len(origins) != instance.frames:
        raise unreadable(f"It has {instance.frames} frames and the positions of {len(origins)}.", DAMAGED)
    columns, rows = instance.tile
    if any(x % columns or y % rows for x, y in origins):
        raise unreadable("Its frames do not lie on a grid.", "Convert it to TILED_FULL, e.g. with wsidicomizer.")
    cells = [(x // columns, y // rows) for x, y in origins]
    if any(not (0 <= x < instance.grid[0] and 0 <= y < instance.grid[1]) for x, y in cells):
        raise unreadable("A frame lies outside of the level.", DAMAGED)
    return cells


def _scanned_positions(instance: Instance, layout: PixelLayout) -> list[tuple[int, int]]:
    """Finds the positions by their bytes: pydicom needs 1.5 s for 10 000 frames. Empty unless there is one for each frame."""
    with instance.path.open("rb") as file:
        found = _POSITION.findall(_Bounded(file, _HEADER_BYTES).read(layout.start))
    if len(found) != instance.frames:
        return []
    return [(int.from_bytes(x, "little", signed=True) - 1, int.from_bytes(y, "little", signed=True) - 1) for x, y in found]


def _parsed_positions(instance: Instance) -> list[tuple[int, int]]:
    import pydicom
    from pydicom.datadict import tag_for_keyword

    with instance.path.open("rb") as file:
        header = pydicom.dcmread(
            _Bounded(file, _HEADER_BYTES),
            stop_before_pixels=True,
            specific_tags=[tag_for_keyword("PerFrameFunctionalGroupsSequence") or 0],
        )
    places = [group.PlanePositionSlideSequence[0] for group in header.PerFrameFunctionalGroupsSequence]
    return [(int(at.ColumnPositionInTotalImagePixelMatrix) - 1, int(at.RowPositionInTotalImagePixelMatrix) - 1) for at in places]


def _power(paths: Any) -> float | None:
    """Objective power (0048,0112) of the first optical path; the eyepiece and the camera are no part of it."""
    power = _number(paths[0], "ObjectiveLensPower") if len(paths) else None
    return power if power is not None and 0 < power <= 200 else None


def _number(header: Any, name: str) -> float | None:
    """A value that the pixels can be read without; None where it is not there or no number."""
    try:
        value = header.get(name)
        return float(value) if value else None
    except (ValueError, TypeError):
        return None


def _spacing(header: Any) -> tuple[float, float] | None:
    """PixelSpacing (row, column; mm); None where it is not there or damaged, which the pixels can be read without."""
    try:
        shared = header.get("SharedFunctionalGroupsSequence") or []
        measures = shared[0].get("PixelMeasuresSequence") if len(shared) else None
        stored = measures[0].get("PixelSpacing") if measures else None
        return (float(stored[0]), float(stored[1])) if isinstance(stored, Sequence) and len(stored) == 2 else None
    except (ValueError, TypeError, LookupError, AttributeError, OSError):  # of pydicom, which parses when asked
        return None


def _scale(header: Any, size: tuple[int, int], power: float | None) -> Scale:
    """PixelSpacing (row, column; mm) of the shared functional groups, else the imaged volume's size, else the objective power."""
    spacing = _spacing(header)
    passed: list[str] = []
    wide, high = _number(header, "ImagedVolumeWidth"), _number(header, "ImagedVolumeHeight")
    steps = (
        ("dicom.PixelSpacing", spacing),
        ("dicom.ImagedVolume", (high / size[1], wide / size[0]) if wide and high else None),
    )
    for source, mm in steps:
        if mm is None:
            continue
        um = (mm[0] * 1000, mm[1] * 1000)
        if all(math.isfinite(value) and 0 < value <= COARSEST_UM for value in um):
            return Scale(Spacing(um, "um", source), tuple(passed))
        passed.append(f"{source} says {um[1]:g} um/px, which is not a microscope's")
    last = file_scale({} if power is None else {"openslide.objective-power": str(power)}, None, generic=False)
    return Scale(last.spacing, tuple(passed))
