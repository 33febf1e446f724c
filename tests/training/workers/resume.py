"""One phase of a run: trains, and may be killed at a step or while it saves."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import tiny

from domainclip.errors import RunInterruptedError
from domainclip.training import state
from domainclip.training.batch_norm import apply_batch_norm
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.loop import train


class Loader(tiny.Loader):
    """Dies or asks to stop when the batch of a step is asked for, in every process at once, as when a machine fails."""

    phase: dict
    current = 0

    def batch(self, step: int):
        self.current = step
        if step == self.phase.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if step == self.phase.get("term_at"):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().batch(step)


def main(phase: dict) -> None:
    folder = Path(phase["out"]) / phase["run"]
    folder.mkdir(exist_ok=True, parents=True)
    write = state.write_tensors
    total = phase.get("batch_size", 16)

    def dying_write(path: Path, tensors: dict) -> None:
        write(path, tensors)
        if phase.get("kill_in_save") == loader.current + 1 and path.name.startswith("exp_avg."):
            os.kill(os.getpid(), signal.SIGKILL)

    state.write_tensors = dying_write
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    limits = {"max_steps": 10, "save_every_steps": 3, "log_every_steps": 1, "lr": 3e-4}
    config = tiny.run_config(phase["engine"], 1, batch_size=total // world_size, **limits)
    with processes(config.training) as p:
        model = tiny.build(phase.get("kind", "vit"))
        note = apply_batch_norm(model, "auto", p.world_size, p.backend)
        if note:
            print(note)
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        loader = Loader(p.rank, p.world_size, size=total, order=folder / f"order-{p.rank}-{os.getpid()}.jsonl")
        loader.phase = phase
        try:
            result = train(engine, loader, config, folder, resume=phase.get("resume", False), log=print)
            print(json.dumps({"start": result.start_step, "steps": result.steps, "seen": result.samples_seen}))
        except RunInterruptedError as error:
            print(error, flush=True)
            os._exit(7)
