"""Recall at k between images and captions, where one image has several captions and one text may stand under many images.

Two ways to count a hit stand side by side. *Strict*: only the pair's own counts. *Equivalent*: whatever bears the same words
counts. With captions built from templates the same words stand under many images, so strict recall has a ceiling below 1 that no
model passes; ``ceiling`` says where. Candidates with equal scores (to six decimals: float32 sums differ below that with the block
that they are computed in) stand in random order, and the recall is its expected value: a model that gives all images the same
features gets what guessing gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainclip.benchmarks.metrics import Floats, Ints, chance_of_hit

_SORT_FROM = 16  # marks from which one sort is cheaper than counting for each
_BLOCK_SCORES = 16_000_000  # scores at a time: 64 MB of float32


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall at several k in one direction, one row a query.

    Attributes:
        ks: The k, in the order of the columns.
        hits: (Q, len(ks)) expected hits, 0..1.
        chance: (Q, len(ks)) what a random order reaches.
        ceiling: (Q, len(ks)) what the best model reaches, given that equal words have equal features; averaged over queries
            it is a bound.
        candidates: Size of the gallery.
    """

    ks: tuple[int, ...]
    hits: Floats
    chance: Floats
    ceiling: Floats
    candidates: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which captions stand under which images.

    Attributes:
        image_of_caption: (M,) position of each caption's image.
        text_of_caption: (M,) position of each caption's words among the distinct texts.
        images: Number of images N; every one has a caption.
        texts: Number of distinct texts U.
    """

    image_of_caption: Ints
    text_of_caption: Ints
    images: int
    texts: int

    def own(self) -> tuple[Ints, Ints, Ints]:
        """Returns image, text and count of each different (image, text) pair, sorted by image."""
        codes, counts = np.unique(self.image_of_caption * self.texts + self.text_of_caption, return_counts=True)
        return codes // self.texts, codes % self.texts, counts


def text_to_image(
    images: npt.NDArray[np.float32], texts: npt.NDArray[np.float32], pairs: Pairs, ks: Sequence[int]
) -> tuple[Recall, Recall]:
    """Every caption is a query (words that come twice ask twice); all N images are the gallery.

    Args:
        images: (N, D) unit norm.
        texts: (U, D) unit norm, one row a distinct text.
        pairs: Which belong together.
        ks: The k of the recalls.

    Returns:
        Strict and equivalent recall; queries in the order of the captions.
    """
    shown = np.asarray(ks, dtype=np.int64)[None, :]
    pair_image, pair_text, _ = pairs.own()
    bearers = np.bincount(pair_text, minlength=pairs.texts)
    strict = np.zeros((len(pairs.text_of_caption), len(ks)))
    equal = np.zeros_like(strict)
    by_text = np.argsort(pair_text, kind="stable")
    borders = np.searchsorted(pair_text[by_text], np.arange(pairs.texts + 1))
    order = np.argsort(pairs.text_of_caption, kind="stable")
    query_borders = np.searchsorted(pairs.text_of_caption[order], np.arange(pairs.texts + 1))
    block = max(1, _BLOCK_SCORES // max(1, pairs.images))
    for start in range(0, pairs.texts, block):
        for text, scores in enumerate(_scores(texts[start : start + block], images), start):
            queries = order[query_borders[text] : query_borders[text + 1]]
            right = pair_image[by_text[borders[text] : borders[text + 1]]]
            own = scores[pairs.image_of_caption[queries]]
            strict[queries] = _hit(*_above_and_tied(scores, own), np.ones(len(queries), np.int64), shown)
            best = scores[right].max(keepdims=True)
            equal[queries] = _hit(*_above_and_tied(scores, best), np.sum(scores[right] == best, keepdims=True), shown)
    same = bearers[pairs.text_of_caption][:, None]
    one = np.ones_like(same)
    ceiling = np.minimum(1.0, shown / same)  # of the m images with these words at most k stand among the first k
    return (
        Recall(tuple(ks), strict, chance_of_hit(pairs.images, one, shown), ceiling, pairs.images),
        Recall(tuple(ks), equal, chance_of_hit(pairs.images, same, shown), np.ones_like(ceiling), pairs.images),
    )


def image_to_text(
    images: npt.NDArray[np.float32], texts: npt.NDArray[np.float32], pairs: Pairs, ks: Sequence[int]
) -> tuple[Recall, Recall]:
    """Every image is a query; all M captions are the gallery, equal words as often as they occur.

    Args:
        images: (N, D) unit norm.
        texts: (U, D) unit norm, one row a distinct text.
        pairs: Which belong together.
        ks: The k of the recalls.

    Returns:
        Strict and equivalent recall; queries in the order of the images.
    """
    shown = np.asarray(ks, dtype=np.int64)[None, :]
    captions = len(pairs.text_of_caption)
    copies = np.bincount(pairs.text_of_caption, minlength=pairs.texts)
    pair_image, pair_text, counts = pairs.own()
    borders = np.searchsorted(pair_image, np.arange(pairs.images + 1))
    strict, equal = np.zeros((pairs.images, len(ks))), np.zeros((pairs.images, len(ks)))
    ceiling = np.zeros_like(strict)
    block = max(1, _BLOCK_SCORES // max(1, pairs.texts))
    for start in range(0, pairs.images, block):
        for image, scores in enumerate(_scores(images[start : start + block], texts), start):
            mine = slice(borders[image], borders[image + 1])
            words, own = pair_text[mine], counts[mine]
            best = scores[words].max()
            above = copies[scores > best].sum(keepdims=True)
            tied = copies[scores == best].sum(keepdims=True)
            at_best = scores[words] == best
            strict[image] = _hit(above, tied, own[at_best].sum(keepdims=True), shown)[0]
            equal[image] = _hit(above, tied, copies[words[at_best]].sum(keepdims=True), shown)[0]
            ceiling[image] = np.max([chance_of_hit(int(copies[w]), m, shown[0]) for w, m in zip(words, own, strict=True)], axis=0)
    total = np.bincount(pair_image, weights=copies[pair_text], minlength=pairs.images).astype(np.int64)[:, None]
    mine_count = np.bincount(pairs.image_of_caption, minlength=pairs.images)[:, None]
    return (
        Recall(tuple(ks), strict, chance_of_hit(captions, mine_count, shown), ceiling, captions),
        Recall(tuple(ks), equal, chance_of_hit(captions, total, shown), np.ones_like(ceiling), captions),
    )


def _scores(queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.round(queries @ gallery.T, 6)


def _above_and_tied(scores: npt.NDArray[np.float32], marks: npt.NDArray[np.float32]) -> tuple[Ints, Ints]:
    """Counts, for each mark, the candidates above it and those equal to it (itself among them)."""
    if len(marks) <= _SORT_FROM:
        pairs = [(np.count_nonzero(scores > mark), np.count_nonzero(scores == mark)) for mark in marks]
        counted = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return counted[:, 0], counted[:, 1]
    ranked = np.sort(scores)
    first, last = np.searchsorted(ranked, marks, "left"), np.searchsorted(ranked, marks, "right")
    return (len(ranked) - last).astype(np.int64), (last - first).astype(np.int64)


def _hit(above: Ints, tied: Ints, positives: Ints, shown: Ints) -> Floats:
    """Returns (Q, K) chances that one of ``positives`` among ``tied`` equals stands among the first k, after ``above``."""
    if not (tied > 1).any():
        return (above[:, None] < shown).astype(np.float64)
    rows = zip(above, tied, positives, strict=True)
    return np.stack([chance_of_hit(int(equals), int(right), shown[0] - before) for before, equals, right in rows])
