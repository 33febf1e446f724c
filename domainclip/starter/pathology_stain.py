"""Colour of the synthetic slides: dyes, light, ink. All of it is drawn at random so that colour gives no class away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float32]
RGB = npt.NDArray[np.uint8]

HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
"""Optical densities of red, green and blue at unit strength (Ruifrok and Johnston 2001)."""
VECTOR_SPREAD = 0.11
GAIN_SPREAD = 0.35
INKS = {"blue": (20, 60, 165), "green": (20, 110, 60), "black": (30, 30, 35), "red": (190, 20, 30)}


@dataclass(frozen=True, slots=True)
class Staining:
    """One laboratory's dyes and one scanner's light.

    Attributes:
        vectors: (2, 3) densities of haematoxylin and eosin.
        light: (3,) intensity of empty glass, 0 to 255.
        noise: Standard deviation of the sensor's noise, 0 to 255.
    """

    vectors: Map
    light: Map
    noise: float


def random_staining(rng: np.random.Generator) -> Staining:
    """Draws the staining of one slide."""
    return Staining(
        vectors=_jittered(rng, np.array([HAEMATOXYLIN, EOSIN], np.float32), VECTOR_SPREAD),
        light=(rng.uniform(228, 250) + rng.normal(0, 3, 3)).astype(np.float32).clip(215, 254),
        noise=float(rng.uniform(0.8, 3.0)),
    )


def regional(rng: np.random.Generator, slide: Staining) -> Map:
    """Draws a region's own dyes around its slide's: the (2, 3) densities."""
    return _jittered(rng, slide.vectors, VECTOR_SPREAD * 0.6)


def balanced(rng: np.random.Generator, dye: Map, target: float, pull: float) -> Map:
    """Scales a map so that its mean says little about what it shows.

    Args:
        rng: Draws the gain, exp N(0, 0.35).
        dye: (H, W).
        target: Mean that is aimed at.
        pull: 0 leaves the mean, 1 sets it.
    """
    mean = max(float(dye.mean()), 1e-3)
    factor = min(max(target / mean, 0.25), 3.5) ** pull * float(np.exp(rng.normal(0, GAIN_SPREAD)))
    scaled: Map = (dye * np.float32(factor)).astype(np.float32)
    return scaled


def ink_transmittance(colour: str) -> Map:
    """Returns the share of light that an ink lets through, (3,)."""
    return (np.array(INKS[colour]) / 255).astype(np.float32)


def _jittered(rng: np.random.Generator, vectors: Map, spread: float) -> Map:
    moved = np.clip(vectors + rng.normal(0, spread, vectors.shape).astype(np.float32), 0.02, None)
    unit: Map = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    return unit
