"""Small models, batches and helpers of the training tests; worker processes import it from their own folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

from domainclip.batch import Batch
from domainclip.config import ModelConfig, OptimizerConfig, RunConfig, TrainingConfig
from domainclip.losses.gather import Gather  # noqa: F401 (for tests)

SIZE, CONTEXT, VOCABULARY = 32, 8, 64


def build(kind: str, seed: int = 0):
    """A small two-tower model: kind is resnet (timm's test_resnet), vit, or wavelength (a vit whose kernels are made)."""
    from domainclip.models.towers import build_model

    architecture = {"resnet": "starter-resnet", "vit": "starter-vit", "wavelength": "starter-vit"}[kind]
    config = ModelConfig(architecture=architecture, image_size=SIZE, context_length=CONTEXT)
    if kind == "wavelength":
        colours = {"red": 0.665, "green": 0.56, "blue": 0.49}
        config = config.model_copy(update={"channel_embedding": "wavelength", "wavelengths_um": colours})
    return build_model(config, ("red", "green", "blue"), vocabulary_size=VOCABULARY, seed=seed)


def groups_of(model):
    from domainclip.models.towers import parameter_groups

    return parameter_groups(model, 0.1)


def global_batch(step: int, size: int = 32) -> Batch:
    """The global batch of a step; a quarter of its captions is there twice."""
    generator = torch.Generator().manual_seed(1000 + step)
    images = torch.randn(size, 3, SIZE, SIZE, generator=generator)
    tokens = torch.randint(1, VOCABULARY - 1, (size, CONTEXT), generator=generator)
    tokens[:, -1] = VOCABULARY - 1
    groups = torch.arange(size) % (3 * size // 4)
    tokens = tokens[groups]
    keys = tuple(f"s{step}-{i}" for i in range(size))
    others = (groups + 1) % (3 * size // 4)  # a second caption of each image, which other images were drawn with
    return Batch(images, tokens, groups, keys, ("en",) * size, image_groups=torch.stack([groups, others], dim=1))


class Loader:
    """Slices the global batches as the real loader does; notes the keys that it gave."""

    def __init__(self, rank: int = 0, world_size: int = 1, size: int = 32, order: Path | None = None) -> None:
        self.rank, self.world_size, self.size, self.order = rank, world_size, size, order

    def batch(self, step: int) -> Batch:
        whole = global_batch(step, self.size)
        n = self.size // self.world_size
        rows = slice(self.rank * n, (self.rank + 1) * n)
        parts = (whole.images[rows], whole.tokens[rows], whole.caption_groups[rows], whole.keys[rows], whole.languages[rows])
        return Batch(*parts, image_groups=whole.image_groups[rows])

    def iterate(self, start_step: int):
        step = start_step
        while True:
            batch = self.batch(step)
            if self.order is not None:
                with self.order.open("a") as file:
                    file.write(json.dumps([step, batch.keys]) + "\n")
            yield batch
            step += 1


def run_config(
    engine: str, stage: int = 1, *, batch_size: int = 32, loss: str = "clip", precision: str = "fp32", **training
) -> RunConfig:
    optimizer = {k: training.pop(k) for k in ("lr", "clip_norm", "warmup_steps", "weight_decay") if k in training}
    return RunConfig(
        domain="pathology",
        loss=({"name": loss},),
        optimizer=OptimizerConfig(**{"warmup_steps": 3, **optimizer}),
        training=TrainingConfig(
            engine=engine, zero_stage=stage, batch_size=batch_size, precision=precision, device="cpu", threads=1, **training
        ),
    )


def arguments() -> dict:
    """The worker's settings: one JSON object on the command line."""
    return json.loads(sys.argv[1])
