"""Phases of one run in forked processes that really die: each phase trains, and may be killed at a step or while it saves.

Forking spares the imports; every child makes its own engine and process group.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import tiny

from domainclip.errors import RunInterruptedError
from domainclip.training import state
from domainclip.training.deepspeed_engine import import_deepspeed
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.loop import train


def child(phase: dict, settings: dict) -> None:
    folder = Path(settings["out"]) / phase["run"]
    folder.mkdir(exist_ok=True)
    config = tiny.run_config(
        phase.get("engine", settings["engine"]), 1, batch_size=16, max_steps=10, save_every_steps=3, log_every_steps=1, lr=3e-4
    )
    steps = {"seen": 0}

    class Loader(tiny.Loader):
        def batch(self, step: int):
            steps["seen"] = step
            if step == phase.get("kill_at"):
                os.kill(os.getpid(), signal.SIGKILL)
            if step == phase.get("term_at"):
                os.kill(os.getpid(), signal.SIGTERM)
            return super().batch(step)

    write = state.write_tensors

    def dying_write(path: Path, tensors: dict) -> None:
        write(path, tensors)
        if phase.get("kill_in_save") == steps["seen"] + 1 and path.name.startswith("exp_avg."):
            os.kill(os.getpid(), signal.SIGKILL)

    state.write_tensors = dying_write
    with processes(config.training) as p:
        model = tiny.build("vit")
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        loader = Loader(p.rank, p.world_size, size=16, order=folder / f"order-{os.getpid()}.jsonl")
        try:
            result = train(engine, loader, config, folder, resume=phase.get("resume", False), log=print)
            print(json.dumps({"start": result.start_step, "steps": result.steps, "seen": result.samples_seen}))
        except RunInterruptedError as error:
            print(error)
            os._exit(7)


if __name__ == "__main__":
    settings = tiny.arguments()
    tiny.build("vit")
    import_deepspeed(tiny.torch.device("cpu"))
    for phase in settings["phases"]:
        print(f"--- {phase}", flush=True)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(phase, settings)
                code = 0
            except Exception:  # noqa: BLE001
                import traceback

                traceback.print_exc()
            sys.stdout.flush()
            os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(f"=== {status}", flush=True)
