"""TIFFs that OpenSlide refuses or misreads, through tifffile: strips, one level, SubIFD pyramids, JPEG 2000, WebP, LZMA."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.scale import file_scale
from domainclip.domains.pathology.slides import (
    FOREIGN_ERRORS,
    MAX_FLAT_PIXELS,
    RGB,
    Level,
    SlideFacts,
    on_white,
    refuse,
    unreadable,
)
from domainclip.errors import missing_dependency

_TO_PYRAMID = "Convert it to a tiled pyramid, e.g. vips tiffsave in.tif out.tif --tile --pyramid --compression jpeg."
_RGB, _YCBCR = 2, 6
_ASSOCIATED, _UNASSOCIATED = 1, 2


class TiffSlide:
    """One TIFF open in tifffile; see ``slides.Slide``."""

    def __init__(self, path: Path) -> None:
        try:
            import tifffile
        except ImportError as error:
            raise missing_dependency("tifffile", "Reading this TIFF", "tifffile imagecodecs") from error
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it prints paths; what matters is raised
        try:
            self._file = tifffile.TiffFile(path)
            self._pages = [level.keyframe for level in self._file.series[0].levels] if self._file.series else []
            if not self._pages:
                raise ValueError("no image")
            self.facts = _facts(self._pages)
            if int(self._pages[0].compression) != 1:
                import imagecodecs  # noqa: F401 - without it tifffile would call the file damaged
        except ImportError as error:
            raise missing_dependency("imagecodecs", "Reading this compressed TIFF", "imagecodecs") from error
        except FOREIGN_ERRORS as error:
            found = f"It begins as a TIFF, but its directory cannot be read ({type(error).__name__})."
            raise unreadable(found, "The file is damaged; copy it again.") from error
        self._lock = threading.Lock()
        self._whole: dict[int, npt.NDArray[Any]] = {}

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> RGB:
        """See ``slides.Slide``."""
        refuse(self.facts)
        stored = self.read_stored(level, x, y, width, height)
        if stored.shape[2] == 4:
            return on_white(stored, premultiplied=int(self._pages[level].extrasamples[0]) == _ASSOCIATED)
        return np.ascontiguousarray(stored)

    def read_stored(self, level: int, x: int, y: int, width: int, height: int) -> npt.NDArray[Any]:
        """See ``slides.Slide``; (height, width, samples)."""
        page = self._pages[level]
        try:
            with self._lock:
                if page.is_tiled and page.planarconfig == 1:
                    return _read_tiles(page, x, y, width, height)
                return self._decoded(level)[y : y + height, x : x + width]
        except FOREIGN_ERRORS as error:
            raise unreadable(
                f"The TIFF's pixels cannot be decoded ({type(error).__name__}).", "The file is damaged; copy it again."
            ) from error

    def _decoded(self, level: int) -> npt.NDArray[Any]:
        """Decodes a level whole, once: strips span the width, so cutting a tile would decode most of it anyway."""
        page = self._pages[level]
        if level not in self._whole:
            if page.imagewidth * page.imagelength > MAX_FLAT_PIXELS:
                raise unreadable(f"It has strips and {page.imagewidth} x {page.imagelength} pixels: too many.", _TO_PYRAMID)
            array = page.asarray()
            planes_first = page.planarconfig == 2 and page.samplesperpixel > 1
            array = np.moveaxis(array, 0, -1) if planes_first else array
            self._whole[level] = array if array.ndim == 3 else array[..., np.newaxis]
        return self._whole[level]


def _facts(pages: list[Any]) -> SlideFacts:
    first = pages[0]
    levels: list[Level] = []
    for page in pages:
        downsample = (first.imagewidth / page.imagewidth + first.imagelength / page.imagelength) / 2
        levels.append((int(page.imagewidth), int(page.imagelength), float(downsample)))
    tag = None
    if "XResolution" in first.tags and "YResolution" in first.tags:
        ratios = [first.tags[name].value for name in ("XResolution", "YResolution")]
        x, y = (top / bottom if bottom else 0.0 for top, bottom in ratios)
        tag = (float(x), float(y), int(first.tags["ResolutionUnit"].value) if "ResolutionUnit" in first.tags else 2)
    refusal = _refusal(first)
    rgb = first.photometric in {_RGB, _YCBCR} and first.samplesperpixel >= 3
    layout = "tiled" if first.is_tiled else "stripped"
    return SlideFacts(
        format=f"{layout} TIFF (tifffile)",
        levels=tuple(levels),
        scale=file_scale({}, tag, generic=True),
        dtype=str(first.dtype),
        channels=("red", "green", "blue") if rgb else (),
        refusal=refusal,
        details={
            "compression": str(getattr(first.compression, "name", first.compression)).lower(),
            "samples": first.samplesperpixel,
        },
    )


def _refusal(page: Any) -> tuple[str, str] | None:
    if str(page.dtype) != "uint8":
        remedy = "Scale it to 8 bits with the white level of your scanner; which number is white is not in the file."
        return f"The pixels are {page.dtype}; brightfield slides are read as 8-bit RGB.", remedy
    extra = tuple(int(value) for value in page.extrasamples)
    alpha = page.samplesperpixel == 4 and extra[:1] in {(_ASSOCIATED,), (_UNASSOCIATED,)}
    if int(page.photometric) not in {_RGB, _YCBCR} or not (page.samplesperpixel == 3 or alpha):
        remedy = "Save it as RGB; fluorescence and grey images are not read by this domain."
        return f"It has {page.samplesperpixel} channels ({page.photometric.name.lower()}), not red, green and blue.", remedy
    if page.is_tiled and page.tilewidth * page.tilelength > MAX_FLAT_PIXELS:
        return f"One tile has {page.tilewidth} x {page.tilelength} pixels: too many.", _TO_PYRAMID
    return None


def _read_tiles(page: Any, x: int, y: int, width: int, height: int) -> npt.NDArray[Any]:
    """Decodes the tiles that a box touches, and no others; tiles that were never written are white."""
    columns = -(-page.imagewidth // page.tilewidth)
    if page.tilewidth * page.tilelength > MAX_FLAT_PIXELS:
        raise ValueError("tile too large")
    white = np.iinfo(page.dtype).max if np.issubdtype(page.dtype, np.integer) else 1.0
    box = np.full((height, width, page.samplesperpixel), white, dtype=page.dtype)
    for row in range(y // page.tilelength, (y + height - 1) // page.tilelength + 1):
        for column in range(x // page.tilewidth, (x + width - 1) // page.tilewidth + 1):
            index = row * columns + column
            length = page.databytecounts[index]
            if length == 0:
                continue
            page.parent.filehandle.seek(page.dataoffsets[index])
            data = page.parent.filehandle.read(length)
            tile = page.decode(data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)[0]
            if tile is None:
                continue
            tile = tile.reshape(tile.shape[-3:])
            top, left = row * page.tilelength - y, column * page.tilewidth - x
            rows = slice(max(top, 0), min(top + tile.shape[0], height))
            across = slice(max(left, 0), min(left + tile.shape[1], width))
            box[rows, across] = tile[rows.start - top : rows.stop - top, across.start - left : across.stop - left]
    return box
