"""The records that cross from data to models to losses, and the protocols by which lower layers use higher ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class Batch:
    """What the loader hands to the training step. B images; one caption is drawn for each.

    Attributes:
        images: (B, C, H, W) float32, normalised as the model's preprocessing says; (B, K, C, H, W) of volumes and time series, K
            planes of each.
        tokens: (B, L) int64.
        caption_groups: (B,) int64; equal numbers mark captions with the same words, wherever they come from. Stable over
            ranks and steps: a hash of the text.
        keys: B sample keys.
        languages: B BCP-47 tags.
        masks: (B, H, W) or (B, K, H, W) bool, True where there is data; None when every pixel is data.
        weights: (B,) float32, or None for equal weights.
        image_groups: (B, K) int64, the caption groups of all K captions that an image has, whichever is drawn; -1 fills up.
            K is the same for every batch and rank. None where it is not known.
        teacher_features: (B, D) float32 of a teacher, or None.
        channels: Names of the C channels where they are not the model's (wavelength towers), the same for all processes; or None.
    """

    images: torch.Tensor
    tokens: torch.Tensor
    caption_groups: torch.Tensor
    keys: tuple[str, ...]
    languages: tuple[str, ...]
    masks: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    image_groups: torch.Tensor | None = None
    teacher_features: torch.Tensor | None = None
    channels: tuple[str, ...] | None = None

    def to(self, device: torch.device) -> Batch:
        """Returns the batch on a device (asynchronously from pinned memory)."""
        moved = {
            f.name: value.to(device, non_blocking=True) if hasattr(value := getattr(self, f.name), "to") else value
            for f in fields(self)
        }
        return Batch(**moved)


@dataclass(slots=True)
class TowerOutput:
    """What the model's one ``forward`` returns. N images, M texts, D embedding width.

    Attributes:
        image_features: (N, D), unit norm, or None where only texts were given.
        text_features: (M, D), unit norm, or None where only images were given.
        logit_scale: (1,) already exponentiated.
        logit_bias: (1,) for sigmoid losses, or None.
        image_tokens: (N, T, D') where asked.
        text_tokens: (M, L, D') where asked.
    """

    image_features: torch.Tensor | None
    text_features: torch.Tensor | None
    logit_scale: torch.Tensor
    logit_bias: torch.Tensor | None = None
    image_tokens: torch.Tensor | None = None
    text_tokens: torch.Tensor | None = None


class TextTokenizer(Protocol):
    """Texts to token ids; the loader gets the model's tokenizer as this."""

    context_length: int

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Returns (N, L) int64; texts that are too long are cut (``count_truncated`` counts them)."""
        ...

    def count_truncated(self, texts: Sequence[str]) -> int:
        """Counts the texts that do not fit into the context, so that cutting is never silent."""
        ...
