"""What a loop measures of itself: clocks, pending losses, lines of ``metrics.jsonl``, the result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from domainclip.training.distributed import Processes


@dataclass(frozen=True)
class StepReport:
    """A line of ``metrics.jsonl``; rates and shares are since the line before.

    Attributes:
        step: Updates made.
        loss: Global mean over the steps since the last line.
        lr: Learning rate of the last update.
        logit_scale: Factor of the cosine similarities in the last step.
        seconds: Training time so far, without evaluation and saving.
        images_per_second: All processes together.
        data_share: Share of the time that this process waited for batches, 0 to 1.
        progress: 0 to 1, the nearer limit.
    """

    step: int
    loss: float
    lr: float
    logit_scale: float
    seconds: float
    images_per_second: float
    data_share: float
    progress: float


@dataclass
class LoopResult:
    """What a training loop did.

    Attributes:
        steps: Updates made in all, those before a resume included.
        samples_seen: Images, all processes together.
        seconds: Training time in all, without evaluation and saving.
        images_per_second: samples_seen / seconds.
        start_step: Where this process started.
        losses: Global loss of each step since ``start_step``.
        data_share: Share of this process's training time spent waiting for batches, 0 to 1.
        checkpoint: The last checkpoint.
        best_checkpoint: The best by the evaluation's value, or None without evaluation.
        best_value: The value of what is kept: of the mean where ``averaged``, else of the best checkpoint.
        averaged: How many weights the engine now holds the mean of; 0 for none.
    """

    steps: int
    samples_seen: int
    seconds: float
    images_per_second: float
    start_step: int
    losses: list[float]
    data_share: float
    checkpoint: Path
    best_checkpoint: Path | None = None
    best_value: float | None = None
    averaged: int = 0


@dataclass
class Stopwatch:
    """Time and work since a moment.

    Attributes:
        seconds: Training time.
        data_seconds: The part of it spent waiting for batches.
        images: Images of all processes.
    """

    seconds: float = 0.0
    data_seconds: float = 0.0
    images: int = 0

    def add(self, seconds: float, data_seconds: float, images: int) -> None:
        """Counts one step."""
        self.seconds += seconds
        self.data_seconds += data_seconds
        self.images += images

    @property
    def images_per_second(self) -> float:
        """Rate of all processes."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def data_share(self) -> float:
        """Share of the time spent waiting for batches, 0 to 1."""
        return self.data_seconds / self.seconds if self.seconds else 0.0


@dataclass
class Losses:
    """Losses of this process's steps; their global means are asked for together, since asking waits for the device.

    Attributes:
        known: Global loss of each step that was asked for.
    """

    known: list[float] = field(default_factory=list)
    _pending: list[torch.Tensor] = field(default_factory=list)

    def add(self, loss: torch.Tensor) -> None:
        """Notes this process's loss of a step."""
        self._pending.append(loss.detach().float())

    def settle(self, processes: Processes) -> list[float]:
        """Returns the global losses of the steps since the last call; collective."""
        if not self._pending:
            return []
        fresh = [float(value) for value in processes.mean(torch.stack(self._pending))]
        self._pending.clear()
        self.known.extend(fresh)
        return fresh


def append_line(path: Path, report: StepReport) -> None:
    """Appends a line to ``metrics.jsonl``."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(report)) + "\n")


def cut_lines(path: Path, step: int) -> None:
    """Removes the lines after a step, and one that a killed process left half-written."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            break
    part = path.with_name(path.name + ".part")
    part.write_text("".join(kept), encoding="utf-8")
    part.replace(path)
