"""Zarr stores in zips that hold images: one array with all of them, and beside it an array of their names and one of the bands'."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydantic import Field

from domainclip.config import Section
from domainclip.data.archives import ARCHIVE_ERRORS, unzipped
from domainclip.data.zarr_array import ZarrArray, array_of, unreadable
from domainclip.data.zip_directory import directory
from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError

PARTLY_STORED = "images with parts that their store leaves out (its fill value stands there)"
_MAX_MEMBERS = 2**18
_MAX_TOLD_BYTES = 2**20
_MAX_NAMES_BYTES = 2**26
_MAX_IMAGE_BYTES = 2**28
_TOGETHER_BYTES = 2**27
_NUMBERS = frozenset({"u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"})
_RGB = ("red", "green", "blue")


class ZarrImages(Section):
    """How images lie in Zarr stores of version 2, zipped, as xarray writes them.

    Attributes:
        file: Path of the store below the root, or a pattern for several. An image lies at the store's path, a slash, its name.
        array: All images: any axes, then bands, rows, columns.
        names: The images' names; its axes are the first of ``array``.
        bands: The names of the bands.
        called: Name of a band in the store to that which it gets; a store with any other is refused. None: names stay.
    """

    file: str
    array: str
    names: str
    bands: str
    called: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BandImage:
    """An image that is no picture: (bands, rows, columns), and the names of the bands."""

    array: npt.NDArray[Any]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageStore:
    """A store as an archive of images; ``at`` is its own path below the root."""

    path: Path
    at: str
    layout: ZarrImages

    def told(self) -> dict[str, Any]:
        """Returns the layout as plain values, for the worker that reads the images."""
        return self.layout.model_dump(mode="json")

    def members(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yields the name of each image, and its number.

        Raises:
            UnreadableFileError: The store is damaged, asks for what is not decoded, or names two images alike.
        """
        with _opened(self.path, self.layout) as store:
            names = [_text(one) for one in store.values(self.layout.names).reshape(-1)]
        if len(set(names)) < len(names):
            raise unreadable(f"two of its images have one name ({Counter(names).most_common(1)[0][0]!r})"[:200])
        yield from ((name, (number,)) for number, name in enumerate(names))


