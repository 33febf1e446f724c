"""Boxes and masks to counted and placed objects, and those to captions (what RemoteCLIP calls B2C and M2B; rules and words ours).

A box is (left, top, right, bottom) in pixels of the picture. An object counts for a window when at least half of it lies inside,
and stands where the middle of its visible part does, in a grid of three by three.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainclip.domains.regions import coverage
from domainclip.domains.remote_sensing.scene_facts.fact import GENERATOR, Fact, nothing
from domainclip.domains.remote_sensing.scene_facts.ground import projector, steps
from domainclip.domains.remote_sensing.scene_facts.nouns import counted, listed, singular, spoken
from domainclip.errors import UsageError
from domainclip.sample import Caption, Geo, Region, Sample

Box = tuple[float, float, float, float]
_HALF = 0.5
_MOST_PHRASES = 8
_GRID = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the centre", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)
_WINDS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")


@dataclass(frozen=True, slots=True)
class Placed:
    """One object in a picture.

    Attributes:
        name: Of its class, singular.
        column: Of the middle of its visible part, as a share of the width, 0 to 1.
        row: Likewise from the top.
    """

    name: str
    column: float
    row: float


def boxes_of_mask(mask: npt.ArrayLike, smallest_px: int = 1) -> list[Box]:
    """Returns the box of each connected piece of a mask (pixels that touch by side or corner belong together), row by row.

    Args:
        mask: (Y, X), True where the class is.
        smallest_px: Pieces of fewer pixels are left out: specks of an automatic mask are no objects.

    Raises:
        ValueError: The mask has not two axes.
    """
    from scipy import ndimage

    array = np.asarray(mask, bool)
    if array.ndim != 2:
        raise ValueError(f"A mask has two axes, this one {array.ndim}.")
    numbers, _ = ndimage.label(array, structure=np.ones((3, 3), int))
    sizes = np.bincount(numbers.ravel())
    pieces = [
        (number, where) for number, where in enumerate(ndimage.find_objects(numbers), start=1) if sizes[number] >= smallest_px
    ]
    return [(float(x.start), float(y.start), float(x.stop), float(y.stop)) for _, (y, x) in pieces]


def objects_of_masks(masks: Mapping[str, npt.ArrayLike], smallest_px: int = 1) -> list[Placed]:
    """Turns class masks on one grid into placed objects.

    Args:
        masks: Class name to (Y, X) mask.
        smallest_px: As for ``boxes_of_mask``.
    """
    found = []
    for name, mask in masks.items():
        rows, columns = np.asarray(mask).shape
        for left, top, right, bottom in boxes_of_mask(mask, smallest_px):
            found.append(Placed(singular(spoken(name)), (left + right) / 2 / columns, (top + bottom) / 2 / rows))
    return found


def objects_of_regions(
    regions: Sequence[Region], sample: Sample, shape: tuple[int, int], crs: str | None, label: str
) -> list[Placed]:
    """Finds the regions that lie in a sample.

    Args:
        regions: Polygons in the CRS of the file, or in its pixels where it has none.
        sample: With ``geo``, or with ``window``.
        shape: (rows, columns) of the sample.
        crs: CRS of the polygons; None for pixels of the file.
        label: The label whose value names an object; a region that has one label only is named by that.

    Raises:
        UsageError: A region has several labels, none of them ``label``.
    """
    rows, columns = shape
    found = []
    for region in (regions[number] for number in _near(regions, sample, shape, crs)):
        points = _in_picture(np.asarray(region.polygon, float), sample, shape, crs)
        if not np.isfinite(points).all():
            continue  # outside what the sample's CRS can tell, so not in the sample
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        inside = coverage(Region(tuple(map(tuple, points)), {}), 0, 0, columns, rows) * rows * columns
        size = abs(_signed_area(points))
        if not inside or inside < (_HALF - 1e-9) * size:
            continue
        middle = (max(left, 0) + min(right, columns)) / 2, (max(top, 0) + min(bottom, rows)) / 2
        found.append(Placed(singular(spoken(_name(region, label))), middle[0] / columns, middle[1] / rows))
    return found


def _name(region: Region, label: str) -> str:
    if label in region.labels:
        return region.labels[label]
    if len(region.labels) == 1:
        return next(iter(region.labels.values()))
    raise UsageError(
        "Objects were to be counted (reading.facts objects).",
        f"A region has the labels {', '.join(sorted(region.labels)) or 'none'}, and none of them is {label}.",
        "Give each region its class (GeoJSON: properties.classification.name).",
    )


_last_boxes: list[tuple[Sequence[Region], npt.NDArray[np.float64]]] = []


def _near(regions: Sequence[Region], sample: Sample, shape: tuple[int, int], crs: str | None) -> Iterable[int]:
    """Numbers of the regions whose boxes touch the sample, all at once: a file may have many regions and many windows."""
    if not regions or (crs is not None and sample.geo is not None and crs != sample.geo.crs):
        return range(len(regions))  # a box of another CRS is none here
    if not (_last_boxes and _last_boxes[0][0] is regions):
        corners = [np.asarray(region.polygon, float) for region in regions]
        low, high = (np.array([of(points, axis=0) for points in corners]) for of in (np.min, np.max))
        # The windows of a file come one after another with the same regions.
        _last_boxes[:] = [(regions, np.stack([low, np.c_[high[:, 0], low[:, 1]], high, np.c_[low[:, 0], high[:, 1]]], axis=1))]
    points = _in_picture(_last_boxes[0][1].reshape(-1, 2), sample, shape, crs).reshape(-1, 4, 2)
    limits = np.array([shape[1], shape[0]])
    return [int(number) for number in np.flatnonzero(((points.max(axis=1) > 0) & (points.min(axis=1) < limits)).all(axis=1))]


def _in_picture(
    points: npt.NDArray[np.float64], sample: Sample, shape: tuple[int, int], crs: str | None
) -> npt.NDArray[np.float64]:
    if crs is None or sample.geo is None:
        window = sample.window
        if window is None:
            return points
        scale = np.array([shape[1] / window.width, shape[0] / window.height])
        return np.asarray((points - [window.x, window.y]) * scale, float)
    if crs != sample.geo.crs:
        points = np.stack(projector(crs, sample.geo.crs).transform(points[:, 0], points[:, 1]), axis=1)
    a, b, c, d, e, f = sample.geo.transform
    inverse = np.linalg.inv(np.array([[a, b], [d, e]]))
    return np.asarray((points - [c, f]) @ inverse.T, float)


def _signed_area(points: npt.NDArray[np.float64]) -> float:
    x, y = (points - points[0]).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def picture_words(thing: Placed) -> str:
    """Says where in the picture an object stands: "in the upper left", "in the centre"."""
    return _GRID[_third(thing.row)][_third(thing.column)]


def _third(share: float) -> int:
    return min(2, max(0, int(share * 3)))


def compass_words(thing: Placed, geo: Geo | None, shape: tuple[int, int]) -> str | None:
    """Says where on the ground it stands, seen from the middle: "in the north-west"; None where the ground is not known.

    Turned and upside-down rasters come out right: directions are measured on the ground, not in the picture.

    Args:
        thing: The object.
        geo: CRS and affine of the picture.
        shape: (rows, columns).
    """
    vectors = steps(geo, shape) if geo is not None else None
    if vectors is None:
        return None
    if _third(thing.row) == _third(thing.column) == 1:
        return "in the centre"
    east, north = vectors[0] * (thing.column - 0.5) * shape[1] + vectors[1] * (thing.row - 0.5) * shape[0]
    return f"in the {_WINDS[round(math.degrees(math.atan2(east, north)) / 45) % 8]}"


def objects_fact(things: Sequence[Placed], geo: Geo | None, shape: tuple[int, int]) -> Fact:
    """Counts and places objects.

    Returns:
        The word ``objects`` ("three storage tanks and a ship"), the numbers ``objects`` (class to count), and captions of their
        places: in the picture, and on the ground where ``geo`` tells it. More than eight phrases are no caption that anybody
        would write: then the counts stand alone.
    """
    if not things:
        return nothing("no annotated object lies in it", objects={})
    totals = Counter(thing.name for thing in things)
    order = sorted(totals, key=lambda name: (-totals[name], name))
    texts = []
    for words in (picture_words, lambda thing: compass_words(thing, geo, shape)):
        places = [words(thing) for thing in things]
        if None in places:
            continue
        groups = Counter((thing.name, str(place)) for thing, place in zip(things, places, strict=True))
        if len(groups) > _MOST_PHRASES:
            continue
        ranked = sorted(groups, key=lambda group: (order.index(group[0]), -groups[group], group[1]))
        phrases = [f"{counted(name, groups[name, place])} {place}" for name, place in ranked]
        texts.append(f"an overhead image with {listed(phrases)}")
    captions = tuple(Caption(text, "en", "tag", generator=GENERATOR) for text in dict.fromkeys(texts))
    return Fact({"objects": listed([counted(name, totals[name]) for name in order])}, {"objects": dict(totals)}, captions)
