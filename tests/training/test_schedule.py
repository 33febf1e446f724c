"""Learning rates worked out by hand."""

from __future__ import annotations

import pytest

from domainclip.config import OptimizerConfig, TrainingConfig
from domainclip.training.schedule import learning_rate, progress_of


def test_warm_up_times_cosine():
    config = OptimizerConfig(lr=0.4, warmup_steps=4, final_lr_fraction=0.1)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 1, 0.0) == pytest.approx(0.2)
    assert learning_rate(config, 3, 0.0) == pytest.approx(0.4)
    assert learning_rate(config, 50, 0.5) == pytest.approx(0.4 * (0.1 + 0.9 / 2))
    assert learning_rate(config, 99, 1.0) == pytest.approx(0.04)
    assert learning_rate(OptimizerConfig(lr=0.4, warmup_steps=0), 0, 0.0) == pytest.approx(0.4)


@pytest.mark.parametrize(("step", "seconds", "expected"), [(0, 0.0, 0.0), (10, 1.0, 0.1), (10, 40.0, 0.4), (10, 200.0, 1.0)])
def test_progress_follows_the_nearer_limit(step, seconds, expected):
    assert progress_of(TrainingConfig(max_steps=100, max_seconds=100), step, seconds) == pytest.approx(expected)
    assert progress_of(TrainingConfig(max_steps=100), step, seconds) == pytest.approx(step / 100)
