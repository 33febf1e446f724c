"""Processes of one run: set up from torchrun's environment, or alone without any launcher."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from domainclip.config import TrainingConfig
from domainclip.cores import usable_cores
from domainclip.errors import UsageError

_PATIENCE = timedelta(days=14)


@dataclass(frozen=True)
class Processes:
    """This process among those of the run. Every collective method must be called by all processes.

    Attributes:
        rank: 0 to world_size - 1; rank 0 writes files and logs.
        world_size: Number of processes.
        local_rank: Number of this process on its machine.
        device: Where it computes.
        control: Group for small messages between CPUs, or None with one process.
        patient: Group that waits for days, or None with one process.
    """

    rank: int
    world_size: int
    local_rank: int
    device: torch.device
    control: Any = None
    patient: Any = None

    @property
    def main(self) -> bool:
        """True for the process that writes files and logs."""
        return self.rank == 0

    @property
    def backend(self) -> str:
        """``gloo``, ``nccl``, or ``none`` without a process group."""
        return str(dist.get_backend()) if dist.is_initialized() else "none"

    def barrier(self) -> None:
        """Waits for all processes."""
        self.agree([0.0])

    def wait_for_main(self) -> None:
        """Waits for rank 0 however long it works alone; a barrier gives up after half an hour, and slides take longer."""
        if self.world_size > 1:
            dist.barrier(group=self.patient)

    def agree(self, numbers: Sequence[float]) -> list[float]:
        """Returns rank 0's numbers in every process."""
        if self.world_size == 1:
            return list(numbers)
        message = torch.tensor(numbers, dtype=torch.float64)
        dist.broadcast(message, src=0, group=self.control)
        return [float(number) for number in message]

    def any(self, flag: bool) -> bool:
        """Returns whether any process says yes."""
        if self.world_size == 1:
            return flag
        message = torch.tensor([int(flag)])
        dist.all_reduce(message, op=dist.ReduceOp.MAX, group=self.control)
        return bool(message.item())

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Returns the mean over processes of a tensor, as float64 on the CPU."""
        result = values.detach().to("cpu", torch.float64)
        if self.world_size > 1:
            dist.all_reduce(result, op=dist.ReduceOp.SUM, group=self.control)
            result /= self.world_size
        return result

    def collect(self, local: torch.Tensor) -> list[torch.Tensor]:
        """Returns the CPU tensors of all processes (equal shapes), in the order of ranks."""
        if self.world_size == 1:
            return [local]
        tensors = [torch.empty_like(local) for _ in range(self.world_size)]
        dist.all_gather(tensors, local.contiguous(), group=self.control)
        return tensors


@contextmanager
def processes(config: TrainingConfig) -> Iterator[Processes]:
    """Sets up this process and its group, and takes the group down again.

    With torchrun (or any launcher that sets RANK, WORLD_SIZE and LOCAL_RANK) the group is made from the environment, gloo on
    CPU and nccl on CUDA. Alone no launcher, port or MPI is needed. The group and the settings of threads end with the block.

    Raises:
        UsageError: The environment is incomplete, or CUDA was asked for and is absent.
    """
    rank, world_size, local_rank = _environment()
    device = _device(config, local_rank)
    threads_before = torch.get_num_threads()
    if config.threads is not None or device.type == "cpu":
        torch.set_num_threads(config.threads or max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", world_size))))
    own_group = not dist.is_initialized() and (world_size > 1 or config.engine == "deepspeed")
    if own_group:
        _join(device, rank, world_size)
    control = dist.new_group(backend="gloo") if world_size > 1 and device.type == "cuda" else None
    patient = dist.new_group(backend="gloo", timeout=_PATIENCE) if world_size > 1 else None
    try:
        yield Processes(rank, world_size, local_rank, device, control, patient)
    finally:
        torch.set_num_threads(threads_before)
        if own_group and dist.is_initialized():
            _leave()


def _environment() -> tuple[int, int, int]:
    """Reads rank, world size and local rank from the launcher's variables."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return 0, 1, int(os.environ.get("LOCAL_RANK", "0"))
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise UsageError(
            f"A run of {world_size} processes was asked for (WORLD_SIZE).",
            f"The environment lacks {', '.join(missing)}.",
            "Start with torchrun, e.g. torchrun --nproc_per_node 2 -m domainclip pretrain ...; or unset WORLD_SIZE.",
        )
    return int(os.environ["RANK"]), world_size, int(os.environ["LOCAL_RANK"])


def _device(config: TrainingConfig, local_rank: int) -> torch.device:
    """Chooses the device and makes it current."""
    if config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available() or local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"Process {local_rank} of this machine was to use a CUDA device.",
            f"There are {torch.cuda.device_count() if torch.cuda.is_available() else 0} of them.",
            "Start no more processes than there are devices, or set training.device=cpu.",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _join(device: torch.device, rank: int, world_size: int) -> None:
    """Makes the default process group."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    if world_size == 1:
        # A store in memory: no port to find, so nothing that two runs on one machine could fight over.
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    elif device.type == "cuda":
        dist.init_process_group(backend, rank=rank, world_size=world_size, device_id=device)
    else:
        dist.init_process_group(backend, rank=rank, world_size=world_size)


def _leave() -> None:
    """Takes the group down, and DeepSpeed's memory of it, so that a later run in this process can make its own."""
    import sys

    communication = sys.modules.get("deepspeed.comm.comm")
    if communication is not None:
        communication.cdb = None  # type: ignore[attr-defined]
    groups = sys.modules.get("deepspeed.utils.groups")
    if groups is not None:
        for name in ("_WORLD_GROUP", "mesh_device"):
            if hasattr(groups, name):
                setattr(groups, name, None)
    dist.destroy_process_group()
