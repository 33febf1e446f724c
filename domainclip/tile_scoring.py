"""How a reader asks a model which tiles to keep. Layer 0: readers lie below models, so the model comes in by this protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from domainclip.registry import Registry


class TileScorer(Protocol):
    """A model as a reader sees it."""

    def image_features(self, tiles: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Encodes tiles.

        Args:
            tiles: (3, H, W) uint8 sRGB each.

        Returns:
            (N, D) float32 of unit norm.
        """
        ...

    def text_features(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encodes texts to (N, D) float32 of unit norm."""
        ...


tile_scorers: Registry[Callable[[str], TileScorer]] = Registry("tile scorer", {"model": "domainclip.heads.tile_scorer:open_scorer"})
"""Name to a function from MODEL to a scorer; the entry is imported when a reader first asks for it."""
