"""Maps of classes in cells of a tenth of a degree: made from finer ones, and looked up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CELLS_PER_DEGREE = 10
WATER = 0
_DOMINANT = 0.6
_LEAST_LAND = 0.1

Map = npt.NDArray[np.uint8]


def coarsened(fine: Map, classes: int) -> Map:
    """Returns the most frequent class of each cell's land.

    Args:
        fine: (180 n, 360 n) with n a multiple of 10, from north and -180 degrees: classes from 1, 0 water.
        classes: How many there are.

    Returns:
        (1800, 3600): 0 where under a tenth of the cell is land, ``classes + 1`` where no class has 60 % of its land.
    """
    size = fine.shape[0] // (180 * CELLS_PER_DEGREE)
    # A degree after the other: the counts of all cells at once would take a gigabyte.
    bands = range(0, fine.shape[0], size * CELLS_PER_DEGREE)
    return np.concatenate([_coarsened(fine[row : row + size * CELLS_PER_DEGREE], size, classes) for row in bands])


def _coarsened(fine: Map, size: int, classes: int) -> Map:
    rows, columns = (side // size for side in fine.shape)
    cells = fine.reshape(rows, size, columns, size)
    best, most = np.zeros((rows, columns), np.uint8), np.zeros((rows, columns), np.int32)
    there = np.flatnonzero(np.bincount(fine.ravel(), minlength=classes + 1))
    if not there[-1]:  # nothing but water
        return best
    land = np.count_nonzero(cells, axis=(1, 3))
    for number in there[there > WATER]:
        count = np.count_nonzero(cells == number, axis=(1, 3))
        best[count > most] = number
        most = np.maximum(most, count)
    best[most < _DOMINANT * land] = classes + 1
    best[land < _LEAST_LAND * size * size] = WATER
    return best


def cell_of(coarse: Map, longitude: float, latitude: float) -> int:
    """Returns the number of the map's cell at a place.

    Args:
        coarse: As ``coarsened`` returns it.
        longitude: Degrees (WGS 84), also beyond 180.
        latitude: Degrees (WGS 84).

    Raises:
        ValueError: The place is none on the earth.
    """
    if not (np.isfinite(longitude) and -90 <= latitude <= 90):
        raise ValueError(f"There is no place at longitude {longitude}, latitude {latitude}.")
    rows, columns = coarse.shape
    row = min(int((90 - latitude) / 180 * rows), rows - 1)
    return int(coarse[row, int((longitude + 180) % 360 / 360 * columns) % columns])
