"""Two processes: gradients of the gathered loss in every engine, written by rank 0. Then a state at ZeRO-1 and what follows it."""

from __future__ import annotations

from pathlib import Path

import tiny
from safetensors.torch import save_file

from domainclip.losses import make_loss
from domainclip.losses.gather import Gather
from domainclip.training.batch_norm import apply_batch_norm
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.state import TrainingState, save_checkpoint


def one(p, out: Path, kind: str, engine_name: str, stage: int, loss_name: str) -> None:
    config = tiny.run_config(engine_name, stage, batch_size=16, loss=loss_name, warmup_steps=0)
    model = tiny.build(kind)
    note = apply_batch_norm(model, "frozen", p.world_size, p.backend)
    assert bool(note) == (kind == "resnet")
    engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
    batch = tiny.Loader(p.rank, p.world_size).batch(0)
    output = engine.forward(batch.images, batch.tokens)
    loss = make_loss(config.loss)(output, batch, Gather(p.world_size, p.rank))
    engine.backward(loss)
    gradients = engine.gradients()
    gradients["loss"] = p.mean(loss.reshape(1)).float()
    if p.main:
        save_file(gradients, out / f"{kind}-{engine_name}-{stage}-{loss_name}.safetensors")
    engine.step(1e-3)
    engine.close()


def portable(p, out: Path, stage: int) -> None:
    config = tiny.run_config("deepspeed", stage, batch_size=16)
    model = tiny.build("vit")
    engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
    for step in range(4):
        if step == 3:
            save_checkpoint(out / f"zero{stage}", engine, TrainingState(step=3, seed=5, world_size=2, batch_size=16))
        batch = tiny.Loader(p.rank, p.world_size).batch(step)
        loss = make_loss(config.loss)(engine.forward(batch.images, batch.tokens), batch, Gather(p.world_size, p.rank))
        engine.backward(loss)
        assert engine.step(1e-3)
    weights = engine.weights()
    if p.main:
        save_file(weights, out / f"after-zero{stage}.safetensors")
    engine.close()


def main(settings: dict) -> None:
    with processes(tiny.run_config("deepspeed").training) as p:
        for case in settings["cases"]:
            one(p, Path(settings["out"]), *case)
        for stage in settings["portable"]:
            portable(p, Path(settings["out"]), stage)


if __name__ == "__main__":
    main(tiny.arguments())
