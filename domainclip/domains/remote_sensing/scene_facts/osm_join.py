"""Which tagged features lie in a scene, which of them it is about, and captions that say so (SkyScript's idea, words ours)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from domainclip.domains.remote_sensing.scene_facts.fact import GENERATOR, NO_PLACE, Fact, nothing
from domainclip.domains.remote_sensing.scene_facts.ground import WGS84, centroid, on_ground, outline, projector
from domainclip.domains.remote_sensing.scene_facts.nouns import counted, listed
from domainclip.domains.remote_sensing.scene_facts.osm_table import TagTable
from domainclip.sample import Caption, Geo

LICENCE = "ODbL-1.0"
ATTRIBUTION = "Tags: © OpenStreetMap contributors, ODbL 1.0"
_LEAST_AREA = 0.01
_LEAST_LENGTH = 0.1
_LEAST_PX = 4
_SIDE_DEG = 0.1
_MOST_KINDS = 6


@dataclass(frozen=True, slots=True)
class Hit:
    """One feature in a window.

    Attributes:
        name: What it is called.
        number: Its place in the table.
        area: Share of the window that it covers, 0 to 1.
        length: Metres of a line inside the window.
        holds_middle: It covers the window's middle.
        central: Share of the middle ninth that it covers; of a line, length inside it by the ninth's side; 1 for a point in it.
        size: Of the whole feature in square metres; 0 for lines and points.
    """

    name: str
    number: int
    area: float
    length: float
    holds_middle: bool
    central: float
    size: float


def hits(table: TagTable, geo: Geo, shape: tuple[int, int]) -> list[Hit]:
    """Finds the features that a window shows.

    Measured in an equal-area projection about the window, so that date line, poles and degrees do no harm. Left out are areas of
    less than four pixels, parts of areas cut by the edge that cover less than 1 % of the window, and lines that run for less than
    a tenth of its side. Points count when they lie in it.

    Args:
        table: From ``read_tags``.
        geo: CRS and affine of the window's pixels.
        shape: (rows, columns).

    Returns:
        In the order of the table; empty where the window has no place.
    """
    import shapely

    middle = centroid(geo, shape)
    if middle is None:
        return []
    # Whole degrees, so that the windows of a scene share one projection; areas are exact wherever its centre lies.
    plane = f"+proj=laea +lat_0={round(middle[1])} +lon_0={round(middle[0])} +datum=WGS84 +units=m +type=crs"
    project = projector(WGS84, plane)
    edge = on_ground(geo, *outline(shape))
    if not np.isfinite(edge).all():
        return []
    window = shapely.Polygon(np.stack(project.transform(*edge), axis=1)).buffer(0)
    ninth = _ninth(geo, shape, project)
    centre = shapely.Point(*project.transform(*middle))
    pole = shapely.Point(*project.transform(0.0, 90.0 if middle[1] > 0 else -90.0))
    least = _LEAST_PX * window.area / (shape[0] * shape[1])
    found = []
    for number in _candidates(table, edge, middle, window.contains(pole)):
        # Sides are straight in degrees, so they bend in the plane.
        feature = shapely.segmentize(table.shapes[number], _SIDE_DEG)
        feature = shapely.transform(feature, lambda points: np.stack(project.transform(*points.T), axis=1))
        if not np.isfinite(shapely.get_coordinates(feature)).all():
            continue  # on the other side of the earth
        feature = shapely.make_valid(feature)
        if feature.area and feature.area < least:
            continue
        if (hit := _hit(table.names[number], number, feature, window, ninth, centre)) is not None:
            found.append(hit)
    return found


def _ninth(geo: Geo, shape: tuple[int, int], project: Any) -> Any:
    """The middle third of width and height, in the plane."""
    import shapely

    columns, rows = outline((1, 1))
    edge = on_ground(geo, (columns + 1) / 3 * shape[1], (rows + 1) / 3 * shape[0])
    return shapely.Polygon(np.stack(project.transform(*edge), axis=1)).buffer(0)


def _candidates(table: TagTable, edge: tuple[Any, Any], middle: tuple[float, float], polar: bool) -> list[int]:
    """Numbers of features whose boxes touch the window's, on whichever turn of the globe they are written."""
    import shapely

    longitudes = middle[0] + (edge[0] - middle[0] + 180) % 360 - 180
    west, east, south, north = longitudes.min(), longitudes.max(), edge[1].min(), edge[1].max()
    if polar:
        west, east = -180.0, 180.0
        south, north = (south, 90.0) if middle[1] > 0 else (-90.0, north)
    boxes = [shapely.box(west + turn, south, east + turn, north) for turn in (-360.0, 0.0, 360.0)]
    return sorted({int(number) for box in boxes for number in table.tree.query(box)})


