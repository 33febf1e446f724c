"""Log-polar views of images: turning an image shifts its view along the angle, zooming shifts it along the radius.

Reddy and Chatterji, "An FFT-based technique for translation, rotation, and scale-invariant image registration", IEEE Transactions
on Image Processing 5(8), 1996, register the spectra of images so; here it is the pictures, about their middle and, for what may
have been cut out of them, about places beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

RINGS = 20
STEPS = 5
"""Zooms that are looked for: by 1.08 up to 1.08 ** 5 = 1.47."""
ANGLES = 64
RATIO = 1.08
"""Of the radius of a ring to that of the one inside of it."""
_SIDE = 64
_BLURS = 3
_BESIDE = 0.065
CENTRES = tuple((x * _BESIDE, y * _BESIDE) for x, y in ((0, 0), *((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y)))
"""Where views are taken, in shares of the side from the middle: (columns, rows), the middle first."""
FIRST_BESIDE = 2
"""The zoom from which on a part of a picture may lie so far beside the middle."""

Views = npt.NDArray[np.uint8]


def grey(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns one band of 0 to 255 of an image, its 1st and 99th percentile at the ends.

    Args:
        image: (C, Y, X) of any type; bands are averaged. NaN and infinite numbers count as the lowest.
    """
    plane = image.mean(axis=0, dtype=np.float32)
    finite = np.isfinite(plane)
    if not finite.any():
        return np.zeros(plane.shape, np.float32)
    low, high = (np.float32(value) for value in np.percentile(plane[finite], [1, 99]))
    scaled: npt.NDArray[np.float32] = np.clip(
        (np.where(finite, plane, low) - low) * (255 / max(high - low, np.float32(1e-6))), 0, 255
    )
    return scaled


def middle_square(plane: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Returns the largest square in the middle of a plane, resized to ``side`` pixels."""
    import cv2

    height, width = plane.shape
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    how = cv2.INTER_AREA if edge > side else cv2.INTER_CUBIC
    square: npt.NDArray[np.float32] = cv2.resize(plane[top : top + edge, left : left + edge], (side, side), interpolation=how)
    return square


def polar_views(plane: npt.NDArray[np.float32], centres: Sequence[tuple[float, float]] = CENTRES[:1]) -> Views:
    """Returns log-polar views of an image.

    Args:
        plane: From ``grey``.
        centres: About which, in shares of the side of its middle square from the middle.

    Returns:
        (len(centres), RINGS + STEPS, ANGLES) uint8, inner ring first; blurred so that neighbouring angles overlap, what lies
        beyond the edge mirrored at it.
    """
    import cv2

    columns, rows, blurs, level = _sampling()
    square = middle_square(plane, _SIDE)
    smooth = [cv2.GaussianBlur(square, (0, 0), float(blur)) for blur in blurs]
    found = np.empty((len(centres), *columns.shape), np.float32)
    for view, (x, y) in zip(found, centres, strict=True):
        for number in range(_BLURS):
            chosen = level == number
            where = columns[chosen] + np.float32(x * _SIDE), rows[chosen] + np.float32(y * _SIDE)
            view[chosen] = cv2.remap(smooth[number], *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


@cache
def _sampling() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    radii = (_SIDE / 2 - 1.5) * RATIO ** -np.arange(RINGS + STEPS, dtype=np.float64)[::-1]
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    middle = (_SIDE - 1) / 2
    blur = np.maximum(0.6, radii * np.pi / ANGLES)
    blurs = np.geomspace(blur.min(), blur.max(), _BLURS)
    level = np.abs(np.log(blur[:, None] / blurs)).argmin(axis=1)
    columns = (middle + radii[:, None] * np.cos(angles)).astype(np.float32)
    rows = (middle + radii[:, None] * np.sin(angles)).astype(np.float32)
    return columns, rows, blurs, level


def rings(views: Views, step: int = 0) -> Views:
    """Returns the rings of views at a zoom: (..., RINGS, ANGLES), ``step`` rings inside of the outermost."""
    return views[..., STEPS - step : STEPS - step + RINGS, :]


def agreement(one: Views, other: Views) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Says how well two views agree when one is turned, and mirrored, onto the other as well as may be.

    Args:
        one: (P, RINGS, ANGLES), from ``rings``.
        other: The same.

    Returns:
        (P,) correlation, -1 to 1; rings count by their circumference, fine structure more than coarse. (P,) whether the second
        is mirrored for it; and (P,) the turn, in steps of the angle: what the second shows at angle 0 the first one shows there.
    """
    fixed, turned = _spectrum(one), _spectrum(other)
    every = [np.fft.irfft((each * turned.conj()).sum(axis=1), n=ANGLES, axis=1) for each in (fixed, fixed.conj())]
    found = np.concatenate(every, axis=1).astype(np.float32)
    best = found.argmax(axis=1)
    mirrored = best >= ANGLES
    # The conjugate's angles run the other way round.
    turn = np.where(mirrored, -best, best) % ANGLES
    return found[np.arange(len(found)), best], mirrored, turn


def _spectrum(some: Views) -> npt.NDArray[np.complex64]:
    """Of the rings along the angle, so weighted that the product of two is their correlation."""
    circumference = RATIO ** np.arange(RINGS, dtype=np.float32)
    spectrum = np.fft.rfft(some.astype(np.float32), axis=2)
    spectrum *= np.sqrt(circumference / circumference.sum())[:, None] * np.sqrt(np.arange(spectrum.shape[2]))
    norm = np.sqrt((np.abs(spectrum) ** 2).sum(axis=(1, 2)) * (2 / ANGLES))
    weighted: npt.NDArray[np.complex64] = (spectrum / (norm[:, None, None] + 1e-9)).astype(np.complex64)
    return weighted
