"""Random number generators of a process as tensors, so that they travel in safetensors and need no pickle."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from domainclip.training.distributed import Processes


def seed_all(seed: int, rank: int) -> None:
    """Seeds Python, NumPy and torch differently in every process."""
    mixed = np.random.SeedSequence((seed, rank)).generate_state(1)
    random.seed(int(mixed[0]))
    np.random.seed(int(mixed[0]))
    torch.manual_seed(int(mixed[0]))


def capture(processes: Processes) -> dict[str, torch.Tensor]:
    """Collects the generators' states of all processes; collective.

    Returns:
        ``"<rank>.python"``, ``"<rank>.numpy"``, ``"<rank>.torch"`` and, on CUDA, ``"<rank>.cuda"`` to int64 or uint8 tensors.
    """
    _, words, gauss = random.getstate()
    twister: Any = np.random.get_state(legacy=False)
    keys = [*twister["state"]["key"].tolist(), int(twister["state"]["pos"]), int(twister["has_gauss"])]
    local = {
        "python": torch.tensor([*words, np.float64(gauss or 0.0).view(np.int64).item(), int(gauss is not None)]),
        "numpy": torch.tensor([*keys, np.float64(twister["gauss"]).view(np.int64).item()]),
        "torch": torch.get_rng_state(),
    }
    if processes.device.type == "cuda":
        local["cuda"] = torch.cuda.get_rng_state(processes.device)
    collected = {}
    for kind, value in local.items():
        for rank, state in enumerate(processes.collect(value)):
            collected[f"{rank}.{kind}"] = state.clone()
    return collected


def reinstate(states: dict[str, torch.Tensor], processes: Processes, seed: int) -> bool:
    """Sets this process's generators.

    Returns:
        False where the states hold nothing for this rank or device (more processes than before, or another device): its
        generators are seeded afresh then.
    """
    own = {name.partition(".")[2]: value for name, value in states.items() if name.startswith(f"{processes.rank}.")}
    if "torch" not in own or ("cuda" in own) != (processes.device.type == "cuda"):
        seed_all(seed, processes.rank)
        return False
    *words, bits, present = own["python"].tolist()
    random.setstate((3, tuple(words), np.int64(bits).view(np.float64).item() if present else None))
    *keys, position, has_gauss, cached = own["numpy"].tolist()
    gauss = np.int64(cached).view(np.float64).item()
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(own["torch"])
    if "cuda" in own:
        torch.cuda.set_rng_state(own["cuda"], processes.device)
    return True