def store_images(
    path: Path, layout: ZarrImages, wanted: Sequence[tuple[str, int]], account: Counter[str]
) -> Iterator[tuple[str, Any]]:
    """Yields name and content of the images that are asked for, those of one chunk together, so that it is decoded once.

    Args:
        path: The store.
        layout: How they lie there.
        wanted: Names and numbers, as ``ImageStore.members`` tells them.
        account: Takes how many images have parts that are not stored.

    Yields:
        Name and a ``BandImage``, an array (H, W, 3) of uint8 where it is a picture, or the reason why it cannot be read.

    Raises:
        UnreadableFileError: The store is gone, damaged as a whole, or no longer what it was.
    """
    with _opened(path, layout) as store:
        array, names = store.array, store.band_names()
        outer = array.shape[:-3]
        blocks: dict[tuple[int, ...], list[tuple[str, tuple[int, ...]]]] = {}
        for name, number in wanted:
            if number >= math.prod(outer):
                raise unreadable(f"it holds {math.prod(outer)} images, and one of number {number} was asked for")
            place = tuple(int(at) for at in np.unravel_index(number, outer))
            block = tuple(at // step for at, step in zip(place, array.chunks, strict=False))
            blocks.setdefault(block, []).append((name, place))
        together = max(1, _TOGETHER_BYTES // store.image_bytes)
        for block, several in blocks.items():
            for first in range(0, len(several), together):
                some = several[first : first + together]
                yield from ((name, _finished(one, names)) for name, one in store.images(block, some, account))


def _finished(image: npt.NDArray[Any] | str, names: tuple[str, ...]) -> Any:
    """Returns three bands of colour in 8 bits as a picture, anything else with its bands' names."""
    if isinstance(image, str):
        return image
    if image.dtype == np.uint8 and sorted(names) == sorted(_RGB):
        return np.ascontiguousarray(image[[names.index(colour) for colour in _RGB]].transpose(1, 2, 0))
    half = image.dtype.itemsize == 2 and image.dtype.kind == "f"  # which TIFF readers do not know
    return BandImage(image.astype(np.float32) if half else image, names)


def band_file(image: BandImage) -> bytes:
    """Returns an image as a TIFF whose bands bear their names; it lies nowhere on the ground."""
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    count, height, width = image.array.shape
    with warnings.catch_warnings(), rasterio.MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        # GDAL would else take the fourth of four 8-bit bands for alpha.
        options = {"photometric": "MINISBLACK", "alpha": "NO", "interleave": "band"}
        size = {"count": count, "height": height, "width": width, "dtype": image.array.dtype.name}
        with memory.open(driver="GTiff", **size, **options) as file:
            file.write(image.array)
            file.descriptions = image.names
        return bytes(memory.read())


class _Store:
    """An open store: the places of its members, and what its arrays are. Nothing of it is unpacked to disk."""

    def __init__(self, file: BinaryIO, layout: ZarrImages) -> None:
        self._file, self._layout = file, layout
        self._members: dict[str, tuple[int, int, int, int]] = {}
        for name, place in directory(file):
            self._members[name] = place  # of two of one name the later counts, as in zipfile, by which Zarr reads
            if len(self._members) > _MAX_MEMBERS:
                raise unreadable(f"the zip has more than {_MAX_MEMBERS} members", "Write larger chunks.")
        self.array = self._array(layout.array)
        names = self._array(layout.names)
        if len(self.array.shape) < 4 or self.array.shape[:-3] != names.shape or 0 in self.array.shape:
            shapes = f"{layout.array!r} has the shape {self.array.shape} and {layout.names!r} {names.shape}"
            raise unreadable(f"{shapes}; names have the axes that come before bands, rows and columns")
        axes, axes_of_names = self._axes(layout.array), self._axes(layout.names)
        if axes and axes_of_names and axes[:-3] != axes_of_names:
            raise unreadable(f"{layout.names!r} has the axes {axes_of_names}, {layout.array!r} begins with {axes[:-3]}")
        if self.image_bytes > _MAX_IMAGE_BYTES:
            raise unreadable(f"an image would take {self.image_bytes} bytes; at most {_MAX_IMAGE_BYTES // 2**20} MiB are read")
        if self.array.dtype.str[1:] not in _NUMBERS or names.dtype.kind not in "USiu":
            raise unreadable(f"{layout.array!r} holds {self.array.dtype.str!r}, and its names are {names.dtype.str!r}")
        self.band_names()

    @property
    def image_bytes(self) -> int:
        """Returns how many bytes one image has once decoded."""
        return math.prod(self.array.shape[-3:]) * self.array.dtype.itemsize

    def _read(self, member: str, most: int) -> bytes:
        content = unzipped(self._file, self._members[member], most)
        if isinstance(content, str):
            raise unreadable(content)
        return content

    def _array(self, name: str) -> ZarrArray:
        if f"{name}/.zarray" not in self._members:
            there = sorted(one.rpartition("/")[0] for one in self._members if one.endswith("/.zarray"))
            raise unreadable(f"there is no array {name!r}; there are {', '.join(there)[:100] or 'none'}", "Correct the card.")
        return array_of(name, self._read(f"{name}/.zarray", _MAX_TOLD_BYTES))

    def _axes(self, name: str) -> tuple[str, ...]:
        """Returns the names of an array's axes, as xarray leaves them; none where nobody did."""
        if f"{name}/.zattrs" not in self._members:
            return ()
        told = json.loads(self._read(f"{name}/.zattrs", _MAX_TOLD_BYTES))
        axes = told.get("_ARRAY_DIMENSIONS") if isinstance(told, dict) else None
        return tuple(map(str, axes)) if isinstance(axes, list) else ()

    def chunk(self, array: ZarrArray, place: tuple[int, ...]) -> npt.NDArray[Any] | None:
        """Returns a chunk, or None where it is not stored."""
        if (key := array.key(place)) not in self._members:
            return None
        # Compressors add little to what they cannot shrink.
        return array.decoded(self._read(key, array.chunk_bytes + array.chunk_bytes // 8 + 2**12))

    def values(self, name: str) -> npt.NDArray[Any]:
        """Returns a whole array of names."""
        array = self._array(name)
        if math.prod(array.shape) * array.dtype.itemsize > _MAX_NAMES_BYTES or array.chunk_bytes > _MAX_NAMES_BYTES:
            raise unreadable(f"{name!r} is too large for names ({array.shape})")
        whole = np.empty(array.shape, array.dtype)
        for place in array.places():
            chunk = self.chunk(array, place)
            if chunk is None:
                raise unreadable(f"a chunk of {name!r} is not stored")
            window = tuple(slice(at * step, (at + 1) * step) for at, step in zip(place, array.chunks, strict=True))
            part = whole[window]
            part[...] = chunk[tuple(slice(size) for size in part.shape)]
        return whole

    def band_names(self) -> tuple[str, ...]:
        """Returns the names of the bands, as the card calls them."""
        told = [_text(one) for one in self.values(self._layout.bands).reshape(-1)]
        called = self._layout.called
        names = tuple(called.get(name, "") for name in told) if called else tuple(told)
        if len(names) != self.array.shape[-3] or "" in names or len(set(names)) < len(names):
            found = f"its {self.array.shape[-3]} bands are called {', '.join(told)[:80]}"
            raise unreadable(f"{found}; the card knows {', '.join(called) or 'any'}, each once", "Correct the card's 'called'.")
        return names

    def images(
        self, block: tuple[int, ...], wanted: Sequence[tuple[str, tuple[int, ...]]], account: Counter[str]
    ) -> Iterator[tuple[str, npt.NDArray[Any] | str]]:
        """Yields images that lie in the same chunks, (bands, rows, columns) each, or the reason why they cannot be read."""
        array, fill = self.array, self.array.fill
        inner, outer = array.shape[-3:], array.chunks[:-3]
        whole = np.full((len(wanted), *inner), 0 if fill is None else fill, array.dtype)
        stored = missing = 0
        try:
            for place in array.places(len(outer)):
                chunk = self.chunk(array, (*block, *place))
                if chunk is None:
                    missing += 1
                    continue
                stored += 1
                window = tuple(slice(at * step, (at + 1) * step) for at, step in zip(place, array.chunks[-3:], strict=True))
                for image, (_, at) in zip(whole, wanted, strict=True):
                    part = image[window]
                    within = tuple(one % step for one, step in zip(at, outer, strict=True))
                    part[...] = chunk[within][tuple(slice(size) for size in part.shape)]
        except (*FOREIGN_ERRORS, UnreadableFileError) as error:
            reason = error.found if isinstance(error, UnreadableFileError) else f"a chunk is damaged ({type(error).__name__})"
            yield from ((name, reason) for name, _ in wanted)
            return
        if missing and (fill is None or not stored):
            why = "none of its chunks is stored" if not stored else "a chunk of it is not stored, and no fill value stands for it"
            yield from ((name, why) for name, _ in wanted)
            return
        account.update({PARTLY_STORED: len(wanted)} if missing else {})
        yield from ((name, image) for (name, _), image in zip(wanted, whole, strict=True))


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


@contextmanager
def _opened(path: Path, layout: ZarrImages) -> Iterator[_Store]:
    try:
        with path.open("rb") as file:
            yield _Store(file, layout)
    except (*FOREIGN_ERRORS, *ARCHIVE_ERRORS) as error:
        raise unreadable(f"the store cannot be read to its end ({type(error).__name__})") from error
