"""Likely duplicates: of each image those that are nearest to one of its zooms, parts and mirrored views, where the views agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
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
Numbers = npt.NDArray[np.int64]


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

    def save(self, folder: Path) -> None:
        """Writes it for ``load``, which other processes call."""
        import faiss

        np.save(folder / "base.npy", self.base)
        np.savez(folder / "components.npz", mean=self.project.mean, axes=self.project.axes)
        faiss.write_index(self.index, str(folder / "index.faiss"))

    @staticmethod
    def load(folder: Path) -> Lookup:
        """Opens what ``save`` wrote; processes share the pages."""
        import faiss

        with np.load(folder / "components.npz") as told:
            project = Projection(told["mean"], told["axes"])
        index = faiss.read_index(str(folder / "index.faiss"), faiss.IO_FLAG_MMAP)
        if hasattr(index, "nprobe"):
            index.nprobe = _PROBES
        return Lookup(np.load(folder / "base.npy", mmap_mode="r"), project, index)

    def likely(self, first: int, views: Views, nearest: int = NEAREST) -> tuple[Pairs, Floats, int]:
        """Names images that may show the same as some; several threads may ask at a time.

        Args:
            first: Number of the first of these.
            views: (B, len(CENTRES), RINGS + STEPS, ANGLES) of these.
            nearest: Candidates of an image.

        Returns:
            (P, 2) pairs whose views agree, the smaller number first; (P,) how well; and how many candidates there were.
        """
        rows, others, variants = self._nearest(first, views, nearest)
        if not len(rows):
            return np.empty((0, 2), np.int64), np.empty(0, np.float32), 0
        best = np.full(len(rows), -1, np.float32)
        for place in range(_TRIED):
            own = np.empty((len(rows), *self.base.shape[1:]), np.uint8)
            for number in np.unique(variants[:, place]):
                step, centre = VARIANTS[number]
                chosen = variants[:, place] == number
                own[chosen] = rings(views[rows[chosen], centre], step)
            best = np.maximum(best, agreement(own, self.base[others]))
        agree = best >= LEAST_AGREEMENT
        pairs = np.sort(np.stack([rows[agree] + first, others[agree]], axis=1), axis=1)
        return pairs.astype(np.int64), best[agree], len(rows)

    def _nearest(self, first: int, views: Views, nearest: int) -> tuple[Numbers, Numbers, Numbers]:
        """The nearest images over all variants: (P,) rows of the views, (P,) numbers, and (P, _TRIED) best variants of each."""
        wanted = min(nearest + 1, len(self.base))
        scores, numbers, variants = [], list[Any](), []
        for place, (step, centre) in enumerate(VARIANTS):
            raw = raw_descriptors(rings(views[:, centre], step))
            for each in (raw, mirrored(raw)):
                near, which = self.index.search(self.project(each), wanted)
                scores.append(near.ravel())
                numbers.append(which.ravel())
                variants.append(np.full(which.size, place))
        score, number, variant = (np.concatenate(part) for part in (scores, numbers, variants))
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
