"""The control without structure: what colour alone tells of the classes.

Each image is only each channel's mean, spread and histogram; a logistic regression learns the classes from that on the train split.
It sees no shape, no texture and no place, so what a model reaches beyond it comes from structure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.errors import UsageError
from domainclip.sample import Pixels

if TYPE_CHECKING:
    import pandas as pd

    from domainclip.data.prepared_set import PreparedSet

BINS = 16
METHOD = (
    "standardised logistic regression (C = 1, balanced classes) on each channel's mean, standard deviation and "
    f"{BINS}-bin histogram of physical values, fitted on the train split"
)
_RANGE_IMAGES = 256
_RANGE_PIXELS = 1024
_MOST_TRAIN_IMAGES = 20_000


@dataclass(frozen=True, slots=True)
class Control:
    """What the control predicts.

    Attributes:
        predicted: (rows,) class positions for the held-out rows.
        trained_on: Train images that it was fitted on; at most 20,000, evenly spread over the split.
    """

    predicted: npt.NDArray[np.int64]
    trained_on: int


def fit_control(
    prepared: PreparedSet,
    train: pd.DataFrame,
    train_classes: npt.NDArray[np.int64],
    rows: pd.DataFrame,
    channels: tuple[str, ...] | None = None,
) -> Control:
    """Fits the control and predicts.

    Args:
        prepared: Where the pixels lie.
        train: Rows of the train split that have a class.
        train_classes: (len(train),) class positions; two or more different ones.
        rows: Rows to predict.
        channels: Names of the channels to look at; None takes those of the first train row.

    Raises:
        UsageError: The train rows have fewer than two classes, or an image lacks a channel.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(train_classes)) < 2:
        raise UsageError(
            "The control without structure was to be fitted.",
            f"The train split shows {len(np.unique(train_classes))} class.",
            "Label train images of two classes or more, or set evaluation.control=false.",
        )
    chosen = _evenly(len(train), _MOST_TRAIN_IMAGES)
    names = channels or tuple(train.iloc[0]["channels"])
    ranges = _ranges(prepared, train, names)
    learner = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000, class_weight="balanced"))
    learner.fit(_statistics(prepared, train.iloc[chosen], names, ranges), train_classes[chosen])
    predicted = np.asarray(learner.predict(_statistics(prepared, rows, names, ranges)), dtype=np.int64)
    return Control(predicted, len(chosen))


def image_statistics(planes: npt.NDArray[np.float32], ranges: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns what the control sees of an image.

    Args:
        planes: (C, P) physical values of the pixels that have data, P may be 0.
        ranges: (C, 2) ends of the histograms; values outside count in the outer bins.

    Returns:
        (C * (2 + BINS),) float64: means, standard deviations, shares of pixels per bin.
    """
    channels, pixels = planes.shape
    if not pixels:
        return np.zeros(channels * (2 + BINS))
    low, width = ranges[:, :1], np.maximum(ranges[:, 1:] - ranges[:, :1], np.float32(1e-12))
    bins = np.clip((planes - low) * (BINS / width), 0, BINS - 1).astype(np.int64)
    bins += np.arange(channels)[:, None] * BINS
    shares = np.bincount(bins.ravel(), minlength=channels * BINS) / pixels
    return np.concatenate([planes.mean(axis=1, dtype=np.float64), planes.std(axis=1, dtype=np.float64), shares])


def _statistics(
    prepared: PreparedSet, rows: pd.DataFrame, names: tuple[str, ...], ranges: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    return np.stack([image_statistics(_planes(prepared, row, names), ranges) for row in rows.to_dict("records")])


def _ranges(prepared: PreparedSet, train: pd.DataFrame, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Takes the ends of the histograms from the train split: 0.5th and 99.5th percentile of pixels of images spread over it."""
    parts = []
    for row in train.iloc[_evenly(len(train), _RANGE_IMAGES)].to_dict("records"):
        planes = _planes(prepared, row, names)
        parts.append(planes[:, _evenly(planes.shape[1], _RANGE_PIXELS)])
    pixels = np.concatenate(parts, axis=1)
    if not pixels.shape[1]:
        raise UsageError(
            "The control without structure was to be fitted.",
            "No pixel of the train split has data.",
            "Check the nodata value of the files; or set evaluation.control=false.",
        )
    return np.percentile(pixels, [0.5, 99.5], axis=1).T.astype(np.float32)


def _planes(prepared: PreparedSet, row: dict[Any, Any], names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Returns (C, P) physical values of the pixels that have data in every channel."""
    pixels: Pixels = prepared.read(row)
    there = list(row["channels"])
    missing = [name for name in names if name not in there]
    if missing:
        raise UsageError(
            "The control without structure was to look at an image.",
            f"It has the channels {', '.join(there)} and lacks {', '.join(missing)}.",
            "Prepare all images with the same channels, or set evaluation.control=false.",
        )
    first = np.moveaxis(pixels.array, row["axes"].index("C"), 0)
    stored = first[[there.index(name) for name in names]] if list(names) != there else first
    values = row["values"]
    known = _known(stored, pixels, values["nodata"])
    planes = (stored.astype(np.float32) * np.float32(values["scale"]) + np.float32(values["offset"])).reshape(len(names), -1)
    return planes if known is None else planes[:, known]


def _known(stored: npt.NDArray[Any], pixels: Pixels, nodata: float | str | None) -> npt.NDArray[np.bool_] | None:
    """Returns (P,) True where there is data, None where there is everywhere."""
    gone: npt.NDArray[np.bool_] = np.zeros(stored.shape[1:], dtype=np.bool_)
    if "nodata" in pixels.masks:
        gone = gone | pixels.masks["nodata"]
    if stored.dtype.kind == "f":
        gone = gone | ~np.isfinite(stored).all(axis=0)
    if nodata is not None and nodata != "nan":
        gone = gone | (stored == nodata).any(axis=0)
    return ~gone.ravel() if gone.any() else None


def _evenly(count: int, most: int) -> npt.NDArray[np.int64]:
    """Returns at most ``most`` positions spread evenly over ``count``."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.int64))
