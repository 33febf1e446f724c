"""Figures against scikit-learn, scipy and counting by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import hypergeom
from sklearn import metrics as reference

from domainclip.benchmarks import metrics


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    truth, guess = draw.integers(0, 7, 300), draw.integers(0, 7, 300)
    truth[truth == 3] = 2  # a class that the truth lacks
    assert metrics.accuracy(truth, guess) == pytest.approx(reference.accuracy_score(truth, guess))
    with np.errstate(all="ignore"):
        assert metrics.balanced_accuracy(truth, guess) == pytest.approx(reference.balanced_accuracy_score(truth, guess))
    assert (metrics.confusion(truth, guess, 7) == reference.confusion_matrix(truth, guess, labels=range(7))).all()
    recalls = reference.recall_score(truth, guess, labels=range(7), average=None, zero_division=np.nan)
    assert [np.nan if value is None else value for value in metrics.per_class_recall(truth, guess, 7)] == pytest.approx(
        list(recalls), nan_ok=True
    )


@pytest.mark.parametrize(("truth", "guess"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
def test_what_cannot_be_counted_is_refused(truth, guess):
    with pytest.raises(ValueError, match="equally long"):
        metrics.accuracy(truth, guess)


def test_chance_by_counting_every_hand():
    for candidates, positives, k in [(5, 1, 2), (6, 2, 3), (4, 4, 1), (5, 2, 5), (7, 3, 0)]:
        hands = list(itertools.combinations(range(candidates), k))
        counted = sum(any(card < positives for card in hand) for hand in hands) / len(hands)
        assert metrics.chance_of_hit(candidates, positives, k) == pytest.approx(counted)
    assert metrics.chance_of_hit(3, 1, 10) == 1  # more shown than there are
    expected = 1 - hypergeom.pmf(0, 1000, np.array([1, 5, 40]), 10)
    assert metrics.chance_of_hit(1000, np.array([1, 5, 40]), 10) == pytest.approx(expected)
