"""Which groups of a set show the same ground: their images must not lie on two sides of a split."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

_SHARE = 0.01
"""Of the smaller image: neighbours that touch, or whose borders are drawn by two CRSs, share no ground."""
_AT_ONCE = 20_000
_POLAR_DEG, _BOUND_DEG = 82.0, 86.0
_EDGE = np.array([(0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1), (0.5, 1), (0, 1), (0, 0.5)])

Corners = npt.NDArray[np.float64]


def same_ground(tables: Sequence[pa.Table]) -> list[tuple[str, str]]:
    """Finds groups whose images overlap on the ground by more than 1 % of the smaller one, whatever their CRSs.

    Args:
        tables: Columns ``geo`` (JSON, or null), ``height``, ``width`` and ``group`` of every image.

    Returns:
        Pairs of groups, each once, sorted; empty where no image has a place.
    """
    groups, corners = _placed(tables)
    if len(set(groups)) < 2:
        return []
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    names = list(numbers)
    of = np.array([numbers[name] for name in groups])
    found: set[tuple[str, str]] = set()
    for chosen, flat in _flattened(corners):
        for one, other in _overlaps(flat, of[chosen]):
            found.add((min(names[one], names[other]), max(names[one], names[other])))
    return sorted(found)


def _placed(tables: Sequence[pa.Table]) -> tuple[list[str], Corners]:
    """Groups and outlines, (N, 8, 2) in degrees, of the images that have a place."""
    groups: list[str] = []
    outlines: dict[str, list[tuple[int, Corners]]] = {}
    for table in tables:
        columns = [table[name].to_pylist() for name in ("geo", "height", "width", "group")]
        for geo, height, width, group in zip(*columns, strict=True):
            if geo is None:
                continue
            told: dict[str, Any] = json.loads(geo)
            a, b, c, d, e, f = told["transform"]
            place = _EDGE * (width, height) @ np.array([(a, d), (b, e)]) + (c, f)
            outlines.setdefault(told["crs"], []).append((len(groups), place))
            groups.append(group)
    corners = np.full((len(groups), len(_EDGE), 2), np.nan)
    for crs, some in outlines.items():
        corners[[number for number, _ in some]] = _lonlat(crs, np.stack([place for _, place in some]))
    return groups, corners


def _lonlat(crs: str, places: Corners) -> Corners:
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    except ProjError:  # a local system of coordinates: nothing of it is known to overlap
        return np.full_like(places, np.inf)
    longitudes, latitudes = transformer.transform(places[..., 0], places[..., 1])
    return np.stack([longitudes, latitudes], axis=-1)


def _flattened(corners: Corners) -> Iterator[tuple[npt.NDArray[np.int64], Corners]]:
    """Outlines on planes where they are simple: longitude and latitude away from the poles, a polar view near each.

    What crosses the date line comes twice, once on either side.
    """
    whole = np.isfinite(corners).all(axis=(1, 2))
    far = whole & (abs(corners[..., 1]) <= _BOUND_DEG).all(axis=1)
    numbers = np.flatnonzero(far)
    flat = corners[numbers].copy()
    flat[..., 0] = (flat[..., 0] - flat[:, :1, 0] + 180) % 360 - 180 + flat[:, :1, 0]
    low, high = flat[..., 0].min(axis=1) < -180, flat[..., 0].max(axis=1) > 180
    east, west = flat[low] + (360.0, 0.0), flat[high] - (360.0, 0.0)
    yield np.concatenate([numbers, numbers[low], numbers[high]]), np.concatenate([flat, east, west])
    for sign in (1, -1):
        numbers = np.flatnonzero(whole & (sign * corners[..., 1] > _POLAR_DEG).all(axis=1))
        away, angle = 90 - abs(corners[numbers, :, 1]), np.radians(corners[numbers, :, 0])
        yield numbers, np.stack([away * np.cos(angle), away * np.sin(angle)], axis=-1)


def _overlaps(flat: Corners, groups: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    import shapely

    if not len(flat):
        return
    outlines = shapely.polygons(flat)
    areas = shapely.area(outlines)
    tree = shapely.STRtree(outlines)
    known: set[tuple[int, int]] = set()
    for start in range(0, len(outlines), _AT_ONCE):
        one, other = tree.query(outlines[start : start + _AT_ONCE])
        one = one + start
        keep = (one < other) & (groups[one] != groups[other])
        one, other = one[keep], other[keep]
        pairs = np.stack([groups[one], groups[other]], axis=1)
        fresh = np.array([(int(a), int(b)) not in known for a, b in pairs], dtype=bool)
        one, other = one[fresh], other[fresh]
        shared = shapely.area(shapely.intersection(outlines[one], outlines[other]))
        for place in np.flatnonzero(shared > _SHARE * np.minimum(areas[one], areas[other])):
            pair = (int(groups[one[place]]), int(groups[other[place]]))
            if pair not in known:
                known.add(pair)
                yield pair
