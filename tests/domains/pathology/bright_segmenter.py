"""Segmenters as another package would bring them, for the tests of the seam."""

from __future__ import annotations

import numpy as np

calls: list[tuple[tuple[int, ...], float]] = []


def upper_half(thumbnail, um_per_px):
    calls.append((thumbnail.shape, um_per_px))
    mask = np.zeros(thumbnail.shape[:2], bool)
    mask[: len(mask) // 2] = True
    return mask


def wrong_shape(thumbnail, um_per_px):
    return np.ones((3, 3), bool)


def wrong_dtype(thumbnail, um_per_px):
    return np.ones(thumbnail.shape[:2], np.float32)


def writes(thumbnail, um_per_px):
    thumbnail[:] = 0
    return np.ones(thumbnail.shape[:2], bool)
