"""A sample's place on the ground: its centroid, the length and direction of a pixel's step, its outline."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainclip.errors import UnreadableFileError
from domainclip.sample import Geo

if TYPE_CHECKING:
    import pyproj

WGS84 = "EPSG:4326"
_EDGE_POINTS = 8


@lru_cache(maxsize=32)
def projector(source: str, target: str) -> pyproj.Transformer:
    """Returns the transformation between two CRS, x (or longitude) first.

    Raises:
        UnreadableFileError: PROJ does not know one of them.
    """
    import pyproj

    try:
        return pyproj.Transformer.from_crs(source, target, always_xy=True)
    except pyproj.exceptions.ProjError as error:  # CRSError is one
        raise UnreadableFileError(
            "A scene was to be placed on the ground.",
            f"PROJ does not understand its CRS ({source[:40]} to {target[:40]}).",
            "Give it a CRS with an EPSG code: gdal_edit.py -a_srs EPSG:....",
        ) from error


def on_ground(geo: Geo, columns: npt.ArrayLike, rows: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns longitudes and latitudes (WGS 84, degrees) of places in a picture; not finite outside the CRS's reach.

    Args:
        geo: CRS and affine.
        columns: In pixels from the left edge.
        rows: In pixels from the upper edge.
    """
    a, b, c, d, e, f = geo.transform
    x, y = np.asarray(columns, float), np.asarray(rows, float)
    longitude, latitude = projector(geo.crs, WGS84).transform(a * x + b * y + c, d * x + e * y + f)
    return np.atleast_1d((np.asarray(longitude) + 180) % 360 - 180), np.atleast_1d(np.asarray(latitude, float))


def centroid(geo: Geo | None, shape: tuple[int, int]) -> tuple[float, float] | None:
    """Returns longitude and latitude of the middle of a sample, or None where it has no place.

    Args:
        geo: CRS and affine of the sample's own pixels.
        shape: (rows, columns).
    """
    if geo is None:
        return None
    longitude, latitude = on_ground(geo, shape[1] / 2, shape[0] / 2)
    if not (math.isfinite(longitude[0]) and math.isfinite(latitude[0])):
        return None
    return float(longitude[0]), float(latitude[0])


def steps(geo: Geo, shape: tuple[int, int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Returns what a step of one column, and of one row, is on the ground at the middle: (east, north) in metres.

    Measured on the ellipsoid, so that degrees and projections that stretch (Web Mercator) come out right. None where the middle
    has no place.
    """
    import pyproj

    column, row = shape[1] / 2, shape[0] / 2
    longitudes, latitudes = on_ground(geo, [column, column + 1, column], [row, row, row + 1])
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return None
    start = [longitudes[0]] * 2, [latitudes[0]] * 2
    azimuth, _, length = pyproj.Geod(ellps="WGS84").inv(*start, longitudes[1:], latitudes[1:])
    angle = np.radians(azimuth)
    vectors = np.stack([np.sin(angle) * length, np.cos(angle) * length], axis=1)
    return vectors[0], vectors[1]


def outline(shape: tuple[int, int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns columns and rows along a picture's edge, with points between the corners since edges bend in other CRS."""
    share = np.arange(_EDGE_POINTS) / _EDGE_POINTS
    one, zero = np.ones_like(share), np.zeros_like(share)
    columns = np.concatenate([share, one, 1 - share, zero]) * shape[1]
    rows = np.concatenate([zero, share, one, 1 - share]) * shape[0]
    return columns, rows
