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

from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.projection import lonlat, projected
from domainclip.domains.remote_sensing.windows import Cut
from domainclip.errors import UsageError
from domainclip.sample import Window

_MAX_BYTES = 512 * 2**20
_TABLES = {".geojson", ".json", ".gpkg", ".parquet"}


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
    """Reads points from GeoJSON, GeoPackage, GeoParquet or CSV (columns longitude, latitude).

    Raises:
        UsageError: The file cannot be read, or holds something else than points.
    """
    return _points(path, _stamp(path))


@lru_cache(maxsize=8)
def _points(path: str, stamp: tuple[int, ...]) -> Points:
    file, asked = Path(path), "Points were to be read (reading.points)."
    if file.suffix.lower() == ".csv":
        return _points_of_csv(file, asked)
    frame = _frame(file, asked)
    if not len(frame) or set(frame.geom_type) != {"Point"}:
        found = f"It holds {', '.join(sorted(map(str, set(frame.geom_type)))) or 'nothing'}."
        raise UsageError(asked, found, "Give points alone; polygons go to reading.area.")
    lonlat = np.column_stack([frame.geometry.x, frame.geometry.y]).astype(np.float64)
    column = next((name for name in ("id", "name") if name in frame.columns), None)
    names = tuple(map(str, frame[column])) if column else tuple(str(number) for number in range(1, len(frame) + 1))
    return Points(_checked(lonlat, asked), names)


def _stamp(path: str) -> tuple[int, ...]:
    """What changes when the file changes; nothing for one that is not there, whose reader says so."""
    try:
        status = Path(path).stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size


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
            asked, "A row has no longitude and latitude in numbers.", "Name the columns longitude, latitude."
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
    return _area(path, _stamp(path))


@lru_cache(maxsize=8)
def _area(path: str, stamp: tuple[int, ...]) -> Any:
    import shapely

    asked = "An area was to be read (reading.area)."
    frame = _frame(Path(path), asked)
    if not len(frame) or not set(frame.geom_type) <= {"Polygon", "MultiPolygon"}:
        found = f"It holds {', '.join(sorted(map(str, set(frame.geom_type)))) or 'nothing'}."
        raise UsageError(asked, found, "Give polygons alone; points go to reading.points.")
    whole = shapely.make_valid(shapely.union_all(frame.geometry.values))
    shapely.prepare(whole)
    return whole


def _frame(file: Path, asked: str) -> Any:
    """A geopandas frame in longitude and latitude."""
    import geopandas

    if file.suffix.lower() not in _TABLES:
        raise UsageError(asked, f"Its suffix is {file.suffix!r}.", "Give .geojson, .gpkg or .parquet (points: .csv too).")
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UsageError(asked, "The file has more than 512 MiB.", "Give what touches the scenes alone.")
        frame = geopandas.read_parquet(file) if file.suffix.lower() == ".parquet" else geopandas.read_file(file)
    except UsageError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # pyogrio's and pyarrow's errors derive from these
        raise UsageError(asked, f"The file cannot be read ({type(error).__name__}).", "Check the path and the format.") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UsageError(asked, "The table has no geometries.", "Write it with geometries, e.g. by geopandas.")
    if frame.crs is None:
        raise UsageError(asked, "The table has no CRS.", "Set one: frame.set_crs(...).")
    return frame.to_crs("EPSG:4326")


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
