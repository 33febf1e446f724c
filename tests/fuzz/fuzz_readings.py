"""What runs in the forks: one mutant through ``domainclip``, and level 0 of it through the reference library.

Both fill a window of level 0 (at most ``SIDE`` x ``SIDE`` from its upper left corner) and a map of how each pixel came about.
"""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIDE = 512
BLOCK = 64
OUTSIDE, READ, REFUSED, NODATA = 0, 1, 2, 3
UM = 0.5
"""um/px that the tests claim for level 0; tiles are asked for at the same scale, so they are level 0 pixel by pixel."""


class Canvas:
    """Memory that parent and fork share: (SIDE, SIDE, 3) uint8 colours and (SIDE, SIDE) uint8 states."""

    def __init__(self) -> None:
        memory = mmap.mmap(-1, SIDE * SIDE * 4)
        everything = np.frombuffer(memory, np.uint8)
        self.colour: npt.NDArray[np.uint8] = everything[: SIDE * SIDE * 3].reshape(SIDE, SIDE, 3)
        self.state: npt.NDArray[np.uint8] = everything[SIDE * SIDE * 3 :].reshape(SIDE, SIDE)

    def clear(self) -> None:
        """Forgets the last file."""
        self.colour[:] = 0
        self.state[:] = OUTSIDE

    def put(self, x: int, y: int, colour: npt.NDArray[np.uint8], state: npt.NDArray[np.uint8] | int) -> None:
        """Writes what falls into the window."""
        high, wide = max(0, min(colour.shape[0], SIDE - y)), max(0, min(colour.shape[1], SIDE - x))
        if high and wide:
            self.colour[y : y + high, x : x + wide] = colour[:high, :wide]
            self.state[y : y + high, x : x + wide] = state if isinstance(state, int) else state[:high, :wide]


