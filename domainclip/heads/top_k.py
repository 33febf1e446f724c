"""Exact search: the k largest products, block by block, so that memory does not grow with the gallery."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
_BLOCK_ROWS = 65_536


def top_k(gallery: Features, queries: Features, k: int) -> tuple[Features, npt.NDArray[np.int64]]:
    """Finds the k best rows for each query.

    Equal scores are ordered by position, so that results do not depend on block sizes.

    Args:
        gallery: (N, D) float32, may be memory-mapped.
        queries: (Q, D) float32.
        k: How many, at least 1; fewer come back when N is smaller.

    Returns:
        Scores (Q, min(k, N)) float32, descending, and positions (Q, min(k, N)).
    """
    scores = np.empty((len(queries), 0), dtype=np.float32)
    positions = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(gallery), _BLOCK_ROWS):
        block = np.asarray(gallery[start : start + _BLOCK_ROWS])
        numbers = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
        scores = np.concatenate([scores, queries @ block.T], axis=1)
        positions = np.concatenate([positions, numbers], axis=1)
        # A stable sort of the negated scores keeps the earlier position first among equals; only survivors are sorted.
        if scores.shape[1] > k:
            border = np.partition(scores, -k, axis=1)[:, -k]
            kept = [np.flatnonzero(row >= least) for row, least in zip(scores, border, strict=True)]
            chosen = np.stack([some[np.argsort(-row[some], kind="stable")[:k]] for row, some in zip(scores, kept, strict=True)])
        else:
            chosen = np.argsort(-scores, axis=1, kind="stable")
        scores, positions = np.take_along_axis(scores, chosen, axis=1), np.take_along_axis(positions, chosen, axis=1)
    return scores, positions
