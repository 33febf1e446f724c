"""InfoNCE in which identical captions of the global batch are not each other's negatives."""

from __future__ import annotations

import torch

from domainclip.batch import Batch, TowerOutput
from domainclip.losses.clip import local_logits
from domainclip.losses.gather import Gather


class MultiPositiveLoss:
    """Symmetric cross entropy against soft targets: pairs with the same ``caption_groups`` share the mass equally.

    For row i with n_i pairs of its group in the global batch, the target is 1/n_i on each of them and 0 elsewhere, in both
    directions. With all captions different it is ``clip``. Khosla et al. 2020 (supervised contrastive, form L_out) for two towers.
    """

    needs = frozenset({"image_features", "text_features", "logit_scale", "caption_groups"})

    def __call__(self, output: TowerOutput, batch: Batch, gather: Gather) -> torch.Tensor:
        """Returns the mean over this process's rows, weighted by ``batch.weights`` where given."""
        to_text, to_image = local_logits(output, gather)
        same = batch.caption_groups[:, None] == gather.labels(batch.caption_groups)[None, :]
        target = same.to(to_text.dtype) / same.sum(dim=1, keepdim=True)
        rows = -(target * (to_text.log_softmax(dim=1) + to_image.log_softmax(dim=1))).sum(dim=1) / 2
        return gather.row_mean(rows, batch.weights)
