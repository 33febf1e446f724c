"""Collects features over processes such that gradients equal those of the one-process full batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist


class _AllGather(torch.autograd.Function):
    """All-gather along dimension 0 whose backward sums what every process wants to change in this process's rows.

    Every process r computes a loss L_r from all rows. The rows of process r are therefore in every L_q, and the derivative of
    the sum of all L_q with respect to them is the sum over q of the slices that concern r. Engines then average parameter
    gradients over processes, which makes it the derivative of the mean of the L_q: the loss of the global batch.
    """

    @staticmethod
    def forward(ctx: Any, local: torch.Tensor, rank: int, world_size: int) -> torch.Tensor:
        ctx.rows = slice(rank * local.shape[0], (rank + 1) * local.shape[0])
        return _collect(local, world_size)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        total = grad_outputs[0].contiguous().clone()
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        return total[ctx.rows], None, None


def _collect(local: torch.Tensor, world_size: int) -> torch.Tensor:
    """Returns the rows of all processes, (world_size * B, ...)."""
    rows = torch.empty((world_size * local.shape[0], *local.shape[1:]), dtype=local.dtype, device=local.device)
    dist.all_gather_into_tensor(rows, local.contiguous())
    return rows


@dataclass(frozen=True, slots=True)
class Gather:
    """Collects tensors over all processes; every process must call it in the same order with equal shapes.

    Attributes:
        world_size: Number of processes.
        rank: This process, 0 to world_size - 1; its rows start at ``rank * B`` of what is returned.
    """

    world_size: int = 1
    rank: int = 0

    def features(self, local: torch.Tensor) -> torch.Tensor:
        """Collects (B, D) features of all processes with exact gradients.

        Returns:
            (world_size * B, D), same type, in the order of ranks.
        """
        if self.world_size == 1:
            return local
        return cast(torch.Tensor, _AllGather.apply(local, self.rank, self.world_size))

    def labels(self, local: torch.Tensor) -> torch.Tensor:
        """Collects (B, ...) numbers that need no gradient; returns (world_size * B, ...)."""
        local = local.detach()
        return local if self.world_size == 1 else _collect(local, self.world_size)

    def row_mean(self, rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Means losses of this process's rows so that the mean over processes is the (weighted) mean over all rows.

        Args:
            rows: (B,) one loss per row.
            weights: (B,) not negative, or None for equal weights.

        Returns:
            Scalar: sum(weights * rows) * world_size / (sum of all processes' weights).
        """
        if weights is None:
            return rows.mean()
        total = self.labels(weights.to(rows).sum().reshape(1)).sum()
        return (weights.to(rows) * rows).sum() * self.world_size / total
