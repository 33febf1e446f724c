"""Any region of a slide at any scale: from the best level, resampled once, the footprint exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from domainclip.domains.pathology.scale import chosen_spacing, scale_needed
from domainclip.domains.pathology.slides import (
    COLOURS,
    Masked,
    Slide,
    SlideFacts,
    coarsest_level,
    open_slide,
    refuse,
    unreadable,
)

UPSAMPLING_TOLERANCE = 0.05
"""Slides called 20x range over some percent (0.499, 0.5, 0.502); up to this much finer than level 0 counts as equal."""

_SAME_SCALE = 0.005
"""Levels are rounded to whole pixels and scales to some digits: a level this much coarser than asked for is of that scale."""
_NO_WEIGHT = 1e-4
_EDGE = 1e-2
"""Level-0 pixels by which a region may seem to leave the slide through rounding."""

Box = tuple[float, float, float, float]
"""(x, y, width, height) in level-0 pixels; not rounded."""


@dataclass(frozen=True, slots=True)
class SlideView:
    """A file and how to look at it; holds no handle, so it travels to worker processes and opens each slide once there.

    Attributes:
        path: The file.
        scene: Which of several images.
        white_level: Stored number that is white, for colour of 16 bits.
    """

    path: Path
    scene: int | None = None
    white_level: int | None = None

    def open(self) -> Slide:
        """Opens the slide, or takes it from this process's cache.

        Raises:
            UnreadableFileError: It cannot be read, or its 16-bit colour has no white level.
        """
        slide = open_slide(self.path, self.scene)
        refuse(slide.facts)
        if slide.facts.channels != COLOURS or slide.facts.dtype == "uint8":
            return slide
        if self.white_level is None:
            found = f"The pixels are {slide.facts.dtype}; which number is white is not in the file."
            raise unreadable(found, "Give it: --set reading.white_level=65535 (or 4095, ...; domainclip inspect shows the range).")
        return _scaled(slide, self.white_level)


@lru_cache(maxsize=1)
def _scaled(slide: Slide, white_level: int) -> Slide:
    """The same object for the same slide, by which masks are kept."""
    return _Scaled(slide, white_level)


class _Scaled(Slide):
    """A 16-bit colour slide as 8 bits, white at the level that the owner gave; see ``slides.Slide``."""

    def __init__(self, slide: Slide, white_level: int) -> None:
        self._slide, self._white = slide, white_level
        self.facts: SlideFacts = replace(slide.facts, dtype="uint8")

    def read_masked(self, level: int, x: int, y: int, width: int, height: int) -> Masked:
        """See ``slides.Slide``; (height, width, 3) uint8."""
        array, missing = self._slide.read_masked(level, x, y, width, height)
        present = array if missing is None else array[~missing]
        if present.size and int(present.max()) > self._white:
            found = f"A pixel has {int(present.max())}, above the white level of {self._white}."
            raise unreadable(found, "Give the right one: --set reading.white_level=...; domainclip inspect shows the range.")
        return Masked(np.rint(array * (255 / self._white)).astype(np.uint8), missing)


def best_level(slide: Slide, spacing_um: tuple[float, float], wanted_um: float, *, upsample: bool = False) -> int:
    """Returns the coarsest level that is still at least as fine as asked for.

    Args:
        slide: An open file.
        spacing_um: (Y, X) um per level-0 pixel.
        wanted_um: um per pixel asked for.
        upsample: Take level 0 where it is coarser than asked for.

    Raises:
        UnreadableFileError: Level 0 is coarser than asked for, by more than ``UPSAMPLING_TOLERANCE``.
    """
    finest = max(spacing_um)
    if finest > wanted_um * (1 + UPSAMPLING_TOLERANCE) and not upsample:
        found = f"The slide has {finest:.4g} um/px, coarser than the {wanted_um:.4g} asked for."
        raise unreadable(
            found, "Ask for a coarser scale (larger reading.tile_um or smaller reading.tile_px), or reading.upsample=true."
        )
    return coarsest_level(slide.facts.levels, finest, wanted_um * (1 + _SAME_SCALE)) or 0


def read_box(slide: Slide, level: int, box: Box, size: tuple[int, int]) -> Masked:
    """Reads a box of level-0 pixels, resampled once from the given level; nothing outside of the box mixes in.

    Args:
        slide: An open file.
        level: Pyramid level to read from.
        box: May have fractions of pixels; they are honoured.
        size: (width, height) of the result.

    Returns:
        (height, width, C) of the stored type. Where it shrinks by a whole number and the box lies on whole pixels, each pixel is
        the mean of those that it covers; at other ratios a Hamming window (of two pixels) keeps it free of aliasing; where it
        grows, bicubic. ``missing`` is True where any pixel that went in is not in the file; colour is white there, other
        channels 0.

    Raises:
        UnreadableFileError: The pixels cannot be decoded.
    """
    columns, rows, _ = slide.facts.levels[level]
    down_x, down_y = slide.facts.levels[0][0] / columns, slide.facts.levels[0][1] / rows
    left, top = box[0] / down_x, box[1] / down_y
    right, bottom = min(left + box[2] / down_x, columns), min(top + box[3] / down_y, rows)
    x0, y0 = math.floor(left + 1e-6), math.floor(top + 1e-6)
    x1, y1 = min(math.ceil(right - 1e-6), columns), min(math.ceil(bottom - 1e-6), rows)
    array, missing = slide.read_masked(level, x0, y0, x1 - x0, y1 - y0)
    if missing is not None:
        fill = 255 if slide.facts.channels == COLOURS else 0
        array = np.where(missing[..., None], array.dtype.type(fill), array)
    whole = max(abs(left - x0), abs(top - y0), abs(right - x1), abs(bottom - y1)) < 1e-3
    if whole and (x1 - x0, y1 - y0) == size:
        return Masked(array, missing)
    factor = (x1 - x0) // size[0]
    if whole and missing is None and array.dtype == np.uint8 and (x1 - x0, y1 - y0) == (factor * size[0], factor * size[1]):
        return Masked(_block_means(array, size), None)
    cut = (max(left - x0, 0.0), max(top - y0, 0.0), min(right - x0, x1 - x0), min(bottom - y0, y1 - y0))
    how = Image.Resampling.BICUBIC if right - left < size[0] else Image.Resampling.HAMMING
    if missing is not None:
        # By the same window as the pixels: wherever a missing one weighs anything, the result is marked.
        gap = Image.fromarray(missing.astype(np.float32)).resize(size, how, box=cut)
        missing = np.abs(np.asarray(gap)) > _NO_WEIGHT
    return Masked(_resized(array, size, how, cut), missing)


def _block_means(array: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Averages blocks of pixels, ten times as fast as a window of other shape."""
    import cv2

    means = np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_AREA), np.uint8)
    return means.reshape(size[1], size[0], array.shape[2])


