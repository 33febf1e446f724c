"""Coordinates from one CRS to another; what a projection does not reach is infinite, never an error of a library."""

from __future__ import annotations

import math
from collections.abc import Sequence


def projected(source: str, target: str, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns places in another CRS, x or longitude first.

    Args:
        source: CRS of the places.
        target: The other.
        places: (x, y).

    Returns:
        (x, y) of each; infinite where the projection has no such place, or nothing leads from one CRS to the other (a building
        site's own system).
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        xs, ys = transform(source, target, [x for x, _ in places], [y for _, y in places])
    except (RasterioError, CPLE_BaseError):  # one of them lies outside the projection
        half = len(places) // 2
        if not half:
            return [(math.inf, math.inf)] * len(places)
        return [*projected(source, target, places[:half]), *projected(source, target, places[half:])]
    return list(zip(xs, ys, strict=True))


def lonlat(source: str, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns longitudes (-180 up to 180) and latitudes in degrees (WGS 84); see ``projected``."""
    return [((x + 180) % 360 - 180 if math.isfinite(x) else x, y) for x, y in projected(source, "EPSG:4326", places)]


def all_finite(places: Sequence[tuple[float, float]]) -> bool:
    """Says whether every place is one."""
    return all(math.isfinite(x) and math.isfinite(y) for x, y in places)
