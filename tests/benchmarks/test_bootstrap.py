"""Group intervals: cases worked by hand, an exact enumeration, and scikit-learn on resamples built row by row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from domainclip.benchmarks.bootstrap import class_sums, interval, joined, mean_sums, paired_difference


def test_value_is_the_mean_over_items_not_over_groups():
    result = interval(mean_sums([1, 1, 1, 0], ["a", "a", "a", "b"]))
    assert (result.value, result.n, result.groups) == (0.75, 4, 2)


def test_three_groups_against_all_twenty_seven_resamples():
    values, groups = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]), np.array(list("aabbbc"))
    means = []
    for drawn in itertools.product("abc", repeat=3):
        rows = np.concatenate([values[groups == name] for name in drawn])
        means.append(rows.mean())
    expected = np.percentile(np.repeat(means, 2000), [2.5, 97.5])
    result = interval(mean_sums(values, groups), resamples=20_000, seed=1)
    assert [result.low, result.high] == pytest.approx(list(expected), abs=1e-9)


def test_balanced_accuracy_of_each_resample_is_scikit_learns():
    draw = np.random.default_rng(0)
    truth, guess, groups = draw.integers(0, 4, 80), draw.integers(0, 4, 80), draw.integers(0, 9, 80)
    sums = class_sums(truth, guess, groups.astype(str), 4)
    names = np.unique(groups.astype(str))
    for _ in range(30):
        weights = draw.multinomial(9, [1 / 9] * 9)
        rows = np.concatenate([np.repeat(np.flatnonzero(groups.astype(str) == n), w) for n, w in zip(names, weights, strict=True)])
        ours = sums.resampled(weights[None].astype(float))[0]
        assert ours == pytest.approx(balanced_accuracy_score(truth[rows], guess[rows]))


def test_copies_of_images_do_not_narrow_the_interval():
    draw = np.random.default_rng(2)
    values, groups = draw.integers(0, 2, 60), draw.integers(0, 12, 60)
    once = interval(mean_sums(values, groups), seed=5)
    tenfold = interval(mean_sums(np.tile(values, 10), np.tile(groups, 10)), seed=5)
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))
    as_if_independent = interval(mean_sums(np.tile(values, 10), np.arange(600)), seed=5)
    assert as_if_independent.high - as_if_independent.low < 0.6 * (once.high - once.low)


def test_coverage_of_a_known_truth():
    draw = np.random.default_rng(3)
    inside = 0
    for trial in range(200):
        centres = draw.normal(0.0, 1.0, 40)
        values = np.repeat(centres, 5) + draw.normal(0, 0.3, 200)
        result = interval(mean_sums(values, np.repeat(np.arange(40), 5)), resamples=400, seed=trial)
        inside += result.low <= 0.0 <= result.high
    assert 0.88 <= inside / 200 <= 0.99


def test_paired_difference_uses_the_same_groups():
    draw = np.random.default_rng(4)
    base = draw.normal(0, 5, 50)  # groups differ far more than systems do
    ours, theirs = mean_sums(base + 1.0, np.arange(50)), mean_sums(base, np.arange(50))
    result = paired_difference(ours, theirs)
    assert (result.value, result.low, result.high) == pytest.approx((1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="same items"):
        paired_difference(ours, mean_sums([1.0], ["a"]))


def test_groups_in_any_order():
    values, groups = np.arange(30) % 3, np.arange(30) % 7
    shuffled = np.random.default_rng(0).permutation(30)
    assert interval(mean_sums(values, groups)) == interval(mean_sums(values[shuffled], groups[shuffled]))


def test_one_group_has_no_interval():
    result = interval(mean_sums([1, 0], ["a", "a"]))
    assert (result.value, result.low, result.high) == (0.5, None, None)
    assert result.to_dict(chance=0.1) == {"value": 0.5, "low": None, "high": None, "n": 2, "groups": 1, "chance": 0.1}


def test_mean_of_figures():
    one, two = mean_sums([1, 0], ["a", "b"]), mean_sums([1, 1], ["a", "b"])
    assert joined([one, two]).value() == 0.75
    with pytest.raises(ValueError, match="different groups"):
        joined([one, mean_sums([1], ["a"])])
