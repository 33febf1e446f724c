"""Figures of classification, and what guessing reaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def accuracy(truth: Sequence[int] | Ints, predicted: Sequence[int] | Ints) -> float:
    """Returns the share of right predictions.

    Args:
        truth: (n,) class positions.
        predicted: (n,) class positions.

    Raises:
        ValueError: Lengths differ or nothing is given.
    """
    true, guess = _checked(truth, predicted)
    return float((true == guess).mean())


def balanced_accuracy(truth: Sequence[int] | Ints, predicted: Sequence[int] | Ints) -> float:
    """Returns the mean recall over the classes that occur in the truth (as scikit-learn defines it).

    Args:
        truth: (n,) class positions.
        predicted: (n,) class positions.
    """
    true, guess = _checked(truth, predicted)
    return float(np.mean([(guess[true == name] == name).mean() for name in np.unique(true)]))


def confusion(truth: Sequence[int] | Ints, predicted: Sequence[int] | Ints, classes: int) -> Ints:
    """Counts predictions.

    Args:
        truth: (n,) class positions below ``classes``.
        predicted: (n,) class positions below ``classes``.
        classes: Number of classes.

    Returns:
        (classes, classes) counts; row = truth, column = prediction.
    """
    true, guess = _checked(truth, predicted)
    return np.bincount(true * classes + guess, minlength=classes * classes).reshape(classes, classes)


def per_class_recall(truth: Sequence[int] | Ints, predicted: Sequence[int] | Ints, classes: int) -> list[float | None]:
    """Returns each class's recall, None where the truth has none of it."""
    counts = confusion(truth, predicted, classes)
    return [float(row[i] / row.sum()) if row.sum() else None for i, row in enumerate(counts)]


def chance_of_hit(candidates: int, positives: npt.ArrayLike, k: npt.ArrayLike) -> Floats:
    """Returns the chance that ``k`` items drawn at random from ``candidates`` hold at least one of ``positives``.

    This is 1 - C(candidates - positives, k) / C(candidates, k), and the recall at k of a random order.

    Args:
        candidates: Size of the gallery, at least 1.
        positives: Number of right answers in it, any shape.
        k: How many are shown, broadcast against ``positives``.

    Returns:
        Chances, 0..1, float64, in the broadcast shape.
    """
    right, shown = np.broadcast_arrays(np.asarray(positives, dtype=np.int64), np.asarray(k, dtype=np.int64))
    shown = np.clip(shown, 0, candidates)  # more than all are all
    miss = np.ones(right.shape)
    for drawn in range(int(shown.max(initial=0))):
        factor = np.maximum(candidates - right - drawn, 0) / (candidates - drawn)
        miss = np.where(drawn < shown, miss * factor, miss)
    return 1.0 - miss


def _checked(truth: Sequence[int] | Ints, predicted: Sequence[int] | Ints) -> tuple[Ints, Ints]:
    true, guess = np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if true.shape != guess.shape or true.ndim != 1 or not len(true):
        raise ValueError(f"truth and predicted are two equally long, non-empty rows; shapes {true.shape} and {guess.shape}")
    return true, guess
