"""A cheap look at a likely pair before its features are: small pictures are laid onto each other, and must correlate.

The turn, zoom and mirroring at which two views agree best are where an affine map starts; Evangelidis and Psarakis, "Parametric
image alignment using enhanced correlation coefficient maximization", IEEE Transactions on Pattern Analysis and Machine Intelligence
30(10), 2008, improve it (OpenCV's). Most pairs that views make likely end here, for a twentieth of what local features cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.data.duplicates.polar import ANGLES, CENTRES, RATIO, middle_square

SMALL = 64
"""Side of the small pictures."""
LEAST_FIT = 0.4
"""Correlation under the map of a pair whose features are worth a look; chosen on planted pairs, see ``docs/duplicates.md``."""
_ITERATIONS = 15
_CLOSE_ENOUGH = 1e-3
_FINE, _COARSE = 1.0, 4.0
_LEAST_STRUCTURE = 1.0
_LEAST_PIXELS = 200

Plane = npt.NDArray[np.float32]


def small_picture(plane: Plane) -> Plane:
    """Returns the middle square of an image at 64 px without what is coarser than some pixels: shades tell no pictures apart.

    Args:
        plane: From ``polar.grey``.

    Returns:
        (SMALL, SMALL) float32 about 0, of -255 to 255.
    """
    import cv2

    square = middle_square(plane, SMALL)
    return np.asarray(cv2.GaussianBlur(square, (0, 0), _FINE) - cv2.GaussianBlur(square, (0, 0), _COARSE), np.float32)


def is_flat(small: Plane) -> bool:
    """Whether there is too little in a picture to say what it shows."""
    edge = round(2 * _COARSE)  # there a shade of the light counts as structure
    return float(small[edge:-edge, edge:-edge].std()) < _LEAST_STRUCTURE


def start(mirrored: bool, turn: int, step: int, centre: int) -> npt.NDArray[np.float32]:
    """Returns the map from the pixels of a part's small picture to those of the image that it may be cut from.

    Args:
        mirrored: The part is mirrored, before it is turned.
        turn: In steps of 360 / ANGLES degrees, from ``polar.agreement`` of (image, part).
        step: Rings by which the part lies inside of the image.
        centre: Number in ``polar.CENTRES`` of the part's middle in the image.

    Returns:
        (2, 3).
    """
    angle = turn * (2 * np.pi / ANGLES)
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = RATIO**-step * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([1.0, -1.0 if mirrored else 1.0])
    middle = np.full(2, (SMALL - 1) / 2)
    offset = middle + SMALL * np.array(CENTRES[centre]) - linear @ middle
    return np.column_stack([linear, offset]).astype(np.float32)


def fit(image: Plane, part: Plane, begun: npt.NDArray[np.float32]) -> float:
    """Says how well a part fits into an image where it fits best near to a map.

    Args:
        image: From ``small_picture``.
        part: The same.
        begun: From ``start``.

    Returns:
        Correlation of both, -1 to 1, over the pixels that both show.
    """
    import cv2

    ends: Any = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, _CLOSE_ENOUGH)
    try:
        _, improved = cv2.findTransformECC(part, image, begun.copy(), cv2.MOTION_AFFINE, ends, None, 1)
    except cv2.error:  # no better map near by: the pictures differ, or one is blank
        improved = begun
    return _correlation(image, part, improved)


def _correlation(image: Plane, part: Plane, affine: Any) -> float:
    import cv2

    how, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (SMALL, SMALL)
    inside = cv2.warpAffine(np.full(size, 255, np.uint8), affine, size, flags=how) > 250
    if np.count_nonzero(inside) < _LEAST_PIXELS:
        return 0.0
    one, two = cv2.warpAffine(image, affine, size, flags=how)[inside], part[inside]
    one, two = one - one.mean(), two - two.mean()
    return float(np.dot(one, two) / (np.linalg.norm(one) * np.linalg.norm(two) + 1e-6))
