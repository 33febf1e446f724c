"""From the features of an image's planes (slices, frames) to one of the whole image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

Pooling = Literal["mean", "max"]


def pool_planes(features: torch.Tensor, pooling: Pooling = "mean") -> torch.Tensor:
    """Pools the features of planes.

    Args:
        features: (..., K, D), unit norm.
        pooling: ``mean`` of the unit vectors; ``max`` of each number over the planes, which keeps what only few planes show.

    Returns:
        (..., D), unit norm.
    """
    pooled = features.float().mean(dim=-2) if pooling == "mean" else features.float().amax(dim=-2)
    return F.normalize(pooled, dim=-1)


def encode_pooled(
    encode: Callable[[torch.Tensor], npt.NDArray[np.float32]],
    images: Sequence[torch.Tensor],
    batch_size: int,
    pooling: Pooling = "mean",
) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]:
    """Encodes the planes of images and pools them; the feature of a picture is that of its one plane, to the last bit.

    Args:
        encode: (B, C, H, W) to (B, D) float32.
        images: (K, C, H, W) each.
        batch_size: Planes at a time.
        pooling: See ``pool_planes``.

    Returns:
        (N, D) of the images, and (K, D) of the planes of each.
    """
    planes = np.concatenate([encode(part) for part in torch.split(torch.cat(list(images)), batch_size)])
    parts = np.split(planes, np.cumsum([len(image) for image in images])[:-1])
    whole = [part[0] if len(part) == 1 else pool_planes(torch.from_numpy(part), pooling).numpy() for part in parts]
    return np.stack(whole), parts
