"""Intervals by resampling groups: images of one patient, slide or scene are not independent, so groups are drawn, not images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_BLOCK = 100  # resamples at a time: (100, groups) float64 stays small for a hundred thousand groups


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes:
        value: On all data.
        low: 2.5th percentile over resamples, None with fewer than two groups (there is nothing to resample).
        high: 97.5th percentile, likewise.
        n: Items.
        groups: Groups.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    groups: int

    def to_dict(self, **more: float | int | str | None) -> dict[str, float | int | str | None]:
        """Returns the fields, with others beside them, ready for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "groups": self.groups, **more}


@dataclass(frozen=True, slots=True)
class GroupSums:
    """A figure that is a mean of ratios, kept as sums per group: mean over K of (sum of numerators / sum of denominators).

    Recall and accuracy have K = 1; balanced accuracy has one ratio a class; a mean recall has one a direction and k.

    Attributes:
        numerators: (groups, K) float64.
        denominators: (groups, K) float64; a ratio whose denominator is 0 in a resample is left out of its mean.
        n: Items.
    """

    numerators: Floats
    denominators: Floats
    n: int

    def value(self) -> float:
        """Returns the figure on all data."""
        return float(self.resampled(np.ones((1, len(self.numerators))))[0])

    def resampled(self, weights: Floats) -> Floats:
        """Returns (B,) figures for (B, groups) weights, the times that each group was drawn."""
        below = weights @ self.denominators
        ratios = np.divide(weights @ self.numerators, below, out=np.full(below.shape, np.nan), where=below > 0)
        present = ~np.isnan(ratios)
        counted = present.sum(axis=1)
        total = np.where(present, ratios, 0.0).sum(axis=1)
        means: Floats = np.divide(total, counted, out=np.full(len(weights), np.nan), where=counted > 0)
        return means


def mean_sums(values: npt.ArrayLike, groups: npt.ArrayLike) -> GroupSums:
    """Prepares the mean of ``values``.

    Args:
        values: (n,) numbers, or (n, K) for the mean of K means.
        groups: (n,) names of groups.
    """
    numbers = np.asarray(values, dtype=np.float64).reshape(len(np.asarray(groups)), -1)
    return ratio_sums(numbers, np.ones_like(numbers), groups)


def class_sums(truth: npt.ArrayLike, predicted: npt.ArrayLike, groups: npt.ArrayLike, classes: int) -> GroupSums:
    """Prepares the balanced accuracy.

    Args:
        truth: (n,) class positions below ``classes``.
        predicted: (n,) class positions.
        groups: (n,) names of groups.
        classes: Number of classes.
    """
    true = np.asarray(truth, dtype=np.int64)
    member = (true[:, None] == np.arange(classes)[None, :]).astype(np.float64)
    right = member * (true == np.asarray(predicted, dtype=np.int64))[:, None]
    return ratio_sums(right, member, groups)


def ratio_sums(numerators: Floats, denominators: Floats, groups: npt.ArrayLike) -> GroupSums:
    """Adds (n, K) numerators and denominators up per group (groups in sorted order)."""
    names, positions = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    sums = [np.zeros((len(names), part.shape[1])) for part in (numerators, denominators)]
    for total, part in zip(sums, (numerators, denominators), strict=True):
        np.add.at(total, positions, part)
    return GroupSums(sums[0], sums[1], len(numerators))


def joined(parts: list[GroupSums]) -> GroupSums:
    """Joins figures over the same groups in the same order into their mean."""
    if len({len(part.numerators) for part in parts}) != 1:
        raise ValueError("the figures stand on different groups")
    return GroupSums(
        np.concatenate([part.numerators for part in parts], axis=1),
        np.concatenate([part.denominators for part in parts], axis=1),
        max(part.n for part in parts),
    )


def interval(sums: GroupSums, *, resamples: int = 1000, seed: int = 0) -> Interval:
    """Returns a figure with its percentile interval over resampled groups.

    Args:
        sums: The figure.
        resamples: Number of resamples, each as many groups as there are, drawn with replacement.
        seed: The same seed draws the same groups, so that two systems on the same groups compare.
    """
    return _with_percentiles(sums.value(), _draws([sums], resamples, seed)[0], sums)


def paired_difference(ours: GroupSums, theirs: GroupSums, *, resamples: int = 1000, seed: int = 0) -> Interval:
    """Returns ``ours - theirs`` with its interval, both on the same resampled groups.

    Raises:
        ValueError: The two stand on different numbers of groups or items.
    """
    if len(ours.numerators) != len(theirs.numerators) or ours.n != theirs.n:
        raise ValueError("two systems are compared on the same items and groups")
    first, second = _draws([ours, theirs], resamples, seed)
    return _with_percentiles(ours.value() - theirs.value(), first - second, ours)


def _draws(figures: list[GroupSums], resamples: int, seed: int) -> list[Floats]:
    groups = len(figures[0].numerators)
    draw = np.random.default_rng(seed)
    even = np.full(groups, 1.0 / groups)
    rows: list[list[Floats]] = [[] for _ in figures]
    for start in range(0, resamples, _BLOCK):
        weights = draw.multinomial(groups, even, size=min(_BLOCK, resamples - start)).astype(np.float64)
        for row, figure in zip(rows, figures, strict=True):
            row.append(figure.resampled(weights))
    return [np.concatenate(row) for row in rows]


def _with_percentiles(value: float, draws: Floats, sums: GroupSums) -> Interval:
    groups = len(sums.numerators)
    if groups < 2:
        return Interval(value, None, None, sums.n, groups)
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high), sums.n, groups)
