"""InfoNCE in which captions that belong to an image as well are not its negatives."""

from __future__ import annotations

import torch

from domainclip.batch import Batch, TowerOutput
from domainclip.losses.clip import local_logits
from domainclip.losses.gather import Gather


class MultiPositiveLoss:
    """Symmetric cross entropy against soft targets: all right answers of a row share the mass equally.

    A caption is right for an image where its words are among the image's own captions, the drawn one or another: the same rule by
    which retrieval counts identical captions as hits. For row i with n_i right columns of the global batch the target is 1/n_i
    on each of them and 0 elsewhere; columns are texts in one direction, images in the other. Where no two images share a
    caption it is ``clip``. Khosla et al. 2020 (supervised contrastive, form L_out) for two towers.
    """

    needs = frozenset({"image_features", "text_features", "logit_scale", "caption_groups", "image_groups"})

    def __call__(self, output: TowerOutput, batch: Batch, gather: Gather) -> torch.Tensor:
        """Returns the mean over this process's rows, weighted by ``batch.weights`` where given."""
        assert batch.image_groups is not None
        to_text, to_image = local_logits(output, gather)
        every_caption, every_image = gather.labels(batch.caption_groups), gather.labels(batch.image_groups)
        rows = -(
            (_shared(_belongs(every_caption, batch.image_groups)) * to_text.log_softmax(dim=1)).sum(dim=1)
            + (_shared(_belongs(batch.caption_groups, every_image).T) * to_image.log_softmax(dim=1)).sum(dim=1)
        )
        return gather.row_mean(rows / 2, batch.weights)


def _belongs(captions: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Returns (N, M) bool: caption m of (M,) is among the captions of image n of (N, K). Memory N x (K + M)."""
    distinct, place = torch.unique(captions, return_inverse=True)
    nearest = torch.searchsorted(distinct, images).clamp(max=len(distinct) - 1)
    counts = torch.zeros(len(images), len(distinct), dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, nearest, (distinct[nearest] == images).long())
    return counts[:, place] > 0


def _shared(right: torch.Tensor) -> torch.Tensor:
    """Gives the right answers of each row equal shares of 1."""
    return right.float() / right.sum(dim=1, keepdim=True)
