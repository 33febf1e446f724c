"""One face for every file that pathology reads, and a small cache of open files for each process."""

from __future__ import annotations

import os
import struct
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domainclip.domains import magic
from domainclip.domains.pathology.scale import Scale
from domainclip.errors import UnreadableFileError

RGB = npt.NDArray[np.uint8]
COLOURS = ("red", "green", "blue")
Level = tuple[int, int, float]
"""(width, height, downsample) of a pyramid level."""

MAX_FLAT_PIXELS = 89_000_000
"""Files that can only be decoded whole are refused above this (about 270 MB decoded; Pillow's own limit against bombs)."""
MOST_PIXELS_PER_BYTE = 20_000
"""Of level 0, and bytes of the file. An empty tile of 512 x 512 pixels takes 12 bytes of the list of tiles alone (21,845). Slides
have about 1 to 10, one that is almost empty some hundreds."""
OPEN_FILES = 4
HELD_BYTES = 2**26
"""Of pictures that are decoded whole, kept by open files; the one in use may be larger."""
NOT_RGB = "Models of stained slides read 8-bit RGB; other channels are read by their names (see domainclip inspect)."


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """What is known of an open file.

    Attributes:
        format: For people, e.g. ``"Aperio SVS (OpenSlide)"``.
        levels: (width, height, downsample), the finest first.
        scale: What the file says of its scale.
        dtype: Stored type.
        channels: Names; ("red", "green", "blue") for colour, the file's own for fluorescence, empty where it names none.
        samples: Channels of a pixel.
        refusal: (found, remedy) when the pixels must not be read as 8-bit RGB; the rest is still true.
        vendor: OpenSlide's name of the vendor, or None.
        details: Further facts, allow-listed (no scanner serial numbers, users, labels).
    """

    format: str
    levels: tuple[Level, ...]
    scale: Scale
    dtype: str = "uint8"
    channels: tuple[str, ...] = COLOURS
    samples: int = 3
    refusal: tuple[str, str] | None = None
    vendor: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Masked(NamedTuple):
    """Pixels, and where the file holds none.

    Attributes:
        array: (H, W, C) as stored; RGB has transparency composited on white.
        missing: (H, W) True where a tile was never written or never scanned; None when all is there. The array says nothing there.
    """

    array: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None


class Slide(ABC):
    """An open file; readers derive from it and provide ``facts`` and ``read_masked``."""

    facts: SlideFacts
    held_bytes = 0
    """Of pixels that stay decoded as long as the file is open, beside shared caches."""

    @abstractmethod
    def read_masked(self, level: int, x: int, y: int, width: int, height: int) -> Masked:
        """Returns pixels of one level as they are stored.

        Args:
            level: Index of the level.
            x: Left column in this level's pixels.
            y: Upper row in this level's pixels.
            width: Columns; the box lies inside the level.
            height: Rows.

        Raises:
            UnreadableFileError: The pixels cannot be decoded.
        """

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> RGB:
        """Returns pixels of one level for looking at: masks, overviews; the arguments are those of ``read_masked``.

        Returns:
            (height, width, 3) uint8, white where the file holds nothing.

        Raises:
            UnreadableFileError: The pixels cannot be decoded or are no 8-bit RGB.
        """
        refuse(self.facts)
        array, missing = self.read_masked(level, x, y, width, height)
        if array.dtype != np.uint8 or array.shape[2] != 3:
            raise unreadable(f"It has {array.shape[2]} channels of {array.dtype}, not 8-bit red, green and blue.", NOT_RGB)
        if missing is not None:
            array = np.where(missing[..., None], np.uint8(255), array)
        return np.ascontiguousarray(array)


def coarsest_level(levels: Sequence[Level], um_per_px: float, limit_um: float) -> int | None:
    """Returns the coarsest level that is at least as fine as a limit, or None where none is.

    Args:
        levels: (width, height, downsample), the finest first.
        um_per_px: Scale of level 0.
        limit_um: um per pixel that the level may have at most.
    """
    return max((number for number, (_, _, down) in enumerate(levels) if down * um_per_px <= limit_um), default=None)


def unreadable(found: str, remedy: str) -> UnreadableFileError:
    """Builds the error for a slide or patch that cannot be read."""
    return UnreadableFileError("A pathology image was to be read.", found, remedy)


def refuse(facts: SlideFacts) -> None:
    """Raises the refusal that the file earned when it was opened, if any."""
    if facts.refusal is not None:
        raise unreadable(*facts.refusal)