def blocks(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields (x, y, width, height) of the blocks of the window."""
    for y in range(0, min(height, SIDE), BLOCK):
        for x in range(0, min(width, SIDE), BLOCK):
            yield x, y, min(BLOCK, width - x), min(BLOCK, height - y)


# Ours.
def read_ours(path: Path, canvas: Canvas) -> dict[str, Any]:
    """Does what ``inspect`` and ``prepare`` do with the file.

    Returns:
        ``size``, ``recognised``, ``refusals`` ({step: [asked, found, remedy]}), ``uneven`` (samples that differ from
        ``read_level`` at the same place). Only UnreadableFileError is caught; all else ends the fork as "escaped".
    """
    from domainclip.domains.base import domains
    from domainclip.domains.pathology.reading import PathologyReading
    from domainclip.domains.pathology.slides import open_slide
    from domainclip.errors import UnreadableFileError

    domain = domains.get("pathology")
    result: dict[str, Any] = {"recognised": domain.recognises(path), "refusals": {}, "uneven": 0, "size": None}
    try:
        domain.inspect(path)
    except UnreadableFileError as error:
        result["refusals"]["inspect"] = _three(error)
    try:
        slide = open_slide(path)
    except UnreadableFileError as error:
        result["refusals"]["open"] = _three(error)
        return result
    width, height = result["size"] = [int(side) for side in slide.facts.levels[0][:2]]
    for x, y, wide, high in blocks(width, height):
        try:
            # Opened anew each time (from the cache, as a rule): a handle may be of no use after an error.
            pixels = open_slide(path).read_level(0, x, y, wide, high)
            assert pixels.shape == (high, wide, 3) and pixels.dtype == np.uint8, (
                f"read_level returned {pixels.dtype} {pixels.shape}"
            )
            # White is what this read gives where the file holds nothing; the masked read says where that is.
            missing = open_slide(path).read_masked(0, x, y, wide, high).missing
            canvas.put(x, y, pixels, READ if missing is None else np.where(missing, NODATA, READ).astype(np.uint8))
        except UnreadableFileError as error:
            canvas.put(x, y, np.zeros((high, wide, 3), np.uint8), REFUSED)
            result["refusals"].setdefault("level", _three(error))
    fine = {"tile_um": BLOCK * UM, "tile_px": BLOCK, "spacing_um": UM, "max_tiles": 256}
    masked = PathologyReading(**fine, min_tissue=0.3)
    try:  # the tissue mask reads other levels; what it plans is not judged here
        next(iter(domain.samples(_item(path), masked)), None)
    except UnreadableFileError as error:
        result["refusals"]["mask"] = _three(error)
    modes = ["auto", "whole"] if width * height <= 4_000_000 else ["auto"]
    if min(width, height) < BLOCK:
        modes = []  # less than a tile is refused, rightly; what was read of it is judged
    if modes and not any(_samples(path, PathologyReading(**fine, min_tissue=0, mode=mode), canvas, result) for mode in modes):
        canvas.state[canvas.state == READ] = REFUSED
    return result


def _samples(path: Path, reading: Any, canvas: Canvas, result: dict[str, Any]) -> bool:
    """Reads all samples of a reading; False when the file is refused by it (a slide of less than a tile, say)."""
    from domainclip.domains.base import domains
    from domainclip.errors import UnreadableFileError

    try:
        samples = list(domains.get("pathology").samples(_item(path), reading))
    except UnreadableFileError as error:
        result["refusals"][reading.mode] = _three(error)
        return False
    for sample in samples:
        place = sample.window
        try:
            pixels = sample.read()
        except UnreadableFileError as error:
            result["refusals"].setdefault("tile", _three(error))
            canvas.put(place.x, place.y, np.zeros((place.height, place.width, 3), np.uint8), REFUSED)
            continue
        colour = pixels.array.transpose(1, 2, 0)
        if place.level or colour.shape[:2] != (place.height, place.width):
            continue  # resampled: nothing to compare pixel by pixel
        where = slice(place.y, place.y + place.height), slice(place.x, place.x + place.width)
        seen, read = canvas.colour[where], canvas.state[where] == READ
        result["uneven"] += bool((read & (seen != colour[: seen.shape[0], : seen.shape[1]]).any(axis=2)).any())
        nodata = pixels.masks.get("nodata", np.zeros(colour.shape[:2], bool))
        canvas.put(place.x, place.y, colour, np.where(nodata, NODATA, READ).astype(np.uint8))
    return True


def _item(path: Path) -> Any:
    from domainclip.sample import SourceItem

    return SourceItem(path, "mutant")


def _three(error: Any) -> list[str]:
    return [error.asked, error.found, error.remedy]


# The references.
def read_reference(kind: str, path: Path, canvas: Canvas) -> dict[str, Any]:
    """Decodes level 0 with OpenSlide (tiff, svs, dicom), tifffile (ome) or Pillow (flat).

    Returns:
        ``size`` (None: not opened), ``whole`` (the window decodes in one go), ``other`` (it decodes to something that is no 8-bit
        RGB), ``error``.
    """
    if kind == "flat":
        return _pillow(path, canvas)
    if kind == "ome":
        return _tifffile(path, canvas)
    return _openslide(path, canvas)


def _openslide(path: Path, canvas: Canvas) -> dict[str, Any]:
    import openslide

    try:
        slide = openslide.OpenSlide(str(path))
    except openslide.OpenSlideError as error:
        return {"size": None, "whole": False, "error": str(error)}
    width, height = slide.dimensions
    try:
        _put_rgba(canvas, 0, 0, np.array(slide.read_region((0, 0), 0, (min(width, SIDE), min(height, SIDE)))))
        return {"size": [width, height], "whole": True}
    except openslide.OpenSlideError as error:
        result = {"size": [width, height], "whole": False, "error": str(error)}
    for x, y, wide, high in blocks(width, height):
        try:
            _put_rgba(canvas, x, y, np.array(slide.read_region((x, y), 0, (wide, high))))
        except openslide.OpenSlideError:
            canvas.put(x, y, np.zeros((high, wide, 3), np.uint8), REFUSED)
            slide = openslide.OpenSlide(str(path))  # a handle is of no use after an error
    return result


def _put_rgba(canvas: Canvas, x: int, y: int, rgba: npt.NDArray[np.uint8]) -> None:
    canvas.put(x, y, rgba[..., :3], np.where(rgba[..., 3] == 255, READ, NODATA).astype(np.uint8))


def _tifffile(path: Path, canvas: Canvas) -> dict[str, Any]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            level: Any = file.series[0].levels[0]  # what imread returns
            page = level.keyframe
            if int(np.prod([int(side) for side in level.shape], dtype=object)) > 2**28:
                return {"size": None, "whole": False, "error": "more pixels than the reference is let decode"}
            array = level.asarray()
            size = [int(page.imagewidth), int(page.imagelength)]
            if array.dtype != np.uint8 or array.shape != (size[1], size[0], 3):
                return {"size": size, "whole": False, "other": f"{array.dtype} {array.shape}"}
            canvas.put(0, 0, array, READ)
            _mark_missing(page, canvas)
            return {"size": size, "whole": True}
    except Exception as error:
        return {"size": None, "whole": False, "error": f"{type(error).__name__}: {error}"}


def _mark_missing(page: Any, canvas: Canvas) -> None:
    """tifffile fills tiles of no bytes with zeros and says nothing."""
    if not page.is_tiled:
        missing = any(count == 0 for count in page.databytecounts)
        canvas.state[canvas.state == READ] = NODATA if missing else READ
        return
    columns = -(-page.imagewidth // page.tilewidth)
    rows = -(-page.imagelength // page.tilelength)
    for index in range(columns * rows):
        there = index < len(page.databytecounts) and page.databytecounts[index] and page.dataoffsets[index]
        if not there:
            x, y = index % columns * page.tilewidth, index // columns * page.tilelength
            part = canvas.state[y : y + page.tilelength, x : x + page.tilewidth]
            part[part == READ] = NODATA


def _pillow(path: Path, canvas: Canvas) -> dict[str, Any]:
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG", "MPO")) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
    except Exception as error:
        return {"size": None, "whole": False, "error": f"{type(error).__name__}: {error}"}
    size = list(upright.size)
    if upright.mode not in {"RGB", "RGBA", "P"}:
        return {"size": size, "whole": False, "other": upright.mode}
    rgba = upright.convert("RGBA")
    white = Image.new("RGBA", upright.size, (255, 255, 255, 255))
    flat = np.array(Image.alpha_composite(white, rgba).convert("RGB"))
    # Half transparent pixels are ours to composite; only opaque ones are compared.
    canvas.put(0, 0, flat, np.where(np.array(rgba)[..., 3] == 255, READ, NODATA).astype(np.uint8))
    return {"size": size, "whole": True}
