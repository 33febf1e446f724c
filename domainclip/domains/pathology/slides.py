"""One face for every file that pathology reads, and a small cache of open files for each process."""

from __future__ import annotations

import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.scale import Scale
from domainclip.errors import UnreadableFileError

RGB = npt.NDArray[np.uint8]
Level = tuple[int, int, float]
"""(width, height, downsample) of a pyramid level."""

FOREIGN_ERRORS = (OSError, ValueError, RuntimeError, LookupError, TypeError, ArithmeticError, SyntaxError, EOFError, struct.error)
"""What decoders of foreign files raise at broken input; Pillow's and imagecodecs' own errors derive from these."""
MAX_FLAT_PIXELS = 89_000_000
"""Files that can only be decoded whole are refused above this (about 270 MB decoded; Pillow's own limit against bombs)."""
OPEN_FILES = 4

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_MAGIC, JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
DICOM_MAGIC = b"DICM"
"""After a preamble of 128 bytes (PS3.10 7.1), which may be the start of a TIFF."""


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """What is known of an open file.

    Attributes:
        format: For people, e.g. ``"Aperio SVS (OpenSlide)"``.
        levels: (width, height, downsample), the finest first.
        scale: What the file says of its scale.
        dtype: Stored type.
        channels: Names, empty when not red, green and blue.
        refusal: (found, remedy) when the pixels must not be read as 8-bit RGB; the rest is still true.
        vendor: OpenSlide's name of the vendor, or None.
        details: Further facts, allow-listed (no scanner serial numbers, users, labels).
    """

    format: str
    levels: tuple[Level, ...]
    scale: Scale
    dtype: str = "uint8"
    channels: tuple[str, ...] = ("red", "green", "blue")
    refusal: tuple[str, str] | None = None
    vendor: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Slide(Protocol):
    """An open file."""

    facts: SlideFacts

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> RGB:
        """Returns pixels of one level.

        Args:
            level: Index of the level.
            x: Left column in this level's pixels.
            y: Upper row in this level's pixels.
            width: Columns; the box lies inside the level.
            height: Rows.

        Returns:
            (height, width, 3) uint8, transparent pixels composited on white.

        Raises:
            UnreadableFileError: The pixels cannot be decoded or are no 8-bit RGB.
        """
        ...

    def read_stored(self, level: int, x: int, y: int, width: int, height: int) -> npt.NDArray[Any]:
        """Returns the stored numbers of the same box, of any type, for ``inspect`` only."""
        ...


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


def open_slide(path: Path) -> Slide:
    """Opens a file, or returns it from this process's cache of the last ``OPEN_FILES`` files.

    A file that changed on disk is opened anew, and so is every file in a forked process (handles share a file position).

    Raises:
        UnreadableFileError: It is gone, broken, or of a kind that no reader knows.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable(f"The file cannot be opened ({type(error).__name__}).", "Check that it exists and may be read.") from error
    key = (os.getpid(), str(path), stat.st_mtime_ns, stat.st_size)
    with _lock:
        slide = _cache.get(key)
        if slide is not None:
            _cache.move_to_end(key)
            return slide
    slide = _opened(path)
    with _lock:
        _cache[key] = slide
        while len(_cache) > OPEN_FILES:
            # Not closed here: another thread may be reading; the library closes it with the last reference.
            _cache.popitem(last=False)
    return slide


def forget(slide: Slide) -> None:
    """Drops a file from the cache; an OpenSlide handle is of no more use after its first error."""
    with _lock:
        for key in [key for key, value in _cache.items() if value is slide]:
            del _cache[key]


def _opened(path: Path) -> Slide:
    start = first_bytes(path, 132)
    if start[128:] == DICOM_MAGIC:
        from domainclip.domains.pathology.dicom_slide import DicomSlide

        return DicomSlide(path)
    if start.startswith(PNG_MAGIC) or (start.startswith(JPEG_MAGIC) and path.suffix.lower() != ".mrxs"):
        from domainclip.domains.pathology.flat import FlatImage

        return FlatImage(path)
    from domainclip.domains.pathology.openslide_reader import open_with_openslide

    tiff = start[:4] in TIFF_MAGIC
    slide = open_with_openslide(path, required=not tiff)
    if tiff and (slide is None or slide.facts.vendor == "generic-tiff"):
        from domainclip.domains.pathology.tiff import TiffSlide

        plain = TiffSlide(path)
        # OpenSlide takes 16-bit and SubIFD files for 8-bit files of one level, without a word.
        if slide is None or plain.facts.refusal is not None or len(plain.facts.levels) > len(slide.facts.levels):
            return plain
    assert slide is not None
    return slide
