"""open_clip's CLIP that also encodes tokens cut after the longest text of a batch, with the same features for less work."""

from __future__ import annotations

import open_clip
import torch
from torch.nn import functional as F


class ShortTextCLIP(open_clip.CLIP):  # type: ignore[misc]  # open_clip has no types
    """``open_clip.CLIP`` whose text tower takes fewer columns than its context, where that changes nothing.

    Attention is causal and features are read at the end token, so columns of padding after the last end token influence nothing.
    Captions fill a third of CLIP's 77 columns on average; stock open_clip computes all of them.
    """

    @property
    def takes_short_texts(self) -> bool:
        """Columns after the last end token may be left out."""
        return self.attn_mask is not None and self.text_pool_type in {"argmax", "eos"}

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        """Encodes tokens.

        Args:
            text: (M, L) int64, L at most the context length; shorter only where ``takes_short_texts``.
            normalize: Return unit norm.

        Returns:
            (M, D) features.
        """
        columns = text.shape[1]
        if columns == self.context_length or not self.takes_short_texts:
            features: torch.Tensor = super().encode_text(text, normalize)
            return features
        dtype = self.transformer.get_cast_dtype()
        x = self.token_embedding(text).to(dtype) + self.positional_embedding[:columns].to(dtype)
        x = self.ln_final(self.transformer(x, attn_mask=self.attn_mask[:columns, :columns]))
        ends = text.argmax(dim=1) if self.text_pool_type == "argmax" else (text == self.text_eos_id).int().argmax(dim=1)
        x = x[torch.arange(len(x), device=x.device), ends]
        if self.text_projection is not None:
            linear = isinstance(self.text_projection, torch.nn.Linear)
            x = self.text_projection(x) if linear else x @ self.text_projection
        return F.normalize(x, dim=-1) if normalize else x


def without_padding(tokens: torch.Tensor, multiple: int = 8) -> torch.Tensor:
    """Cuts off the columns that are padding (id 0) in every row.

    Args:
        tokens: (M, L) int64.
        multiple: The number of columns kept is a multiple of it, or L, so that a compiled model meets few shapes.

    Returns:
        (M, L') int64, L' at most L.
    """
    used = int((tokens != 0).any(dim=0).nonzero().max()) + 1 if tokens.any() else 1
    return tokens[:, : -(-used // multiple) * multiple]
