"""Outlines of windows on the ground: in their own CRS, and in longitude and latitude as RFC 7946 wants them.

RFC 7946: WGS 84, longitude first; exterior rings counterclockwise (3.1.6); what crosses the antimeridian is cut there (3.1.9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.errors import UsageError
from domainclip.sample import Geo

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
TOLERANCE_PX = 0.1
_MOST_STEPS = 256
_METRES_PER_DEGREE = 111_320.0
_POLE_DEG = 90 - 1e-9
_FARTHEST_LON, _FARTHEST_LAT = 540.0, 92.5
"""Longitudes may run on for a turn; pixels that are centred on a pole reach beyond it."""
_LEAST_AREA_DEG2 = 1e-18
_ROUNDING_DEG = 1e-9


def corners(geos: Sequence[Geo], sizes: Sequence[tuple[int, int]]) -> Floats:
    """Returns the corners of images in their CRS: (N, 4, 2), first pixel's corner first, along the first row, then around.

    Args:
        geos: CRS and affine of the pixels of each.
        sizes: (width, height) in pixels.
    """
    affine = np.array([geo.transform for geo in geos], dtype=np.float64).reshape(-1, 2, 3)
    sides = np.array(sizes, dtype=np.float64).reshape(-1, 2)
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=np.float64)
    pixels = unit[None] * sides[:, None, :]
    found: Floats = np.einsum("nij,nkj->nki", affine[:, :, :2], pixels) + affine[:, None, :, 2]
    return found


def plane_polygons(outlines: Floats) -> npt.NDArray[np.object_]:
    """Returns polygons with straight sides, counterclockwise.

    Args:
        outlines: (N, 4, 2) from ``corners``.
    """
    import shapely

    turned = _signed_areas(outlines) < 0
    polygons: npt.NDArray[np.object_] = shapely.polygons(np.where(turned[:, None, None], outlines[:, ::-1], outlines))
    return polygons


def lonlat_polygons(outlines: Floats, crs: str, sizes: Sequence[tuple[int, int]]) -> npt.NDArray[np.object_]:
    """Returns polygons in WGS 84 longitude and latitude; those that cross the antimeridian in two parts or more.

    A straight side in the CRS is none in longitude and latitude: points are added to it until it is followed to within a tenth of
    the image's pixel, 256 a side at most (near a pole). An image that covers a pole reaches up to it along the antimeridian.

    Args:
        outlines: (N, 4, 2) from ``corners``.
        crs: Their CRS.
        sizes: (width, height) in pixels, for the tolerance.

    Returns:
        (N,) Polygons and MultiPolygons, exterior rings counterclockwise, longitudes within -180..180.

    Raises:
        UsageError: PROJ does not know the CRS, or an outline lies where the CRS has no longitude and latitude.
    """
    to_lonlat, geographic = _transformer(crs)
    found = np.empty(len(outlines), dtype=object)
    waiting = np.arange(len(outlines))
    steps = 1
    while len(waiting):
        rings = _with_steps(outlines[waiting], steps)
        followed = _LonLat(rings, to_lonlat, geographic)
        if not followed.is_on_earth():
            raise UsageError(
                "Windows were to be placed in longitude and latitude.",
                "Some lie where their CRS has none: the affine or the CRS is wrong.",
                "Look at the scene with `domainclip inspect`.",
            )
        halfway = _with_steps(outlines[waiting], 2 * steps)[:, 1::2]
        pixels = np.array(sizes, dtype=np.float64)[waiting]
        done = followed.off_metres(halfway) <= TOLERANCE_PX * followed.pixel_metres(pixels)
        if steps >= _MOST_STEPS:
            done[:] = True
        found[waiting[done]] = followed.polygons(done)
        waiting, steps = waiting[~done], 2 * steps
    return found


def is_lonlat(crs: str) -> bool:
    """Says whether coordinates of a CRS are longitude and latitude of WGS 84, whatever their order in its definition.

    Raises:
        UsageError: PROJ does not know the CRS.
    """
    import pyproj

    return bool(_crs(crs).equals(pyproj.CRS("OGC:CRS84"), ignore_axis_order=True))


class _LonLat:
    """Rings brought to longitude and latitude, without jumps at the antimeridian."""

    def __init__(self, rings: Floats, to_lonlat: Callable[[Floats], tuple[Floats, Floats]], geographic: bool) -> None:
        self._to_lonlat, self._geographic = to_lonlat, geographic
        self.lon, self.lat = to_lonlat(rings)
        if geographic:
            # x is a longitude that runs on beyond 180: the datum moves it a little, and nothing wraps it.
            self.lon = rings[..., 0] + _wrapped(self.lon - rings[..., 0])
            self._steps = np.roll(self.lon, -1, axis=1) - self.lon
            self._odd = np.zeros(len(rings), dtype=bool)
            return
        self._steps = _wrapped(np.roll(self.lon, -1, axis=1) - self.lon)
        around = np.abs(self._steps.sum(axis=1)) > 180
        self._odd = around | (np.abs(self.lat) > _POLE_DEG).any(axis=1)
        self.lon = self.lon[:, :1] + np.concatenate([np.zeros((len(rings), 1)), np.cumsum(self._steps[:, :-1], axis=1)], axis=1)

    def is_on_earth(self) -> bool:
        """Says whether all points have a longitude and a latitude; metres taken for degrees are far out of their range."""
        places = np.stack([self.lon / _FARTHEST_LON, self.lat / _FARTHEST_LAT])
        on_earth = np.isfinite(places).all() and (np.abs(places) <= 1).all()
        return bool(on_earth and (self._geographic or not (np.abs(self.lat) > _POLE_DEG).all(axis=1).any()))

    def off_metres(self, halfway: Floats) -> Floats:
        """Returns how far the straight pieces of each ring are from where their middles belong, (N,)."""
        lon, lat = self._to_lonlat(halfway)
        straight = (self.lat + np.roll(self.lat, -1, axis=1)) / 2
        off = lon - (self.lon + self._steps / 2)
        east = (off if self._geographic else _wrapped(off)) * np.cos(np.radians(lat))
        if self._geographic:
            east = _wrapped(east)
        largest: Floats = np.hypot(east, lat - straight).max(axis=1) * _METRES_PER_DEGREE
        return largest

    def pixel_metres(self, sizes: Floats) -> Floats:
        """Returns the length of a pixel on the ground, (N,): the rings' length over that in pixels."""
        north = np.roll(self.lat, -1, axis=1) - self.lat
        east = self._steps * np.cos(np.radians(self.lat))
        length: Floats = np.hypot(east, north).sum(axis=1) * _METRES_PER_DEGREE / (2 * sizes.sum(axis=1))
        return length

    def polygons(self, chosen: Bools) -> npt.NDArray[np.object_]:
        """Returns the polygons of some rings."""
        import shapely

        rings = np.stack([self.lon, np.clip(self.lat, -90, 90)], axis=-1)
        found = np.empty(len(rings), dtype=object)
        plain = chosen & ~self._odd
        if plain.any():
            found[plain] = shapely.polygons(rings[plain])
        for number in np.flatnonzero(chosen & self._odd):
            found[number] = shapely.Polygon(_around_pole(rings[number], self._steps[number]))
        return np.array([_cut(one) for one in found[chosen]], dtype=object)


