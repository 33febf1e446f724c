"""HDF5 files of others, opened without trust: no links, no other files, no more than the file really holds."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError, missing_dependency

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_ROWS = 20_000_000
"""Tiles of one file. The largest slides (250,000 pixels a side) have about a million of 256 pixels; more rows are no slide."""
MAX_BYTES = 8 * 2**30
"""Decoded size of one dataset; a million features of 2,048 numbers are 8 GiB as float32."""
MAX_CHUNK_BYTES = 256 * 2**20
"""HDF5 decodes whole chunks, however few rows are asked for."""
_FILTERS = frozenset((1, 2, 3, 4, 5, 6, 32000))
"""gzip, shuffle, checksum, szip, n-bit, scale-offset, lzf (https://portal.hdfgroup.org: registered filters); others are plugins,
that is foreign code."""
_MAX_TEXT, _MAX_NUMBERS = 4096, 16


def h5py_module() -> Any:
    """Imports h5py, late.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise missing_dependency("h5py", "Reading and writing HDF5 files (TRIDENT, CLAM, AtlasPatch)", "h5py") from error


def refusal(found: str, remedy: str) -> UnreadableFileError:
    """Builds the error of a file that cannot be used; ``found`` names no path."""
    return UnreadableFileError("Tiles of a slide were to be read from an HDF5 file.", found, remedy)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Opens a file for reading and turns what the library raises at broken content into an error in three parts.

    Yields:
        An ``h5py.File``.

    Raises:
        UnreadableFileError: It is no HDF5 file, or is broken.
    """
    h5py = h5py_module()
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise refusal(f"The file cannot be opened ({error.strerror}).", "Check that it exists and may be read.") from error
    if start != MAGIC:
        remedy = "Give the .h5 file of the slide; .pt files hold pickled objects and are not read."
        raise refusal("It is no HDF5 file: its first bytes are others.", remedy)
    try:
        # Locks fail on read-only and network folders, and nobody writes what is read here.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FOREIGN_ERRORS as error:
        raise refusal(f"The file is broken ({type(error).__name__}).", "Copy it again, or make it anew.") from error


def member(group: Any, name: str) -> Any:
    """Returns a dataset or group that lies in this file itself, or None where there is none of that name.

    Raises:
        UnreadableFileError: The name is a link to elsewhere.
    """
    h5py = h5py_module()
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        found = f"{name} is a link to another place or file ({type(link).__name__}), which is not followed."
        raise refusal(found, "Write the data into the file itself.")
    return group[name]


def table(dataset: Any, name: str, columns: Sequence[int] | None = None) -> npt.NDArray[Any]:
    """Reads a table of numbers after all that it declares has been checked against what the file holds.

    Args:
        dataset: What ``member`` returned.
        name: Its name, for messages.
        columns: Numbers of columns that are allowed; None allows any.

    Returns:
        (N, D) of the stored type: integers or floats.

    Raises:
        UnreadableFileError: It is no table of numbers, is too large, is not all there, or lies in other files.
    """
    h5py = h5py_module()
    remedy = "Make the file anew with the program that wrote it."
    if not isinstance(dataset, h5py.Dataset):
        raise refusal(f"There is no dataset {name}.", remedy)
    if dataset.dtype.kind not in "iuf" or dataset.dtype.itemsize > 8:
        raise refusal(f"{name} holds no plain numbers (type {dataset.dtype.kind!r}).", remedy)
    if dataset.ndim != 2 or (columns is not None and dataset.shape[1] not in columns):
        wanted = "(N, D)" if columns is None else " or ".join(f"(N, {count})" for count in columns)
        raise refusal(f"{name} has the shape {tuple(dataset.shape)} instead of {wanted}.", remedy)
    rows, size = dataset.shape[0], math.prod(dataset.shape) * dataset.dtype.itemsize
    if rows > MAX_ROWS or size > MAX_BYTES:
        found = f"{name} declares {rows} rows, {size / 2**30:.1f} GiB; the limits are {MAX_ROWS} and {MAX_BYTES // 2**30} GiB."
        raise refusal(found, "No slide has so many tiles; make the file anew, or split it.")
    if dataset.is_virtual or dataset.external:
        raise refusal(f"{name} lies in other files.", "Write the data into the file itself.")
    check_storage(dataset, name, size)
    values: npt.NDArray[Any] = dataset[()]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise refusal(f"{name} holds NaN or infinite numbers.", remedy)
    return values


def check_storage(dataset: Any, name: str, size: int) -> None:
    """Refuses foreign filters and datasets of which parts were never written: those read as zeros without a word."""
    creation = dataset.id.get_create_plist()
    used = {creation.get_filter(number)[0] for number in range(creation.get_nfilters())}
    if used - _FILTERS:
        raise refusal(f"{name} is compressed by a plugin (filter {min(used - _FILTERS)}).", "Write it with gzip, or plain.")
    if dataset.chunks is None:
        whole = size == 0 or dataset.id.get_storage_size() >= size
    else:
        if math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK_BYTES:
            raise refusal(f"{name} is stored in pieces of over {MAX_CHUNK_BYTES // 2**20} MiB.", "Write it in smaller chunks.")
        pieces = math.prod(-(-extent // chunk) for extent, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        whole = dataset.id.get_num_chunks() == pieces
    if not whole:
        raise refusal(f"{name} declares more than the file holds.", "Copy it again; or the run that wrote it did not finish.")


class Attributes:
    """The attributes of a dataset and, behind them, of its file, read by name and only where they are small and plain.

    Args:
        holders: Objects with attributes, the first wins.
    """

    def __init__(self, *holders: Any) -> None:
        self._holders = holders

    def __contains__(self, name: str) -> bool:
        return any(name in holder.attrs for holder in self._holders)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Returns one or a few finite numbers, or None where the attribute is absent or a text such as "None".

        Raises:
            UnreadableFileError: It holds many, or numbers that are not finite.
        """
        value = self._read(name)
        if value is None or isinstance(value, str):
            return None
        found = tuple(float(number) for number in np.ravel(value))
        if not found or not all(math.isfinite(number) for number in found):
            raise refusal(f"The attribute {name} holds no finite number.", "Make the file anew with the program that wrote it.")
        return found

    def number(self, name: str) -> float | None:
        """Returns the single number of an attribute, or None; see ``numbers``."""
        found = self.numbers(name)
        if found is not None and len(found) != 1:
            raise refusal(f"The attribute {name} holds {len(found)} numbers.", "Make the file anew with the program that wrote it.")
        return found[0] if found else None

    def text(self, name: str) -> str | None:
        """Returns a text, or None where the attribute is absent or a number."""
        value = self._read(name)
        return value if isinstance(value, str) else None

    def _read(self, name: str) -> Any:
        for holder in self._holders:
            if name not in holder.attrs:
                continue
            shape, dtype = holder.attrs.get_id(name).shape, holder.attrs.get_id(name).dtype
            # Before reading: references lead elsewhere, and a large array is no setting.
            plain = dtype.kind in "iufbSUO" and dtype.itemsize <= _MAX_TEXT and math.prod(shape or ()) <= _MAX_NUMBERS
            if not plain or (dtype.kind == "O" and h5py_module().check_string_dtype(dtype) is None):
                raise refusal(f"The attribute {name} is no number and no short text.", "Make the file anew.")
            value = holder.attrs[name]
            if isinstance(value, bytes):
                value = value.decode("utf-8", errors="replace")
            if isinstance(value, np.ndarray) and value.dtype.kind not in "iufb":
                return None
            return value[:_MAX_TEXT] if isinstance(value, str) else value
        return None
