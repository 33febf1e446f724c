"""The search for duplicates in a set, and the groups that they make."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domainclip.data.duplicates.candidates import NEAREST
from domainclip.data.duplicates.compare import compared, forget_features
from domainclip.data.duplicates.keypoints import Match
from domainclip.data.duplicates.search import Read, Search, forget_files

SEVERAL_PROCESSES = 500
"""Images from which on several processes are worth their start."""


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
        The matches and groups; the same for the same images, whatever the processes. 24 KB an image lie in files of the system's
        folder for such while it runs; each process has 2,048 pictures' features in memory, some 1.5 GB.
    """
    if count < 2:
        return Duplicates(count, (), (), (), 0, 0)
    with tempfile.TemporaryDirectory(prefix="domainclip-duplicates-") as folder:
        search = Search(Path(folder), count, read, nearest, workers, seed)
        try:
            pairs, candidates, flat = search.likely()
            matches, looked_at, plain = compared(search, pairs)
        finally:
            forget_features()
            forget_files()
    agreed = joined([(match.first, match.second) for match in matches])
    return Duplicates(count, matches, agreed, tuple(sorted(plain | flat)), candidates, looked_at)


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
