"""The mean of weights at the end of training, against a mean taken by hand and plain torch."""

from __future__ import annotations

import copy

import pytest
import torch

from domainclip.training.averaging import WeightAverage, use_average
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.loop import train
from domainclip.training.state import checkpoint_folder, read_average, read_state, read_tensors


def test_the_mean_is_the_mean():
    values = [torch.randn(3, 4, generator=torch.Generator().manual_seed(n)) for n in range(7)]
    average = WeightAverage()
    for number, value in enumerate(values):
        average.add({"w": value, "steps": torch.tensor(number)})
    torch.testing.assert_close(average.mean["w"], torch.stack(values).mean(dim=0))
    assert average.mean["steps"] == 6 and average.count == 7


@pytest.mark.parametrize(
    ("engine_name", "stage"),
    [("torch", 0), ("deepspeed", 0), ("deepspeed", 1), pytest.param("deepspeed", 3, marks=pytest.mark.slow)],
)
def test_a_run_ends_with_the_mean_and_statistics_of_its_own(tiny, tmp_path, engine_name, stage):
    config = tiny.run_config(
        engine_name, stage, batch_size=8, max_steps=10, average_last=0.5, average_every_steps=2, save_every_steps=1
    )
    with processes(config.training) as here:
        model = tiny.build("resnet")
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), here)
        result = train(engine, tiny.Loader(size=8), config, tmp_path, keep=20)
        ours = engine.weights()
        assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.1}
        engine.close()
    saved = [read_tensors(checkpoint_folder(tmp_path / "checkpoints", step), ("parameters",)).parameters for step in (6, 8, 10)]
    assert result.averaged == 3
    for name in saved[0]:
        torch.testing.assert_close(ours[name], torch.stack([s[name] for s in saved]).mean(dim=0), rtol=1e-6, atol=1e-7)
    # The statistics of the first batch norm, whose input does not depend on other statistics: over the 25 batches that followed.
    reference = tiny.build("resnet")
    reference.load_state_dict(ours)
    layer = next(m for m in reference.modules() if isinstance(m, torch.nn.BatchNorm2d))
    name = next(n for n, m in reference.named_modules() if m is layer)
    seen = []
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mean(dim=(0, 2, 3))))
    reference.train()
    with torch.no_grad():
        for step in range(10, 35):
            reference(tiny.global_batch(step, 8).images, None, "image")
    torch.testing.assert_close(ours[f"{name}.running_mean"], torch.stack(seen).mean(dim=0), rtol=1e-4, atol=1e-6)
    assert not ours[f"{name}.running_mean"].equal(layer.running_mean)


def test_the_mean_must_do_as_well_as_the_best_checkpoint(tiny, tmp_path):
    config = tiny.run_config(
        "torch", batch_size=8, max_steps=4, average_last=0.5, average_every_steps=1, save_every_steps=2, evaluate_every_steps=2
    )
    for values, kept in (([0.2, 0.5, 0.4], 0), ([0.2, 0.5, 0.5], 2)):
        told = iter(values)
        with processes(config.training) as here:
            model = tiny.build("vit")
            engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), here)
            folder = tmp_path / str(kept)
            folder.mkdir()
            result = train(engine, tiny.Loader(size=8), config, folder, evaluate=lambda step: next(told))  # noqa: B023
            last = read_average(result.checkpoint)
            assert read_state(result.checkpoint).averaged == last.count == 2
            assert result.averaged == kept
            last_step = read_tensors(result.checkpoint, ("parameters",)).parameters
            ours, expected = engine.weights(), last.mean if kept else last_step
            assert all(ours[name].equal(expected[name]) for name in last_step)
            assert not all(last.mean[name].equal(last_step[name]) for name in last_step)
            engine.close()


def test_an_interrupted_mean_goes_on(tiny, tmp_path):
    """Resumed from the middle of the averaging, the mean is that of the whole run."""
    results = []
    for name, stops in (("whole", (8,)), ("halved", (6, 8))):
        folder = tmp_path / name
        folder.mkdir()
        for steps in stops:
            config = tiny.run_config(
                "torch", batch_size=8, max_steps=8, average_last=0.5, average_every_steps=1, save_every_steps=2, lr=1e-3
            )
            with processes(config.training) as here:
                model = tiny.build("vit")
                engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), here)
                loader = tiny.Loader(size=8)
                if steps < 8:
                    whole = loader.iterate

                    def cut(start, whole=whole, steps=steps):
                        for number, batch in enumerate(whole(start), start=start):
                            if number == steps:
                                raise KeyboardInterrupt
                            yield batch

                    loader.iterate = cut
                    with pytest.raises(KeyboardInterrupt):
                        train(engine, loader, config, folder)
                else:
                    train(engine, loader, config, folder, resume=len(stops) > 1)
                    results.append(copy.deepcopy(engine.weights()))
                engine.close()
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-6, atol=1e-7)


def test_frozen_statistics_stay(tiny):
    from domainclip.training.batch_norm import apply_batch_norm

    config = tiny.run_config("torch", batch_size=8)
    with processes(config.training) as here:
        model = tiny.build("resnet")
        apply_batch_norm(model, "frozen", 1, "none")
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), here)
        average = WeightAverage()
        average.add(engine.weights())
        use_average(engine, average, tiny.Loader(size=8).iterate(0))
        assert all(value.equal(average.mean[name]) for name, value in engine.weights().items())
        engine.close()


def test_more_time_on_resume_begins_the_mean_anew(tiny, tmp_path):
    counts = []
    for steps, resume in ((4, False), (12, True)):
        config = tiny.run_config(
            "torch", batch_size=8, max_steps=steps, average_last=0.5, average_every_steps=1, save_every_steps=2, lr=1e-3
        )
        with processes(config.training) as here:
            model = tiny.build("vit")
            engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), here)
            counts.append(train(engine, tiny.Loader(size=8), config, tmp_path, resume=resume).averaged)
            engine.close()
    assert counts == [2, 6]
