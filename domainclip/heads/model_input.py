"""An image as its tower takes it: normalised planes, the channels they are of, and what was missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domainclip.config import MissingChannels
from domainclip.data.missing_channels import ChannelFit

if TYPE_CHECKING:
    import torch

    from domainclip.models.pooling import Pooling

Features = npt.NDArray[np.float32]


class ModelInput(NamedTuple):
    """One image for a tower.

    Attributes:
        tensor: (K, C, S, S) float32, normalised; K planes.
        channels: Names of the C channels, or None for the model's own.
        missing: Channels of the model that the image lacks.
    """

    tensor: torch.Tensor
    channels: tuple[str, ...] | None = None
    missing: tuple[str, ...] = ()


def input_groups(inputs: Iterable[ModelInput], planes: int) -> Iterator[list[ModelInput]]:
    """Puts inputs into groups that have at least so many planes together (the last one may have fewer)."""
    from domainclip.data.planes import grouped

    waiting: list[ModelInput] = []

    def tensors() -> Iterator[torch.Tensor]:
        for one in inputs:
            waiting.append(one)
            yield one.tensor

    for group in grouped(tensors(), planes):
        yield waiting[: len(group)]
        del waiting[: len(group)]


def pooled_inputs(
    encode: Callable[[torch.Tensor, tuple[str, ...] | None], Features],
    inputs: Sequence[ModelInput],
    batch_size: int,
    pooling: Pooling = "mean",
) -> tuple[Features, list[Features]]:
    """Encodes the planes of images and pools them; images of the same channels go through the tower together.

    Args:
        encode: (B, C, S, S) and the names of the channels to (B, D).
        inputs: N images.
        batch_size: Planes at a time.
        pooling: See ``models.pooling.pool_planes``.

    Returns:
        (N, D) of the images, and (K, D) of the planes of each, in the order given.
    """
    from domainclip.models.pooling import encode_pooled

    places: dict[tuple[str, ...] | None, list[int]] = {}
    for place, one in enumerate(inputs):
        places.setdefault(one.channels, []).append(place)
    rows: dict[int, npt.NDArray[np.float32]] = {}
    parts: dict[int, Features] = {}
    for channels, members in places.items():
        tensors = [inputs[place].tensor for place in members]
        whole, planes = encode_pooled(lambda batch, names=channels: encode(batch, names), tensors, batch_size, pooling)  # type: ignore[misc]
        rows |= dict(zip(members, whole, strict=True))
        parts |= dict(zip(members, planes, strict=True))
    order = range(len(inputs))
    return np.stack([rows[place] for place in order]), [parts[place] for place in order]


def mostly_missing(fit: ChannelFit) -> str:
    """Says that a model sees less than half of what it was trained on."""
    done = "hold the model's mean instead" if fit.rule == "mean" else "are left out"
    return (
        f"An image lacks {len(fit.missing)} of the model's {fit.planes} channels ({', '.join(fit.missing)}), which {done}: "
        "its answers rest on the others alone and may be wrong"
    )


class MissingTally:
    """Counts the images that lacked channels, for outputs and closing lines.

    Args:
        rule: What became of the channels.
    """

    def __init__(self, rule: MissingChannels) -> None:
        self.rule = rule
        self.images = 0
        self.channels: Counter[str] = Counter()

    def add(self, one: ModelInput | ChannelFit) -> None:
        """Counts an image."""
        self.images += bool(one.missing)
        self.channels.update(one.missing)

    def join(self, other: MissingTally) -> MissingTally:
        """Returns the sum of two counts."""
        both = MissingTally(self.rule)
        both.images, both.channels = self.images + other.images, self.channels + other.channels
        return both

    def document(self) -> dict[str, Any]:
        """Returns the rule, how many images lacked channels, and channel to images."""
        return {"rule": self.rule, "images": self.images, "channels": dict(self.channels)}


def tally_of_fits(fits: Iterable[ChannelFit], rule: MissingChannels) -> MissingTally:
    """Counts the images of a set by how their channels go into a model."""
    tally = MissingTally(rule)
    for fit in fits:
        tally.add(fit)
    return tally


def missing_lines(document: dict[str, Any] | None, images: int) -> list[str]:
    """Says in one line what was filled or left out; nothing where all images had all channels.

    Args:
        document: ``MissingTally.document``.
        images: How many images there were.
    """
    if not document or not document["images"]:
        return []
    done = "filled with the model's mean" if document["rule"] == "mean" else "left out"
    named = ", ".join(f"{name} in {count}" for name, count in document["channels"].items())
    return [f"{document['images']} of {images} images lacked channels of the model, which were {done}: {named}"]
