"""Two processes: what Processes promises, averaged buffers, a run in which only one process is told to stop."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import tiny
import torch

from domainclip.errors import RunInterruptedError
from domainclip.losses.gather import Gather
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.loop import train


class Loader(tiny.Loader):
    def batch(self, step: int):
        if step == 3 and self.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().batch(step)


def messages(p) -> None:
    assert (p.world_size, p.backend, p.main) == (2, "gloo", p.rank == 0)
    assert p.agree([float(p.rank), 5.0]) == [0.0, 5.0]
    assert p.any(p.rank == 1) and not p.any(False)
    assert p.mean(torch.tensor([float(p.rank), 3.0])).tolist() == [0.5, 3.0]
    assert [t.item() for t in p.collect(torch.tensor(p.rank))] == [0, 1]
    p.barrier()


def gathered(p) -> None:
    gather = Gather(p.world_size, p.rank)
    local = torch.tensor([[1.0 + p.rank]], dtype=torch.float64, requires_grad=True)
    rows = gather.features(local)
    assert rows.tolist() == [[1.0], [2.0]]
    # L_r = (r + 1) * (a^2 + 3 b): the sum over processes is 3 a^2 + 9 b.
    ((p.rank + 1) * (rows[0] ** 2 + 3 * rows[1])).sum().backward()
    assert local.grad.item() == (6.0 if p.rank == 0 else 9.0)
    assert gather.labels(torch.tensor([p.rank])).tolist() == [0, 1]
    # Weights 1, 1 in process 0 and 1, 0 in process 1, losses 1, 2 and 6, 100: the weighted mean is (1 + 2 + 6) / 3.
    weights, rows = (torch.tensor(values[p.rank]) for values in ([[1.0, 1.0], [1.0, 0.0]], [[1.0, 2.0], [6.0, 100.0]]))
    assert abs(p.mean(gather.row_mean(rows, weights)).item() - 3.0) < 1e-6


def buffers(p, engine_name: str) -> None:
    config = tiny.run_config(engine_name, 1, batch_size=8)
    model = tiny.build("resnet", seed=p.rank)
    engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
    first = next(model.parameters()).detach().reshape(-1)[:4].clone()
    assert torch.equal(p.collect(first)[0], p.collect(first)[1]), "rank 0's weights go to all"
    batch = tiny.Loader(p.rank, 2, 16).batch(0)
    engine.train()
    with torch.no_grad():
        engine.forward(batch.images, batch.tokens)
    name = next(name for name, _ in model.named_buffers() if name.endswith("running_mean"))
    own = p.collect(model.get_buffer(name).clone())
    assert not torch.equal(own[0], own[1])
    engine.average_buffers()
    torch.testing.assert_close(model.get_buffer(name), (own[0] + own[1]) / 2)
    engine.close()


def stopped(p, folder: Path) -> None:
    config = tiny.run_config("deepspeed", 1, batch_size=8, max_steps=50)
    model = tiny.build("vit")
    engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
    try:
        train(engine, Loader(p.rank, 2, 16), config, folder)
        raise AssertionError("the run was not stopped")
    except RunInterruptedError as error:
        assert "Step 4 of 50" in str(error)
    engine.close()


def main(settings: dict) -> None:
    with processes(tiny.run_config("deepspeed").training) as p:
        messages(p)
        gathered(p)
        for name in ("deepspeed", "torch"):
            buffers(p, name)
        stopped(p, Path(settings["out"]))
