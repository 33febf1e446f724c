"""Images mixed from known stains: Lambert and Beer, glass, sensor noise. The tests' truth; knows nothing of domainclip."""

from __future__ import annotations

import numpy as np

H, E = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])  # Ruifrok and Johnston 2001
LIGHT = 240.0


def unit(vector):
    return np.asarray(vector, float) / np.linalg.norm(vector)


def angle(first, second):
    """Degrees between two directions."""
    return float(np.degrees(np.arccos(np.clip(unit(first) @ unit(second), -1, 1))))


def turned(seed, spread=0.05):
    """Stains of another laboratory: Ruifrok's, each number moved by about ``spread``."""
    rng = np.random.default_rng(seed)
    return tuple(unit(np.abs(v + rng.normal(0, spread, 3))) for v in (unit(H), unit(E)))


def amounts(seed, side=256, glass=0.1):
    """(side, side, 2) amounts of the two stains: mixed, nearly pure ones of each, and glass."""
    rng = np.random.default_rng(seed)
    made = np.stack([rng.gamma(1.2, 0.5, (side, side)), rng.gamma(1.5, 0.4, (side, side))], axis=-1)
    kind = rng.random((side, side))
    made[kind < 0.3, 0] *= 0.02
    made[(kind > 0.3) & (kind < 0.45), 1] *= 0.05
    made[rng.random((side, side)) < glass] = 0
    return made


def mixed(made, stains, noise=1.0, seed=0, light=LIGHT):
    """(H, W, 3) uint8 image of amounts in given stains."""
    pixels = light * np.exp(-made @ np.stack([unit(s) for s in stains]))
    pixels = pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
