"""Which tissue is out of focus: the energy of fine detail beside that of coarser contrast, for each point of the mask's grid."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.slides import RGB, coarsest_level
from domainclip.domains.pathology.strips import parts

Mask = npt.NDArray[np.bool_]
Map = npt.NDArray[np.float32]

FOCUS_UM = 2.0
"""Focus is judged where pixels are this fine or finer (GrandQC, Weng et al. 2024, judges at 1 to 2 um/px)."""
_TOLERANCE = 1.05
_CELL_UM = 8.0
_SCALES_UM = (1.2, 2.4, 4.8)
_POOL_UM = 56.0
_FINE_ENERGY, _FINE_TO_COARSE = 18.0, 0.5
_SURE_ENERGY, _SURE_RATIO = 9.0, 0.2
_DULL_AT_ANY_ENERGY, _SURE_AT_ANY_ENERGY = 0.11, 0.08
_NOISE = 0.6
_BRIGHT, _DARK = 190.0, 60.0
_LEAST_COARSE = 0.6
_LEAST_ACROSS_UM = 56.0
_SOFT_UM = 16.0
_ROWS = 256


def focus_level(levels: tuple[tuple[int, int, float], ...], finest_um: float) -> int | None:
    """Returns the coarsest level that shows whether tissue is in focus, or None where none does.

    Args:
        levels: (width, height, downsample), the finest first.
        finest_um: The coarser axis' um per level-0 pixel.
    """
    return coarsest_level(levels, finest_um, FOCUS_UM * _TOLERANCE)


class FocusMeter:
    """Collects energies of one level, block by block, so that memory stays flat.

    Luminance is reduced to between 1 and 2 um/px and split into bands by Gaussians of 1.2, 2.4 and 4.8 um. What is finer than 1.2
    um is fine detail; what lies between 2.4 and 4.8 um, about the size of nuclei, is coarse. Defocus takes away the first long
    before the second. Each cell of about 8 um keeps the mean square of both.

    Args:
        width: Columns of the level.
        height: Its rows.
        um_per_px: Its scale.
    """

    def __init__(self, width: int, height: int, um_per_px: float) -> None:
        self._reduce = max(1, int(FOCUS_UM * _TOLERANCE / um_per_px))
        self._um = um_per_px * self._reduce
        self.cell = self._reduce * max(1, int(_CELL_UM / self._um))
        """Pixels of the level in a cell; blocks begin at multiples of it."""
        shape = (-(-height // self.cell), -(-width // self.cell))
        # Amplitudes, of which half precision holds three digits: large slides have millions of cells.
        self.fine, self.coarse = np.zeros(shape, np.float16), np.zeros(shape, np.float16)

    def add(self, x: int, y: int, pixels: RGB) -> None:
        """Measures a block (h, w, 3) uint8 whose upper left pixel is (x, y) of the level."""
        import cv2

        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        high, wide = (max(1, round(n / self._reduce)) for n in grey.shape)
        if self._reduce > 1:
            grey = cv2.resize(grey, (wide, high), interpolation=cv2.INTER_AREA)
        grey = grey.astype(np.float32)
        soft = [cv2.GaussianBlur(grey, (0, 0), scale / self._um) for scale in _SCALES_UM]
        rows, columns = -(-pixels.shape[0] // self.cell), -(-pixels.shape[1] // self.cell)
        at = (slice(y // self.cell, y // self.cell + rows), slice(x // self.cell, x // self.cell + columns))
        # Detail in dark tissue is as sharp, but smaller in grey values: contrast counts, as that of tissue of 190 of 255.
        gain = np.maximum(_BRIGHT / np.maximum(soft[2], _DARK), 1)
        for store, band in ((self.fine, gain * (grey - soft[0])), (self.coarse, gain * (soft[1] - soft[2]))):
            store[at] = np.sqrt(_cell_means(band * band, self.cell // self._reduce, rows, columns))

    def blurred(self, tissue: Mask, step: tuple[float, float]) -> Mask:
        """Judges the points of a mask.

        Args:
            tissue: (H, W) bool; only these count and are judged.
            step: (x, y) pixels of this level for each point.

        Returns:
            (H, W) bool, within the tissue.
        """
        index = [
            np.minimum(((np.arange(n) + 0.5) * s / self.cell).astype(int), m - 1)
            for n, s, m in zip(tissue.shape, step[::-1], self.fine.shape, strict=True)
        ]
        um = math.sqrt(step[0] * step[1]) * self._um / self._reduce
        result = np.zeros_like(tissue)
        margin = math.ceil((1.5 * _POOL_UM + 2 * _LEAST_ACROSS_UM + 2 * _SOFT_UM) / um) + 4
        for part in parts(tissue.shape[0], tissue.shape[1], _ROWS, tissue.shape[1], margin):
            if tissue[part.own].any():
                cells = np.ix_(*(axis[seen] for axis, seen in zip(index, part.seen, strict=True)))
                fine, coarse = (np.square(store[cells].astype(np.float32)) for store in (self.fine, self.coarse))
                result[part.own] = _blurred(fine, coarse, tissue[part.seen], um)[part.inner]
        return result


def _blurred(fine: Map, coarse: Map, tissue: Mask, um: float) -> Mask:
    """Judges energies (H, W) on the mask's grid of so many um a point."""
    import cv2

    weight = tissue.astype(np.float32)
    fine, coarse = fine * weight, coarse * weight

    def dull(pool_um: float, energy: float, ratio: float, low: float) -> Mask:
        side = max(1, round(pool_um / um)) | 1
        share = np.maximum(cv2.blur(weight, (side, side)), 1e-3)
        a, b = cv2.blur(fine, (side, side)) / share, cv2.blur(coarse, (side, side)) / share
        found: Mask = (b > _LEAST_COARSE) & ((a < energy) & (a - _NOISE < ratio * b) | (a < low * b)) & tissue
        return found

    # Sharp tissue of little detail is dull, but not as dull as what is out of focus: that is sure first, and then grows.
    sure = _opened(dull(_POOL_UM, _SURE_ENERGY, _SURE_RATIO, _SURE_AT_ANY_ENERGY), _LEAST_ACROSS_UM / um)
    # Next to sharp tissue the window saw some of it: the border is found in a smaller window, and is soft.
    near = _dilated(sure, 2 * _POOL_UM / um)
    loose = (_FINE_ENERGY, _FINE_TO_COARSE, _DULL_AT_ANY_ENERGY)
    near &= dull(_POOL_UM, *loose) | dull(_POOL_UM / 2, *loose)
    result: Mask = _dilated(sure | near, 2 * _SOFT_UM / um) & tissue
    return result


def _opened(mask: Mask, across: float) -> Mask:
    """Keeps where a disk of this diameter in points fits in; the border repeats outwards."""
    import cv2

    side = max(1, round(across)) | 1
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), side, side, side, side, cv2.BORDER_REPLICATE)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened: Mask = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disk)[side:-side, side:-side] > 0
    return opened


def _dilated(mask: Mask, across: float) -> Mask:
    import cv2

    side = max(1, round(across)) | 1
    grown: Mask = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0
    return grown


def _cell_means(values: Map, side: int, rows: int, columns: int) -> Map:
    """Means over cells of side x side; what the last row and column lack is repeated from the border."""
    import cv2

    values = values[: rows * side, : columns * side]
    if values.shape != (rows * side, columns * side):
        values = np.pad(values, ((0, rows * side - values.shape[0]), (0, columns * side - values.shape[1])), mode="edge")
    return np.asarray(cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
