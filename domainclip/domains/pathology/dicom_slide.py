"""DICOM whole-slide images: the instances of one series in one folder, as one slide.

OpenSlide 4.0.1 reads the common ones with the same pixels, and is the judge in the tests. It is not used here: some spoilt headers
crash its process, two optical paths pass for one, and tiles take it longer (1.4 times for JPEG 2000, 4 times uncompressed).
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.dicom_kind import is_dicom_slide
from domainclip.domains.folder import astray
from domainclip.domains.pathology.dicom_frames import NATIVE, READ, FrameFile
from domainclip.domains.pathology.dicom_header import DAMAGED, Instance, PixelLayout, frame_positions, peek, read_layout
from domainclip.domains.pathology.slides import RGB, Level, Masked, Slide, SlideFacts, unreadable
from domainclip.errors import UnreadableFileError
from domainclip.heartbeat import beat

FINEST_LEVEL = "finest_level"
"""Key of ``facts.details``: ``"resampled"`` where the level that the scanner took is not in the folder, else ``"original"``."""
STRAY = (
    "A file that belongs to it is a symbolic link that leads out of its folder, which is not followed.",
    "Copy the file here; or name the slide by a link too, in a manifest.",
)
"""(found, remedy) of a slide of several files."""
_CACHE_BYTES = 2**26
_PHOTOMETRIC = frozenset(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"))
_OTHER_SYNTAX = "Convert it to JPEG or JPEG 2000 tiles, e.g. with wsidicom or gdcmconv."


def volumes(instances: Sequence[Instance]) -> list[list[Instance]]:
    """Sorts the instances of one series into levels: those of ImageType VOLUME, the finest first, parts in their order.

    A file that lies there twice counts once, by the first name. Labels, overviews and thumbnails are left out.

    Returns:
        Lists of the files of one level.
    """
    levels: dict[str, dict[int, Instance]] = {}
    for instance in sorted(instances, key=lambda one: one.path.name):
        if instance.kind == "VOLUME":
            levels.setdefault(instance.image, {}).setdefault(instance.part[0], instance)
    found = [[parts[number] for number in sorted(parts)] for parts in levels.values()]
    return sorted(found, key=lambda parts: (-parts[0].size[0] * parts[0].size[1], parts[0].path.name))


class DicomSlide(Slide):
    """One series; see ``slides.Slide``. Frames are decoded on demand, and the last 64 MB of them kept.

    Args:
        path: Any instance of the series; its siblings lie in the same folder.
    """

    def __init__(self, path: Path) -> None:
        named = peek(path)
        levels = volumes(_siblings(named))
        if not levels:
            found = f"It is a {named.kind.lower()} image" if named.kind in {"LABEL", "OVERVIEW", "THUMBNAIL"} else "It is no level"
            raise unreadable(f"{found}, and no level of its slide lies beside it.", "Put all files of the slide in one folder.")
        self._levels = [_DicomLevel(parts) for parts in levels]
        sizes = [level.size for level in self._levels]
        if len(set(sizes)) != len(sizes):
            found = "Its series has several images of one size: focal planes, or a second scan."
            raise unreadable(found, "Keep the files of one focal plane in the folder.")
        self._decoded: OrderedDict[tuple[int, int, int], RGB] = OrderedDict()
        self._lock = threading.Lock()
        self.facts = _facts(self._levels, levels[0][0].resampled)

    def read_masked(self, level: int, x: int, y: int, width: int, height: int) -> Masked:
        """See ``slides.Slide``; frames that a sparse level does not hold were not scanned."""
        source = self._levels[level]
        columns, rows = source.tile
        box = np.full((height, width, 3), 255, np.uint8)
        missing = np.ones((height, width), np.bool_)
        for row in range(y // rows, (y + height - 1) // rows + 1):
            for column in range(x // columns, (x + width - 1) // columns + 1):
                frame = self._frame(level, column, row)
                if frame is None:
                    continue
                top, left = row * rows - y, column * columns - x
                down = slice(max(top, 0), min(top + rows, height))
                across = slice(max(left, 0), min(left + columns, width))
                missing[down, across] = False
                box[down, across] = frame[down.start - top : down.stop - top, across.start - left : across.stop - left]
        return Masked(box, missing if missing.any() else None)

    def _frame(self, level: int, column: int, row: int) -> RGB | None:
        key = (level, column, row)
        with self._lock:
            if key in self._decoded:
                self._decoded.move_to_end(key)
                return self._decoded[key]
        frame = self._levels[level].frame(column, row)
        if frame is not None:
            with self._lock:
                self._decoded[key] = frame
                while len(self._decoded) > 1 and sum(kept.nbytes for kept in self._decoded.values()) > _CACHE_BYTES:
                    self._decoded.popitem(last=False)
        return frame


class _DicomLevel:
    """The files of one level and where each of its frames lies."""

    def __init__(self, parts: list[Instance]) -> None:
        first = parts[0]
        self.size, self.tile, self.grid = first.size, first.tile, first.grid
        if len(parts) != first.part[1]:
            found = f"A level is split over {first.part[1]} files, of which {len(parts)} are here."
            raise unreadable(found, "Put all files of the slide in one folder.")
        self.layouts = [read_layout(part) for part in parts]
        for layout in self.layouts:
            _check(layout)
        if any((part.size, part.tile) != (first.size, first.tile) for part in parts):
            raise unreadable("The files of one level disagree in size.", DAMAGED)
        self._files = [FrameFile(part, layout) for part, layout in zip(parts, self.layouts, strict=True)]
        cells = self.grid[0] * self.grid[1]
        for file, part in zip(self._files, parts, strict=True):
            file.check_whole(min(part.frames, cells))
        frames = sum(part.frames for part in parts)
        self._where: dict[tuple[int, int], tuple[int, int]] | None = None
        if any(layout.sparse for layout in self.layouts):
            self._where = _sparse(parts, self.layouts)
            return
        if frames < cells:
            raise unreadable(f"A level has {frames} frames; {cells} cover it.", "The copy is incomplete; copy it again.")
        self._starts = [part.part[2] for part in parts]
        self._counts = [part.frames for part in parts]

    def frame(self, column: int, row: int) -> RGB | None:
        """Decodes the frame of a cell of the grid; None where a sparse level has none."""
        if self._where is not None:
            place = self._where.get((column, row))
            return None if place is None else self._files[place[0]].frame(place[1])
        number = row * self.grid[0] + column
        for file, start, count in zip(self._files, self._starts, self._counts, strict=True):
            if start <= number < start + count:
                return file.frame(number - start)
        raise unreadable("The files of one level do not follow each other.", DAMAGED)


def _sparse(parts: list[Instance], layouts: list[PixelLayout]) -> dict[tuple[int, int], tuple[int, int]]:
    """Cell of the grid to (file, frame)."""
    where: dict[tuple[int, int], tuple[int, int]] = {}
    for number, (part, layout) in enumerate(zip(parts, layouts, strict=True)):
        for frame, cell in enumerate(frame_positions(part, layout)):
            if cell in where:
                found = "Two frames of a level lie in one place: several focal planes or optical paths."
                raise unreadable(found, "Export one plane of one path; which of them to read is not guessed.")
            where[cell] = (number, frame)
    return where


def _siblings(named: Instance) -> list[Instance]:
    """The instances of the series in the folder; files that cannot be read are not known to belong to it.

    Raises:
        UnreadableFileError: One is a link that leads out of the folder, and the file that was named is none.
    """
    folder, found = named.path.parent, [named]
    home = folder.resolve()
    linked = named.path.is_symlink() and astray(named.path, home) is not None
    try:
        paths = _series_of(folder, folder.stat().st_mtime_ns).get(named.series, ())
    except OSError as error:
        raise unreadable(f"Its folder cannot be listed ({type(error).__name__}).", "Check that it may be read.") from error
    for path in paths:
        if path == named.path:
            continue
        if not linked and path.is_symlink() and astray(path, home):
            raise unreadable(*STRAY)
        if (other := peek(path)).series == named.series:
            found.append(other)
    return found


@lru_cache(maxsize=4)
def _series_of(folder: Path, mtime_ns: int) -> Mapping[str, Sequence[Path]]:
    """Sorts a folder's files by series, once for all slides of a folder that does not change; a share may hold thousands."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        beat()
        if path.name.startswith(".") or not path.is_file() or not is_dicom_slide(path):
            continue
        with contextlib.suppress(UnreadableFileError):  # not known to belong to any
            found[peek(path).series].append(path)
    return found


