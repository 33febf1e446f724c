"""Sets that are arrays of pictures: npz (MedMNIST), npy (PanNuke), HDF5 (PatchCamelyon); pictures come one after the other."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from domainclip.config import Section
from domainclip.data.archives import ARCHIVE_ERRORS
from domainclip.data.layouts.containers import Entry, Row, container_files
from domainclip.data.layouts.table_file import TableFile
from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError, UsageError

_READ_AT_ONCE = 64
_MAX_PICTURE_BYTES = 2**28
_MAX_LABEL_BYTES = 2**30


class Place(Section):
    """Where an array lies.

    Attributes:
        file: Beside the pictures' file; the same file where none is named.
        data: Its name in an npz or HDF5 file; nothing for npy.
    """

    file: str | None = None
    data: str = ""


class ArrayFile(Section):
    """Pictures of one array, and what lies beside them row by row.

    Attributes:
        file: Path or pattern below the root.
        data: Name of the array in an npz or HDF5 file; nothing for npy.
        part: Stands between file and number in the pictures' names (``train`` of ``pathmnist.npz/train/17``).
        columns: Column to the array that gives it, of N rows.
        table: A table with a row for each picture, in the same order; its path is beside the file.
        add: Columns that each row gets.
    """

    file: str
    data: str = ""
    part: str = ""
    columns: dict[str, Place] = Field(default_factory=dict)
    table: TableFile | None = None
    add: dict[str, str] = Field(default_factory=dict)


class Arrays(Section):
    """Rows: the pictures of each array, with ``index``, ``file`` (its stem) and the columns of each.

    Attributes:
        arrays: All arrays; those whose file is not there are passed over, as long as one is, and told.
        collection: The files are sets of their own, of which nobody need have all: those that are not there are not told.
    """

    name: Literal["arrays"]
    collection: bool = False
    arrays: tuple[ArrayFile, ...] = Field(min_length=1)

    def containers(self, root: Path, what: str) -> list[Path]:
        """Returns the files of pictures."""
        return container_files(root, tuple(dict.fromkeys(array.file for array in self.arrays)), what)

    def absent(self, root: Path) -> list[str]:
        """Returns the files (or patterns) that are not there."""
        wanted = () if self.collection else dict.fromkeys(array.file for array in self.arrays)
        return [pattern for pattern in wanted if not any(path.is_file() for path in root.glob(pattern))]

    def entries(self, path: Path, root: Path) -> Iterator[Entry]:
        """Yields the pictures of all arrays of one file.

        Raises:
            UnreadableFileError: The file is damaged, holds no pictures of 8 bits, or fewer rows beside them.
        """
        for array in self.arrays:
            if path in root.glob(array.file):
                yield from _pictures(array, path)


def _pictures(array: ArrayFile, path: Path) -> Iterator[Entry]:
    try:
        beside = {
            name: _whole(path.with_name(place.file) if place.file else path, place.data) for name, place in array.columns.items()
        }
        rows = array.table.rows(path.parent, "A table beside pictures") if array.table is not None else None
        for number, picture in enumerate(_each(path, array.data)):
            row: Row = {"index": str(number), "file": path.stem} | array.add
            if rows is not None:
                following = next(rows, None)
                if following is None:
                    raise _wrong(f"its table has {number} rows, and there are more pictures")
                row |= following
            for name, values in beside.items():
                if number >= len(values):
                    raise _wrong(f"{name} has {len(values)} rows, and there are more pictures")
                row[name] = _column(values[number])
            yield Entry(f"{array.part}/{number}" if array.part else str(number), row, _eight_bit(picture))
    except UsageError as error:
        assert array.table is not None
        raise _wrong(f"the table beside its pictures ({array.table.file}) is not there, or is damaged") from error
    except (*FOREIGN_ERRORS, *ARCHIVE_ERRORS) as error:
        raise _wrong(f"the arrays cannot be read to their end ({type(error).__name__})") from error


def _column(value: Any) -> Any:
    flat = np.asarray(value).reshape(-1)
    return str(flat[0]) if flat.size == 1 else [str(one) for one in flat]


def _eight_bit(picture: npt.NDArray[Any]) -> Any:
    """Returns a picture of uint8: floats that hold whole numbers from 0 to 255 are that too (PanNuke); others say why not."""
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[:, :, 0]
    if picture.ndim not in {2, 3} or (picture.ndim == 3 and picture.shape[2] != 3):
        return f"the array's pictures have the shape {picture.shape}; (H, W) and (H, W, 3) are read"
    if picture.dtype == np.uint8:
        return np.ascontiguousarray(picture)
    whole = picture.astype(np.uint8, casting="unsafe") if np.isfinite(picture).all() else None
    if whole is None or not np.array_equal(whole, picture):
        return f"the array's numbers ({picture.dtype}) are not whole numbers from 0 to 255"
    return whole


def _each(path: Path, name: str) -> Iterator[npt.NDArray[Any]]:
    """Yields the rows of an array, a few in memory at a time."""
    if path.suffix in {".h5", ".hdf5"}:
        from domainclip.domains.pathology.hdf5 import opened

        with opened(path) as file:
            dataset = _dataset(file, name)
            for first in range(0, dataset.shape[0], _READ_AT_ONCE):
                yield from dataset[first : first + _READ_AT_ONCE]
        return
    with _npy(path, name) as (file, shape, dtype):
        size = math.prod(shape[1:]) * dtype.itemsize
        if size > _MAX_PICTURE_BYTES:
            raise _wrong(f"a picture would take {size} bytes")
        for _ in range(shape[0]):
            data = file.read(size)
            if len(data) < size:
                raise _wrong("the array ends before its declared length")
            yield np.frombuffer(data, dtype).reshape(shape[1:])


def _whole(path: Path, name: str) -> npt.NDArray[Any]:
    """Reads an array of labels."""
    if path.suffix in {".h5", ".hdf5"}:
        from domainclip.domains.pathology.hdf5 import opened

        with opened(path) as file:
            dataset = _dataset(file, name)
            if math.prod(dataset.shape) * dataset.dtype.itemsize > _MAX_LABEL_BYTES:
                raise _wrong(f"{name} is too large for labels")
            values: npt.NDArray[Any] = dataset[()]
            return values
    with _npy(path, name) as (file, shape, dtype):
        size = math.prod(shape) * dtype.itemsize
        if size > _MAX_LABEL_BYTES:
            raise _wrong(f"{name or path.suffix} is too large for labels")
        data = file.read(size)
        if len(data) < size:
            raise _wrong("an array of labels ends before its declared length")
        return np.frombuffer(data, dtype).reshape(shape)


def _dataset(file: Any, name: str) -> Any:
    from domainclip.domains.pathology.hdf5 import check_storage, member

    dataset = member(file, name)
    if dataset is None or not hasattr(dataset, "dtype") or dataset.ndim < 1:
        raise _wrong(f"there is no dataset {name!r}")
    if dataset.is_virtual or dataset.external or dataset.dtype.kind not in "iufb":
        raise _wrong(f"{name} lies in other files, or holds no numbers")
    check_storage(dataset, name, math.prod(dataset.shape) * dataset.dtype.itemsize)
    return dataset


@contextmanager
def _npy(path: Path, name: str) -> Iterator[tuple[Any, tuple[int, ...], np.dtype[Any]]]:
    """Opens an array of an npz, or an npy file, at its first number; arrays of Python objects (pickles) are refused."""
    with ExitStack() as stack:
        if path.suffix == ".npz":
            zipped = stack.enter_context(zipfile.ZipFile(path))
            if f"{name}.npy" not in zipped.namelist():
                raise _wrong(f"there is no array {name!r}; there are {', '.join(zipped.namelist()[:10])}")
            file: Any = stack.enter_context(zipped.open(f"{name}.npy"))
        else:
            file = stack.enter_context(path.open("rb"))
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file)
        if dtype.hasobject or fortran or not shape:
            raise _wrong("the array holds Python objects, is in Fortran's order, or is a single number")
        yield file, shape, dtype


def _wrong(found: str) -> UnreadableFileError:
    return UnreadableFileError("Pictures of an array were to be read.", found, "Get the file anew.")
