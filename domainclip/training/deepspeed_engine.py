"""DeepSpeed behind the engine's face, ZeRO 0 to 3, on CPU (gloo) and CUDA (nccl)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from domainclip.config import OptimizerConfig, TrainingConfig
from domainclip.errors import UsageError, missing_dependency
from domainclip.training.deepspeed_config import deepspeed_config
from domainclip.training.distributed import Processes
from domainclip.training.engine import LOGIT_SCALE_LIMIT, EngineState, make_adamw
from domainclip.training.engine_base import MOMENTS, EngineBase, FlatOutput, collect_plain, reset_moments, restore_plain


class DeepSpeedEngine(EngineBase):
    """See ``Engine``; arguments as ``make_engine``, groups aligned already."""

    def __init__(
        self,
        config: TrainingConfig,
        optimizer: OptimizerConfig,
        model: torch.nn.Module,
        groups: Sequence[dict[str, Any]],
        processes: Processes,
    ) -> None:
        deepspeed = import_deepspeed(processes.device)
        from deepspeed import utils as tensors

        model.to(processes.device)
        super().__init__(model, processes)
        self.share_buffers()
        self.name, self.zero_stage = "DeepSpeedEngine", config.zero_stage
        self.clip_norm = optimizer.clip_norm
        self.deepspeed, self.tensors = deepspeed, tensors
        self.optimizer = make_adamw(groups, optimizer)
        os.environ.setdefault("LOCAL_RANK", str(processes.local_rank))
        flat = FlatOutput(model)
        if config.compile:
            flat.compile()
        with contextlib.redirect_stdout(sys.stderr), _without_muon(config.zero_stage):
            self.engine, *_ = deepspeed.initialize(model=flat, optimizer=self.optimizer, config=deepspeed_config(config, optimizer))
        self.wrapped = self.engine
        if self.zero_stage:
            # Left to its first step, DeepSpeed links only the first group's moments to the parameters.
            self._reset_partitions(0)

    def backward(self, loss: torch.Tensor) -> None:
        """See ``Engine.backward``."""
        self.engine.backward(loss)

    @torch.no_grad()
    def step(self, lr: float) -> bool:
        """See ``Engine.step``."""
        self.set_lr(lr)
        if self.zero_stage == 0 and not self._finite_gradients():
            self.engine.zero_grad()
            return False
        self.engine.step()
        if getattr(self.engine.optimizer, "overflow", False):
            return False
        for name in self.logit_scales:
            self._limit(self.named[name])
        return True

    def gradients(self) -> dict[str, torch.Tensor]:
        """See ``Engine.gradients``."""
        found = {name: self.tensors.safe_get_full_grad(p) for name, p in self.named.items() if p.requires_grad}
        return {name: value.detach().float().cpu().clone() for name, value in found.items() if value is not None}

    def weights(self) -> dict[str, torch.Tensor]:
        """See ``Engine.weights``."""
        values = {name: self._full(parameter).cpu().clone() for name, parameter in self.named.items()}
        return values | {name: buffer.detach().cpu().clone() for name, buffer in self.buffers()}

    def collect(self) -> EngineState:
        """See ``Engine.collect``."""
        if self.zero_stage == 0:
            state = collect_plain(self.named, self.optimizer) if self.processes.main else EngineState()
        else:
            state = self._collect_partitioned()
        if self.processes.main:
            state.buffers = {name: buffer.detach().cpu().clone() for name, buffer in self.buffers()}
        return state

    @torch.no_grad()
    def restore(self, state: EngineState) -> None:
        """See ``Engine.restore``."""
        self.check_state(state)
        if self.zero_stage == 0:
            restore_plain(state, self.named, self.optimizer)
        else:
            if state.exp_avg:
                self._reset_partitions(state.optimizer_step)
            for name, parameter in self.named.items():
                self._set_full(parameter, state.parameters[name].to(self.processes.device))
                if parameter.requires_grad and name in state.exp_avg:
                    for moment in MOMENTS:
                        value = getattr(state, moment)[name].to(self.processes.device)
                        if self.zero_stage == 3:
                            self.tensors.safe_set_local_optimizer_state(parameter, self._own_part(parameter, value), moment)
                        else:
                            self.tensors.safe_set_full_optimizer_state(parameter, value, moment)
        self.restore_buffers(state.buffers)

    def full_shape(self, parameter: torch.nn.Parameter) -> tuple[int, ...]:
        """Returns the shape of the whole parameter, partitioned or not."""
        return tuple(getattr(parameter, "ds_shape", parameter.shape))

    def close(self) -> None:
        """See ``Engine.close``."""
        self.engine.destroy()
        self.wrapped = FlatOutput(self.module)
        autocast = sys.modules["deepspeed.runtime.torch_autocast"]
        autocast.TORCH_AUTOCAST_INITIALIZED = False  # type: ignore[attr-defined]  # else the next engine would start in bfloat16

    def _finite_gradients(self) -> bool:
        """Looks at the gradients that stage 0 would use as they are; the other stages look themselves."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.named.values() if p.grad is not None])
        return bool(torch.isfinite(norm))

    def _full(self, parameter: torch.nn.Parameter) -> torch.Tensor:
        """Returns the whole float32 parameter in every process."""
        if hasattr(parameter, "ds_id"):
            with self.deepspeed.zero.GatheredParameters([parameter]):
                return parameter.detach().float().clone()
        return parameter.detach().float()

    def _set_full(self, parameter: torch.nn.Parameter, value: torch.Tensor) -> None:
        """Sets the master and the working copy of a parameter in every process."""
        if hasattr(parameter, "ds_id"):
            if parameter.requires_grad:
                self.tensors.safe_set_local_fp32_param(parameter, self._own_part(parameter, value))
            with self.deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
                if self.processes.main:
                    parameter.copy_(value)
            return
        if parameter.requires_grad:
            self.tensors.safe_set_full_fp32_param(parameter, value)
        parameter.copy_(value)

    def _own_part(self, parameter: Any, value: torch.Tensor) -> torch.Tensor:
        """Cuts out what this process holds of a ZeRO-3 parameter.

        ``safe_set_full_*`` of DeepSpeed 0.19 fails where the elements do not divide by the processes; the last part is padded.
        """
        size = parameter.ds_tensor.numel()
        padded = torch.nn.functional.pad(value.flatten(), (0, size * self.processes.world_size - value.numel()))
        return padded.narrow(0, size * self.processes.rank, size)

    def _limit(self, parameter: torch.nn.Parameter) -> None:
        """Keeps a logit scale below its limit in the master, not only in the copy that the next step overwrites."""
        if self.zero_stage == 0:
            parameter.clamp_(max=LOGIT_SCALE_LIMIT)
        else:
            self._set_full(parameter, self._full(parameter).clamp(max=LOGIT_SCALE_LIMIT))

    def _collect_partitioned(self) -> EngineState:
        """Assembles parameters and moments; collective, kept in rank 0 only."""
        state = EngineState()
        for name, parameter in self.named.items():
            values = {"parameters": self._full(parameter)}
            if parameter.requires_grad:
                values["parameters"] = self.tensors.safe_get_full_fp32_param(parameter)  # the master, not its working copy
                values |= {moment: self.tensors.safe_get_full_optimizer_state(parameter, moment) for moment in MOMENTS}
            if self.processes.main:
                for kind, value in values.items():
                    getattr(state, kind)[name] = value.detach().cpu().clone()
        state.optimizer_step = max(int(moments["step"]) for moments in self.optimizer.state.values())
        return state

    def _reset_partitions(self, step: int) -> None:
        """Makes AdamW's state of the flat partitions with zero moments, and links it to the parameters."""
        zero = self.engine.optimizer
        groups = self.optimizer.param_groups
        if self.zero_stage == 3:
            for index, partition in enumerate(zero.fp32_partitioned_groups_flat):
                reset_moments(self.optimizer, partition, groups[zero.sub_group_to_group_id[index]], step)
            return
        for group in groups:
            for partition in group["params"]:
                reset_moments(self.optimizer, partition, group, step)
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()


