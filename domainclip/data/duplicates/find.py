"""The search for duplicates in a set, and the groups that they make."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from domainclip.data.duplicates.candidates import NEAREST, lookup
from domainclip.data.duplicates.keypoints import Features, Match, features_of, same_picture
from domainclip.data.duplicates.polar import ANGLES, CENTRES, RINGS, STEPS, grey, polar_views, rings

_AT_ONCE = 256
_KEPT_FEATURES = 2048
_LOOKED_AT = 2
"""Pairs of an image that are compared by their features: of 320 planted pairs on UC Merced as many are among them as among ten."""
_IN_MEMORY_BYTES = 2**30

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


def find_duplicates(count: int, read: Read, *, nearest: int = NEAREST, threads: int = 1, seed: int = 0) -> Duplicates:
    """Finds images that show the same picture.

    Args:
        count: Images.
        read: Number to (C, Y, X) of any type; called once for each image, and again for each that has a likely twin. From
            several threads at once where ``threads`` is above 1.
        nearest: Candidates of an image; more find more and take longer.
        threads: That read and compare.
        seed: Of the descriptor's components.

    Returns:
        The matches and groups; the same for the same images, whatever the threads. 1.7 KB of memory an image, and 14 KB for its
        views: in memory up to 1 GiB, beyond that in a file in the system's folder for such that is gone at the end.
    """
    if count < 2:
        return Duplicates(count, (), (), (), 0, 0)
    # Small products of matrices in several threads: more threads in each cost eight times the time.
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool, _stored(count) as views:

        def look(number: int) -> None:
            views[number] = polar_views(grey(read(number)), CENTRES)

        for _ in pool.map(look, range(count)):
            pass
        search = lookup(np.ascontiguousarray(rings(views[:, 0])), seed)
        starts = range(0, count, _AT_ONCE)
        found = list(pool.map(lambda first: search.likely(first, np.asarray(views[first : first + _AT_ONCE]), nearest), starts))
        likely = most_likely(np.concatenate([pairs for pairs, _, _ in found]), np.concatenate([best for _, best, _ in found]))
        plain: set[int] = set()

        @lru_cache(maxsize=_KEPT_FEATURES)
        def features(number: int) -> Features:
            found = features_of(grey(read(number)))
            if found.is_plain:
                plain.add(number)
            return found

        def compare(pair: npt.NDArray[np.int64]) -> Match | None:
            one, other = int(pair[0]), int(pair[1])
            return same_picture(one, other, features(one), features(other))

        matches = tuple(match for match in pool.map(compare, likely) if match is not None)
    agreed = joined([(match.first, match.second) for match in matches])
    candidates = sum(looked_at for _, _, looked_at in found)
    return Duplicates(count, matches, agreed, tuple(sorted(plain)), candidates, len(likely))


@contextmanager
def _stored(count: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields room for the views of all images."""
    shape = (count, len(CENTRES), RINGS + STEPS, ANGLES)
    if math.prod(shape) <= _IN_MEMORY_BYTES:
        yield np.empty(shape, np.uint8)
        return
    with tempfile.TemporaryFile(prefix="domainclip-views-") as file:
        file.truncate(math.prod(shape))
        yield np.memmap(file, np.uint8, "r+", shape=shape)


def most_likely(pairs: npt.NDArray[np.int64], agreement: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Returns the pairs that are worth a closer look: those that are among the two most agreeing of one of their images.

    Args:
        pairs: (P, 2), one or twice each.
        agreement: (P,) of each.

    Returns:
        (Q, 2), each once, sorted. Of many copies of one picture each is still joined to another.
    """
    if not len(pairs):
        return pairs
    order = np.lexsort((-agreement, pairs[:, 1], pairs[:, 0]))
    pairs, agreement = pairs[order], agreement[order]
    first = np.ones(len(pairs), bool)
    first[1:] = (np.diff(pairs, axis=0) != 0).any(axis=1)
    pairs, agreement = pairs[first], agreement[first]
    ends, number = pairs.T.ravel(), np.tile(np.arange(len(pairs)), 2)
    order = np.lexsort((number, -agreement[number], ends))
    rank = np.arange(len(order)) - np.searchsorted(ends[order], ends[order])
    return pairs[np.unique(number[order[rank < _LOOKED_AT]])]


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
