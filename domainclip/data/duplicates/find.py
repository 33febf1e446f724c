"""The search for duplicates in a set, and the groups that they make."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from domainclip.data.duplicates.candidates import NEAREST, Lookup, lookup
from domainclip.data.duplicates.keypoints import Features, Match, features_of, same_picture
from domainclip.data.duplicates.polar import ANGLES, CENTRES, RINGS, STEPS, grey, polar_views, rings
from domainclip.spread_work import spread

_AT_ONCE = 256
_KEPT_FEATURES = 2048
SEVERAL_PROCESSES = 500
"""Images from which on several processes are worth their start."""

Read = Callable[[int], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What a search found.

    Attributes:
        images: How many were looked at.
        matches: Pairs that show the same, by numbers.
        groups: Numbers of images that matches join, each with two or more, sorted.
        plain: Images in which there is too little to compare: black, white or blurred ones. They are in no group.
        candidates: Pairs that the descriptor named, each from both sides.
        compared: Pairs whose local features were compared.
    """

    images: int
    matches: tuple[Match, ...]
    groups: tuple[tuple[int, ...], ...]
    plain: tuple[int, ...]
    candidates: int
    compared: int


def find_duplicates(count: int, read: Read, *, nearest: int = NEAREST, workers: int = 1, seed: int = 0) -> Duplicates:
    """Finds images that show the same picture.

    Args:
        count: Images.
        read: Number to (C, Y, X) of any type; called once for each image, and again for each that has a likely twin. Where
            ``workers`` is above 1 it goes to other processes: a function of a module, or ``pictures.Pictures``.
        nearest: Candidates of an image; more find more and take longer.
        workers: Processes; 1 works in this one.
        seed: Of the descriptor's components.

    Returns:
        The matches and groups; the same for the same images, whatever the processes. 16 KB an image lie in files of the system's
        folder for such while it runs; each process has 2,048 pictures' features in memory, some 1.5 GB.
    """
    if count < 2:
        return Duplicates(count, (), (), (), 0, 0)
    with tempfile.TemporaryDirectory(prefix="domainclip-duplicates-") as folder:
        search = _Search(Path(folder), count, read, nearest)
        chunks = [(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]
        np.lib.format.open_memmap(search.views, "w+", np.uint8, (count, len(CENTRES), RINGS + STEPS, ANGLES)).flush()
        spread(partial(_look, search), chunks, workers, "looking at images", None)
        with threadpool_limits(1):
            lookup(np.ascontiguousarray(rings(search.opened()[:, 0])), seed).save(search.folder)
        found = spread(partial(_likely, search), chunks, workers, "looking for likely pairs", None)
        pairs, best = (np.concatenate([part[n] for part in found]) for n in (0, 1))
        matches, compared, plain = _compared(search, pairs, best, workers)
    agreed = joined([(match.first, match.second) for match in matches])
    candidates = sum(looked_at for _, _, looked_at in found)
    return Duplicates(count, matches, agreed, tuple(sorted(plain)), candidates, compared)


@dataclass(frozen=True, slots=True)
class _Search:
    """What the steps share, in files: processes are told its folder."""

    folder: Path
    count: int
    read: Read
    nearest: int

    @property
    def views(self) -> Path:
        return self.folder / "views.npy"

    def opened(self) -> npt.NDArray[np.uint8]:
        views: npt.NDArray[np.uint8] = np.lib.format.open_memmap(self.views, "r+")
        return views


def _look(search: _Search, chunk: tuple[int, int]) -> None:
    """Makes the views of some images."""
    views = search.opened()
    with threadpool_limits(1):
        for number in range(*chunk):
            views[number] = polar_views(grey(search.read(number)), CENTRES)


def _likely(search: _Search, chunk: tuple[int, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], int]:
    with threadpool_limits(1):  # small products of matrices: more threads in each cost eight times the time
        return _lookup_in(search.folder).likely(chunk[0], np.array(search.opened()[slice(*chunk)]), search.nearest)


_lookup_in = lru_cache(maxsize=1)(Lookup.load)


def _compared(
    search: _Search, pairs: npt.NDArray[np.int64], best: npt.NDArray[np.float32], workers: int
) -> tuple[tuple[Match, ...], int, set[int]]:
    """Compares pairs by their features: first the likeliest of each image, then all others of images that have a twin.

    Most images of most sets have none, and looking at features is what costs most.

    Returns:
        Matches in the order of the pairs, how many pairs were compared, and images that are too plain.
    """
    plain = set[int]()

    def matched(some: npt.NDArray[np.int64]) -> list[Match]:
        chunks = [some[start : start + _AT_ONCE] for start in range(0, len(some), _AT_ONCE)]
        told = spread(partial(_match, search), chunks, workers, "comparing likely pairs", None)
        plain.update(*(blank for _, blank in told))
        return [match for found, _ in told for match in found]

    first, others = likeliest(pairs, best)
    matches = matched(first)
    twins = np.array(sorted({end for match in matches for end in (match.first, match.second)}), np.int64)
    again = others[np.isin(others, twins).any(axis=1)]
    matches += matched(again)
    return tuple(sorted(matches, key=lambda match: (match.first, match.second))), len(first) + len(again), plain


def _match(search: _Search, pairs: npt.NDArray[np.int64]) -> tuple[list[Match], list[int]]:
    """Compares some pairs: the matches, and images that are too plain to compare."""
    matches, plain = list[Match](), set[int]()
    with threadpool_limits(1):
        for one, other in pairs.tolist():
            features = [_features(search, number) for number in (one, other)]
            plain.update(number for number, each in zip((one, other), features, strict=True) if each.is_plain)
            match = same_picture(one, other, *features)
            matches += [match] if match is not None else []
    return matches, sorted(plain)


@lru_cache(maxsize=_KEPT_FEATURES)
def _features(search: _Search, number: int) -> Features:
    return features_of(grey(search.read(number)))


def likeliest(
    pairs: npt.NDArray[np.int64], agreement: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Parts pairs into those that are the most agreeing of one of their images, and the others; each once, sorted.

    Args:
        pairs: (P, 2), one or twice each, the smaller number first.
        agreement: (P,) of each.
    """
    if not len(pairs):
        return pairs, pairs
    order = np.lexsort((-agreement, pairs[:, 1], pairs[:, 0]))
    pairs, agreement = pairs[order], agreement[order]
    once = np.ones(len(pairs), bool)
    once[1:] = (np.diff(pairs, axis=0) != 0).any(axis=1)
    pairs, agreement = pairs[once], agreement[once]
    ends, number = pairs.T.ravel(), np.tile(np.arange(len(pairs)), 2)
    order = np.lexsort((number, -agreement[number], ends))
    best = np.zeros(len(pairs), bool)
    best[number[order[np.diff(ends[order], prepend=-1) != 0]]] = True
    return pairs[best], pairs[~best]


def joined(pairs: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Returns the groups that pairs make: whoever is joined to one is joined to all of its group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not pairs:
        return ()
    numbers, places = np.unique(np.array(pairs), return_inverse=True)
    ends = places.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(numbers), len(numbers)))
    _, labels = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for number, label in zip(numbers, labels, strict=True):
        groups.setdefault(int(label), []).append(int(number))
    return tuple(sorted(tuple(group) for group in groups.values()))
