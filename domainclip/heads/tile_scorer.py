"""Models as readers see them; see ``tile_scoring.TileScorer``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.errors import UsageError
from domainclip.heads.domain_model import DomainModel, load_model
from domainclip.heads.inputs import Image
from domainclip.sample import Pixels, Values

_COLOURS = ("red", "green", "blue")


class ModelScorer:
    """Scores tiles with a loaded model.

    Args:
        model: It takes red, green and blue.
    """

    def __init__(self, model: DomainModel) -> None:
        self._model = model

    def image_features(self, tiles: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """See ``tile_scoring.TileScorer``."""
        images = (Image(Pixels(tile), Values("srgb", 1 / 255), _COLOURS) for tile in tiles)
        return np.concatenate(list(self._model.encode_images(images)))

    def text_features(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See ``tile_scoring.TileScorer``."""
        return np.asarray(self._model.encode_text(list(texts)), np.float32)


@lru_cache(maxsize=1)
def open_scorer(model: str) -> ModelScorer:
    """Loads a model on the CPU, once a process.

    Args:
        model: A run folder or a name.

    Raises:
        UsageError: There is no such model, or it takes other channels than red, green and blue.
    """
    loaded = load_model(model, device="cpu")
    channels = tuple(loaded.record.preprocessing.channels)
    if channels != _COLOURS:
        found = f"It takes {', '.join(channels)}."
        raise UsageError(f"The model {model} was to choose tiles.", found, "Name a model of red, green and blue.")
    return ModelScorer(loaded)
