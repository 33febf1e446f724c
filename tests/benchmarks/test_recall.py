"""Recall with toy encoders whose features are the ids, so that the perfect figure is known, and against brute force."""

from __future__ import annotations

import time

import numpy as np
import pytest

from domainclip.benchmarks.recall import Pairs, image_to_text, text_to_image

KS = (1, 5, 10)


def _pairs(image_of_caption, text_of_caption) -> Pairs:
    return Pairs(
        np.asarray(image_of_caption, np.int64),
        np.asarray(text_of_caption, np.int64),
        max(image_of_caption) + 1,
        max(text_of_caption) + 1,
    )


def _unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_features_that_are_ids_are_perfect():
    eye = np.eye(20, dtype=np.float32)
    pairs = _pairs(range(20), range(20))
    for recall in (*text_to_image(eye, eye, pairs, KS), *image_to_text(eye, eye, pairs, KS)):
        assert (recall.hits == 1).all()
        assert (recall.ceiling == 1).all()
        assert recall.chance[0] == pytest.approx([1 / 20, 5 / 20, 10 / 20])


def test_features_shifted_by_one_miss_at_one():
    eye = np.eye(20, dtype=np.float32)
    strict, _ = text_to_image(eye, np.roll(eye, 1, axis=0), _pairs(range(20), range(20)), (1,))
    assert (strict.hits == 0).all()


def test_same_words_under_many_images():
    # 12 images, 3 texts; features are the text's id: the best that a model can do when words are equal.
    texts, kinds = np.eye(3, dtype=np.float32), np.repeat([0, 1, 2], 4)
    pairs = _pairs(np.arange(12), kinds)
    strict, equal = text_to_image(texts[kinds], texts, pairs, (1, 5))
    assert strict.hits.mean(axis=0) == pytest.approx([0.25, 1.0])
    assert strict.ceiling.mean(axis=0) == pytest.approx([0.25, 1.0])
    assert (equal.hits == 1).all()
    assert equal.chance[0] == pytest.approx([4 / 12, 1 - (8 * 7 * 6 * 5 * 4) / (12 * 11 * 10 * 9 * 8)])
    strict, equal = image_to_text(texts[kinds], texts, pairs, (1, 5))
    assert strict.hits.mean(axis=0) == pytest.approx([0.25, 1.0])
    assert strict.ceiling.mean(axis=0) == pytest.approx([0.25, 1.0])
    assert (equal.hits == 1).all()


def test_a_collapsed_model_gets_what_guessing_gets():
    rng = np.random.default_rng(0)
    texts = rng.integers(0, 9, 60)
    texts[:9] = range(9)
    pairs = _pairs(np.repeat(np.arange(20), 3), texts)
    same = np.tile(_unit(rng.normal(size=(1, 33))), (20, 1))
    for recall in (*text_to_image(same, same[:9], pairs, KS), *image_to_text(same, same[:9], pairs, KS)):
        assert recall.hits == pytest.approx(recall.chance)


def _brute(images, texts, pairs, k, rng):
    """Ranks with random tie-breaking, the plain way, with lists and sets."""
    captions = list(zip(pairs.image_of_caption.tolist(), pairs.text_of_caption.tolist(), strict=True))
    scores = np.round((images @ texts.T).astype(np.float64), 6)
    words = {i: {t for j, t in captions if j == i} for i in range(pairs.images)}
    noise = rng.random((pairs.images, len(captions)))
    result = {"ti": [[], []], "it": [[], []]}
    for q, (image, text) in enumerate(captions):
        top = sorted(range(pairs.images), key=lambda i: (-scores[i, text], noise[i, q]))[:k]
        result["ti"][0].append(image in top)
        result["ti"][1].append(any(text in words[i] for i in top))
    for image in range(pairs.images):
        top = sorted(range(len(captions)), key=lambda c: (-scores[image, captions[c][1]], noise[image, c]))[:k]
        result["it"][0].append(any(captions[c][0] == image for c in top))
        result["it"][1].append(any(captions[c][1] in words[image] for c in top))
    return [np.array(row, float) for direction in ("ti", "it") for row in result[direction]]


@pytest.mark.parametrize("coarse", [False, True])
def test_against_brute_force(coarse):
    rng = np.random.default_rng(1)
    texts_of = rng.integers(0, 12, 45)
    texts_of[:12] = range(12)
    pairs = _pairs(np.repeat(np.arange(15), 3), texts_of)
    make = (lambda n: _unit(rng.integers(-1, 2, (n, 2)) + 0.01)) if coarse else (lambda n: _unit(rng.normal(size=(n, 6))))
    images, texts = make(15), make(12)
    ours = [recall.hits for recall in (*text_to_image(images, texts, pairs, (1, 3)), *image_to_text(images, texts, pairs, (1, 3)))]
    for column, k in enumerate((1, 3)):
        draws = [_brute(images, texts, pairs, k, rng) for _ in range(400)]
        for name, hits in enumerate(ours):
            mean = np.mean([draw[name] for draw in draws], axis=0)
            assert hits[:, column] == pytest.approx(mean, abs=0.12)  # nearly five standard errors


def test_many_queries_of_one_text_take_the_sorted_path():
    rng = np.random.default_rng(2)
    images, texts = _unit(rng.normal(size=(64, 8))), _unit(rng.normal(size=(2, 8)))
    pairs = _pairs(np.arange(64), np.arange(64) % 2)
    hits = text_to_image(images, texts, pairs, (5,))[0].hits[:, 0]
    best = {t: set(np.argsort(-(images @ texts[t]))[:5].tolist()) for t in (0, 1)}
    assert hits.tolist() == [float(i in best[i % 2]) for i in range(64)]


def test_two_thousand_images_and_ten_thousand_captions_are_quick():
    rng = np.random.default_rng(3)
    images, texts = _unit(rng.normal(size=(2000, 64))), _unit(rng.normal(size=(8000, 64)))
    pairs = _pairs(np.repeat(np.arange(2000), 5), np.concatenate([np.arange(8000), rng.integers(0, 8000, 2000)]))
    start = time.process_time()
    text_to_image(images, texts, pairs, KS)
    image_to_text(images, texts, pairs, KS)
    assert time.process_time() - start < 30
