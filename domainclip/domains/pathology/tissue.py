"""Where the tissue is: a mask on a thumbnail; glass, pen, folds and what is out of focus left out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from domainclip.domains.pathology.artefacts import pen_marks
from domainclip.domains.pathology.focus import FocusMeter, focus_level
from domainclip.domains.pathology.folds import folds
from domainclip.domains.pathology.segmenters import segmented, tissue_segmenters
from domainclip.domains.pathology.slides import RGB, Slide, coarsest_level
from domainclip.heartbeat import beat

Mask = npt.NDArray[np.bool_]

MASK_UM = 8.0
"""Grid of the mask: about one nucleus, so that texture averages out and a 96 um tile still has 144 points."""
ALWAYS_JUDGED = ("glass", "pen", "fold")
_BLOCK = 1024
_COLOURED = 8


@dataclass(frozen=True, slots=True)
class TissueMask:
    """A mask over a whole slide.

    Attributes:
        tissue: (H, W) bool, what is fit to be looked at: without the three below.
        pen: (H, W) bool, ink on the glass or the tissue.
        fold: (H, W) bool, two layers of tissue.
        blurred: (H, W) bool, tissue out of focus; all False where ``judged`` lacks it.
        step: (x, y) level-0 pixels for each point of the grid.
        size: (width, height) of the slide in level-0 pixels; the last row and column of the grid may reach beyond it.
        thumbnail: (H, W, 3) uint8, the slide on the same grid.
        judged: Which of ``glass``, ``pen``, ``fold`` and ``blurred`` could be judged; focus needs a level of 2 um/px or finer.
        spacing_um: (Y, X) um per level-0 pixel.
    """

    tissue: Mask
    pen: Mask
    fold: Mask
    blurred: Mask
    step: tuple[float, float]
    size: tuple[int, int]
    thumbnail: RGB
    judged: tuple[str, ...]
    spacing_um: tuple[float, float]
    _sums: list[npt.NDArray[np.int32]] = field(default_factory=list, init=False, repr=False, compare=False)

    def share(self, x: float, y: float, width: float, height: float) -> float:
        """Returns the share of a window (level-0 pixels) that is tissue, exact in area; see ``shares``."""
        return float(self.shares(np.array([[x, y, width, height]]))[0])

    def shares(self, boxes: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns the shares of windows that are tissue.

        Each point of the grid stands for its rectangle of the slide, and a window that cuts a rectangle counts the part that lies
        in it. What lies outside of the slide counts as no tissue.

        Args:
            boxes: (N, 4) numbers x, y, width, height in level-0 pixels, fractions allowed.

        Returns:
            (N,) float64, 0 to 1.

        Raises:
            ValueError: A box is not finite or has no area.
        """
        x, y, width, height = np.asarray(boxes, np.float64).reshape(-1, 4).T
        if not (np.isfinite(x + y).all() and np.isfinite(width * height).all() and (width > 0).all() and (height > 0).all()):
            raise ValueError("Boxes are x, y, width, height, all finite, width and height above 0.")
        columns = [np.clip(edge, 0, self.size[0]) / self.step[0] for edge in (x, x + width)]
        rows = [np.clip(edge, 0, self.size[1]) / self.step[1] for edge in (y, y + height)]
        points = self._integral(rows[1], columns[1]) - self._integral(rows[0], columns[1])
        points -= self._integral(rows[1], columns[0]) - self._integral(rows[0], columns[0])
        shares: npt.NDArray[np.float64] = np.clip(points * self.step[0] * self.step[1] / (width * height), 0, 1)
        return shares

    def _integral(self, row: npt.NDArray[np.float64], column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Tissue above and left of grid coordinates: linear between the corners of a summed-area table, so exact (Crow 1984)."""
        if not self._sums:
            # A grid of 2**31 points would be a slide of 370 mm square, so 4 bytes a point are enough.
            table = np.zeros((self.tissue.shape[0] + 1, self.tissue.shape[1] + 1), np.int32)
            for into, before, points in zip(table[1:, 1:], table[:-1, 1:], self.tissue, strict=True):
                np.add(np.cumsum(points, dtype=np.int32), before, out=into)
            self._sums.append(table)
        table = self._sums[0]
        top = np.minimum(row.astype(np.int64), table.shape[0] - 2)
        left = np.minimum(column.astype(np.int64), table.shape[1] - 2)
        down, right = row - top, column - left
        above = table[top, left] * (1 - right) + table[top, left + 1] * right
        below = table[top + 1, left] * (1 - right) + table[top + 1, left + 1] * right
        result: npt.NDArray[np.float64] = above * (1 - down) + below * down
        return result


def tissue_mask(slide: Slide, spacing_um: tuple[float, float], segmenter: str = "optical") -> TissueMask:
    """Finds the tissue that is fit to be looked at.

    A thumbnail of about 8 um a point comes from the coarsest level that is fine enough; a segmenter tells tissue from glass on it;
    pen and folds are found on it. Focus is judged at the coarsest level of 2 um/px or finer, where there is tissue. No pixel is
    decoded twice: where both come from one level, it is read once.

    Args:
        slide: An open file.
        spacing_um: (Y, X) um per level-0 pixel.
        segmenter: A name in ``segmenters.tissue_segmenters``: ``optical``, ``otsu``, or one of a plug-in.

    Raises:
        UnreadableFileError: The pixels cannot be decoded.
        UsageError: The segmenter is unknown or returned no mask.
    """
    tissue_segmenters.get(segmenter)  # a wrong name is told before anything is read
    levels = slide.facts.levels
    level, sharp = coarsest_level(levels, min(spacing_um), MASK_UM) or 0, focus_level(levels, max(spacing_um))
    meter = None if sharp is None else FocusMeter(*levels[sharp][:2], levels[sharp][2] * max(spacing_um))
    thumbnail, factor = _thumbnail(slide, level, spacing_um, meter if sharp == level else None)
    steps = (factor * levels[0][0] / levels[level][0], factor * levels[0][1] / levels[level][1])
    um = math.sqrt(steps[0] * spacing_um[1] * steps[1] * spacing_um[0])
    pen = pen_marks(thumbnail)
    found = segmented(segmenter, thumbnail, um) & ~pen
    blurred = np.zeros_like(found)
    if meter is not None and sharp is not None:
        down = (levels[0][0] / levels[sharp][0], levels[0][1] / levels[sharp][1])
        step = (steps[0] / down[0], steps[1] / down[1])
        if sharp != level:
            _measure(slide, sharp, meter, found, step)
        blurred = meter.blurred(found, step)
    judged = ALWAYS_JUDGED if meter is None else (*ALWAYS_JUDGED, "blurred")
    del meter  # on a large slide as much memory as the thumbnail
    fold = folds(thumbnail, found, um)
    return TissueMask(
        tissue=found & ~fold & ~blurred,
        pen=pen,
        fold=fold,
        blurred=blurred,
        step=steps,
        size=(levels[0][0], levels[0][1]),
        thumbnail=thumbnail,
        judged=judged,
        spacing_um=spacing_um,
    )


def _thumbnail(slide: Slide, level: int, spacing_um: tuple[float, float], meter: FocusMeter | None) -> tuple[RGB, int]:
    """Shrinks a level by a whole factor, block by block; no pixel counts twice. Blocks with colour go to the meter as well."""
    width, height, downsample = slide.facts.levels[level]
    factor = max(1, int(MASK_UM / (downsample * min(spacing_um))))
    result = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    for x, y, wide, high in blocks(width, height, math.lcm(factor, meter.cell if meter else 1)):
        pixels = slide.read_level(level, x, y, wide, high)
        small = np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels
        result[y // factor : y // factor + small.shape[0], x // factor : x // factor + small.shape[1]] = small
        if meter is not None and (small.max(axis=2) - small.min(axis=2)).max() > _COLOURED:
            meter.add(x, y, pixels)
    return result, factor


def _measure(slide: Slide, level: int, meter: FocusMeter, tissue: Mask, step: tuple[float, float]) -> None:
    """Reads the blocks of a level that hold tissue; ``step`` is (x, y) pixels of this level for each point of the mask."""
    width, height, _ = slide.facts.levels[level]
    for x, y, wide, high in blocks(width, height, meter.cell):
        rows = slice(int(y / step[1]), math.ceil((y + high) / step[1]))
        columns = slice(int(x / step[0]), math.ceil((x + wide) / step[0]))
        if tissue[rows, columns].any():
            meter.add(x, y, slide.read_level(level, x, y, wide, high))


def blocks(width: int, height: int, multiple: int) -> Iterator[tuple[int, int, int, int]]:
    """Cuts a level into blocks (x, y, width, height) that begin at multiples of a number, with a sign of life for each."""
    side = max(multiple, _BLOCK // multiple * multiple)
    for y in range(0, height, side):
        for x in range(0, width, side):
            beat()
            yield x, y, min(side, width - x), min(side, height - y)
