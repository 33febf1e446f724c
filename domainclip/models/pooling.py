"""From the features of an image's planes (slices, frames) to one of the whole image."""

from __future__ import annotations

from typing import Literal

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