def import_deepspeed(device: torch.device) -> Any:
    """Imports DeepSpeed for a device, silent below warnings, nothing on standard output, nothing compiled.

    Raises:
        MissingDependencyError: It is not installed.
        UsageError: This process has loaded it for another kind of device.
    """
    os.environ["DS_ACCELERATOR"] = device.type
    try:
        with contextlib.redirect_stdout(sys.stderr):
            import deepspeed
    except ImportError as error:
        raise missing_dependency("deepspeed", "Training with DeepSpeed", "deepspeed (or set training.engine=torch)") from error
    for handler in logging.getLogger("DeepSpeed").handlers:
        if type(handler) is logging.StreamHandler:
            if getattr(handler.stream, "closed", False):
                handler.stream = sys.stderr  # setStream would flush the old one
            else:
                handler.setStream(sys.stderr)
    logging.getLogger("DeepSpeed").addFilter(_expected)
    loaded = deepspeed.accelerator.get_accelerator().device_name()
    if loaded != device.type:
        raise UsageError(
            f"DeepSpeed was to train on {device.type}.",
            f"This process has loaded it for {loaded} already.",
            "Start a new process, or set training.device.",
        )
    # The shared-memory operator of the CPU backend is compiled for 38 s at first use, and serves inference only.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


@contextlib.contextmanager
def _without_muon(stage: int) -> Iterator[None]:
    """Hides DeepSpeed's Muon, whose import alone loads torch's compiler (2 to 5 s); stages 0 to 2 do without it."""
    name = "deepspeed.runtime.zero.muon.muon_optimizer"
    if stage == 3 or name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _expected(record: logging.LogRecord) -> bool:
    """Drops the warnings on what we do on purpose, or say ourselves."""
    return not any(words in record.getMessage() for words in ("untested optimizer", "OVERFLOW! Skipping step"))
