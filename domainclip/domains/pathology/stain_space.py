"""The spaces in which stains are changed: optical density and CIELAB, from uint8 sRGB and back, glass left as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.errors import UsageError

RGB = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]

LIGHT = 240.0
"""Intensity of light without tissue; with natural logarithms and 1 added, as Macenko's constants below were measured."""
GLASS_DENSITY, STAINED_DENSITY = 0.03, 0.10
"""Below the first a pixel is glass and stays as it is, above the second it is changed in full, between them in part: no edge."""

_BLOCK = 8192
_DENSITY = -np.log((np.arange(256) + 1) / LIGHT).astype(np.float32)
_THIRDS = np.full(3, 1 / 3, np.float32)
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], np.float64)
_WHITE = _XYZ.sum(axis=1)
_CUBE_FROM = 216 / 24389
_LINE = 841 / 108
_TO_XYZ = (_XYZ / _WHITE[:, None]).T.astype(np.float32)
_FROM_XYZ = np.linalg.inv(_XYZ / _WHITE[:, None]).T.astype(np.float32)
_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]], np.float64)
_TO_LAB, _FROM_LAB = _LAB.T.astype(np.float32), np.linalg.inv(_LAB).T.astype(np.float32)
_BLACK = np.float32(16 / 116)
_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS > 0.04045, ((_LEVELS + 0.055) / 1.055) ** 2.4, _LEVELS / 12.92).astype(np.float32)


def checked_rgb(image: Any) -> RGB:
    """Returns the image, if it is (H, W, 3) uint8.

    Raises:
        UsageError: It is anything else; nothing is converted, because the range would be a guess.
    """
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return image
    found = f"{image.dtype} of shape {image.shape}." if isinstance(image, np.ndarray) else f"A {type(image).__name__}."
    raise UsageError(
        "The stain of an image was to be changed.", found, "Pass (H, W, 3) uint8 sRGB: 0 to 255, three channels, no alpha."
    )


def optical_density(image: RGB) -> Float:
    """Returns -ln((pixel + 1) / 240), float32, -0.06 (white) to 5.5 (black)."""
    density: Float = _DENSITY[image]
    return density


def mean_density(density: Float) -> Float:
    """Returns the mean over red, green and blue, (...)."""
    mean: Float = density @ _THIRDS  # many times faster than mean() over an axis of three
    return mean


def rgb_from_density(density: Float) -> Float:
    """Returns 240 * exp(-density) - 1, not clipped or rounded."""
    light: Float = np.float32(LIGHT) * np.exp(-density) - np.float32(1)
    return light


def lab_from_rgb(image: RGB) -> Float:
    """Returns CIELAB (sRGB primaries, D65), float32: L in 0..100, a and b signed.

    Written out because OpenCV's is off by up to 0.45, which its own tables interpolate.

    Args:
        image: (..., 3) uint8 sRGB.
    """
    xyz = _LINEAR[image] @ _TO_XYZ
    root = np.where(xyz > _CUBE_FROM, np.cbrt(xyz), np.float32(_LINE) * xyz + np.float32(4 / 29))
    lab: Float = (root - _BLACK) @ _TO_LAB
    return lab


def rgb_from_lab(lab: Float) -> Float:
    """Returns sRGB as 0..255, float32, not rounded; colours that sRGB has not are cut to its range.

    Args:
        lab: (..., 3) float32.
    """
    root = lab @ _FROM_LAB + _BLACK
    xyz = np.where(root > np.float32(6 / 29), root * root * root, (root - np.float32(4 / 29)) / np.float32(_LINE))
    linear = np.clip(xyz @ _FROM_XYZ, 0, 1)
    bright = np.float32(255 * 1.055) * linear ** np.float32(1 / 2.4) - np.float32(255 * 0.055)
    rgb: Float = np.where(linear > np.float32(0.0031308), bright, np.float32(255 * 12.92) * linear)
    return rgb


def tissue_changed(image: RGB, change: Callable[[RGB, Float], Float]) -> RGB:
    """Changes an image where there is tissue and leaves it where there is glass, without an edge between.

    It goes by a few rows at a time: larger arrays come from the system anew each time, which costs several times the arithmetic.

    Args:
        image: (H, W, 3).
        change: Gives the new pixels, (h, W, 3) in 0..255 (what lies beyond is clipped), of a block and its optical density.
    """
    result = np.empty_like(image)
    rows = max(1, _BLOCK // max(1, image.shape[1]))
    for top in range(0, len(image), rows):
        block = image[top : top + rows]
        density = optical_density(block)
        share = (mean_density(density)[..., None] - np.float32(GLASS_DENSITY)) / np.float32(STAINED_DENSITY - GLASS_DENSITY)
        np.clip(share, 0, 1, out=share)
        mixed = np.clip(change(block, density), 0, 255)
        mixed -= block
        mixed *= share
        mixed += block
        result[top : top + rows] = np.rint(mixed)
    return result
