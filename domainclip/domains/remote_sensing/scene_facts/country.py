"""In which country a scene lies: a table of borders beside this file, and no answer where the table is too coarse to tell."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.scene_facts.arcs import decode_arc
from domainclip.domains.remote_sensing.scene_facts.fact import NO_PLACE, Fact, nothing

if TYPE_CHECKING:
    import shapely

TOLERANCE_KM = 5.0
"""98.6 % of the length of Natural Earth's land borders at 1:10 million lie within this of the table's (measured)."""

_KM_PER_DEGREE = 111.2
_CORNERS = 48


def country_fact(place: tuple[float, float] | None) -> Fact:
    """Says in which country a place lies.

    Args:
        place: Longitude and latitude (WGS 84) of the scene's middle.

    Returns:
        The word ``country``, when just one country of the table lies within ``TOLERANCE_KM``; else why there is none. Water does
        not count against a country: a place 2 km off a coast is of that country, one far out of none.
    """
    if place is None:
        return nothing(NO_PLACE)
    names = countries_near(*place)
    if not names:
        return nothing(f"no land of the table within {TOLERANCE_KM:g} km")
    if len(names) > 1:
        return nothing(f"within {TOLERANCE_KM:g} km of a border: {', '.join(names)}")
    return Fact({"country": names[0]})


def countries_near(longitude: float, latitude: float, km: float = TOLERANCE_KM) -> tuple[str, ...]:
    """Lists the countries of the table that a disc around a place touches, by name.

    Args:
        longitude: Degrees.
        latitude: Degrees.
        km: Radius of the disc.

    Raises:
        ValueError: The place is none on the earth.
    """
    import shapely

    if not (math.isfinite(longitude) and -90 <= latitude <= 90):
        raise ValueError(f"There is no place at longitude {longitude}, latitude {latitude}.")
    longitude = (longitude + 180) % 360 - 180
    tree, names = _table()
    high = km / _KM_PER_DEGREE
    # At the poles a small disc spans all longitudes.
    wide = min(180.0, high / max(math.cos(math.radians(min(90.0, abs(latitude) + high))), 1e-9))
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    found: set[str] = set()
    for turn in (-360.0, 0.0, 360.0):
        disc = shapely.Polygon(np.stack([longitude + turn + wide * np.cos(angles), latitude + high * np.sin(angles)], axis=1))
        found |= {names[part] for part in tree.query(disc, predicate="intersects")}
    return tuple(sorted(found))


@cache
def _table() -> tuple[shapely.STRtree, list[str]]:
    """The parts of all countries in a tree, and whose each is."""
    import shapely

    table = json.loads((Path(__file__).resolve().parent / "countries.json").read_text(encoding="utf-8"))
    scale, shift = np.asarray(table["scale"]), np.asarray(table["translate"])
    arcs = [decode_arc(text) * scale + shift for text in table["arcs"]]
    names, parts = [], []
    for entry in table["countries"]:
        for rings in entry["arcs"]:
            outer, *holes = [_closed(_ring(ring, arcs)) for ring in rings]
            names.append(entry["name"])
            parts.append(shapely.make_valid(shapely.Polygon(outer, holes)))
    shapely.prepare(parts)
    return shapely.STRtree(parts), names


def _ring(numbers: list[int], arcs: list[Any]) -> npt.NDArray[np.float64]:
    pieces = [arcs[number] if number >= 0 else arcs[~number][::-1] for number in numbers]
    return np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])


def _closed(ring: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Makes a ring of the sphere one of the plane: over the date line it runs on past 180, around a pole it is led along it."""
    ring = np.stack([np.unwrap(ring[:, 0], period=360.0), ring[:, 1]], axis=1)
    if abs(ring[-1, 0] - ring[0, 0]) < 180:
        return ring
    pole = math.copysign(90.0, ring[:, 1].mean())
    return np.concatenate([ring, [[ring[-1, 0], pole], [ring[0, 0], pole]]])
