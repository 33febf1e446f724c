"""The full training state on disk: safetensors and JSON keyed by parameter name, independent of ZeRO stage and processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from domainclip.config import Section
from domainclip.errors import UsageError
from domainclip.training import random_state
from domainclip.training.averaging import WeightAverage
from domainclip.training.engine import Engine, EngineState

KINDS = ("parameters", "buffers", "exp_avg", "exp_avg_sq")
_PART = ".part"


class TrainingState(Section):
    """``state.json``: where a run stands.

    Attributes:
        step: Updates made; the loader goes on with the global batch of this number.
        samples_seen: Images that went through training, all processes together.
        seconds: Training time so far, without evaluation and saving.
        seed: The run's seed, from which the order of samples follows.
        world_size: Number of processes that wrote it.
        batch_size: Per process.
        progress: Position of the schedule, 0 to 1.
        optimizer_step: Updates that AdamW made.
        best_step: Step of the best checkpoint so far, or None.
        best_value: The value that it was chosen by.
        averaged: Number of weights in ``average.safetensors``.
        files: Name to size in bytes of the files beside this one.
    """

    format_version: int = 1
    step: int = Field(ge=0)
    samples_seen: int = 0
    seconds: float = 0.0
    seed: int = 0
    world_size: int = 1
    batch_size: int = 1
    progress: float = 0.0
    optimizer_step: int = 0
    best_step: int | None = None
    best_value: float | None = None
    averaged: int = 0
    files: dict[str, int] = Field(default_factory=dict)


def checkpoint_folder(root: Path, step: int) -> Path:
    """Names the folder of a step, e.g. ``checkpoints/step-00000100``."""
    return root / f"step-{step:08d}"


def save_checkpoint(
    root: Path, engine: Engine, state: TrainingState, *, keep: int = 2, average: WeightAverage | None = None
) -> Path:
    """Writes the state of a step; every process calls it, rank 0 writes.

    The files are written into a folder that ends in ``.part``, flushed to the disk and renamed, so that a folder without the
    ending is complete whenever the machine or the process dies. Older checkpoints are removed, the best one excepted.

    Args:
        root: The ``checkpoints`` folder of a run.
        engine: Gives parameters and moments.
        state: Where the run stands.
        keep: How many of the newest checkpoints stay.
        average: The mean of the weights so far, if there is one.

    Returns:
        The finished folder.

    Raises:
        UsageError: The disk is full or refuses otherwise, or a value is not finite; earlier checkpoints stay.
    """
    processes = engine.processes
    tensors = engine.collect()
    generators = random_state.capture(processes)
    target = checkpoint_folder(root, state.step)
    problem: UsageError | None = None
    if processes.main:
        more = {"random": generators} | ({"average": average.mean} if average is not None and average.count else {})
        problem = _write(target, tensors, more, state)
        if problem is None:
            _prune(root, keep, state.best_step)
    if processes.any(problem is not None):
        raise problem or UsageError(
            f"The training state of step {state.step} was to be saved.",
            "The first process could not write it.",
            "Read the first process's message.",
        )
    return target


def _write(
    target: Path, tensors: EngineState, more: Mapping[str, Mapping[str, torch.Tensor]], state: TrainingState
) -> UsageError | None:
    """Writes one checkpoint; returns what went wrong, so that no process waits for one that failed."""
    asked = f"The training state of step {state.step} was to be saved under {target.parent}."
    bad = [name for name, value in tensors.parameters.items() if not bool(torch.isfinite(value).all())]
    if bad:
        return UsageError(
            asked, f"{len(bad)} parameters are not finite, the first is {bad[0]}.", "Resume with a lower optimizer.lr."
        )
    part = target.with_name(target.name + _PART)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        contents = {kind: getattr(tensors, kind) for kind in KINDS} | {kind: dict(values) for kind, values in more.items()}
        for kind, values in contents.items():
            write_tensors(part / f"{kind}.safetensors", values)
        sizes = {file.name: file.stat().st_size for file in sorted(part.iterdir())}
        final = state.model_copy(update={"files": sizes, "optimizer_step": tensors.optimizer_step})
        (part / "state.json").write_text(json.dumps(final.model_dump(), indent=1) + "\n", encoding="utf-8")
        for path in (*part.iterdir(), part):
            _flush(path)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
        _flush(target.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        return UsageError(
            asked,
            f"It could not be written: {reason}. Earlier checkpoints are untouched.",
            "Free space or mend the folder's rights, then go on with --resume.",
        )
    return None


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes one safetensors file; a function of its own so that tests can be slow here."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def _flush(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prune(root: Path, keep: int, best_step: int | None) -> None:
    """Removes all but the newest checkpoints and the best one."""
    complete = sorted(path for path in root.glob("step-*") if not path.name.endswith(_PART))
    best = None if best_step is None else checkpoint_folder(root, best_step)
    for path in complete[:-keep]:
        if path != best:
            shutil.rmtree(path, ignore_errors=True)


def find_checkpoint(root: Path) -> tuple[Path | None, list[str]]:
    """Finds the newest checkpoint that can be read; half-written ones are removed. Rank 0 calls it.

    Returns:
        The folder or None, and a sentence about each folder that was passed over.
    """
    notes = []
    for part in sorted(root.glob(f"step-*{_PART}")):
        shutil.rmtree(part, ignore_errors=True)
        notes.append(f"Removed {part.name}: it was not written to the end.")
    for path in sorted(root.glob("step-*"), reverse=True):
        problem = _problem(path)
        if problem is None:
            return path, notes
        notes.append(f"Passed over {path.name}: {problem}.")
    return None, notes


def _problem(path: Path) -> str | None:
    """Says what is wrong with a checkpoint, or None."""
    try:
        state = read_state(path)
    except UsageError as error:
        return error.found.rstrip(".")
    for name, size in state.files.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            return f"{name} is missing or has another size than was written"
        with contextlib.suppress(SafetensorError), safe_open(file, framework="pt"):
            continue
        return f"{name} cannot be read"
    return None


def read_state(path: Path) -> TrainingState:
    """Reads ``state.json`` of a checkpoint.

    Raises:
        UsageError: It is missing or damaged.
    """
    asked = f"The training state {path} was to be read."
    remedy = "Name a checkpoint folder that a run has written, or start anew."
    try:
        values: Any = json.loads((path / "state.json").read_text(encoding="utf-8"))
        return TrainingState.model_validate(values)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(asked, "state.json cannot be read.", remedy) from error
    except (json.JSONDecodeError, ValidationError) as error:
        raise UsageError(asked, "state.json is damaged.", remedy) from error


def read_tensors(path: Path, kinds: tuple[str, ...] = KINDS) -> EngineState:
    """Reads tensors of a checkpoint.

    Args:
        path: The folder.
        kinds: Some of ``KINDS``; ``("parameters", "buffers")`` is a model's weights.

    Raises:
        UsageError: A file is missing or damaged.
    """
    state = EngineState(optimizer_step=read_state(path).optimizer_step)
    for kind in kinds:
        setattr(state, kind, _read_file(path / f"{kind}.safetensors"))
    return state


def _read_file(file: Path) -> dict[str, torch.Tensor]:
    """Reads one safetensors file."""
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise UsageError(
            f"The training state {file.parent} was to be read.", f"{file.name} cannot be read.", "Resume from another checkpoint."
        ) from error


def read_average(path: Path) -> WeightAverage:
    """Reads the mean of the weights from a checkpoint; an empty one where it holds none.

    Raises:
        UsageError: The file is missing or damaged.
    """
    count = read_state(path).averaged
    return WeightAverage(_read_file(path / "average.safetensors"), count) if count else WeightAverage()


def load_checkpoint(path: Path, engine: Engine) -> tuple[TrainingState, list[str]]:
    """Puts an engine and this process's random generators where a checkpoint left them; every process calls it.

    Returns:
        Where the run stands, and sentences for the log.

    Raises:
        UsageError: It is damaged or of another model.
    """
    state = read_state(path)
    engine.restore(read_tensors(path))
    exact = random_state.reinstate(_read_file(path / "random.safetensors"), engine.processes, state.seed)
    notes = [f"Going on at step {state.step} from {path.name}."]
    if not exact:
        notes.append("Random generators are seeded afresh: the checkpoint comes from fewer processes or another device.")
    return state, notes
