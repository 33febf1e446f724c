"""Likely duplicates: of each image those that are nearest to one of its zooms, parts and mirrored views, where the views agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.data.duplicates.descriptor import LENGTH, Floats, Projection, mirrored, raw_descriptors
from domainclip.data.duplicates.polar import CENTRES, FIRST_BESIDE, STEPS, Views, agreement, rings
from domainclip.errors import missing_dependency

NEAREST = 10
"""Candidates of an image."""
LEAST_AGREEMENT = 0.25
"""Of views of a likely pair; chosen on planted pairs, see ``docs/duplicates.md``."""
LIKELY = np.dtype([
    ("image", "u4"), ("part", "u4"), ("agreement", "f4"), ("mirrored", "?"), ("turn", "u1"), ("step", "u1"), ("centre", "u1"),
])  # fmt: skip
"""A likely pair: the image that was looked up, the one that may show it or a part of it, and how, as ``overlay.start`` takes it."""
_TRIED = 3
"""Variants of a candidate that are laid onto it: the descriptor's first is not always the one that fits."""
_EXACT_UP_TO = 10_000
_PROBES = 32
_TRAINED_ON = 40
"""Descriptors of each cell."""
_BITS, _PARTS = 4, LENGTH // 2
VARIANTS = tuple(
    (step, centre) for step in range(STEPS + 1) for centre in range(len(CENTRES)) if not centre or step >= FIRST_BESIDE
)
"""Of each image that is looked up: the zoom, and the number of the centre; each also mirrored."""

Numbers = npt.NDArray[np.int64]
Likely = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Lookup:
    """All images by their descriptors; several threads may ask at a time.

    Attributes:
        base: (N, RINGS, ANGLES), the outer rings of each image about its middle.
        project: To the length of the index.
        index: faiss' index of the base.
    """

    base: Views
    project: Projection
    index: Any

    def likely(self, first: int, views: Views, nearest: int = NEAREST) -> tuple[Likely, int]:
        """Names images that may show the same as some.

        Args:
            first: Number of the first of these.
            views: (B, len(CENTRES), RINGS + STEPS, ANGLES) of these.
            nearest: Candidates of an image.

        Returns:
            (P,) of ``LIKELY``, the pairs whose views agree; and how many candidates there were.
        """
        rows, others, variants = self._nearest(first, views, nearest)
        found = np.zeros(len(rows), LIKELY)
        found["image"], found["part"], found["agreement"] = rows + first, others, -1
        for place in range(_TRIED):
            own = np.empty((len(rows), *self.base.shape[1:]), np.uint8)
            for number in np.unique(variants[:, place]):
                step, centre = VARIANTS[number]
                chosen = variants[:, place] == number
                own[chosen] = rings(views[rows[chosen], centre], step)
            agrees, mirror, turn = agreement(own, self.base[others])
            better = agrees > found["agreement"]
            tried = np.array(VARIANTS)[variants[:, place]]
            for name, values in zip(LIKELY.names[2:], (agrees, mirror, turn, *tried.T), strict=True):  # type: ignore[index]
                found[name][better] = values[better]
        return found[found["agreement"] >= LEAST_AGREEMENT], len(rows)

    def _nearest(self, first: int, views: Views, nearest: int) -> tuple[Numbers, Numbers, Numbers]:
        """The nearest images over all variants: (P,) rows of the views, (P,) numbers, and (P, _TRIED) best variants of each."""
        wanted = min(nearest + 1, len(self.base))
        queries = list[Floats]()
        for step, centre in VARIANTS:
            raw = raw_descriptors(rings(views[:, centre], step))
            queries += [self.project(raw), self.project(mirrored(raw))]
        near, which = self.index.search(np.concatenate(queries), wanted)  # in one call: a third sooner
        score, number = near.ravel(), which.ravel()
        variant = np.repeat(np.arange(len(VARIANTS)), 2 * len(views) * wanted)
        row = np.tile(np.repeat(np.arange(len(views)), wanted), 2 * len(VARIANTS))
        real = (number >= 0) & (number != row + first)
        pair = row[real] * len(self.base) + number[real]
        score, variant = score[real], variant[real]
        # Of each pair and variant the better one of plain and mirrored; of each pair the best variants first.
        order = np.lexsort((-score, variant, pair))
        once = np.ones(len(order), bool)
        once[1:] = (np.diff(pair[order]) != 0) | (np.diff(variant[order]) != 0)
        order = order[once]
        order = order[np.lexsort((-score[order], pair[order]))]
        pair, score, variant = pair[order], score[order], variant[order]
        starts = np.flatnonzero(np.diff(pair, prepend=-1))
        sizes = np.diff(starts, append=len(pair))
        # The nearest pairs of each row.
        rows = pair[starts] // len(self.base)
        best = np.lexsort((-score[starts], rows))
        rank = np.arange(len(best)) - np.searchsorted(rows[best], rows[best])
        kept = best[rank < nearest]
        tried = starts[kept][:, None] + np.arange(_TRIED)[None] % sizes[kept][:, None]
        return rows[kept], pair[starts[kept]] % len(self.base), variant[tried]


def indexed(descriptors: Floats, seed: int = 0) -> Any:
    """Returns faiss' index of descriptors.

    Args:
        descriptors: (N, LENGTH) of unit length.
        seed: Of the descriptors that the cells of a large index are found on.

    Returns:
        What compares with all up to 10,000; above, with those in the 32 nearest of 4 sqrt(N) cells by 48 parts of 4 bits each
        (Andre, Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB 9(4), 2015, as faiss has it): a sixth of the
        time of whole numbers in the same cells, with the same found.

    Raises:
        MissingDependencyError: faiss is absent.
    """
    try:
        import faiss
    except ImportError as error:
        raise missing_dependency("faiss", "Looking for duplicates", "faiss-cpu") from error
    count, length = descriptors.shape
    if count <= _EXACT_UP_TO:
        index: Any = faiss.IndexFlatIP(length)
    else:
        cells = int(4 * count**0.5)
        some = np.sort(np.random.default_rng(seed).permutation(count)[: _TRAINED_ON * cells])
        index = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(length), length, cells, _PARTS, _BITS, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = _PROBES
        index.train(np.ascontiguousarray(descriptors[some]))
    index.add(np.ascontiguousarray(descriptors))
    return index
