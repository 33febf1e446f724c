"""Processes: alone without a launcher, two over gloo, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from domainclip.config import TrainingConfig
from domainclip.errors import UsageError
from domainclip.training.distributed import processes


def test_alone_needs_no_launcher_and_cleans_up(monkeypatch):
    monkeypatch.delenv("MASTER_PORT", raising=False)
    for _ in range(2):
        with processes(TrainingConfig(device="cpu", threads=1)) as p:
            assert (p.rank, p.world_size, p.backend, p.device.type, p.main) == (0, 1, "gloo", "cpu", True)
            assert p.agree([1.5]) == [1.5] and p.any(True) and p.mean(torch.ones(2)).tolist() == [1.0, 1.0]
            assert torch.get_num_threads() == 1
        assert not dist.is_initialized()
    with processes(TrainingConfig(device="cpu", engine="torch")) as p:
        assert p.backend == "none"


def test_incomplete_environment_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="lacks RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT"), processes(TrainingConfig()):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_that_is_absent_is_refused():
    with pytest.raises(UsageError, match="There are 0 of them"), processes(TrainingConfig(device="cuda")):
        pass
