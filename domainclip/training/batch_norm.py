"""What batch norm does when a batch is spread over processes."""

from __future__ import annotations

from typing import Literal, cast

import torch

from domainclip.errors import UsageError

Choice = Literal["auto", "frozen", "local", "sync"]


class _Frozen:
    """Mixed into a batch-norm class: it normalises with its stored statistics and never changes them."""

    def train(self, mode: bool = True) -> torch.nn.Module:
        """Stays in evaluation behaviour whatever the model is switched to."""
        return cast(torch.nn.Module, super().train(False))  # type: ignore[misc]


def apply_batch_norm(model: torch.nn.Module, choice: Choice, world_size: int, backend: str) -> str:
    """Changes the batch-norm layers of a model in place; call it before the optimizer's groups are made.

    ``auto`` leaves one process as it is, synchronises statistics over nccl, and over gloo, which has no synchronised batch
    norm, takes ``local``: each process normalises with its own batch, and the running statistics are averaged over processes
    before evaluation and saving (``Engine.average_buffers``). ``frozen`` uses the statistics that the weights came with.

    Args:
        model: Any model; without batch norm nothing happens.
        choice: The configuration's ``model.batch_norm``.
        world_size: Number of processes.
        backend: ``gloo``, ``nccl`` or ``none``.

    Returns:
        One sentence for the log, empty when the model has no batch norm or one process needs nothing.

    Raises:
        UsageError: ``sync`` without nccl.
    """
    # torch keeps the common base of its batch norms private, and a subclass may be any of them.
    layers = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return ""
    if choice == "frozen":
        for layer in layers:
            layer.__class__ = type(f"Frozen{type(layer).__name__}", (_Frozen, type(layer)), {})
            layer.eval()
        return f"Batch norm: the statistics of {len(layers)} layers stay as they are in the initial weights."
    if choice == "sync" and (world_size == 1 or backend != "nccl"):
        raise UsageError(
            "Synchronised batch norm was asked for (model.batch_norm=sync).",
            f"This run has {world_size} process(es) and the backend {backend}; it exists for several processes with nccl only.",
            "Take model.batch_norm=local or frozen on CPU, or a model without batch norm.",
        )
    if world_size == 1:
        return ""
    if choice == "sync" or (choice == "auto" and backend == "nccl"):
        from timm.layers import convert_sync_batchnorm

        convert_sync_batchnorm(model)
        return f"Batch norm: the statistics of {len(layers)} layers are synchronised over {world_size} processes."
    return (
        f"Batch norm: each of the {world_size} processes normalises {len(layers)} layers with its own part of the batch; "
        "running statistics are averaged before evaluation and saving."
    )
