"""Augmentation in the space of the stains; a step of the pipelines in ``facts.yaml``, registered in ``data/augment.py``."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from domainclip.domains.pathology.stain_space import RGB, checked_rgb, rgb_from_density, tissue_changed

RUIFROK = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11))
"""Optical densities of haematoxylin and eosin (Ruifrok and Johnston 2001)."""


class StainAugment:
    """Scales and shifts the amounts of haematoxylin, eosin and the rest, each on its own; other laboratories' slides look so.

    Tellez et al., "Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to train distilled
    stain-invariant convolutional networks", IEEE TMI 2018, and "Quantifying the effects of data augmentation and stain color
    normalization", MedIA 2019: amount * (1 + a) + b with a and b uniform. Stains are Ruifrok's, the rest is what stands on both.

    Args:
        sigma: a lies within +-sigma, 0 to below 1 (their light augmentation: 0.05, strong: 0.2).
        bias: b lies within +-bias, natural optical density, 0 to 1; 0.01 is about 2 of 255 in mid tones.
        p: Probability.
    """

    def __init__(self, sigma: float = 0.05, bias: float = 0.01, p: float = 0.5) -> None:
        self._sigma, self._bias, self._p = float(sigma), float(bias), float(p)
        if not (0 <= self._sigma < 1 and 0 <= self._bias <= 1 and 0 <= self._p <= 1):
            raise ValueError("sigma lies in 0 to below 1, bias and p in 0..1")
        two = np.array(RUIFROK) / np.linalg.norm(RUIFROK, axis=1, keepdims=True)
        rest = np.cross(two[0], two[1])
        self._stains = np.concatenate([two, rest[None] / np.linalg.norm(rest)]).T
        self._amounts = np.linalg.inv(self._stains)

    def set_random_state(self, generator: np.random.Generator, python: random.Random) -> None:
        """Takes the generators to draw from."""
        self._generator, self._python = generator, python

    def __call__(self, image: RGB, **others: Any) -> dict[str, Any]:
        """Changes the image ((H, W, 3) uint8 sRGB), glass and masks stay.

        Raises:
            UsageError: Not uint8 RGB.
        """
        checked_rgb(image)
        if self._python.random() >= self._p:
            return {"image": image, **others}
        drawn = self._generator.uniform(-1.0, 1.0, (2, 3))
        change = ((self._stains * (1 + self._sigma * drawn[0])) @ self._amounts).T.astype(np.float32)
        shift = (self._stains @ (self._bias * drawn[1])).astype(np.float32)
        changed = tissue_changed(image, lambda _, density: rgb_from_density(density @ change + shift))
        return {"image": changed, **others}
