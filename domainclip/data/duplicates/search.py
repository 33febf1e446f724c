"""The steps of a search that several processes share, each on some images at a time: views, descriptors, likely pairs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from domainclip.data.duplicates.candidates import Likely, Lookup, indexed
from domainclip.data.duplicates.descriptor import LENGTH, Projection, fitted, raw_descriptors
from domainclip.data.duplicates.overlay import SMALL, is_flat, small_picture
from domainclip.data.duplicates.polar import ANGLES, CENTRES, RINGS, STEPS, grey, polar_views, rings
from domainclip.errors import DiskFullError
from domainclip.spread_work import spread

AT_ONCE = 256
"""Images, or pairs, of a job."""
_FITTED_ON = 20_000

Read = Callable[[int], npt.NDArray[Any]]
Chunk = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Search:
    """What the steps share, in files: processes are told its folder.

    Attributes:
        folder: Private, for 24 KB an image.
        count: Images.
        read: Number to (C, Y, X).
        nearest: Candidates of an image.
        workers: Processes.
        seed: Of the descriptor's components and of the index.
    """

    folder: Path
    count: int
    read: Read
    nearest: int
    workers: int
    seed: int

    def likely(self) -> tuple[Likely, int, set[int]]:
        """Looks at all images, and looks each up among all.

        Returns:
            (P,) of ``candidates.LIKELY``; how many candidates there were; and images too flat to compare.
        """
        self._new("views", np.uint8, (len(CENTRES), RINGS + STEPS, ANGLES))
        self._new("base", np.uint8, (RINGS, ANGLES))
        self._new("small", np.float16, (SMALL, SMALL))
        flat = set[int]().union(*self._spread(_look, "looking at images"))
        self._index()
        found = self._spread(_likely, "looking for likely pairs")
        return np.concatenate([rows for rows, _ in found]), sum(looked_up for _, looked_up in found), flat

    def _index(self) -> None:
        base = self.opened("base")
        some = np.sort(np.random.default_rng(self.seed).permutation(self.count)[:_FITTED_ON])
        with threadpool_limits(self.workers):
            project = fitted(raw_descriptors(base[some]))
        np.savez(self._components, mean=project.mean, axes=project.axes)
        self._new("descriptors", np.float32, (LENGTH,))
        self._spread(_describe, "describing images")
        with threadpool_limits(self.workers):
            index = indexed(self.opened("descriptors"), self.seed)  # which says what to install where faiss is absent
        import faiss

        faiss.write_index(index, str(self.index))

    def _spread(self, work: Callable[[Search, Chunk], Any], text: str) -> list[Any]:
        chunks = [(first, min(first + AT_ONCE, self.count)) for first in range(0, self.count, AT_ONCE)]
        return spread(partial(work, self), chunks, self.workers, text, None)

    def _new(self, name: str, dtype: type, shape: tuple[int, ...]) -> None:
        path = self.folder / f"{name}.npy"
        np.lib.format.open_memmap(path, "w+", dtype, (self.count, *shape)).flush()
        with path.open("r+b") as file:  # room for all of it now: a map that finds none later ends the process
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                found = f"There is no room for {path.stat().st_size / 1e9:.1f} GB in {self.folder.parent} ({error.strerror})."
                remedy = "Free space there, or name a folder with room for 24 KB an image in the environment variable TMPDIR."
                raise DiskFullError("Duplicates were to be looked for.", found, remedy) from error

    @property
    def _components(self) -> Path:
        return self.folder / "components.npz"

    @property
    def index(self) -> Path:
        """Where faiss' index of the descriptors lies."""
        return self.folder / "index.faiss"

    def projection(self) -> Projection:
        """Returns what makes descriptors of raw ones."""
        with np.load(self._components) as told:
            return Projection(told["mean"], told["axes"])

    def opened(self, name: str) -> npt.NDArray[Any]:
        """Returns the numbers of all images under a name, in its file."""
        return _opened(self.folder / f"{name}.npy")


@lru_cache(maxsize=8)
def _opened(path: Path) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = np.lib.format.open_memmap(path, "r+")
    return numbers


def _look(search: Search, chunk: Chunk) -> list[int]:
    """Makes the views of some images; returns those that are too flat."""
    views, base, small = (search.opened(name) for name in ("views", "base", "small"))
    flat = list[int]()
    with threadpool_limits(1):
        for number in range(*chunk):
            plane = grey(search.read(number))
            views[number] = polar_views(plane, CENTRES)
            base[number] = rings(views[number, 0])
            picture = small_picture(plane)
            small[number] = picture
            flat += [number] if is_flat(picture) else []
    return flat


def _describe(search: Search, chunk: Chunk) -> None:
    with threadpool_limits(1):
        search.opened("descriptors")[slice(*chunk)] = search.projection()(raw_descriptors(search.opened("base")[slice(*chunk)]))


def _likely(search: Search, chunk: Chunk) -> tuple[Likely, int]:
    with threadpool_limits(1):  # small products of matrices: more threads in each cost eight times the time
        return _lookup(search).likely(chunk[0], np.array(search.opened("views")[slice(*chunk)]), search.nearest)


@lru_cache(maxsize=1)
def _lookup(search: Search) -> Lookup:
    import faiss

    return Lookup(search.opened("base"), search.projection(), faiss.read_index(str(search.index)))


def forget_files() -> None:
    """Closes what this process has open of a search: what is open takes room on the disk, removed or not."""
    _opened.cache_clear()
    _lookup.cache_clear()