def _hit(name: str, number: int, feature: Any, window: Any, ninth: Any, centre: Any) -> Hit | None:
    inside = feature.intersection(window)
    if inside.is_empty:
        return None
    side, ninth_side = window.area**0.5, ninth.area**0.5
    area, length = inside.area / window.area, inside.length if inside.area == 0 else 0.0
    if inside.area == 0 and feature.length > 0 and (feature.area > 0 or length == 0):
        return None  # it only touches the edge
    if (0 < area < _LEAST_AREA and feature.area > inside.area * 1.001) or 0 < length < _LEAST_LENGTH * side:
        return None
    core = inside.intersection(ninth)
    if feature.area > 0:
        central = core.area / ninth.area
    else:
        central = core.length / ninth_side if feature.length > 0 else float(not core.is_empty)
    return Hit(name, number, area, length, bool(feature.area > 0 and feature.covers(centre)), central, feature.area)


def focus_of(found: Sequence[Hit]) -> Hit | None:
    """Returns what a window is about: the smallest area that holds its middle, else what fills most of the middle ninth."""
    around = [hit for hit in found if hit.holds_middle]
    if around:
        return min(around, key=lambda hit: (hit.size, hit.number))
    central = [hit for hit in found if hit.central > 0]
    return max(central, key=lambda hit: (hit.central, -hit.number)) if central else None


def tags_fact(table: TagTable, geo: Geo | None, shape: tuple[int, int]) -> Fact:
    """Says what the mapped features of a window are.

    Returns:
        Words ``focus`` and ``surroundings``, numbers ``tags`` (the focus and its tags, all names with their counts), and captions
        with the licence of OpenStreetMap's data: one of the focus, one with what surrounds it (the six commonest kinds by area
        and length; the numbers hold all).
    """
    if geo is None:
        return nothing(NO_PLACE)
    found = hits(table, geo, shape)
    if not found:
        return nothing("no tagged feature lies in it", tags={"counts": {}})
    focus = focus_of(found)
    others = [hit for hit in found if hit is not focus]
    weight: Counter[str] = Counter()
    for hit in others:
        weight[hit.name] += max(hit.area, 1e-6 * hit.length)  # type: ignore[assignment]
    counts = Counter(hit.name for hit in others)
    ranked = sorted(counts, key=lambda name: (-weight[name], name))[:_MOST_KINDS]
    around = listed([counted(name, counts[name]) for name in ranked]) if ranked else ""
    texts = [f"an overhead image of {counted(focus.name, 1)}"] if focus else []
    if around:
        texts.append(f"{texts[0]}, with {around} around it" if focus else f"an overhead image with {around}")
    numbers: dict[str, Any] = {"counts": dict(sorted(Counter(hit.name for hit in found).items()))}
    if focus:
        numbers |= {"focus": focus.name, "focus_tags": dict(table.tags[focus.number])}
    words = ({"focus": focus.name} if focus else {}) | ({"surroundings": around} if around else {})
    captions = tuple(Caption(text, "en", "tag", generator=GENERATOR, licence=LICENCE) for text in texts)
    return Fact(words, {"tags": numbers}, captions, ATTRIBUTION)
