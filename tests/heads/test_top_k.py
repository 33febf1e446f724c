"""Blocked exact search against a full sort."""

from __future__ import annotations

import numpy as np
import pytest

from domainclip.heads import top_k as module


@pytest.mark.parametrize("block", [1, 3, 7, 1000])
@pytest.mark.parametrize("k", [1, 4, 50])
def test_against_a_full_sort_with_ties(monkeypatch, block, k):
    monkeypatch.setattr(module, "_BLOCK_ROWS", block)
    rng = np.random.default_rng(0)
    gallery = rng.integers(-2, 3, (40, 3)).astype(np.float32)  # many equal scores
    queries = rng.integers(-2, 3, (5, 3)).astype(np.float32)
    scores, positions = module.top_k(gallery, queries, k)
    for row, query in enumerate(queries):
        expected = sorted(range(40), key=lambda i: (-float(gallery[i] @ query), i))[:k]
        assert positions[row].tolist() == expected
        assert scores[row].tolist() == [float(gallery[i] @ query) for i in expected]
