"""Places that the owner names: points to centre windows on, and areas to keep windows in."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.feature_file import file_stamp, read_lonlat
from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.projection import lonlat, projected
from domainclip.domains.remote_sensing.windows import Cut
from domainclip.errors import UsageError
from domainclip.sample import Window

_POINTS_ASKED = "Points were to be read (reading.points)."
_AREA_ASKED = "An area was to be read (reading.area)."


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of the owner's.

    Attributes:
        lonlat: (N, 2) float64, degrees (WGS 84).
        names: One a point: its ``id`` or ``name``, else its number from 1.
    """

    lonlat: npt.NDArray[np.float64]
    names: tuple[str, ...]


def read_points(path: str) -> Points:
    """Reads points from CSV (columns longitude, latitude) or a file of features (``feature_file``).

    Raises:
        UsageError: The file cannot be read, or holds something else than points.
    """
    return _points(Path(path), file_stamp(Path(path), _POINTS_ASKED))


@lru_cache(maxsize=8)
def _points(file: Path, _stamp: tuple[int, int]) -> Points:
    asked = _POINTS_ASKED
    if file.suffix.lower() == ".csv":
        return _points_of_csv(file, asked)
    frame = read_lonlat(file, asked, also=".csv")
    if not len(frame) or set(frame.geom_type) != {"Point"}:
        found = f"It holds {', '.join(sorted(map(str, set(frame.geom_type)))) or 'nothing'}."
        raise UsageError(asked, found, "Give points alone; polygons go to reading.area.")
    lonlat = np.column_stack([frame.geometry.x, frame.geometry.y]).astype(np.float64)
    columns = [frame[name].tolist() for name in ("id", "name") if name in frame.columns]
    names = tuple(
        _name(told, number) for number, told in enumerate(zip(*columns, strict=True) if columns else [()] * len(frame), 1)
    )
    return Points(_checked(lonlat, asked), names)


def _name(told: Sequence[Any], number: int) -> str:
    """The first of id and name that is told, else the number; whole numbers as such, which tables with gaps hold as floats."""
    for value in told:
        if value is None or value != value or value == "":
            continue
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return str(number)


def _points_of_csv(file: Path, asked: str) -> Points:
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text, strict=True))
        lonlat = np.array([[float(row["longitude"]), float(row["latitude"])] for row in rows], dtype=np.float64).reshape(-1, 2)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            asked, f"The file cannot be read ({type(error).__name__}).", "Check the path; save it as CSV in UTF-8."
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            asked,
            "A row has no longitude and latitude in numbers.",
            "Name the columns longitude, latitude; separate them by commas.",
        ) from error
    names = tuple(str(row.get("id") or row.get("name") or number) for number, row in enumerate(rows, start=1))
    return Points(_checked(lonlat, asked), names)


def _checked(lonlat: npt.NDArray[np.float64], asked: str) -> npt.NDArray[np.float64]:
    good = np.isfinite(lonlat).all(axis=1) & (abs(lonlat[:, 0]) <= 180) & (abs(lonlat[:, 1]) <= 90)
    if not len(lonlat) or not good.all():
        found = f"{int((~good).sum())} of {len(lonlat)} points lie outside -180..180, -90..90 degrees."
        raise UsageError(asked, found, "Give longitude and latitude in degrees (WGS 84), longitude first.")
    return lonlat


def read_area(path: str) -> Any:
    """Reads polygons as one shapely geometry in longitude and latitude (WGS 84).

    Raises:
        UsageError: The file cannot be read, or holds something else than polygons.
    """
    return _area(Path(path), file_stamp(Path(path), _AREA_ASKED))


@lru_cache(maxsize=8)
def _area(file: Path, _stamp: tuple[int, int]) -> Any:
    import shapely

    asked = _AREA_ASKED
    frame = read_lonlat(file, asked)
    if not len(frame) or not set(frame.geom_type) <= {"Polygon", "MultiPolygon"}:
        found = f"It holds {', '.join(sorted(map(str, set(frame.geom_type)))) or 'nothing'}."
        raise UsageError(asked, found, "Give polygons alone; points go to reading.points.")
    whole = shapely.union_all(shapely.make_valid(frame.geometry.to_numpy()))
    shapely.prepare(whole)
    return whole


def windows_at(points: Points, grid: Grid, cut: Cut) -> list[tuple[Window, str]]:
    """Returns a window centred on each point that lies in the scene, with the point's name.

    Windows may reach over the scene's edges, where there is no data (``reading.max_nodata`` counts that). The pixel that holds the
    point is number ``size // 2`` of its row and column.
    """
    if grid.crs is None or grid.transform is None:
        return []
    spots = projected("EPSG:4326", grid.crs, [(float(x), float(y)) for x, y in points.lonlat])
    height, width = cut.window_px
    found = []
    for (x, y), name in zip(spots, points.names, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        column, row = grid.pixel(x, y)
        if 0 <= column < grid.width and 0 <= row < grid.height:
            found.append((Window(math.floor(column) - width // 2, math.floor(row) - height // 2, width, height), name))
    return found


def inside_area(windows: Sequence[Window], grid: Grid, area: Any) -> npt.NDArray[np.bool_]:
    """Says of each window whether its centre lies in an area given in longitude and latitude."""
    import shapely

    if grid.crs is None or grid.transform is None or not windows:
        return np.zeros(len(windows), bool)
    centres = [grid.corner(w.x + w.width / 2, w.y + w.height / 2) for w in windows]
    places = np.array(lonlat(grid.crs, centres))
    inside: npt.NDArray[np.bool_] = shapely.contains_xy(area, places[:, 0], places[:, 1])
    return inside
