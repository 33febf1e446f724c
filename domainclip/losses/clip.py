"""Symmetric InfoNCE over the global batch, the loss of CLIP (Radford et al. 2021, figure 3)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from domainclip.batch import Batch, TowerOutput
from domainclip.losses.gather import Gather


def local_logits(output: TowerOutput, gather: Gather) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled cosine similarities of this process's rows against the columns of all processes.

    Args:
        output: Features (B, D) of unit norm and the scale.
        gather: Collects the other processes' features.

    Returns:
        Image-to-text and text-to-image logits, each (B, world_size * B) float32.
    """
    assert output.image_features is not None
    assert output.text_features is not None
    # Similarities are scaled by up to 100: in bfloat16 that would leave two digits.
    with torch.autocast(output.image_features.device.type, enabled=False):
        images, texts = output.image_features.float(), output.text_features.float()
        scale = output.logit_scale.float()
        return scale * images @ gather.features(texts).T, scale * texts @ gather.features(images).T


class ClipLoss:
    """Mean of the cross entropies image to text and text to image, the pair on the diagonal being right."""

    needs = frozenset({"image_features", "text_features", "logit_scale"})

    def __call__(self, output: TowerOutput, batch: Batch, gather: Gather) -> torch.Tensor:
        """Returns the mean over this process's rows, weighted by ``batch.weights`` where given."""
        to_text, to_image = local_logits(output, gather)
        first = gather.rank * to_text.shape[0]
        target = torch.arange(first, first + to_text.shape[0], device=to_text.device)
        rows = (F.cross_entropy(to_text, target, reduction="none") + F.cross_entropy(to_image, target, reduction="none")) / 2
        return gather.row_mean(rows, batch.weights)
