"""Two real processes against one-process plain torch on the full batch."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from domainclip.losses import make_loss
from domainclip.training.batch_norm import apply_batch_norm
from domainclip.training.distributed import processes
from domainclip.training.engine import make_engine
from domainclip.training.state import load_checkpoint, read_state

SLOW = [("vit", "deepspeed", 2, "clip"), ("vit", "deepspeed", 3, "clip"), ("resnet", "deepspeed", 3, "multi-positive")]
SLOW += [("resnet", "torch", 0, "multi-positive"), ("wavelength", "deepspeed", 2, "clip"), ("wavelength", "deepspeed", 3, "clip")]


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


@pytest.mark.slow
def test_parity_of_higher_stages(tiny, start_jobs, tmp_path):
    arguments = {"out": str(tmp_path), "cases": SLOW, "portable": [0, 2, 3]}
    start_jobs([{"name": "parity", "script": "parity", "processes": 2, "arguments": arguments}]).check("parity")
    compare(tiny, tmp_path, SLOW)
    compare_portable(tiny, tmp_path, 3, [("deepspeed", 1), ("deepspeed", 3)])
    compare_portable(tiny, tmp_path, 2, [("deepspeed", 2)])
    compare_portable(tiny, tmp_path, 0, [("deepspeed", 1)])
