"""Boxes and polygons written as QuPath's GeoJSON, one feature at a time.

What QuPath 0.4 to 0.6 reads (facts from ``qupath-core``: ``QuPathTypeAdapters``, ``GsonTools``; no code): a FeatureCollection or a
list of Features; ``properties.objectType`` among tile, detection, annotation; ``classification`` with ``name`` **and** ``color``
([red, green, blue]; one without a colour is an error there); ``measurements`` as an object of numbers; ``name``; ``id`` a UUID.
``": "`` in a class name makes a derived class. Coordinates are level-0 pixels.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, get_args

from domainclip.domains.palette import PALETTE, Color
from domainclip.errors import UsageError, unknown_name

ObjectType = Literal["tile", "detection", "annotation"]
Shape = Sequence[float] | Sequence[Sequence[float]]
_NAMESPACE = uuid.UUID("5b0cf5c4-1f0e-5d0f-9d3c-0d6b5f0c2f11")
_END = object()


def write_qupath(
    path: Path,
    shapes: Iterable[Shape],
    labels: Iterable[str | None] | None = None,
    scores: Iterable[Mapping[str, float] | float | None] | None = None,
    *,
    names: Iterable[str | None] | None = None,
    colors: Mapping[str, Color] | None = None,
    object_type: ObjectType = "tile",
    overwrite: bool = False,
) -> int:
    """Writes shapes as QuPath objects; memory does not grow with their number, and the file appears whole or not at all.

    Args:
        path: File to write (``.geojson``); its folder exists.
        shapes: Boxes (x, y, width, height) or rings of at least three (x, y) corners, in level-0 pixels.
        labels: Class of each shape, None for none.
        scores: Measurements of each shape: names to numbers, or one number, which is called ``score``.
        names: Names of the objects.
        colors: Red, green and blue (0..255) of classes; the others get one of ``PALETTE``.
        object_type: ``"tile"`` and ``"detection"`` are light and cannot be edited in QuPath; ``"annotation"`` can, and is slow in
            thousands.
        overwrite: Replace a file that lies there.

    Returns:
        The number of shapes.

    Raises:
        UsageError: A shape encloses nothing, a number is not finite, a colour is none, or labels, scores or names are more or fewer
            than the shapes; or the file exists.
    """
    path = Path(path)
    if object_type not in get_args(ObjectType):
        raise unknown_name("QuPath object type", object_type, get_args(ObjectType))
    if path.exists() and not overwrite:
        raise UsageError(f"{path.name} was to be written.", "There is a file of that name.", "Choose another, or overwrite it.")
    known = {name: _color(color) for name, color in (colors or {}).items()}
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write('{"type": "FeatureCollection", "features": [')
            for count, (shape, label, score, name) in enumerate(_rows(shapes, labels, scores, names), start=1):
                color = known.setdefault(label, PALETTE[len(known) % len(PALETTE)]) if label else None
                feature = _feature(_ring(shape, count), object_type, name, label, color, score, count)
                file.write(",\n" if count > 1 else "\n")
                file.write(json.dumps(feature, ensure_ascii=False, allow_nan=False))
            file.write("\n]}\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def _feature(
    ring: list[list[float]],
    object_type: str,
    name: str | None,
    label: str | None,
    color: Color | None,
    score: Mapping[str, float] | float | None,
    number: int,
) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": object_type}
    if name:
        properties["name"] = name
    if label and color:
        properties["classification"] = {"name": label, "color": list(color)}
    if score is not None:
        properties["measurements"] = _measurements(score, number)
    return {
        "type": "Feature",
        # The same in every export, so that objects can be told again.
        "id": str(uuid.uuid5(_NAMESPACE, f"{number} {ring}")),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


def _rows(shapes: Iterable[Any], *columns: Iterable[Any] | None) -> Iterator[tuple[Any, ...]]:
    """Zips, with None for a column that is not given, and refuses columns of different lengths."""
    given = [column for column in columns if column is not None]
    for row in zip_longest(shapes, *given, fillvalue=_END):
        if any(value is _END for value in row):
            found = "Labels, scores or names are more or fewer than the shapes."
            raise UsageError("Shapes were to be written for QuPath.", found, "Give one for each shape, None where there is none.")
        values = iter(row[1:])
        yield (row[0], *(None if column is None else next(values) for column in columns))


def _ring(shape: Any, number: int) -> list[list[float]]:
    """The closed ring of a box or polygon; whole numbers without a decimal point."""
    try:
        if len(shape) == 4 and not hasattr(shape[0], "__len__"):
            x, y, width, height = (float(value) for value in shape)
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
            solid = width > 0 and height > 0
        else:
            corners = [(float(point[0]), float(point[1])) for point in shape]
            if len(corners) > 1 and corners[0] == corners[-1]:
                corners.pop()
            solid = len(set(corners)) >= 3
    except (TypeError, ValueError, IndexError) as error:
        raise _wrong(f"Shape {number} is neither a box of four numbers nor a ring of corners.") from error
    if not solid or not all(math.isfinite(value) for corner in corners for value in corner):
        raise _wrong(f"Shape {number} encloses nothing or has a coordinate that is not finite.")
    closed = [*corners, corners[0]]
    return [[int(value) if value.is_integer() else value for value in corner] for corner in closed]


def _measurements(score: Mapping[str, float] | float, number: int) -> dict[str, float]:
    values = {str(name): float(value) for name, value in (score.items() if isinstance(score, Mapping) else [("score", score)])}
    if not all(math.isfinite(value) for value in values.values()):
        raise _wrong(f"Shape {number} has a score that is not finite.")
    return values


def _color(color: Sequence[int]) -> Color:
    red, green, blue = color if len(color) == 3 else (-1, -1, -1)
    if not all(isinstance(value, int) and 0 <= value <= 255 for value in (red, green, blue)):
        raise _wrong("A colour is not three whole numbers of 0 to 255.")
    return red, green, blue


def _wrong(found: str) -> UsageError:
    return UsageError("Shapes were to be written for QuPath.", found, "Correct it, or leave it out.")
