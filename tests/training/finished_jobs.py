"""What finished jobs of several processes must have left: gradients of plain torch, states that go on, the same torn as whole."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from domainclip.losses import make_loss
from domainclip.training.batch_norm import apply_batch_norm
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.state import load_checkpoint, read_state


def reference(tiny, kind: str, loss_name: str) -> dict[str, torch.Tensor]:
    """Plain torch: one process, the whole batch, the loss written out anew."""
    model = tiny.build(kind)
    apply_batch_norm(model, "frozen", 1, "none")
    batch = tiny.global_batch(0)
    output = model(batch.images, batch.tokens)
    logits = output.logit_scale * output.image_features @ output.text_features.T
    if loss_name == "clip":
        for_images = for_texts = torch.arange(len(logits))
    else:
        drawn, own = batch.caption_groups.tolist(), batch.image_groups.tolist()
        right = torch.tensor([[float(caption in mine) for caption in drawn] for mine in own])
        assert not right.equal(right.T)
        for_images, for_texts = right / right.sum(dim=1, keepdim=True), (right / right.sum(dim=0)).T
    loss = (F.cross_entropy(logits, for_images) + F.cross_entropy(logits.T, for_texts)) / 2
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters()} | {"loss": loss.detach().reshape(1)}


def worst_relative_error(ours: dict[str, torch.Tensor], true: dict[str, torch.Tensor]) -> tuple[float, str]:
    assert ours.keys() == true.keys()
    assert any(name.endswith("logit_scale") for name in ours)
    return max((float((ours[name] - true[name]).norm() / true[name].norm()), name) for name in true)


def compare(tiny, out, cases) -> None:
    references = {}
    for kind, engine, stage, loss_name in cases:
        if (kind, loss_name) not in references:
            references[kind, loss_name] = reference(tiny, kind, loss_name)
        ours = load_file(out / f"{kind}-{engine}-{stage}-{loss_name}.safetensors")
        error, name = worst_relative_error(ours, references[kind, loss_name])
        print(kind, engine, stage, loss_name, "worst relative error", error, name)
        assert error <= 1e-5, (kind, engine, stage, loss_name, name)


def next_step(tiny, checkpoint, engine_name: str, stage: int):
    """Loads a state in one process, then makes the step that follows; returns weights before and after."""
    config = tiny.run_config(engine_name, stage, batch_size=32)
    with processes(config.training) as p:
        model = tiny.build("vit", seed=99)
        engine = make_engine(config.training, config.optimizer, model, tiny.groups_of(model), p)
        state, _ = load_checkpoint(checkpoint, engine)
        assert (state.step, state.optimizer_step) == (3, 3)
        before = engine.weights()
        batch = tiny.global_batch(3)
        engine.backward(make_loss(config.loss)(engine.forward(batch.images, batch.tokens), batch, tiny.Gather()))
        assert engine.step(1e-3)
        after = engine.weights()
        engine.close()
    return before, after


def compare_portable(tiny, out, stage: int, targets) -> None:
    checkpoint = out / f"zero{stage}" / "step-00000003"
    assert read_state(checkpoint).world_size == 2
    saved, expected = load_file(checkpoint / "parameters.safetensors"), load_file(out / f"after-zero{stage}.safetensors")
    for target in targets:
        before, after = next_step(tiny, checkpoint, *target)
        for name, value in expected.items():
            torch.testing.assert_close(before[name], saved[name], rtol=0, atol=0)
            torch.testing.assert_close(after[name], value, rtol=1e-6, atol=1e-6, msg=f"{target} {name}")
            # The step must be one that moves: an update of Adam is about the learning rate.
        assert max(float((after[name] - before[name]).abs().max()) for name in saved) > 5e-4


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def order_of(folder):
    """Step to keys of a run of one process; a step that was made twice must have had the same samples."""
    seen = {}
    for file in folder.glob("order-*.jsonl"):
        for step, keys in lines(file):
            assert seen.setdefault(step, keys) == keys
    return seen


def check_phases(jobs, out, processes=1):
    names = [f"resume{n}" for n in range(5)]
    assert [jobs.codes[name] for name in names] == [[code] * processes for code in (0, -9, -9, 7, 0)]
    assert "Going on at step 3 from step-00000003." in jobs.output("resume2")
    assert "Removed step-00000006.part" in jobs.output("resume3")
    assert "Step 8 of 10 is finished and saved" in jobs.output("resume3") and "--resume" in jobs.output("resume3")
    assert '{"start": 8, "steps": 10, "seen": 160}' in jobs.output("resume4")
    whole, torn = (lines(out / run / "metrics.jsonl") for run in ("whole", "torn"))
    assert [line["step"] for line in whole] == [line["step"] for line in torn] == list(range(1, 11))
    for ours, theirs in zip(torn, whole, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
        assert ours["lr"] == theirs["lr"]
    assert order_of(out / "whole") == order_of(out / "torn")
    assert sorted(path.name for path in (out / "torn" / "checkpoints").iterdir()) == ["step-00000009", "step-00000010"]
    assert whole[-1]["loss"] != whole[0]["loss"]
