"""What both engines do alike: one encode, learning rates, buffers, plain optimizer state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import torch
import torch.distributed as dist

from domainclip.batch import TowerOutput
from domainclip.errors import UsageError
from domainclip.training.distributed import Processes
from domainclip.training.engine import EngineState, Mode

MOMENTS = ("exp_avg", "exp_avg_sq")


class FlatOutput(torch.nn.Module):
    """Calls a model and returns the fields of its ``TowerOutput`` as a tuple.

    DDP and DeepSpeed put hooks on the tensors of an output, and look for them in tuples. The model's ``forward`` is called
    without its own hooks for the same reason, so its parameters must belong to its children, as those of ``ClipModel`` do.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, images: torch.Tensor | None, tokens: torch.Tensor | None, mode: Mode, channels: tuple[str, ...] | None = None
    ) -> tuple[torch.Tensor | None, ...]:
        """Encodes; see ``Engine.forward``."""
        more = {} if channels is None else {"channels": channels}
        output = self.model.forward(images, tokens, mode, **more)
        return tuple(getattr(output, field.name) for field in fields(TowerOutput))


class EngineBase:
    """State and behaviour that do not depend on who reduces the gradients."""

    name: str
    zero_stage: int | None
    wrapped: torch.nn.Module
    optimizer: torch.optim.Optimizer

    def __init__(self, module: torch.nn.Module, processes: Processes) -> None:
        self.module = module
        self.processes = processes
        self.named = dict(module.named_parameters())
        self.logit_scales = [name for name in self.named if name.rpartition(".")[2] == "logit_scale"]

    def forward(
        self,
        images: torch.Tensor | None = None,
        tokens: torch.Tensor | None = None,
        mode: Mode = "both",
        channels: tuple[str, ...] | None = None,
    ) -> TowerOutput:
        """Encodes images (B, C, H, W) and tokens (B, L) through the wrapper that owns the parameters.

        Images go in as channels_last: convolutions then run a third faster on CPU. The weights stay contiguous (DeepSpeed
        cannot broadcast others), and the numbers are the same.
        """
        if images is not None and images.ndim == 4:  # planes of volumes are laid out where the model takes them apart
            images = images.contiguous(memory_format=torch.channels_last)
        return TowerOutput(*self.wrapped(images, tokens, mode, channels))

    def train(self, training: bool = True) -> None:
        """Switches between training and evaluation behaviour of layers."""
        self.wrapped.train(training)

    def set_lr(self, lr: float) -> None:
        """Gives every group its learning rate, ``lr_scale`` of the group considered."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)

    def buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yields the buffers that belong to the model's saved weights."""
        persistent = self.module.state_dict(keep_vars=True)
        for name, buffer in self.module.named_buffers():
            if name in persistent:
                yield name, buffer

    def average_buffers(self) -> None:
        """Replaces floating point buffers by their mean over processes, counters by rank 0's."""
        if self.processes.world_size == 1:
            return
        for _, buffer in self.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer, op=dist.ReduceOp.SUM)
                buffer /= self.processes.world_size
            else:
                dist.broadcast(buffer, src=0)

    def share_buffers(self) -> None:
        """Gives every process the buffers of rank 0."""
        if self.processes.world_size > 1:
            for buffer in self.module.buffers():
                dist.broadcast(buffer, src=0)

    def restore_buffers(self, values: Mapping[str, torch.Tensor]) -> None:
        """Copies buffers into the model."""
        for name, buffer in self.buffers():
            buffer.copy_(values[name])

    def check_state(self, state: EngineState) -> None:
        """Refuses a state of another model.

        Raises:
            UsageError: Names or shapes differ.
        """
        expected = {name: self.full_shape(parameter) for name, parameter in self.named.items()}
        expected |= {name: tuple(buffer.shape) for name, buffer in self.buffers()}
        found = {name: tuple(value.shape) for name, value in {**state.parameters, **state.buffers}.items()}
        if expected != found:
            differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            raise UsageError(
                "Training was to go on from a saved state.",
                f"It is of another model; {len(differing)} tensors differ, the first is {differing[0]}.",
                "Resume with the configuration that the run was started with (config.yaml in its folder).",
            )

    def full_shape(self, parameter: torch.nn.Parameter) -> tuple[int, ...]:
        """Returns the shape of the whole parameter."""
        return tuple(parameter.shape)


def reset_moments(optimizer: torch.optim.Optimizer, parameter: torch.Tensor, group: Mapping[str, Any], step: int) -> None:
    """Makes AdamW's state of one tensor as its first step would, with the step counter set."""
    device = parameter.device if group["fused"] else "cpu"
    optimizer.state[parameter] = {
        "step": torch.tensor(float(step), dtype=torch.float32, device=device),
        **{moment: torch.zeros_like(parameter, memory_format=torch.preserve_format) for moment in MOMENTS},
    }


def collect_plain(named: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> EngineState:
    """Copies parameters and moments of an optimizer that nobody partitioned."""
    state = EngineState()
    for name, parameter in named.items():
        state.parameters[name] = parameter.detach().float().cpu().clone()
        moments = optimizer.state.get(parameter)
        if moments:
            state.exp_avg[name] = moments["exp_avg"].detach().cpu().clone()
            state.exp_avg_sq[name] = moments["exp_avg_sq"].detach().cpu().clone()
            state.optimizer_step = int(moments["step"])
    return state


@torch.no_grad()
def restore_plain(state: EngineState, named: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Reverses ``collect_plain``."""
    names = {parameter: name for name, parameter in named.items()}
    for name, parameter in named.items():
        parameter.copy_(state.parameters[name])
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            if name in state.exp_avg:
                reset_moments(optimizer, parameter, group, state.optimizer_step)
                optimizer.state[parameter]["exp_avg"].copy_(state.exp_avg[name])
                optimizer.state[parameter]["exp_avg_sq"].copy_(state.exp_avg_sq[name])
