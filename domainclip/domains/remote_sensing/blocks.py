"""Spatial blocks: cells on the ground that are the same for all scenes, so that neighbours never cross a split."""

from __future__ import annotations

import math

import numpy as np

from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.projection import all_finite, projected
from domainclip.domains.remote_sensing.raster import unreadable
from domainclip.sample import Window

_CRS = "EPSG:6933"  # cylindrical, equal area (EASE-Grid 2.0): cells have one area everywhere
_PER_SIDE = 4


def block_of(window: Window, grid: Grid, side_m: float) -> str | None:
    """Returns the cell that a window lies in as a whole, or None where it lies across two.

    Windows of one cell may overlap on the ground, from whatever scene; windows of two cells cannot.

    Args:
        window: In pixels of the grid.
        grid: Of its scene.
        side_m: Of a cell, in metres of EPSG:6933 (Roberts et al., Ecography 2017, on why neighbours must stay together).

    Raises:
        UnreadableFileError: The scene has no place, or one beyond 86 degrees of latitude.
    """
    if grid.crs is None or grid.transform is None:
        raise unreadable(
            "It has no CRS, and reading.group_by=block needs its place.", "Georeference it, or set reading.group_by=scene."
        )
    # The edge bends on the way to the other CRS: some points of it beside the corners.
    steps = np.linspace(0, 1, _PER_SIDE + 1)
    edge = [(t, 0.0) for t in steps] + [(t, 1.0) for t in steps] + [(0.0, t) for t in steps] + [(1.0, t) for t in steps]
    places = [grid.corner(window.x + u * window.width, window.y + v * window.height) for u, v in edge]
    spots = projected(grid.crs, _CRS, places)
    if not all_finite(spots):
        raise unreadable(f"It lies outside the area of {_CRS}.", "Set reading.group_by=scene for scenes at the poles.")
    columns, rows = {math.floor(x / side_m) for x, _ in spots}, {math.floor(y / side_m) for _, y in spots}
    if len(columns) > 1 or len(rows) > 1:
        return None
    return f"block {columns.pop()} {rows.pop()} of {side_m:g} m"