def _around_pole(ring: Floats, steps: Floats) -> list[tuple[float, float]]:
    """Gives a ring that covers or touches a pole its way along it: every point of the pole is the same, whatever its longitude.

    The way along the pole makes up for the turns elsewhere, so that the ring closes.
    """
    at_pole = np.abs(ring[:, 1]) > _POLE_DEG
    pole = 90.0 if ring[:, 1].mean() > 0 else -90.0
    if not at_pole.any():
        points = [(float(lon), float(lat)) for lon, lat in ring]
        end = points[-1][0] + float(steps[-1])  # a whole turn from where it began
        return [*points, (end, points[0][1]), (end, pole), (points[0][0], pole)]
    # Begin behind the pole; then the longitudes run on until it comes again.
    first = int(np.flatnonzero(at_pole & ~np.roll(at_pole, -1))[0]) + 1
    turned = np.roll(ring, -first, axis=0)
    kept = turned[np.abs(turned[:, 1]) <= _POLE_DEG]
    lons = kept[0, 0] + np.concatenate([[0.0], np.cumsum(_wrapped(np.diff(kept[:, 0])))])
    points = [(float(lon), float(lat)) for lon, lat in zip(lons, kept[:, 1], strict=True)]
    return [*points, (points[-1][0], pole), (points[0][0], pole)]


