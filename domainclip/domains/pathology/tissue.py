"""Where the tissue is: a mask on a thumbnail, glass and pen left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from domainclip.domains.pathology.slides import RGB, Slide

MASK_UM = 8.0
"""Grid of the mask: about one nucleus, so that texture averages out and a 96 um tile still has 144 points."""
HOLE_UM = 200.0
"""Holes up to this square are lumina and fat cells, which belong to the tissue; larger ones are glass."""
_BLOCK = 2048


@dataclass(frozen=True, slots=True)
class TissueMask:
    """A mask over a whole slide.

    Attributes:
        tissue: (H, W) bool.
        pen: (H, W) bool, ink on the glass or the tissue; never tissue.
        step: (x, y) level-0 pixels for each point of the grid.
    """

    tissue: npt.NDArray[np.bool_]
    pen: npt.NDArray[np.bool_]
    step: tuple[float, float]

    def shares(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Temporary."""
        return np.array([self.share(*box) for box in boxes.tolist()])

    def share(self, x: float, y: float, width: float, height: float) -> float:
        """Returns the share of a window (level-0 pixels) that is tissue, to the precision of the grid."""
        left, top = round(x / self.step[0]), round(y / self.step[1])
        right, bottom = round((x + width) / self.step[0]), round((y + height) / self.step[1])
        cut = self.tissue[top : max(bottom, top + 1), left : max(right, left + 1)]
        return float(cut.mean()) if cut.size else 0.0


def tissue_mask(slide: Slide, spacing_um: tuple[float, float], segmenter: str = "optical") -> TissueMask:
    """Finds tissue by colour: chroma (largest minus smallest channel) above Otsu's threshold, small holes filled.

    Otsu's threshold is held between 8 and 24 of 255, because slides without glass, or without tissue, have no valley to find.
    Ink is told from haematoxylin, eosin and DAB by ratios of optical densities: the green one leads in stains, the red one in
    blue and green ink; black ink is neutral; red ink has green and blue alike and little red (DAB has more blue than green).

    Args:
        slide: An open file.
        spacing_um: (Y, X) um per level-0 pixel.

    Raises:
        UnreadableFileError: The thumbnail cannot be decoded.
    """
    thumbnail, step = _thumbnail(slide, spacing_um)
    image = Image.fromarray(thumbnail)
    smooth = np.asarray(image.filter(ImageFilter.BoxBlur(1))).astype(np.int16)
    chroma = thumbnail.max(axis=2) - thumbnail.min(axis=2)
    threshold = min(max(otsu(chroma), 8), 24)
    pen = _pen(smooth)
    coloured = (chroma > threshold) & ~pen
    closed = _filtered(_filtered(coloured, ImageFilter.MaxFilter(3)), ImageFilter.MinFilter(3))  # thin walls of fat cells
    tissue = _filtered(_holes_filled(closed), ImageFilter.MedianFilter(5))  # dust
    return TissueMask(tissue & ~pen, pen, step)


def otsu(values: npt.NDArray[np.uint8]) -> int:
    """Returns the threshold t that maximises the variance between values <= t and values > t (Otsu 1979)."""
    histogram = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    weight = np.cumsum(histogram)
    mass = np.cumsum(histogram * np.arange(256))
    rest = weight[-1] - weight
    with np.errstate(divide="ignore", invalid="ignore"):
        between = weight * rest * (mass / weight - (mass[-1] - mass) / rest) ** 2
    return int(np.argmax(np.nan_to_num(between, nan=-1.0, posinf=-1.0)))


def _holes_filled(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Fills holes that tissue surrounds, up to ``HOLE_UM`` squared."""
    from scipy import ndimage

    pieces, count = ndimage.label(~mask)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    small = sizes <= (HOLE_UM / MASK_UM) ** 2
    small[0] = False
    border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    small[border] = False
    filled: npt.NDArray[np.bool_] = mask | small[pieces]
    return filled


def _pen(smooth: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    density = -np.log10((np.clip(smooth, 0, 254).astype(np.float32) + 1) / 255)
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    blue_or_green_ink = red > 1.3 * green
    black_or_green_ink = (blue > 0.85 * green) & (red > 0.8 * green)
    red_ink = (blue > 0.65 * green) & (blue < 1.1 * green) & (red < 0.45 * blue)
    ink = (blue_or_green_ink | black_or_green_ink | red_ink) & (density.sum(axis=2) > 0.5)
    # Ink comes in strokes; single points are debris or pigment. A stroke's rim is half transparent.
    strokes = _filtered(ink, ImageFilter.MedianFilter(3))
    return _filtered(strokes, ImageFilter.MaxFilter(5))


def _filtered(mask: npt.NDArray[np.bool_], how: ImageFilter.RankFilter) -> npt.NDArray[np.bool_]:
    """Applies a rank filter, the border repeated outwards."""
    padded = np.pad(mask, 4, mode="edge")
    result = np.asarray(Image.fromarray(padded.astype(np.uint8) * 255).filter(how)) > 127
    kept: npt.NDArray[np.bool_] = result[4:-4, 4:-4]
    return kept


def _thumbnail(slide: Slide, spacing_um: tuple[float, float]) -> tuple[RGB, tuple[float, float]]:
    """Shrinks the coarsest level that is still finer than the grid by a whole factor, block by block; no pixel counts twice."""
    fine = [i for i, (_, _, down) in enumerate(slide.facts.levels) if down * min(spacing_um) <= MASK_UM]
    level = fine[-1] if fine else 0
    width, height, downsample = slide.facts.levels[level]
    factor = max(1, int(MASK_UM / (downsample * min(spacing_um))))
    block = max(factor, _BLOCK // factor * factor)
    result = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    for y in range(0, height, block):
        for x in range(0, width, block):
            pixels = slide.read_level(level, x, y, min(block, width - x), min(block, height - y))
            small = np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels
            result[y // factor : y // factor + small.shape[0], x // factor : x // factor + small.shape[1]] = small
    return result, (factor * slide.facts.levels[0][0] / width, factor * slide.facts.levels[0][1] / height)
