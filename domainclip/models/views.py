"""Features of images that have no up and no left: the mean over their eight orientations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch.nn import functional as F

Views = Literal["one", "d4"]


def features_of_views(encode: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, views: Views) -> torch.Tensor:
    """Encodes images as they are, or as the mean of their orientations.

    Scenes from above and tissue under a microscope may lie any way round; with ``d4`` their features no longer depend on it
    (test-time augmentation over the symmetries of the square, eight times the work). Where several processes share a model, all
    make the same calls.

    Args:
        encode: (N, C, S, S) to (N, D) of unit norm.
        images: (N, C, S, S).
        views: ``one`` or ``d4``.

    Returns:
        (N, D), unit norm.
    """
    if views == "one":
        return encode(images)
    turned = (torch.rot90(flipped, quarters, (2, 3)) for flipped in (images, images.flip(3)) for quarters in range(4))
    total = encode(next(turned)).float()
    for view in turned:
        total = total + encode(view).float()
    return F.normalize(total, dim=1)
