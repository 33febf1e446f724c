"""Features of tiles that other programs computed, read from their HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.coordinates import TileCoordinates, coordinates_of, read_coordinates
from domainclip.domains.pathology.hdf5 import Attributes, h5py_module, member, opened, refusal, table


@dataclass(frozen=True, slots=True, eq=False)
class TileFeatures:
    """Features of one slide's tiles.

    Attributes:
        values: (N, D) float32, finite, as stored: neither projected nor brought to unit norm.
        coordinates: The N tiles, row by row the same, or None where the file does not tell how large they are.
        encoder: Name of the model that made them, where said.
    """

    values: npt.NDArray[np.float32]
    coordinates: TileCoordinates | None
    encoder: str | None


def read_features(
    path: Path, coordinates: Path | None = None, *, name: str | None = None, downsamples: Sequence[float] | None = None
) -> TileFeatures:
    """Reads the features of a slide's tiles.

    TRIDENT and CLAM store ``features`` (N, D) beside ``coords``; AtlasPatch stores a group ``features`` with one dataset a model.

    Args:
        path: The file.
        coordinates: The file that the tiles were cut by. CLAM's feature files hold corners without a size; the corners are compared
            with those of this file.
        name: Which of several features to take (AtlasPatch).
        downsamples: See ``read_coordinates``.

    Returns:
        The features; which model made them and whether they are projected, no file proves.

    Raises:
        UnreadableFileError: It is no such file, is broken or hostile, or the two files do not fit each other.
        MissingDependencyError: h5py is not installed.
    """
    with opened(Path(path)) as file:
        dataset = _dataset(file, name)
        stored = table(dataset, "features")
        encoder = Attributes(dataset).text("encoder") or (name if name else None)
        corners = member(file, "coords")
        rows = None if corners is None else table(corners, "coords", (2, 5))
        tiles = coordinates_of(file, Path(path), downsamples) if rows is not None and _tells_size(corners, file) else None
    if stored.dtype.kind != "f" or not stored.shape[1]:
        raise refusal("features holds no floating-point numbers.", "Check that it is the file of features.")
    if rows is not None and len(rows) != len(stored):
        raise refusal(f"There are {len(stored)} features and {len(rows)} coordinates.", "Make the file anew.")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(stored, dtype=np.float32)
    if not np.isfinite(values).all():
        raise refusal("features holds numbers beyond 32 bits.", "Check that it is the file of features.")
    if tiles is None and coordinates is not None:
        tiles = read_coordinates(coordinates, downsamples)
        if len(tiles) != len(values) or (rows is not None and not np.array_equal(tiles.boxes[:, :2], rows[:, :2])):
            raise refusal("Its tiles are others than those of the file of coordinates.", "Give the file that they were cut by.")
    return TileFeatures(values, tiles, encoder)


def _dataset(file: Any, name: str | None) -> Any:
    """Returns ``features``, or the one asked for, or only one, of a group of that name."""
    found = member(file, "features")
    if not isinstance(found, h5py_module().Group):
        return found
    names = sorted(found)[:100]
    if name is None and len(names) != 1:
        raise refusal(f"It holds {len(names)} kinds of features.", "Say which one to take, by its name.")
    return member(found, names[0] if name is None else name)


def _tells_size(corners: Any, file: Any) -> bool:
    """Whether the file says how large its tiles are; CLAM's files of features do not."""
    said = Attributes(corners, file)
    return corners.shape[1] == 5 or any(key in said for key in ("patch_size", "patch_size_level0"))
