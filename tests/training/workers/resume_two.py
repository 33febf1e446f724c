"""A short run in one of several processes, with batch norm of its own in each; rank 1 may be killed at a step."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import tiny

from domainclip.training.batch_norm import apply_batch_norm
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.loop import train


class Loader(tiny.Loader):
    kill_at = None

    def batch(self, step: int):
        if step == self.kill_at:
            # All of them at once, as when a machine dies; a survivor would wait for the others for minutes.
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(step)


if __name__ == "__main__":
    settings = tiny.arguments()
    folder = Path(settings["out"]) / settings["run"]
    config = tiny.run_config("deepspeed", 1, batch_size=8, max_steps=8, save_every_steps=3, log_every_steps=1, lr=3e-4)
    with processes(config.training) as p:
        folder.mkdir(exist_ok=True)
        model = tiny.build("resnet")
        print(apply_batch_norm(model, "auto", p.world_size, p.backend), file=sys.stderr)
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        loader = Loader(p.rank, p.world_size, size=16)
        loader.kill_at = settings.get("kill_at")
        train(engine, loader, config, folder, resume=settings.get("resume", False))
