"""Annotations of areas: QuPath-style GeoJSON into Regions, and how much of a window a region covers."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.errors import UnreadableFileError
from domainclip.sample import Region

MAX_BYTES = 512 * 2**20
"""Larger annotation files are refused: JSON is parsed whole, at about ten times its size in memory."""

Ring = list[tuple[float, float]]


def read_regions(path: Path, class_label: str, labels: Collection[str] = ()) -> tuple[Region, ...]:
    """Reads area annotations.

    ``properties.classification.name`` (QuPath; ``names`` joined by ``": "`` in newer exports) becomes the label
    ``class_label``; entries of ``properties.metadata`` become labels where ``labels`` names them, and nothing else of a feature
    is kept: viewers write notes and names of people there. A feature is one Region: the holes and the parts
    of a MultiPolygon are joined to its outer ring by bridges of no width, which leaves areas exact.

    Args:
        path: A FeatureCollection, a Feature, or a list of Features.
        class_label: Name of the label that gets the classification, e.g. ``"tissue"``.
        labels: Names of metadata entries to keep.

    Returns:
        One Region for each feature, in the order of the file and in its coordinates (level-0 pixels for slides, the CRS for
        scenes).

    Raises:
        UnreadableFileError: No GeoJSON, no features, or a feature that encloses no area.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _unreadable(
                f"it has {size / 2**20:.0f} MiB; the limit is {MAX_BYTES // 2**20} MiB", "Export fewer features a file."
            )
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(f"the file cannot be opened ({type(error).__name__})", "Check the path in the column regions.") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is not valid JSON ({type(error).__name__})", "Export it again as GeoJSON.") from error
    return tuple(
        _region(number, feature, class_label, frozenset(labels)) for number, feature in enumerate(_features(document), start=1)
    )


