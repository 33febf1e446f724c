"""Where the pictures of a search lie, for processes that read them: forty bytes a picture, in files that each process opens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from domainclip.data.storage import decode_image
from domainclip.errors import UnreadableFileError

Place = tuple[str, int, int, str, tuple[int, ...], str]
"""File below the folder, first byte, bytes, storage, shape, dtype."""


class Pictures:
    """Reads pictures by number; another process gets the folder's name and opens the places anew.

    Args:
        places: Folder in which ``write_places`` put them.
    """

    def __init__(self, places: Path) -> None:
        self._places = places
        told = json.loads((places / "places.json").read_text(encoding="utf-8"))
        self._folder, self._files, self._kinds = Path(told["folder"]), told["files"], told["kinds"]
        self._table = np.load(places / "places.npy", mmap_mode="r")
        self._open = lru_cache(maxsize=64)(_opened)

    def __reduce__(self) -> tuple[type[Pictures], tuple[Path]]:
        return Pictures, (self._places,)

    def __len__(self) -> int:
        return len(self._table)

    def __call__(self, number: int) -> npt.NDArray[Any]:
        """Returns (C, Y, X) as it is stored.

        Raises:
            UnreadableFileError: It is damaged, or gone.
        """
        file, at, size, kind = (int(value) for value in self._table[number])
        storage, shape, dtype = self._kinds[kind]
        asked, remedy = "An image was to be read.", "Copy the set again, or prepare it anew."
        try:
            handle = self._open(self._folder / self._files[file]).fileno()
            if not 0 <= at <= at + size <= os.fstat(handle).st_size:
                raise UnreadableFileError(asked, "its file is shorter than the index says", remedy)
            data = os.pread(handle, size, at)
        except OSError as error:
            raise UnreadableFileError(asked, f"its file cannot be read ({error.strerror})", remedy) from error
        return decode_image(data, storage, tuple(shape), dtype)


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def write_places(places: Path, folder: Path, pictures: Iterable[Place]) -> Pictures:
    """Writes down where pictures lie.

    Args:
        places: A private folder for it.
        folder: What the files' names start at.
        pictures: One after the other.

    Raises:
        UnreadableFileError: A file's name leads out of the folder.
    """
    files, kinds = dict[str, int](), dict[tuple[str, tuple[int, ...], str], int]()
    rows = [
        (files.setdefault(file, len(files)), at, size, kinds.setdefault((storage, shape, dtype), len(kinds)))
        for file, at, size, storage, shape, dtype in pictures
    ]
    if any(Path(file).name != file for file in files):
        raise UnreadableFileError("Images were to be read.", "the index names a file outside of the set", "Prepare the set anew.")
    np.save(places / "places.npy", np.array(rows, np.int64).reshape(-1, 4))
    told = {"folder": str(folder.absolute()), "files": list(files), "kinds": [list(kind) for kind in kinds]}
    (places / "places.json").write_text(json.dumps(told), encoding="utf-8")
    return Pictures(places)
