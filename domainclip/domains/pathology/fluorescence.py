"""Where a fluorescence slide has signal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.segmenters import otsu
from domainclip.domains.pathology.slides import Slide, coarsest_level
from domainclip.domains.pathology.tissue import MASK_UM, TissueMask, blocks


def signal_mask(slide: Slide, spacing_um: tuple[float, float]) -> TissueMask:
    """Finds signal: the brightest channel's mean over about 8 um, on a logarithmic scale, above Otsu's threshold.

    Args:
        slide: An open slide of any channels.
        spacing_um: (Y, X) um per level-0 pixel.

    Returns:
        A mask whose thumbnail shows the brightest channel in grey.

    Raises:
        UnreadableFileError: A block cannot be decoded.
    """
    level = coarsest_level(slide.facts.levels, min(spacing_um), MASK_UM) or 0
    width, height, downsample = slide.facts.levels[level]
    factor = max(1, int(MASK_UM / (downsample * min(spacing_um))))
    bright = np.zeros((-(-height // factor), -(-width // factor)), np.float32)
    for x, y, wide, high in blocks(width, height, factor):
        array, missing = slide.read_masked(level, x, y, wide, high)
        small = _shrunk(array if missing is None else np.where(missing[..., None], 0, array), factor)
        bright[y // factor : y // factor + small.shape[0], x // factor : x // factor + small.shape[1]] = small
    grey = _grey(bright)
    tissue = grey > otsu(grey)
    none = np.zeros_like(tissue)
    step = (factor * slide.facts.levels[0][0] / width, factor * slide.facts.levels[0][1] / height)
    picture = np.repeat(grey[..., None], 3, axis=2)
    return TissueMask(tissue, none, none, none, step, slide.facts.levels[0][:2], picture, (), spacing_um)


def _shrunk(array: npt.NDArray[np.generic], factor: int) -> npt.NDArray[np.float32]:
    """Means over ``factor`` x ``factor`` pixels (fewer at the edge), of the brightest channel."""
    rows, columns = np.arange(0, array.shape[0], factor), np.arange(0, array.shape[1], factor)
    sums = np.add.reduceat(np.add.reduceat(array.astype(np.float32), rows, axis=0), columns, axis=1)
    tall = np.diff([*rows, array.shape[0]])[:, None, None]
    wide = np.diff([*columns, array.shape[1]])[None, :, None]
    means: npt.NDArray[np.float32] = (sums / (tall * wide)).max(axis=2)
    return means


def _grey(bright: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Logarithm from the 1st to the 99.9th percentile to 0..255: fluorescence spans orders of magnitude."""
    level = np.log1p(bright)
    low, high = np.percentile(level, (1, 99.9))
    grey: npt.NDArray[np.uint8] = np.clip((level - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return grey
