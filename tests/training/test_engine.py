"""Both engines in one process: equal losses, alignment, the logit scale's limit, refusals, quiet start."""

from __future__ import annotations

import math

import pytest
import torch

from domainclip.config import OptimizerConfig, TrainingConfig
from domainclip.errors import UsageError
from domainclip.losses import make_loss
from domainclip.losses.gather import Gather
from domainclip.training.deepspeed_config import deepspeed_config
from domainclip.training.distributed import processes
from domainclip.training.engine import LOGIT_SCALE_LIMIT, aligned_groups, make_engine
from domainclip.training.loop import train

# ZeRO-3 is slow to start: DeepSpeed imports torch's compiler for it.
ENGINES = [("torch", 0), ("deepspeed", 0), ("deepspeed", 1), pytest.param("deepspeed", 3, marks=pytest.mark.slow)]


def losses_of(tiny, engine_name, stage, *, kind="vit", steps=10, lr=1e-3, precision="fp32", clip_norm=1.0):
    config = tiny.run_config(engine_name, stage, precision=precision, clip_norm=clip_norm, batch_size=16)
    values = []
    with processes(config.training) as p:
        model = tiny.build(kind)
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        loss_of = make_loss(config.loss)
        for step in range(steps):
            batch = tiny.global_batch(step, 16)
            loss = loss_of(engine.forward(batch.images, batch.tokens), batch, Gather())
            engine.backward(loss)
            assert engine.step(lr)
            values.append(loss.item())
        weights = engine.weights()
        engine.close()
    return values, weights


@pytest.mark.parametrize(("engine_name", "stage"), ENGINES[1:])
def test_engines_give_the_same_losses(tiny, torch_losses, engine_name, stage):
    expected, names = torch_losses
    values, ours = losses_of(tiny, engine_name, stage, clip_norm=0.5)
    assert values == pytest.approx(expected, abs=1e-6)
    assert ours.keys() == names.keys()


def test_clipping_matters_in_the_comparison_above(tiny, torch_losses):
    unclipped, _ = losses_of(tiny, "torch", 0, clip_norm=None, steps=5)
    assert unclipped[0] == torch_losses[0][0] and unclipped != pytest.approx(torch_losses[0][:5], abs=1e-6)


@pytest.fixture(scope="module")
def torch_losses(tiny):
    return losses_of(tiny, "torch", 0, clip_norm=0.5)


def test_bf16_is_close_and_keeps_float32_weights(tiny):
    expected, _ = losses_of(tiny, "torch", 0, steps=4)
    for engine, stage in [("torch", 0), ("deepspeed", 1)]:
        values, weights = losses_of(tiny, engine, stage, steps=4, precision="bf16")
        assert values == pytest.approx(expected, rel=5e-3) and values != expected
        assert weights["clip.logit_scale"].dtype == torch.float32


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_parameters_are_aligned_under_zero(tiny, precision):
    config = tiny.run_config("deepspeed", 1, precision=precision)
    with processes(config.training) as p:
        model = tiny.build("vit")
        # As open_clip has it: the one-element scale first, one group, and an odd parameter that a loss might add.
        model.clip.visual.register_parameter("odd", torch.nn.Parameter(torch.zeros(3)))
        parameters = sorted(model.parameters(), key=lambda parameter: parameter.numel() != 1)
        assert parameters[0].numel() == 1
        engine = make_engine(config.training, config.optimizer, model, [{"params": parameters}], p)
        misaligned = [name for name, parameter in model.named_parameters() if parameter.data_ptr() % 16]
        engine.close()
    assert misaligned == []


def test_unaligned_order_is_what_the_test_above_would_see(tiny):
    config = tiny.run_config("deepspeed", 1)
    with processes(config.training) as p:
        model = tiny.build("vit")
        parameters = sorted(model.parameters(), key=lambda parameter: parameter.numel() != 1)
        from domainclip.training.deepspeed_engine import DeepSpeedEngine

        engine = DeepSpeedEngine(config.training, config.optimizer, model, [{"params": parameters}], p)
        assert sum(parameter.data_ptr() % 16 != 0 for parameter in model.parameters()) > 50
        engine.close()


def test_aligned_groups_keep_options_and_order():
    a, b, c, frozen = (torch.nn.Parameter(torch.zeros(n)) for n in (16, 3, 8, 8))
    frozen.requires_grad_(False)
    groups = aligned_groups(
        [{"params": [b, a, frozen, c], "weight_decay": 0.1, "parameter_names": list("bafc")}, {"params": [frozen]}]
    )
    assert [[p.numel() for p in group["params"]] for group in groups] == [[16, 8], [3]]
    assert all(group["weight_decay"] == 0.1 and "parameter_names" not in group for group in groups)


