"""One face for the engines that hold the model's parameters during training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch

from domainclip.batch import TowerOutput
from domainclip.config import OptimizerConfig, TrainingConfig
from domainclip.errors import UsageError

if TYPE_CHECKING:
    from domainclip.training.distributed import Processes

Mode = Literal["both", "image", "text"]
LOGIT_SCALE_LIMIT = math.log(100.0)
"""Upper bound of the logarithm of the logit scale (Radford et al. 2021, section 2.5)."""


@dataclass
class EngineState:
    """Everything that an engine must get back to go on as if it had never stopped; names are the model's own.

    Attributes:
        parameters: Name to float32 values, trainable or not.
        exp_avg: Name to Adam's first moment; trainable parameters only.
        exp_avg_sq: Name to Adam's second moment.
        buffers: Name to values in their own type.
        optimizer_step: Updates made so far.
    """

    parameters: dict[str, torch.Tensor] = field(default_factory=dict)
    exp_avg: dict[str, torch.Tensor] = field(default_factory=dict)
    exp_avg_sq: dict[str, torch.Tensor] = field(default_factory=dict)
    buffers: dict[str, torch.Tensor] = field(default_factory=dict)
    optimizer_step: int = 0


class Engine(Protocol):
    """Owns forward, backward and step. All processes call every method, in the same order.

    Attributes:
        name: Class name of what runs underneath, for the summary.
        zero_stage: 0 to 3, or None for plain torch.
        module: The model. Its parameters may be partitioned: encode through ``forward`` only.
        processes: This process among the others.
    """

    name: str
    zero_stage: int | None
    module: torch.nn.Module
    processes: Processes

    def forward(
        self,
        images: torch.Tensor | None = None,
        tokens: torch.Tensor | None = None,
        mode: Mode = "both",
        channels: tuple[str, ...] | None = None,
    ) -> TowerOutput:
        """Encodes images (B, C, H, W) and tokens (B, L), in training and evaluation alike, in the run's precision.

        ``channels`` names the C channels where they are not the model's, the same in every process.
        """
        ...

    def backward(self, loss: torch.Tensor) -> None:
        """Adds the gradients of this process's scalar loss; they are averaged over processes."""
        ...

    def step(self, lr: float) -> bool:
        """Clips, updates with this learning rate, limits the logit scale, forgets the gradients.

        Returns:
            False when the update was left out because a gradient was not finite.
        """
        ...

    def train(self, training: bool = True) -> None:
        """Switches between training and evaluation behaviour of layers."""
        ...

    def gradients(self) -> dict[str, torch.Tensor]:
        """Returns name to the averaged, unclipped float32 gradient; between ``backward`` and ``step`` only."""
        ...

    def weights(self) -> dict[str, torch.Tensor]:
        """Returns name to full float32 parameters and buffers on the CPU, in every process: what a fresh model loads."""
        ...

    def collect(self) -> EngineState:
        """Returns the full state on the CPU in rank 0, an empty one elsewhere."""
        ...

    def restore(self, state: EngineState) -> None:
        """Takes a full state (the same in every process); without moments it sets parameters and buffers alone.

        Raises:
            UsageError: Names or shapes are not those of this model.
        """
        ...

    def average_buffers(self) -> None:
        """Replaces floating point buffers (batch-norm statistics) by their mean over processes, counters by rank 0's."""
        ...

    def close(self) -> None:
        """Gives up hooks and references; the module stays usable where it is not partitioned."""
        ...


def make_engine(
    config: TrainingConfig,
    optimizer: OptimizerConfig,
    model: torch.nn.Module,
    groups: Sequence[Mapping[str, Any]],
    processes: Processes,
) -> Engine:
    """Moves the model to its device, builds AdamW and wraps both.

    Args:
        config: Engine, stage and precision.
        optimizer: AdamW's settings.
        model: A model whose ``forward(images, tokens, mode)`` returns a ``TowerOutput``.
        groups: Parameter groups (``params`` and AdamW options; ``weight_decay`` defaults to the configuration's); the union
            is what is trained.
        processes: This process among the others.

    Raises:
        UsageError: A parameter cannot be handled by the engine, or none is to be trained.
        MissingDependencyError: DeepSpeed is asked for and absent.
    """
    check_parameters(model)
    split = aligned_groups(groups)
    if not split:
        raise UsageError("A model was to be trained.", "None of its parameters is trainable.", "Unlock a tower.")
    if config.engine == "deepspeed":
        from domainclip.training.deepspeed_engine import DeepSpeedEngine

        return DeepSpeedEngine(config, optimizer, model, split, processes)
    from domainclip.training.torch_engine import TorchEngine

    return TorchEngine(config, optimizer, model, split, processes)


def check_parameters(model: torch.nn.Module) -> None:
    """Refuses parameters that DeepSpeed 0.19 cannot broadcast, before it fails on them with a torch error.

    Raises:
        UsageError: A parameter has no dimension, or its memory is not contiguous (channels_last weights).
    """
    for name, parameter in model.named_parameters():
        if parameter.dim() == 0:
            raise UsageError(
                f"The parameter {name} was to be trained.",
                "It has no dimension, and DeepSpeed cannot broadcast such a tensor.",
                "Give it shape (1,); open_clip models: nonscalar_logit_scale=True.",
            )
        if not parameter.is_contiguous():
            raise UsageError(
                f"The parameter {name} was to be trained.",
                "Its memory is not contiguous (channels_last?), and DeepSpeed cannot broadcast it.",
                "Keep the weights contiguous and make only the inputs channels_last.",
            )


def aligned_groups(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Moves parameters whose element count is no multiple of 8 into groups of their own.

    ZeRO lays a group out in one flat buffer; a one-element ``logit_scale`` in front shifts all later weights off their
    16-byte alignment, and cuBLAS falls back to kernels that are 2.4 times slower. Options of the group are kept.

    Args:
        groups: Parameter groups; parameters that need no gradient are left out, and so are empty groups.

    Returns:
        The regular parameters in their groups and order, then one group for each odd parameter.
    """
    regular: list[dict[str, Any]] = []
    odd: list[dict[str, Any]] = []
    for group in groups:
        # A list of names, as some callers add it, would no longer be in the order of the parameters.
        options = {key: value for key, value in group.items() if key not in {"params", "parameter_names"}}
        trained = [parameter for parameter in group["params"] if parameter.requires_grad]
        aligned = [parameter for parameter in trained if parameter.numel() % 8 == 0]
        if aligned:
            regular.append({**options, "params": aligned})
        odd.extend({**options, "params": [parameter]} for parameter in trained if parameter.numel() % 8)
    return regular + odd


def make_adamw(groups: Iterable[dict[str, Any]], config: OptimizerConfig) -> torch.optim.AdamW:
    """Builds the one AdamW that both engines use, fused: it needs no compiler and is the fastest on CPU and CUDA."""
    return torch.optim.AdamW(
        list(groups), lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay, fused=True
    )
