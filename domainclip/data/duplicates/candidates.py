"""Likely duplicates: of each image those that are nearest to one of its zooms, parts and mirrored views, where the views agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.data.duplicates.descriptor import Floats, Projection, fitted, mirrored, raw_descriptors
from domainclip.data.duplicates.polar import CENTRES, FIRST_BESIDE, STEPS, Views, agreement, rings
from domainclip.errors import missing_dependency

NEAREST = 10
"""Candidates of an image."""
LEAST_AGREEMENT = 0.3
"""Of views of a likely pair; chosen on planted pairs, see ``docs/duplicates.md``."""
_TRIED = 3
"""Variants of a candidate that are laid onto it: the descriptor's first is not always the one that fits."""
_FITTED_ON = 20_000
_EXACT_UP_TO = 50_000
_CHUNK = 8192
_PROBES = 32
VARIANTS = tuple(
    (step, centre) for step in range(STEPS + 1) for centre in range(len(CENTRES)) if not centre or step >= FIRST_BESIDE
)
"""Of each image that is looked up: the zoom, and the number of the centre; each also mirrored."""

Pairs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lookup:
    """All images by their descriptors.

    Attributes:
        base: (N, RINGS, ANGLES), the outer rings of each image about its middle.
        project: To the length of the index.
        index: faiss' index of the base.
    """

    base: Views
    project: Projection
    index: Any

    def likely(self, first: int, views: Views, nearest: int = NEAREST) -> tuple[Pairs, int]:
        """Names images that may show the same as some.

        Args:
            first: Number of the first of these.
            views: (B, len(CENTRES), RINGS + STEPS, ANGLES) of these.
            nearest: Candidates of an image.

        Returns:
            (P, 2) pairs whose views agree, the smaller number first; and how many candidates there were.
        """
        numbers, variants = self._nearest(first, views, nearest)
        rows, columns = np.nonzero(numbers >= 0)
        if not len(rows):
            return np.empty((0, 2), np.int64), 0
        others = numbers[rows, columns]
        best = np.full(len(rows), -1, np.float32)
        for place in range(_TRIED):
            chosen = [VARIANTS[number] for number in variants[rows, columns, place]]
            own = np.stack([rings(views[row, centre], step) for row, (step, centre) in zip(rows, chosen, strict=True)])
            best = np.maximum(best, agreement(own, self.base[others]))
        agree = best >= LEAST_AGREEMENT
        pairs = np.sort(np.stack([rows[agree] + first, others[agree]], axis=1), axis=1)
        return pairs.astype(np.int64), len(rows)

    def _nearest(self, first: int, views: Views, nearest: int) -> tuple[Pairs, Pairs]:
        """Numbers of the nearest images over all variants, (B, nearest), -1 where there are fewer; and their best variants."""
        wanted = min(nearest + 1, len(self.base))
        scores, numbers, variants = [], [], []
        for variant, (step, centre) in enumerate(VARIANTS):
            raw = raw_descriptors(rings(views[:, centre], step))
            for each in (raw, mirrored(raw)):
                score, number = self.index.search(self.project(each), wanted)
                scores.append(score)
                numbers.append(number)
                variants.append(np.full(number.shape, variant))
        score, number, kind = (np.concatenate(part, axis=1) for part in (scores, numbers, variants))
        own = np.arange(first, first + len(views))[:, None]
        score = np.where((number == own) | (number < 0), -np.inf, score)
        best = np.full((len(views), nearest), -1, np.int64)
        how = np.zeros((len(views), nearest, _TRIED), np.int64)
        for row, order in enumerate(np.argsort(-score, axis=1, kind="stable")):
            order = order[np.isfinite(score[row, order])]
            variants_of: dict[int, dict[int, None]] = {}
            for other, variant in zip(number[row, order].tolist(), kind[row, order].tolist(), strict=True):
                if other in variants_of or len(variants_of) < nearest:
                    variants_of.setdefault(other, {})[variant] = None
            for place, (other, found) in enumerate(variants_of.items()):
                best[row, place] = other
                how[row, place] = np.resize(list(found)[:_TRIED], _TRIED)
        return best, how


def lookup(base: Views, seed: int = 0) -> Lookup:
    """Prepares the search.

    Args:
        base: (N, RINGS, ANGLES), the outer rings of each image about its middle.
        seed: Of what the components are found on, and of the cells of a large index.

    Returns:
        What compares all with all up to 50,000 images; above, with those in the 32 nearest of 4 sqrt(N) cells (faiss' inverted
        file).

    Raises:
        MissingDependencyError: faiss is absent.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(base))[:_FITTED_ON])
    some = raw_descriptors(base[chosen])
    project = fitted(some)
    index = _index(len(base), project(some))
    for start in range(0, len(base), _CHUNK):
        index.add(project(raw_descriptors(base[start : start + _CHUNK])))
    return Lookup(base, project, index)


def _index(count: int, some: Floats) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise missing_dependency("faiss", "Looking for duplicates", "faiss-cpu") from error
    length = some.shape[1]
    if count <= _EXACT_UP_TO:
        return faiss.IndexFlatIP(length)
    cells = min(int(4 * count**0.5), len(some) // 4)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(length), length, cells, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = _PROBES
    index.train(some)
    return index
