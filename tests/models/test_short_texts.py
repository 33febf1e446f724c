"""Text towers without the columns of padding: the same features and gradients."""

from __future__ import annotations

import pytest
import torch

from domainclip.config import ModelConfig
from domainclip.models import architectures
from domainclip.models.architectures import architecture_config
from domainclip.models.short_texts import without_padding
from domainclip.models.towers import build_model

RGB = ("red", "green", "blue")


def tokens_of(lengths, columns, end):
    """Rows of random ids with the end token last, then zeros; one id in the middle is 0, as CLIP's exclamation mark is."""
    rows = torch.zeros(len(lengths), columns, dtype=torch.int64)
    for row, length in zip(rows, lengths, strict=True):
        row[: length - 1] = torch.randint(1, end, (length - 1,), generator=torch.Generator().manual_seed(length))
        row[length // 2] = 0
        row[length - 1] = end
    return rows


def test_only_columns_that_are_empty_everywhere_go():
    tokens = tokens_of([5, 11, 3], 32, 99)
    assert without_padding(tokens, multiple=1).equal(tokens[:, :11])
    assert without_padding(tokens, multiple=8).equal(tokens[:, :16])
    assert without_padding(tokens_of([32, 2], 32, 99)).shape == (2, 32)
    assert without_padding(tokens_of([18], 20, 99)).shape == (1, 20)


@pytest.mark.parametrize("pool", ["argmax", "eos"])
def test_features_and_gradients_are_those_of_the_full_context(monkeypatch, pool):
    cfg = architecture_config("starter-vit")
    cfg["text_cfg"]["pool_type"] = pool
    monkeypatch.setattr(architectures, "_own", lambda: {"short": cfg})
    model = build_model(ModelConfig(architecture="short"), RGB, vocabulary_size=300)
    tokens = tokens_of([9, 4, 13, 6], 32, 299)
    results = []
    for given in (tokens, model.shorten(tokens)):
        model.zero_grad()
        features = model(tokens=given, mode="text").text_features
        (features * torch.arange(features.numel()).reshape(features.shape)).sum().backward()
        results.append((features, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (full, full_gradients), (short, short_gradients) = results
    assert given.shape == (4, 16)
    torch.testing.assert_close(short, full, rtol=1e-5, atol=1e-6)
    assert full_gradients.keys() == short_gradients.keys()
    for name, gradient in full_gradients.items():
        assert (gradient - short_gradients[name]).norm() <= 1e-5 * gradient.norm(), name


def test_a_tower_that_reads_its_last_column_keeps_its_context(monkeypatch):
    cfg = architecture_config("starter-vit") | {"custom_text": True}
    cfg["text_cfg"] |= {"pool_type": "last", "no_causal_mask": True}
    monkeypatch.setattr(architectures, "_own", lambda: {"bidirectional": cfg})
    model = build_model(ModelConfig(architecture="bidirectional"), RGB, vocabulary_size=300)
    tokens = tokens_of([9, 4], 32, 299)
    assert model.shorten(tokens) is tokens