def _resized(array: npt.NDArray[Any], size: tuple[int, int], how: Image.Resampling, cut: Box) -> npt.NDArray[Any]:
    if array.dtype == np.uint8 and array.shape[2] == 3:
        return np.array(Image.fromarray(array).resize(size, how, box=cut))
    # Pillow resamples 16 bits and other numbers of channels as floats only, plane by plane.
    planes = [Image.fromarray(array[..., c].astype(np.float32)).resize(size, how, box=cut) for c in range(array.shape[2])]
    limits = np.iinfo(array.dtype)
    return np.stack([np.clip(np.rint(np.asarray(plane)), limits.min, limits.max) for plane in planes], axis=2).astype(array.dtype)


def read_region(
    path: str | Path,
    x: float,
    y: float,
    size: tuple[int, int],
    um_per_px: float,
    *,
    spacing_um: float | None = None,
    scene: int | None = None,
    white_level: int | None = None,
    upsample: bool = False,
) -> Masked:
    """Reads a region of a slide at a physical scale.

    Args:
        path: The slide.
        x: Left edge in level-0 pixels.
        y: Upper edge in level-0 pixels.
        size: (width, height) of the result in pixels.
        um_per_px: Its scale.
        spacing_um: um per level-0 pixel, where the file does not say or is wrong.
        scene: Which of several images.
        white_level: Stored number that is white, for colour of 16 bits.
        upsample: Allow a scale finer than level 0.

    Returns:
        ``array`` (height, width, C), ``missing`` (height, width) or None.

    Raises:
        UnreadableFileError: It cannot be read, has no scale or none that fine, or the region leaves the slide.
    """
    slide = SlideView(Path(path), scene, white_level).open()
    spacing = chosen_spacing(None, spacing_um, slide.facts.scale)
    if spacing is None:
        raise scale_needed(slide.facts.scale)
    fine = (spacing.values[0], spacing.values[-1])
    box = (x, y, size[0] * um_per_px / fine[1], size[1] * um_per_px / fine[0])
    width, height, _ = slide.facts.levels[0]
    whole = min(size) >= 1 and um_per_px > 0 and all(math.isfinite(value) for value in box)
    if not whole:
        found = f"It would have {size[0]} x {size[1]} pixels at {um_per_px} um/px, from {x}, {y}."
        raise unreadable(found, "Give finite positions, a size of one pixel or more, and a positive scale.")
    if x < 0 or y < 0 or box[0] + box[2] > width + _EDGE or box[1] + box[3] > height + _EDGE:
        found = f"It spans {_span(box)}; level 0 has {width} x {height} pixels."
        raise unreadable(found, "Ask for a region that lies inside (positions are level-0 pixels).")
    return read_box(slide, best_level(slide, fine, um_per_px, upsample=upsample), box, size)


def _span(box: Sequence[float]) -> str:
    return f"x {box[0]:.0f} to {box[0] + box[2]:.0f}, y {box[1]:.0f} to {box[1] + box[3]:.0f} in level-0 pixels"
