"""The learning rate: linear warm-up times a cosine over the run's progress."""

from __future__ import annotations

import math

from domainclip.config import OptimizerConfig, TrainingConfig


def progress_of(config: TrainingConfig, step: int, seconds: float) -> float:
    """Says how much of the run is over, 0 to 1, by whichever limit is nearer.

    Args:
        config: ``max_steps`` and ``max_seconds``.
        step: Updates made.
        seconds: Training time spent, rank 0's clock.
    """
    share = step / config.max_steps
    if config.max_seconds is not None:
        share = max(share, seconds / config.max_seconds)
    return min(share, 1.0)


def learning_rate(config: OptimizerConfig, step: int, progress: float) -> float:
    """Computes the learning rate of an update.

    lr * min(1, (step + 1) / warmup_steps) * (f + (1 - f) * (1 + cos(pi * progress)) / 2), f being ``final_lr_fraction``
    (cosine: Loshchilov and Hutter 2017). The cosine runs from the first step on, so that a limit in seconds, whose number of
    steps nobody knows, has the same form.

    Args:
        config: Peak, warm-up and final fraction.
        step: Updates made before this one.
        progress: 0 to 1.
    """
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    cosine = (1.0 + math.cos(math.pi * progress)) / 2.0
    return config.lr * warm * (config.final_lr_fraction + (1.0 - config.final_lr_fraction) * cosine)
