"""What must not pass for tissue on a thumbnail: pen on the glass or the tissue."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.slides import RGB
from domainclip.domains.pathology.strips import parts

Mask = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint8]

_ROWS = 128
_STROKE_UM2, _POINT_UM = 1200.0, 8.0
_OPAQUE, _DARK_RED = 0.7, 0.7


def pen_marks(thumbnail: RGB) -> Mask:
    """Finds ink on the glass or the tissue.

    Ink is told from haematoxylin, eosin and DAB by ratios of optical densities: the green one leads in stains, the red one in
    blue and green ink; black ink is neutral; red ink has green and blue alike and little red (DAB has more blue than green);
    several inks over each other let no colour through. Over tissue the stain adds to the ink, so a stroke grows a little way by
    looser ratios.

    Args:
        thumbnail: (H, W, 3) uint8, about 8 um a point.

    Returns:
        (H, W) bool.
    """
    import cv2

    height, width, _ = thumbnail.shape
    ink, loose = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for part in parts(height, width, _ROWS, width, 1):
        ink[part.own], loose[part.own] = (values[part.inner] for values in _inks(thumbnail[part.seen]))
    # Ink comes in strokes; single points are debris or pigment. A stroke's rim is half transparent.
    strokes = _large(cv2.medianBlur(ink, 3), _STROKE_UM2 / _POINT_UM**2)
    loose |= strokes
    for _ in range(4):
        strokes = cv2.dilate(strokes, np.ones((3, 3), np.uint8)) & loose
    marks: Mask = cv2.dilate(strokes, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) > 0
    return marks


def _inks(thumbnail: RGB) -> tuple[Bits, Bits]:
    """Returns where ink is, and where it may be beside ink."""
    import cv2

    smooth = cv2.blur(thumbnail, (3, 3), borderType=cv2.BORDER_REPLICATE)
    table = -np.log10((np.minimum(np.arange(256, dtype=np.float32), 254) + 1) / 255)
    red, green, blue = (table[smooth[..., c]] for c in range(3))
    dense = red + green + blue > 0.5
    blue_or_green_ink = (red > 1.3 * green) | ((red > _DARK_RED) & (red > 1.1 * green))
    black_or_green_ink = (blue > 0.85 * green) & (red > 0.8 * green)
    red_ink = (blue > 0.65 * green) & (blue < 1.1 * green) & (red < 0.45 * blue)
    several_inks = (red > _OPAQUE) & (green > _OPAQUE) & (blue > _OPAQUE)
    ink = ((blue_or_green_ink | black_or_green_ink | red_ink | several_inks) & dense).astype(np.uint8)
    dark_throughout = (blue > 0.4) & (blue > 0.55 * green) & (red > 0.55 * green)
    red_over_stain = (blue > 0.4) & (blue > 0.55 * green) & (blue < 1.1 * green)
    blue_over_stain = (red > 0.6) & (red > 1.05 * green)
    loose = ((dark_throughout | red_over_stain | blue_over_stain) & dense).astype(np.uint8)
    return ink, loose


def _large(mask: npt.NDArray[np.uint8], least: float) -> npt.NDArray[np.uint8]:
    """Keeps pieces of at least so many points."""
    import cv2

    _, pieces, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept: npt.NDArray[np.uint8] = mask & (facts[:, cv2.CC_STAT_AREA] >= least)[pieces]
    return kept
