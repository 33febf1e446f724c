"""Plain torch behind the engine's face: one process, or DistributedDataParallel. Runs where DeepSpeed does not."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from domainclip.batch import TowerOutput
from domainclip.config import OptimizerConfig, TrainingConfig
from domainclip.training.distributed import Processes
from domainclip.training.engine import LOGIT_SCALE_LIMIT, EngineState, Mode, make_adamw
from domainclip.training.engine_base import EngineBase, FlatOutput, collect_plain, restore_plain


class TorchEngine(EngineBase):
    """See ``Engine``; arguments as ``make_engine``, groups aligned already."""

    zero_stage: int | None = None

    def __init__(
        self,
        config: TrainingConfig,
        optimizer: OptimizerConfig,
        model: torch.nn.Module,
        groups: Sequence[dict[str, Any]],
        processes: Processes,
    ) -> None:
        model.to(processes.device)
        super().__init__(model, processes)
        self.precision, self.clip_norm = config.precision, optimizer.clip_norm
        self.optimizer = make_adamw(groups, optimizer)
        self.trained = [parameter for group in groups for parameter in group["params"]]
        self.wrapped = FlatOutput(model)
        if config.compile:
            self.wrapped.compile()
        self.name = "torch"
        if processes.world_size > 1:
            # Buffers are averaged before they are used (average_buffers); rank 0's in every forward would differ from DeepSpeed.
            devices = [processes.device] if processes.device.type == "cuda" else None
            parallel = torch.nn.parallel.DistributedDataParallel
            known = inspect.signature(parallel).parameters
            setting: dict[str, Any] = {"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}
            self.wrapped = parallel(self.wrapped, device_ids=devices, **setting)
            self.name = "DistributedDataParallel"
            self.share_buffers()

    def forward(
        self,
        images: torch.Tensor | None = None,
        tokens: torch.Tensor | None = None,
        mode: Mode = "both",
        channels: tuple[str, ...] | None = None,
    ) -> TowerOutput:
        """See ``Engine.forward``."""
        autocast: AbstractContextManager[Any] = nullcontext()
        if self.precision == "bf16":
            autocast = torch.autocast(self.processes.device.type, dtype=torch.bfloat16)
        with autocast:
            return super().forward(images, tokens, mode, channels)

    def backward(self, loss: torch.Tensor) -> None:
        """See ``Engine.backward``."""
        loss.backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def step(self, lr: float) -> bool:
        """See ``Engine.step``."""
        self.set_lr(lr)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.trained if p.grad is not None])
        finite = bool(torch.isfinite(norm))
        if finite:
            if self.clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(self.trained, self.clip_norm, norm)
            self.optimizer.step()
            for name in self.logit_scales:
                self.named[name].clamp_(max=LOGIT_SCALE_LIMIT)
        self.optimizer.zero_grad(set_to_none=True)
        return finite

    def gradients(self) -> dict[str, torch.Tensor]:
        """See ``Engine.gradients``."""
        return {name: p.grad.detach().float().cpu().clone() for name, p in self.named.items() if p.grad is not None}

    def weights(self) -> dict[str, torch.Tensor]:
        """See ``Engine.weights``."""
        values = {name: parameter.detach().float().cpu().clone() for name, parameter in self.named.items()}
        return values | {name: buffer.detach().cpu().clone() for name, buffer in self.buffers()}

    def collect(self) -> EngineState:
        """See ``Engine.collect``."""
        if not self.processes.main:
            return EngineState()
        state = collect_plain(self.named, self.optimizer)
        state.buffers = {name: buffer.detach().cpu().clone() for name, buffer in self.buffers()}
        return state

    def restore(self, state: EngineState) -> None:
        """See ``Engine.restore``."""
        self.check_state(state)
        restore_plain(state, self.named, self.optimizer)
        self.restore_buffers(state.buffers)

    def close(self) -> None:
        """See ``Engine.close``."""
        self.wrapped = FlatOutput(self.module)
