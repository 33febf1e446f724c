"""Batch norm: frozen statistics, refusals, and the average over two processes (test_distributed.py)."""

from __future__ import annotations

import pytest
import torch
from timm.layers import BatchNormAct2d

from domainclip.errors import UsageError
from domainclip.training.batch_norm import apply_batch_norm


def network():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), BatchNormAct2d(4), torch.nn.Flatten())


def test_frozen_statistics_stay_and_are_used():
    torch.manual_seed(0)
    model = network()
    names = list(model.state_dict())
    for layer in (model[1], model[2]):
        layer.running_mean.uniform_(-1, 1)
        layer.running_var.uniform_(0.5, 2)
    images = torch.randn(8, 3, 6, 6)
    expected = model.eval()(images)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    note = apply_batch_norm(model, "frozen", 1, "none")
    model.train()
    torch.testing.assert_close(model(images), expected)
    assert "2 layers" in note and list(model.state_dict()) == names
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert model[2].weight.requires_grad and isinstance(model[2], BatchNormAct2d)


def test_one_process_and_models_without_batch_norm_are_left_alone():
    model = network()
    assert apply_batch_norm(model, "auto", 1, "none") == ""
    assert type(model[1]) is torch.nn.BatchNorm2d
    assert apply_batch_norm(torch.nn.Linear(2, 2), "sync", 2, "gloo") == ""


def test_auto_over_processes():
    model = network()
    assert "averaged before evaluation and saving" in apply_batch_norm(model, "auto", 2, "gloo")
    assert type(model[1]) is torch.nn.BatchNorm2d
    assert "synchronised over 2" in apply_batch_norm(model, "auto", 2, "nccl")
    assert isinstance(model[1], torch.nn.SyncBatchNorm) and isinstance(model[2], torch.nn.SyncBatchNorm)


def test_sync_without_nccl_is_refused():
    with pytest.raises(UsageError, match="backend gloo"):
        apply_batch_norm(network(), "sync", 2, "gloo")