def coverage(region: Region, x: float, y: float, width: float, height: float) -> float:
    """Returns the share of a window that a region covers, exactly (no raster).

    Sums over the polygon's edges the signed area between the edge, clamped to the window, and the window's lower side
    (Green's theorem on the clipped polygon).

    Args:
        region: Its polygon may be concave, of either orientation, and have bridged holes.
        x: A corner of the window in the region's coordinates.
        y: The same corner's ordinate.
        width: Extent along x; negative when the corner is a right one.
        height: Extent along y; negative when y grows upwards and the corner is an upper one.

    Returns:
        0 to 1.

    Raises:
        ValueError: The window has no area.
    """
    if width == 0 or height == 0:
        raise ValueError("The window has no area.")
    x0, x1 = sorted((x, x + width))
    y0, y1 = sorted((y, y + height))
    points = np.asarray(region.polygon, dtype=np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    if high[0] <= x0 or low[0] >= x1 or high[1] <= y0 or low[1] >= y1:
        return 0.0
    # Relative to the corner: national grids have coordinates of 10^6, whose squares would cost digits.
    area = abs(float(_clamped_areas(points - (x0, y0), x1 - x0, y1 - y0).sum()))
    return min(1.0, area / ((x1 - x0) * (y1 - y0)))


def best_region(regions: Iterable[Region], window: tuple[float, float, float, float], purity: float) -> Region | None:
    """Returns the region that covers most of a window, if it covers at least ``purity`` of it; the first of equals.

    Args:
        regions: Candidates, in the same coordinates as the window.
        window: (x, y, width, height) as for ``coverage``.
        purity: Share of the window, 0 to 1.
    """
    best, most = None, 0.0
    for region in regions:
        share = coverage(region, *window)
        if share > most:
            best, most = region, share
    # A window that lies wholly inside must pass a purity of 1 in spite of rounding.
    return best if best is not None and most >= purity - 1e-9 else None


def _clamped_areas(points: npt.NDArray[np.float64], width: float, height: float) -> npt.NDArray[np.float64]:
    """For every edge: the integral of clamp(y, 0, height) dx over the part of the edge whose x lies in 0..width, signed."""
    start, end = points, np.roll(points, -1, axis=0)
    dx = end[:, 0] - start[:, 0]
    keep = dx != 0
    start, end, dx = start[keep], end[keep], dx[keep]
    from_x, to_x = np.clip(start[:, 0], 0, width), np.clip(end[:, 0], 0, width)
    slope = (end[:, 1] - start[:, 1]) / dx
    from_y = start[:, 1] + (from_x - start[:, 0]) * slope
    to_y = start[:, 1] + (to_x - start[:, 0]) * slope
    rise = to_y - from_y
    level = np.abs(rise) < 1e-9 * height
    primitive_from, primitive_to = _clamp_primitive(from_y, height), _clamp_primitive(to_y, height)
    mean = np.where(level, np.clip((from_y + to_y) / 2, 0, height), (primitive_to - primitive_from) / np.where(level, 1.0, rise))
    areas: npt.NDArray[np.float64] = (to_x - from_x) * mean
    return areas


def _clamp_primitive(y: npt.NDArray[np.float64], height: float) -> npt.NDArray[np.float64]:
    """The primitive of clamp(y, 0, height), zero at 0: 0 below, y^2/2 inside, linear above."""
    inside = np.clip(y, 0, height)
    result: npt.NDArray[np.float64] = inside * inside / 2 + height * np.maximum(y - height, 0)
    return result


def _features(document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "Feature":
        return [document]
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        return list(document["features"])
    raise _unreadable("it is JSON, but neither a FeatureCollection nor Features", "Export it as GeoJSON, as QuPath does.")


def _region(number: int, feature: Any, class_label: str, kept: frozenset[str]) -> Region:
    try:
        properties = feature.get("properties") or {}
        geometry = feature["geometry"]
        parts = _parts(geometry["type"], geometry["coordinates"])
        rings = [_oriented(_ring(ring), positive=place == 0) for part in parts for place, ring in enumerate(part)]
        labels = _labels(properties, class_label, kept)
    except KeyError as error:
        remedy = "Keep polygons only (points and lines enclose no area)."
        raise _unreadable(f"feature {number} has no polygon", remedy) from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        # The message of a foreign error would quote the file.
        found = str(error) if isinstance(error, _MalformedError) else type(error).__name__
        raise _unreadable(f"feature {number} is malformed ({found})", "Export it again as GeoJSON.") from error
    if not rings:
        raise _unreadable(f"feature {number} has an empty geometry", "Remove the feature.")
    return Region(polygon=tuple(_bridged(rings)), labels=labels)


def _parts(kind: str, coordinates: list[Any]) -> list[Any]:
    if kind not in {"Polygon", "MultiPolygon"}:
        raise KeyError(kind)
    return [coordinates] if kind == "Polygon" else coordinates


class _MalformedError(ValueError):
    """What is wrong with a feature, in words of ours alone."""


def _labels(properties: dict[str, Any], class_label: str, kept: frozenset[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for key, value in (properties.get("metadata") or {}).items():
        if key not in kept:
            continue
        if not isinstance(value, str | int | float | bool):
            raise _MalformedError(f"metadata {key!r} is no plain value")
        labels[str(key)] = str(value)
    classification = properties.get("classification") or {}
    if isinstance(classification, str):
        classification = {"name": classification}
    name = classification.get("name") or ": ".join(classification.get("names") or ())
    if name:
        labels[class_label] = str(name)
    return labels


def _ring(coordinates: Sequence[Sequence[float]]) -> Ring:
    ring = [(float(point[0]), float(point[1])) for point in coordinates]
    if not all(math.isfinite(value) for point in ring for value in point):
        raise _MalformedError("a coordinate is no finite number")
    if len(ring) > 1 and ring[0] == ring[-1]:
        ring.pop()
    if len(ring) < 3:
        raise _MalformedError("a ring has fewer than three corners")
    return ring


def _oriented(ring: Ring, *, positive: bool) -> Ring:
    shifted = [*ring[1:], ring[0]]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, shifted, strict=True))
    return ring if (area > 0) == positive else ring[::-1]


def _bridged(rings: list[Ring]) -> Ring:
    """Joins rings into one: from the first corner to each further ring, around it, and back the same way."""
    joined = list(rings[0])
    for ring in rings[1:]:
        joined += [rings[0][0], *ring, ring[0]]
    return joined if len(rings) == 1 else [*joined, rings[0][0]]


def _unreadable(found: str, remedy: str) -> UnreadableFileError:
    return UnreadableFileError("Area annotations (GeoJSON) were to be read.", f"The annotations cannot be used: {found}.", remedy)
