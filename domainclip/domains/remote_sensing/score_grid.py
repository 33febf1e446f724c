"""A scene's windows laid on one grid of cells, and numbers of windows averaged over the cells that they cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainclip.errors import UsageError
from domainclip.sample import Geo

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
MOST_CELLS = 2**24
_SAME_PX = 1e-3
_FINEST_PER_PX = 16
_TURNED_PX = 1e-2
_UNIT = 2.0**-36
"""Numbers are added as whole multiples of 2**-36, so that sums are exact: equal means stay equal, and no order matters."""
_ASKED = "The windows of a scene were to be laid on one grid."


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Cells of one scene.

    Attributes:
        geo: CRS and affine of the cells; they have the directions of the scene's own pixels.
        shape: (rows, columns).
        boxes: (N, 4) int64: left, top, right, bottom of each window in cells, right and bottom exclusive.
        aligned: The sides of all windows lie between cells; else a cell belongs to the windows that cover its middle.
    """

    geo: Geo
    shape: tuple[int, int]
    boxes: Counts
    aligned: bool

    def covered(self) -> Counts:
        """Returns how many windows cover each cell, (rows, columns)."""
        return self._added(np.ones(len(self.boxes), dtype=np.int64))

    def mean(self, values: Floats, covered: Counts) -> npt.NDArray[np.float32]:
        """Averages numbers of windows over the windows that cover each cell.

        Args:
            values: (N,) between 0 and 1.
            covered: From ``covered``.

        Returns:
            (rows, columns) float32, NaN where no window is.
        """
        added = self._added(np.rint(values / _UNIT).astype(np.int64))
        with np.errstate(invalid="ignore"):
            found: npt.NDArray[np.float32] = (added * _UNIT / covered).astype(np.float32)
        return found

    def _added(self, units: Counts) -> Counts:
        """Adds each window's number to its cells: written at its four corners, then summed along both axes."""
        rows, columns = self.shape
        left, top, right, bottom = self.boxes.T
        flat = np.concatenate([y * (columns + 1) + x for y, x in ((top, left), (bottom, right), (top, right), (bottom, left))])
        signed = np.concatenate([units, units, -units, -units])
        # Whole numbers below 2**53 stay exact in the float64 of bincount.
        differences = np.bincount(flat, signed, (rows + 1) * (columns + 1)).astype(np.int64).reshape(rows + 1, columns + 1)
        return differences.cumsum(axis=0).cumsum(axis=1)[:rows, :columns]


def lay_grid(geos: Sequence[Geo], sizes: Sequence[tuple[int, int]], most_cells: int = MOST_CELLS) -> Grid:
    """Finds the coarsest grid on which the sides of all windows align.

    Where that would be finer than a sixteenth of a pixel, cells are the windows' own pixels; where there would be more than
    ``most_cells``, a cell becomes a whole multiple. It then takes the windows that cover its middle: these are off by half a cell
    at most.

    Args:
        geos: Of the windows' pixels, after any resampling.
        sizes: (width, height) of the windows in these pixels.
        most_cells: See above.

    Raises:
        UsageError: The windows have different CRSs or directions, or lie too far apart for a grid.
    """
    systems = len({geo.crs for geo in geos})
    if systems > 1:
        remedy = "Read the scene in one system; or use --format geojson or geoparquet, which take several."
        raise UsageError(_ASKED, f"They are in {systems} coordinate systems.", remedy)
    edges, (a, b, c, d, e, f) = _edges(geos, sizes)
    start, length = edges[:, :2].min(axis=0), edges[:, 2:].max(axis=0) - edges[:, :2].min(axis=0)
    steps = [_common_step(edges[:, [axis, axis + 2]] - start[axis]) for axis in (0, 1)]
    cell, aligned = _cells(length, steps, most_cells)
    if not aligned and (2 * cell > (edges[:, 2:] - edges[:, :2]).min(axis=0) + _SAME_PX).any():
        found = f"They lie so far apart that {most_cells} cells are too few to show each."
        raise UsageError(_ASKED, found, "Use --format geojson or geoparquet.")
    relative = (edges - np.tile(start, 2)) / np.tile(cell, 2)
    boxes = np.ceil(relative - 0.5 - _SAME_PX).astype(np.int64)
    origin = (c + a * start[0] + b * start[1], f + d * start[0] + e * start[1])
    x, y = float(cell[0]), float(cell[1])
    geo = Geo(geos[0].crs, (a * x, b * y, float(origin[0]), d * x, e * y, float(origin[1])))
    return Grid(geo, (int(boxes[:, 3].max()), int(boxes[:, 2].max())), boxes, aligned)


def _edges(geos: Sequence[Geo], sizes: Sequence[tuple[int, int]]) -> tuple[Floats, tuple[float, ...]]:
    """Returns left, top, right and bottom of each window (N, 4) in pixels of the first, and the first's affine."""
    affine = np.array([geo.transform for geo in geos], dtype=np.float64).reshape(-1, 2, 3)
    sides = np.array(sizes, dtype=np.float64).reshape(-1, 2)
    base = affine[0, :, :2]
    if not np.isfinite(affine).all() or abs(np.linalg.det(base)) == 0:
        raise UsageError(_ASKED, "The affine of one spans no area.", "Mend the scene's geotransform.")
    inverse = np.linalg.inv(base)
    scale = inverse @ affine[:, :, :2]
    turned = np.abs(scale[:, [0, 1], [1, 0]]).max(axis=1) * sides.max(axis=1)
    if (turned > _TURNED_PX).any() or (scale[:, [0, 1], [0, 1]] <= 0).any():
        found = "They are turned or mirrored against each other."
        raise UsageError(_ASKED, found, "Use --format geojson or geoparquet.")
    start = (affine[:, :, 2] - affine[0, :, 2]) @ inverse.T
    edges = np.concatenate([start, start + scale[:, [0, 1], [0, 1]] * sides], axis=1)
    return edges, geos[0].transform


def _common_step(places: Floats) -> float | None:
    """Returns the largest step of which all places are whole multiples, None where that is under a sixteenth of a pixel.

    It divides the smallest distance between two places, so its halves, thirds, ... are tried; Euclid's way would let the noise of
    large coordinates grow.
    """
    sides = np.unique(np.round(places, 6))
    distances = np.diff(sides)
    smallest = float(distances[distances > _SAME_PX].min())
    length = float(places.max())
    for part in range(1, int(smallest * _FINEST_PER_PX) + 1):
        step = length / max(1, round(length * part / smallest))
        if (np.abs(sides - step * np.rint(sides / step)) <= _SAME_PX).all():
            return step
    return None


def _cells(length: Floats, steps: Sequence[float | None], most_cells: int) -> tuple[Floats, bool]:
    """Returns the sides of a cell in pixels, and whether all windows align on them."""
    own = np.array([1.0 if step is None else step for step in steps])
    factors = np.ones(2)
    while np.prod(np.ceil(length / (own * factors) - _SAME_PX)) > most_cells:
        finer = (own * factors).min()
        factors[own * factors <= finer + _SAME_PX] += 1  # the finer side first, so that cells come nearer to squares
    return own * factors, None not in steps and bool((factors == 1).all())
