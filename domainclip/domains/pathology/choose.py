"""Which tiles of a slide to keep where there are more than asked for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.reading import PathologyReading
from domainclip.errors import UsageError
from domainclip.evenly import evenly_spread
from domainclip.heartbeat import beat
from domainclip.tile_scoring import TileScorer, tile_scorers

Features = Callable[[], npt.NDArray[np.float32]]
_BATCH = 64
_MOST_FITTED, _STARTS = 20_000, 4
"""Tiles by which clusters are found, drawn by the seed (100,000 would take minutes), and how often k-means begins anew."""
_MOST_CLUSTERS = 256


def chosen(
    count: int, reading: PathologyReading, name: str, colours: Features, read: Callable[[int], npt.NDArray[Any]]
) -> list[int]:
    """Chooses ``reading.max_tiles`` of ``count`` tiles.

    Args:
        count: Tiles to choose from, more than ``max_tiles``.
        reading: ``choose`` and its options.
        name: Of the slide, which the draws depend on: not on the order of slides or the number of workers.
        colours: Returns (count, D) cheap features of the tiles, from the thumbnail.
        read: Returns tile i as (3, H, W) uint8.

    Returns:
        Positions, rising.

    Raises:
        UsageError: Options are missing that the way of choosing needs.
    """
    wanted = reading.max_tiles
    assert wanted is not None and wanted < count
    if reading.choose == "even":
        return evenly_spread(count, wanted)
    if reading.choose == "random":
        return sorted(_generator(reading, name).choice(count, wanted, replace=False).tolist())
    if reading.choose == "diverse":
        features = _embedded(_scorer(reading), count, read) if reading.choose_model else colours()
        return diverse(features, wanted, int(_generator(reading, name).integers(2**31)))
    return nearest_to_prompts(count, reading, read)


def nearest_to_prompts(count: int, reading: PathologyReading, read: Callable[[int], npt.NDArray[Any]]) -> list[int]:
    """Keeps the tiles whose features are nearest to the prompts', as PathGen retrieves patches (Sun et al. 2024).

    Raises:
        UsageError: No prompts, or no model.
    """
    if not reading.choose_prompts or not reading.choose_model:
        raise UsageError(
            "Tiles were to be chosen by prompts.",
            "No prompts are given." if not reading.choose_prompts else "No model is named.",
            'Give both: --set reading.choose_model=MODEL --set reading.choose_prompts=\'["tumour", "necrosis"]\'.',
        )
    scorer = _scorer(reading)
    texts = scorer.text_features(reading.choose_prompts)
    similarity = _embedded(scorer, count, read) @ texts.T
    pooled = similarity.max(axis=1) if reading.choose_pooling == "max" else similarity.sum(axis=1)
    best = np.argsort(-pooled, kind="stable")[: reading.max_tiles]
    return sorted(best.tolist())


def diverse(features: npt.NDArray[np.float32], wanted: int, seed: int) -> list[int]:
    """Clusters by k-means and takes from the clusters in turn, each cluster's tiles from its centre outwards.

    PathGen takes k = ceil(sqrt(1.6 n)) clusters; here n is the number of tiles, and k never exceeds ``wanted``.

    Args:
        features: (N, D).
        wanted: Number to keep, less than N.
        seed: Of k-means.

    Returns:
        Positions, rising.
    """
    from sklearn.cluster import KMeans

    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    k = min(wanted, _MOST_CLUSTERS, math.ceil(math.sqrt(1.6 * len(features))), len(np.unique(scaled, axis=0)))
    rows = scaled
    if len(scaled) > _MOST_FITTED:
        rows = scaled[np.sort(np.random.default_rng(seed).choice(len(scaled), _MOST_FITTED, replace=False))]
    tries = []
    for start in range(_STARTS):
        tries.append(KMeans(k, n_init=1, random_state=seed + start).fit(rows))
        beat()
    fitted = min(tries, key=lambda one: float(one.inertia_))
    labels = fitted.predict(scaled)
    beat()
    distance = np.linalg.norm(scaled - fitted.cluster_centers_[labels], axis=1)
    queues = [sorted(np.flatnonzero(labels == c).tolist(), key=lambda i: (distance[i], i)) for c in range(k)]
    queues.sort(key=lambda queue: (-len(queue), queue))
    kept: list[int] = []
    turn = 0
    while len(kept) < wanted:
        kept += [queue[turn] for queue in queues if turn < len(queue)][: wanted - len(kept)]
        turn += 1
    return sorted(kept)


def _scorer(reading: PathologyReading) -> TileScorer:
    assert reading.choose_model
    return tile_scorers.get("model")(reading.choose_model)


def _embedded(scorer: TileScorer, count: int, read: Callable[[int], npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    parts = []
    for first in range(0, count, _BATCH):
        tiles = []
        for number in range(first, min(first + _BATCH, count)):
            tiles.append(read(number))
            beat()
        parts.append(scorer.image_features(tiles))
        beat()
    return np.concatenate(parts).astype(np.float32)


def _generator(reading: PathologyReading, name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{reading.choose_seed}\x1f{name}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def thumbnail_features(
    thumbnail: npt.NDArray[np.uint8], step: tuple[float, float], boxes: Sequence[Any]
) -> npt.NDArray[np.float32]:
    """Returns the mean and spread of each channel's optical density in each box of a thumbnail.

    Args:
        thumbnail: (H, W, 3) uint8.
        step: (x, y) level-0 pixels a point of the thumbnail.
        boxes: (x, y, width, height) in level-0 pixels.

    Returns:
        (N, 6) float32.
    """
    density = -np.log10((thumbnail.astype(np.float32) + 1) / 256)
    rows = []
    for x, y, width, height in boxes:
        left, top = int(x / step[0]), int(y / step[1])
        right, bottom = max(left + 1, math.ceil((x + width) / step[0])), max(top + 1, math.ceil((y + height) / step[1]))
        cut = density[top:bottom, left:right].reshape(-1, 3)
        rows.append(np.concatenate([cut.mean(axis=0), cut.std(axis=0)]))
    return np.asarray(rows, np.float32)