def on_white(rgba: npt.NDArray[np.uint8], *, premultiplied: bool = False) -> RGB:
    """Composites RGBA on white, rounding to nearest; opaque images lose only their fourth plane.

    Args:
        rgba: (H, W, 4) uint8.
        premultiplied: The colours are multiplied by alpha already (TIFF's associated alpha).
    """
    alpha = rgba[..., 3:4]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    share = alpha.astype(np.float32) / 255
    colour = rgba[..., :3].astype(np.float32)
    mixed = (colour if premultiplied else colour * share) + 255 * (1 - share)
    result: RGB = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return result


def first_bytes(path: Path, count: int = 16) -> bytes:
    """Reads the start of a file; empty when it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


_cache: OrderedDict[tuple[Any, ...], Slide] = OrderedDict()
_lock = threading.Lock()


def open_slide(path: Path, scene: int | None = None) -> Slide:
    """Opens a file, or returns it from this process's cache of the last ``OPEN_FILES`` files.

    A file that changed on disk is opened anew, and so is every file in a forked process (handles share a file position).

    Args:
        path: The file.
        scene: Which image of a file that holds several, from 0; None where there is one.

    Raises:
        UnreadableFileError: It is gone, broken, or of a kind that no reader knows; or has no such scene.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable(f"The file cannot be opened ({type(error).__name__}).", "Check that it exists and may be read.") from error
    if path.is_file() and not stat.st_size:
        raise unreadable("The file is empty (0 bytes).", "The copy is incomplete; copy it again.")
    key = (os.getpid(), str(path), stat.st_mtime_ns, stat.st_size, scene)
    with _lock:
        slide = _cache.get(key)
        if slide is not None:
            _keep(key, slide)
            return slide
    slide = _opened(path, scene)
    with _lock:
        _keep(key, slide)
    return slide


def _keep(key: tuple[Any, ...], slide: Slide) -> None:
    _cache[key] = slide
    _cache.move_to_end(key)
    while len(_cache) > OPEN_FILES or (len(_cache) > 1 and sum(kept.held_bytes for kept in _cache.values()) > HELD_BYTES):
        # Not closed here: another thread may be reading; the library closes it with the last reference.
        _cache.popitem(last=False)


def _opened(path: Path, scene: int | None) -> Slide:
    start = first_bytes(path, magic.DICOM_HEAD_BYTES)
    if magic.is_dicom(start):
        from domainclip.domains.pathology.dicom_slide import DicomSlide

        return _only_scene(DicomSlide(path), scene)
    if start.startswith(magic.PNG) or (start.startswith(magic.JPEG) and path.suffix.lower() != ".mrxs"):
        from domainclip.domains.pathology.flat import FlatImage

        return _only_scene(FlatImage(path), scene)
    from domainclip.domains.pathology.openslide_reader import open_with_openslide

    tiff = start[:4] in magic.TIFF
    if tiff:
        from domainclip.domains.pathology.tiff_directories import check_directories, check_lengths, first_is_plain_colour

        try:
            check_directories(path)
        except (ValueError, OSError, struct.error) as error:
            found = str(error) if isinstance(error, ValueError) else type(error).__name__
            raise unreadable(f"It begins as a TIFF, but cannot be read: {found}.", "The file is damaged; copy it again.") from error
    if not tiff:
        from domainclip.domains.pathology.companions import refuse_stray_companions

        refuse_stray_companions(path)
    slide = open_with_openslide(path, required=not tiff)
    if not tiff:
        assert slide is not None
        return _only_scene(slide, scene)
    from domainclip.domains.pathology.tiff import TiffSlide, direct_levels

    if slide is None or slide.facts.vendor == "generic-tiff":
        # OpenSlide takes 16-bit, fluorescence, multi-image and SubIFD files for 8-bit files of one image, without a word.
        try:
            read: Slide = TiffSlide(path, scene, slide)
        except UnreadableFileError:
            if slide is None or scene not in {None, 0} or not first_is_plain_colour(path):
                raise
            check_lengths(path)
            read = _only_scene(slide, scene)  # libtiff forgives tags that tifffile stumbles over
    else:
        read = _only_scene(direct_levels(path, slide) or slide, scene)
    _check_size(path, read.facts)
    return read


def _check_size(path: Path, facts: SlideFacts) -> None:
    """Refuses a directory that declares more picture than the file could hold an index of, before it is walked for hours."""
    width, height, _ = facts.levels[0]
    if width * height > MOST_PIXELS_PER_BYTE * path.stat().st_size:
        found = f"It declares {width} x {height} pixels, far more than a file of {path.stat().st_size} bytes can hold."
        raise unreadable(found, "The file is damaged; copy it again.")


def _only_scene(slide: Slide, scene: int | None) -> Slide:
    if scene not in {None, 0}:
        raise unreadable(f"Scene {scene} was asked for; the file holds one.", "Leave reading.scene out.")
    return slide
