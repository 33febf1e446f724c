"""The loop in one process: limits, metrics, evaluation, stops."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch

from domainclip.errors import RunInterruptedError, UsageError
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.loop import train, use_weights
from domainclip.training.state import read_state, read_tensors


def run(tiny, folder, *, loader=None, loss="clip", then=None, engine_name="torch", loop=None, **training):
    config = tiny.run_config(engine_name, batch_size=8, loss=loss, **{"max_steps": 6, "save_every_steps": 100, **training})
    folder.mkdir(exist_ok=True)
    with processes(config.training) as p:
        model = tiny.build("vit")
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        try:
            result = train(engine, loader or tiny.Loader(size=8), config, folder, **(loop or {}))
            return (result, then(engine, result)) if then else result
        finally:
            engine.close()


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_run_to_the_last_step(tiny, tmp_path):
    reports = []
    result = run(tiny, tmp_path, log_every_steps=4, loop={"on_report": reports.append})
    assert (result.steps, result.samples_seen, result.start_step, len(result.losses)) == (6, 48, 0, 6)
    assert result.checkpoint.name == "step-00000006" and result.best_checkpoint is None
    assert result.images_per_second == pytest.approx(48 / result.seconds) and 0 <= result.data_share < 1
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [4, 6] == [report.step for report in reports]
    assert lines[0]["loss"] == pytest.approx(sum(result.losses[:4]) / 4)
    assert set(lines[0]) == {"step", "loss", "lr", "logit_scale", "seconds", "images_per_second", "data_share", "progress"}
    assert lines[0]["logit_scale"] == pytest.approx(1 / 0.07, rel=0.05) and lines[-1]["progress"] == 1.0
    saved = read_state(result.checkpoint)
    assert (saved.step, saved.samples_seen, saved.optimizer_step, saved.progress) == (6, 48, 6, 1.0)


def test_time_limit_ends_the_run_and_the_schedule(tiny, tmp_path):
    result = run(tiny, tmp_path, max_steps=100_000, max_seconds=1.0, log_every_steps=1)
    assert 1.0 <= result.seconds < 4.0 and result.steps < 100_000
    lines = metrics(tmp_path)
    assert lines[-1]["progress"] == 1.0 and lines[-1]["lr"] < 0.5 * max(line["lr"] for line in lines)


def test_best_checkpoint_is_chosen_and_used(tiny, tmp_path):
    values, modes = iter([0.3, 0.9, 0.4]), []

    def evaluate(step):
        modes.append(step)
        return next(values)

    def best_weights(engine, result):
        use_weights(engine, result.best_checkpoint)
        return engine.weights()

    result, weights = run(tiny, tmp_path, evaluate_every_steps=2, loop={"evaluate": evaluate, "keep": 1}, then=best_weights)
    assert modes == [2, 4, 6]
    assert (result.best_checkpoint.name, result.best_value) == ("step-00000004", 0.9)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000004", "step-00000006"]
    best, last = (read_tensors(path).parameters for path in (result.best_checkpoint, result.checkpoint))
    assert all(torch.equal(weights[name], value) for name, value in best.items())
    assert any(not torch.equal(weights[name], value) for name, value in last.items())


@pytest.mark.parametrize("engine_name", ["torch", "deepspeed"])
def test_loss_that_is_not_finite_stops_the_run(tiny, tmp_path, engine_name):
    class Broken(tiny.Loader):
        def batch(self, step):
            batch = super().batch(step)
            if step == 3:
                batch.images[2, 0] = float("nan")
            return batch

    with pytest.raises(UsageError, match=r"(?s)Step 4 .*not finite.*checkpoint of step 2 is good.*--resume"):
        run(tiny, tmp_path, loader=Broken(size=8), save_every_steps=2, engine_name=engine_name)
    tensors = read_tensors(tmp_path / "checkpoints" / "step-00000002")
    assert all(torch.isfinite(value).all() for value in tensors.parameters.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_resume(tiny, tmp_path, number):
    class Stopped(tiny.Loader):
        def batch(self, step):
            if step == 2:
                os.kill(os.getpid(), number)
            return super().batch(step)

    before = signal.getsignal(number)
    with pytest.raises(RunInterruptedError, match=r"(?s)Step 3 of 6 is finished and saved.*--resume"):
        run(tiny, tmp_path, loader=Stopped(size=8))
    assert signal.getsignal(number) is before
    (tmp_path / "metrics.jsonl").open("a").write('{"step": 3, "lo')
    notes = []
    result = run(tiny, tmp_path, loop={"resume": True, "log": notes.append})
    assert (result.start_step, result.steps, len(result.losses)) == (3, 6, 3)
    assert notes == ["Going on at step 3 from step-00000003."]
    assert [line["step"] for line in metrics(tmp_path)] == [3, 6]
    again = run(tiny, tmp_path, loop={"resume": True})
    assert (again.start_step, again.steps, again.losses) == (6, 6, [])


def test_resume_with_another_global_batch_is_refused(tiny, tmp_path):
    run(tiny, tmp_path, max_steps=2)
    config_seed = {"seed": 9}
    with pytest.raises(UsageError, match=r"global batch of 8 and the seed 9"):
        run(tiny, tmp_path, loop={"resume": True}, **config_seed)


def test_resume_without_checkpoint_says_so(tiny, tmp_path):
    notes = []
    result = run(tiny, tmp_path, max_steps=1, loop={"resume": True, "log": notes.append})
    assert result.start_step == 0 and notes == ["There is no complete checkpoint: the run starts at step 0."]


def test_what_a_loss_needs_is_checked_before_the_first_update(tiny, tmp_path):
    class Without(tiny.Loader):
        def batch(self, step):
            batch = super().batch(step)
            batch.caption_groups = None
            return batch

    with pytest.raises(UsageError, match="needs 'caption_groups'"):
        run(tiny, tmp_path, loader=Without(size=8), loss="multi-positive")
    assert list((tmp_path / "checkpoints").iterdir()) == []