def _check(layout: PixelLayout) -> None:
    """Refuses what would be read wrong.

    Raises:
        UnreadableFileError: Several planes or paths, other pixels than 8-bit colour, an unknown compression, or a label in view.
    """
    if layout.focal_planes > 1:
        remedy = "Export one focal plane; which of them to read is not guessed."
        raise unreadable(f"It has {layout.focal_planes} focal planes; one is read.", remedy)
    if layout.optical_paths > 1:
        remedy = "Export one optical path; fluorescence and multispectral slides are not read by this domain."
        raise unreadable(f"It has {layout.optical_paths} optical paths; one is read.", remedy)
    if layout.bits != 8:
        remedy = "Scale it to 8 bits with the white level of your scanner; which number is white is not in the file."
        raise unreadable(f"The pixels have {layout.bits} bits; brightfield slides are read as 8-bit RGB.", remedy)
    halved = layout.photometric == "YBR_FULL_422" and layout.syntax in NATIVE
    if layout.samples != 3 or layout.photometric not in _PHOTOMETRIC or halved:
        found = f"Its photometric interpretation is {layout.photometric} with {layout.samples} samples, not red, green and blue."
        raise unreadable(found, "Save it as RGB; fluorescence and grey images are not read by this domain.")
    if layout.syntax not in READ:
        raise unreadable("Its pixels are compressed in a way that is not read here.", _OTHER_SYNTAX)
    if layout.labelled:
        found = "Its header says that words or the slide's label are in the picture (BurnedInAnnotation, SpecimenLabelInImage)."
        raise unreadable(found, "Cut the label off; if there is none in the picture, correct the header.")


def _facts(levels: list[_DicomLevel], resampled: bool) -> SlideFacts:
    width, height = levels[0].size
    first = levels[0].layouts[0]
    sizes: list[Level] = [(*level.size, (width / level.size[0] + height / level.size[1]) / 2) for level in levels]
    details: dict[str, Any] = {
        FINEST_LEVEL: "resampled" if resampled else "original",
        "organisation": "TILED_SPARSE" if first.sparse else "TILED_FULL",
        "photometric": first.photometric,
    }
    if first.power is not None:
        details["objective_power"] = f"{first.power:g}"
    return SlideFacts(format="DICOM slide (pydicom)", levels=tuple(sizes), scale=first.scale, vendor="dicom", details=details)