class Odd(torch.nn.Module):
    def __init__(self, parameter):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(parameter)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [(torch.tensor(1.0), "no dimension"), (torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last), "not contiguous")],
)
def test_parameters_that_deepspeed_cannot_take_are_refused(tiny, parameter, message):
    config, model = tiny.run_config("deepspeed"), Odd(parameter)
    with processes(config.training) as p, pytest.raises(UsageError, match=message):
        make_engine(config.training, config.optimizer, model, [{"params": list(model.parameters())}], p)
    model.requires_grad_(False)
    model.logit_scale.data = torch.zeros(8)
    with processes(config.training) as p, pytest.raises(UsageError, match="None of its parameters is trainable"):
        make_engine(config.training, config.optimizer, model, [{"params": list(model.parameters())}], p)


@pytest.mark.parametrize(("engine_name", "stage"), ENGINES)
def test_logit_scale_is_limited_in_the_master(tiny, engine_name, stage):
    config = tiny.run_config(engine_name, stage, batch_size=8)
    with processes(config.training) as p:
        model = tiny.build("vit")
        name = "clip.logit_scale"
        torch.nn.init.constant_(model.get_parameter(name), LOGIT_SCALE_LIMIT - 0.01)
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        batch = tiny.global_batch(0, 8)
        for _ in range(3):
            # A gradient that always asks for a larger scale.
            output = engine.forward(batch.images, batch.tokens)
            assert output.logit_scale.item() <= 100.001
            engine.backward(-output.logit_scale.sum() + 0 * output.image_features.sum() + 0 * output.text_features.sum())
            assert engine.step(0.05)
            assert engine.collect().parameters[name].item() == pytest.approx(math.log(100), abs=1e-6)
            assert engine.weights()[name].item() == pytest.approx(math.log(100), abs=1e-6)
        engine.close()


@pytest.mark.parametrize(("engine_name", "stage"), ENGINES)
def test_update_with_a_gradient_that_is_not_finite_is_left_out(tiny, engine_name, stage):
    config = tiny.run_config(engine_name, stage, batch_size=8)
    with processes(config.training) as p:
        model = tiny.build("vit")
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        batch = tiny.global_batch(0, 8)
        before = engine.weights()
        loss_of = make_loss(config.loss)
        engine.backward(loss_of(engine.forward(batch.images * float("nan"), batch.tokens), batch, Gather()))
        assert engine.step(1e-3) is False
        assert all(torch.equal(value, before[name]) for name, value in engine.weights().items())
        engine.backward(loss_of(engine.forward(batch.images, batch.tokens), batch, Gather()))
        assert engine.step(1e-3) is True
        assert all(torch.isfinite(value).all() for value in engine.weights().values())
        engine.close()


@pytest.mark.slow
def test_evaluation_through_the_engine_at_stage_3(tiny):
    config = tiny.run_config("deepspeed", 3, batch_size=8)
    batch = tiny.global_batch(0, 8)
    model = tiny.build("resnet")
    with torch.no_grad():
        expected = model.eval()(batch.images, batch.tokens)
    with processes(config.training) as p:
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        engine.train(False)
        with torch.no_grad():
            images = engine.forward(images=batch.images, mode="image").image_features
            texts = engine.forward(tokens=batch.tokens, mode="text").text_features
        engine.close()
    torch.testing.assert_close(images, expected.image_features)
    torch.testing.assert_close(texts, expected.text_features)


def test_deepspeed_configuration():
    config = deepspeed_config(TrainingConfig(zero_stage=2, batch_size=12, precision="bf16"), OptimizerConfig(clip_norm=None))
    assert config["zero_optimization"]["stage"] == 2 and config["train_micro_batch_size_per_gpu"] == 12
    assert config["torch_autocast"] == {"enabled": True, "dtype": "bfloat16"} and "bf16" not in config
    assert config["gradient_clipping"] == 0.0 and config["zero_allow_untested_optimizer"] is True
    assert "torch_autocast" not in deepspeed_config(TrainingConfig(), OptimizerConfig())


@pytest.mark.slow
@pytest.mark.parametrize("last", ["image", "text"])
def test_training_goes_on_and_saves_after_an_evaluation_at_stage_3(tiny, tmp_path, last):
    """Encodes of one tower alone leave nothing of the other half-way, whichever comes last."""
    config = tiny.run_config("deepspeed", 3, batch_size=8, max_steps=6, evaluate_every_steps=2, save_every_steps=2)
    batch = tiny.global_batch(0, 8)
    with processes(config.training) as p:
        model = tiny.build("resnet")
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)

        def evaluate(step):
            with torch.no_grad():
                for mode in ("text", "image") if last == "image" else ("image", "text"):
                    inputs = {"images": batch.images} if mode == "image" else {"tokens": batch.tokens}
                    engine.forward(**inputs, mode=mode)
            return float(step)

        result = train(engine, tiny.Loader(size=8), config, tmp_path, evaluate=evaluate)
        assert result.steps == 6
        engine.weights()
        engine.close()
