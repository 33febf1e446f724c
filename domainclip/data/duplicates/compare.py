"""Likely pairs compared: a look at small pictures, then local features of both."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from domainclip.data.duplicates.candidates import Likely
from domainclip.data.duplicates.keypoints import Features, Match, features_of, same_picture
from domainclip.data.duplicates.overlay import LEAST_FIT, fit, start
from domainclip.data.duplicates.polar import grey
from domainclip.data.duplicates.search import AT_ONCE, Search
from domainclip.spread_work import spread

_KEPT_FEATURES = 2048


def compared(search: Search, pairs: Likely) -> tuple[tuple[Match, ...], int, set[int]]:
    """Compares pairs: first the likeliest of each image, then all others of images that have a twin. Most images have none.

    Returns:
        Matches in the order of the pairs, of how many pairs the features were compared, and images that are too plain.
    """
    plain, looked_at = set[int](), 0
    first, others = likeliest(pairs, search.count)
    matches = list[Match]()
    for some in (first, others):
        if some is others:
            ends = np.unique([end for match in matches for end in (match.first, match.second)])
            some = some[np.isin(some["image"], ends) | np.isin(some["part"], ends)]
        jobs = [some[begin : begin + AT_ONCE] for begin in range(0, len(some), AT_ONCE)]
        for found, blank, count in spread(partial(_match, search), jobs, search.workers, "comparing likely pairs", None):
            matches += found
            plain.update(blank)
            looked_at += count
    return tuple(sorted(matches, key=lambda match: (match.first, match.second))), looked_at, plain


def _match(search: Search, pairs: Likely) -> tuple[list[Match], list[int], int]:
    """Compares some pairs, their features where their small pictures fit.

    Returns:
        The matches; images that are too plain to compare; and of how many pairs the features were looked at.
    """
    matches, plain, looked_at = list[Match](), set[int](), 0
    small = search.opened("small")
    with threadpool_limits(1):
        for image, part, _, *how in pairs.tolist():
            if fit(small[image].astype(np.float32), small[part].astype(np.float32), start(*how)) < LEAST_FIT:
                continue
            looked_at += 1
            ends = sorted((image, part))
            features = [_features(search, number) for number in ends]
            plain.update(number for number, each in zip(ends, features, strict=True) if each.is_plain)
            match = same_picture(*ends, *features)
            matches += [match] if match is not None else []
    return matches, sorted(plain), looked_at


@lru_cache(maxsize=_KEPT_FEATURES)
def _features(search: Search, number: int) -> Features:
    return features_of(grey(search.read(number)))


def forget_features() -> None:
    """Gives back what this process keeps of a search: up to 1.5 GB."""
    _features.cache_clear()


def likeliest(pairs: Likely, count: int) -> tuple[Likely, Likely]:
    """Parts pairs into those that are the most agreeing of one of their images, and the others; each once, sorted.

    Args:
        pairs: (P,), each once or from both sides, of which the better one is kept.
        count: Images.
    """
    low, high = np.minimum(pairs["image"], pairs["part"]), np.maximum(pairs["image"], pairs["part"])
    key = low.astype(np.int64) * count + high
    order = np.lexsort((pairs["image"], -pairs["agreement"], key))
    pairs = pairs[order[np.diff(key[order], prepend=-1) != 0]]
    best: npt.NDArray[np.float32] = np.full(count, -1, np.float32)
    ends = (pairs["image"], pairs["part"])
    for end in ends:
        np.maximum.at(best, end, pairs["agreement"])
    most = (pairs["agreement"] >= best[ends[0]]) | (pairs["agreement"] >= best[ends[1]])
    return pairs[most], pairs[~most]
