"""A global descriptor of a log-polar view that no turn changes, and mirroring in a known way: duplicates are near in it.

Per ring the magnitudes of its harmonics; per pair of rings the products of one's harmonics with the other's conjugates, in which
the phase that a turn adds cancels. A mirrored image has the conjugate products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainclip.data.duplicates.polar import RINGS, Views

HARMONICS = 12
LENGTH = 96
_APART = (1, 2)
_POWER = 0.75
_IMAGINARY = HARMONICS * sum(RINGS - apart for apart in _APART)

Floats = npt.NDArray[np.float32]


def raw_descriptors(some: Views) -> Floats:
    """Describes views.

    Args:
        some: (N, RINGS, ANGLES), from ``polar.rings``.

    Returns:
        (N, D); the last ``_IMAGINARY`` numbers change their sign when an image is mirrored.
    """
    rings = some.astype(np.float32)
    rings -= rings.mean(axis=(1, 2), keepdims=True)
    rings /= rings.std(axis=(1, 2), keepdims=True) + 1e-6
    spectrum = np.fft.rfft(rings, axis=2)[:, :, : HARMONICS + 1]
    mean, waves = spectrum[:, :, 0].real, spectrum[:, :, 1:]
    products = [waves[:, :-apart] * waves[:, apart:].conj() for apart in _APART]
    products = [product * (np.abs(product) + 1e-9) ** (_POWER / 2 - 1) for product in products]
    parts = [np.sign(mean) * np.abs(mean) ** _POWER, np.abs(waves) ** _POWER]
    parts += [product.real for product in products] + [product.imag for product in products]
    return np.concatenate([part.reshape(len(some), -1) for part in parts], axis=1).astype(np.float32)


def mirrored(raw: Floats) -> Floats:
    """Returns the descriptors that the mirrored images have."""
    other = raw.copy()
    other[:, -_IMAGINARY:] *= -1
    return other


@dataclass(frozen=True, slots=True)
class Projection:
    """Principal components of descriptors, half whitened.

    Attributes:
        mean: (D,).
        axes: (D, K).
    """

    mean: Floats
    axes: Floats

    def __call__(self, raw: Floats) -> Floats:
        """Returns (N, K) of unit length."""
        short = (raw - self.mean) @ self.axes
        unit: Floats = short / (np.linalg.norm(short, axis=1, keepdims=True) + 1e-9)
        return unit


def fitted(raw: Floats) -> Projection:
    """Finds the components of some descriptors and of those of the mirrored images.

    Args:
        raw: Of some thousands of the set, or of all of a small one.
    """
    both = np.concatenate([raw, mirrored(raw)])
    mean = both.mean(axis=0)
    # Of the covariance: the set has more images than a descriptor has numbers.
    values, vectors = np.linalg.eigh(np.cov(both - mean, rowvar=False))
    strongest = np.argsort(values)[::-1][:LENGTH]
    spread = np.sqrt(np.maximum(values[strongest], 1e-12))
    return Projection(mean, (vectors[:, strongest] / np.sqrt(spread)).astype(np.float32))
