"""The retrieval part of a report: recall at k in both directions, strict and with identical captions counted as hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.benchmarks.bootstrap import GroupSums, interval, joined, mean_sums
from domainclip.benchmarks.recall import Pairs, Recall, image_to_text, text_to_image
from domainclip.config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

Features = npt.NDArray[np.float32]
PROTOCOL = (
    "Text to image: every held-out caption is a query (words that stand under many images ask as often), all held-out images that "
    "have captions are the gallery. Image to text: every such image is a query, all their captions are the gallery, equal words as "
    "often as they occur. Strict counts the pair's own only, and its ceiling is what no model passes since equal words cannot be "
    "told apart; equivalent counts whatever bears the same words. Chance is a random order's; equal scores stand in random order. "
    "Mean recall is the mean over directions and k."
)


def retrieval_figures(
    table: pd.DataFrame,
    features: Features,
    captions: pd.DataFrame,
    encode_text: Callable[[Sequence[str]], Features],
    config: RunConfig,
) -> dict[str, Any]:
    """Measures retrieval.

    Args:
        table: Rows of the images, columns ``key`` and ``group``.
        features: (N, D) float32 of unit norm, one row an image.
        captions: Columns ``key`` and ``text``; rows of other images are not looked at.
        encode_text: Distinct texts to (U, D) float32 of unit norm; each is encoded once, so that equal words are equal.
        config: ``evaluation`` and ``training.seed`` are read.

    Returns:
        JSON-ready; see ``PROTOCOL``.
    """
    position = {key: number for number, key in enumerate(table["key"])}
    mine = captions[captions["key"].isin(position)]
    owners = np.array([position[key] for key in mine["key"]], dtype=np.int64)
    used, image_of_caption = np.unique(owners, return_inverse=True)
    texts, text_of_caption = np.unique(mine["text"].to_numpy(dtype=object).astype(str), return_inverse=True)
    pairs = Pairs(image_of_caption.astype(np.int64), text_of_caption.astype(np.int64), len(used), len(texts))
    text_features = encode_text([str(text) for text in texts])
    groups = table["group"].to_numpy()[used]
    ks = config.evaluation.recall_at
    directions = {
        "text_to_image": (text_to_image(features[used], text_features, pairs, ks), groups[pairs.image_of_caption]),
        "image_to_text": (image_to_text(features[used], text_features, pairs, ks), groups),
    }
    resampling: dict[str, int] = {"resamples": config.evaluation.bootstrap, "seed": config.training.seed}
    result: dict[str, Any] = {
        "images": len(used),
        "images_without_caption": len(table) - len(used),
        "captions": len(mine),
        "distinct_captions": len(texts),
        "languages": sorted(mine["language"].unique().tolist()) if "language" in mine else [],
    }
    sums: dict[str, list[GroupSums]] = {"strict": [], "equivalent": []}
    chances: dict[str, list[float]] = {"strict": [], "equivalent": []}
    for direction, (recalls, owner_groups) in directions.items():
        result[direction] = {f"recall_at_{k}": {} for k in ks}
        for mode, recall in zip(("strict", "equivalent"), recalls, strict=True):
            for column, k in enumerate(ks):
                part = mean_sums(recall.hits[:, column], owner_groups)
                sums[mode].append(part)
                chances[mode].append(float(recall.chance[:, column].mean()))
                result[direction][f"recall_at_{k}"][mode] = interval(part, **resampling).to_dict(**_beside(recall, column))
    result["mean_recall"] = {
        mode: interval(joined(parts), **resampling).to_dict(chance=float(np.mean(chances[mode]))) for mode, parts in sums.items()
    }
    return result


def _beside(recall: Recall, column: int) -> dict[str, float | int]:
    """Returns what makes a recall readable: chance, ceiling and the size of the gallery."""
    return {
        "chance": float(recall.chance[:, column].mean()),
        "ceiling": float(recall.ceiling[:, column].mean()),
        "candidates": recall.candidates,
    }