def _cut(polygon: Any) -> Any:
    """Cuts a polygon whose longitudes run on at the antimeridian, and turns its rings counterclockwise."""
    import shapely
    from shapely import affinity
    from shapely.geometry import polygon as ring_order

    if not polygon.is_valid:
        raise UsageError(
            "Windows were to be placed in longitude and latitude.",
            "The outline of one crosses itself there: it lies across a break of its CRS.",
            "Use smaller windows, or another CRS.",
        )
    west, _, east, _ = polygon.bounds
    parts = []
    for turn in range(int(np.floor((west + 180) / 360)), int(np.ceil((east - 180) / 360)) + 1):
        strip = shapely.box(-180 + 360 * turn, -90, 180 + 360 * turn, 90)
        inside = polygon if west >= -180 and east <= 180 else polygon.intersection(strip)
        moved = affinity.translate(inside, -360.0 * turn)
        parts += [part for part in getattr(moved, "geoms", [moved]) if part.geom_type == "Polygon" and part.area > _LEAST_AREA_DEG2]
    if len(parts) > 1:
        # A ring around the earth ends where it began, and rounding may have cut off a splinter at the antimeridian.
        whole = shapely.union_all(parts, grid_size=_ROUNDING_DEG)
        parts = list(getattr(whole, "geoms", [whole]))
    ordered = [ring_order.orient(part) for part in parts]
    return ordered[0] if len(ordered) == 1 else shapely.MultiPolygon(ordered)


def _with_steps(outlines: Floats, steps: int) -> Floats:
    """Divides every side into equal steps: (N, 4, 2) to (N, 4 * steps, 2)."""
    share = np.arange(steps)[None, None, :, None] / steps
    begin, end = outlines[:, :, None, :], np.roll(outlines, -1, axis=1)[:, :, None, :]
    points: Floats = begin + share * (end - begin)
    return points.reshape(len(outlines), 4 * steps, 2)


def _wrapped(degrees: Floats) -> Floats:
    turned: Floats = (degrees + 180) % 360 - 180
    return turned


def _signed_areas(rings: Floats) -> Floats:
    after = np.roll(rings, -1, axis=1)
    areas: Floats = (rings[..., 0] * after[..., 1] - after[..., 0] * rings[..., 1]).sum(axis=1) / 2
    return areas


def _crs(name: str) -> Any:
    import pyproj

    try:
        return pyproj.CRS.from_user_input(name)
    except pyproj.exceptions.CRSError as error:
        raise UsageError(
            "Windows were to be placed on the ground.",
            f"PROJ does not know their CRS ({name[:60]}).",
            "Give the scene another CRS.",
        ) from error


def _transformer(crs: str) -> tuple[Callable[[Floats], tuple[Floats, Floats]], bool]:
    import pyproj

    own = _crs(crs)
    transformer = pyproj.Transformer.from_crs(own, "OGC:CRS84", always_xy=True)

    def to_lonlat(points: Floats) -> tuple[Floats, Floats]:
        lon, lat = transformer.transform(points[..., 0], points[..., 1])
        return np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)

    degrees = own.is_geographic and abs(own.axis_info[0].unit_conversion_factor - np.pi / 180) < 1e-9
    return to_lonlat, bool(degrees)
