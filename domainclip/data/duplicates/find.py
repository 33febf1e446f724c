"""The search for duplicates in a set, and the groups that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from domainclip.data.duplicates.candidates import NEAREST, lookup
from domainclip.data.duplicates.keypoints import Features, Match, features_of, same_picture
from domainclip.data.duplicates.polar import ANGLES, CENTRES, RINGS, grey, polar_views, rings

_AT_ONCE = 256
_KEPT_FEATURES = 2048

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
        read: Number to (C, Y, X) of any type; called twice for each image, and again for each that has a likely twin. From
            several threads at once where ``threads`` is above 1.
        nearest: Candidates of an image; more find more and take longer.
        threads: That read and compare.
        seed: Of the descriptor's components.

    Returns:
        The matches and groups; the same for the same images, whatever the threads. 1.3 KB of memory an image for its view and
        0.4 KB for its descriptor.
    """
    if count < 2:
        return Duplicates(count, (), (), (), 0, 0)
    base = np.empty((count, RINGS, ANGLES), np.uint8)

    def look(number: int) -> None:
        base[number] = rings(polar_views(grey(read(number))))[0]

    def about(number: int) -> npt.NDArray[np.uint8]:
        return polar_views(grey(read(number)), CENTRES)

    # Small products of matrices in several threads: more threads in each cost eight times the time.
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(look, range(count)):
            pass
        search, found, candidates = lookup(base, seed), [], 0
        for first in range(0, count, _AT_ONCE):
            pairs, looked_at = search.likely(
                first, np.stack(list(pool.map(about, range(first, min(first + _AT_ONCE, count))))), nearest
            )
            found.append(pairs)
            candidates += looked_at
        likely = np.unique(np.concatenate(found), axis=0)
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
    return Duplicates(count, matches, agreed, tuple(sorted(plain)), candidates, len(likely))


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
