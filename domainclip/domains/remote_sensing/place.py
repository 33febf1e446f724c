"""Where and when: spacing, position on the ground, hemisphere, season, date."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.projection import all_finite, lonlat, projected
from domainclip.sample import Geo, Spacing, Window

# Keys under which GDAL's drivers and common writers keep the acquisition time.
_TIME_KEYS = (
    "PRODUCT_START_TIME",
    "DATATAKE_1_DATATAKE_SENSING_START",
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATE",
    "DATE_ACQUIRED",
)
_SEASONS = ("winter", "spring", "summer", "autumn")
_TROPIC_DEG = 23.44
MAX_STRETCH = 0.01
# WGS 84 (NIMA TR8350.2).
_EQUATOR_M, _ECCENTRICITY_SQUARED = 6378137.0, 6.69437999014e-3


def pixel_spacing(grid: Grid) -> Spacing | None:
    """Returns the size of a pixel (Y, X) from the geotransform, in metres or degrees; None without a CRS.

    Metres of a CRS that stretches (Web Mercator by 1 / cos(latitude)) are no metres on the ground: where they differ by more than
    1 % at the centre, the size on the ground there is returned, and ``source`` says so.
    """
    if grid.crs is None or grid.transform is None:
        return None
    a, b, _, d, e, _ = grid.transform
    x, y = math.hypot(a, d), math.hypot(b, e)
    if grid.metres_per_unit is None:
        return Spacing((y, x), "degree", "geotransform")
    size = (y * grid.metres_per_unit, x * grid.metres_per_unit)
    stretch = ground_stretch(grid)
    if stretch is None or max(abs(stretch[0] - 1), abs(stretch[1] - 1)) <= MAX_STRETCH:
        return Spacing(size, "m", "geotransform")
    return Spacing((size[0] * stretch[0], size[1] * stretch[1]), "m", "geotransform, on the ground at the centre")


def ground_stretch(grid: Grid) -> tuple[float, float] | None:
    """Returns metres on the ground for a metre of the CRS along rows' and columns' directions (Y, X) at the centre.

    On the WGS 84 ellipsoid, by its radii of curvature. None where the centre has no place on the globe.
    """
    if grid.crs is None or grid.transform is None or grid.metres_per_unit is None:
        return None
    column, row = grid.width / 2, grid.height / 2
    places = lonlat(grid.crs, [grid.corner(column, row), grid.corner(column + 1, row), grid.corner(column, row + 1)])
    if not all_finite(places):
        return None
    phi = math.radians(places[0][1])
    flat = 1 - _ECCENTRICITY_SQUARED * math.sin(phi) ** 2
    meridian, prime = _EQUATOR_M * (1 - _ECCENTRICITY_SQUARED) / flat**1.5, _EQUATOR_M / math.sqrt(flat)

    def metres(other: tuple[float, float]) -> float:
        east = (other[0] - places[0][0] + 180) % 360 - 180
        north = other[1] - places[0][1]
        return math.hypot(math.radians(east) * prime * math.cos(phi), math.radians(north) * meridian)

    a, b, _, d, e, _ = grid.transform
    x, y = math.hypot(a, d) * grid.metres_per_unit, math.hypot(b, e) * grid.metres_per_unit
    return (metres(places[2]) / y, metres(places[1]) / x) if x and y else None


def window_geo(grid: Grid, window: Window, output_px: tuple[int, int] | None) -> Geo | None:
    """Returns CRS and affine of a window's pixels, as they are after resampling to ``output_px`` (rows, columns)."""
    if grid.crs is None or grid.transform is None:
        return None
    a, b, c, d, e, f = grid.transform
    rows, columns = output_px or (window.height, window.width)
    x_step, y_step = window.width / columns, window.height / rows
    origin = (a * window.x + b * window.y + c, d * window.x + e * window.y + f)
    return Geo(grid.crs, (a * x_step, b * y_step, origin[0], d * x_step, e * y_step, origin[1]))


def centre_lonlat(grid: Grid) -> tuple[float, float] | None:
    """Returns longitude (-180 up to 180) and latitude of the grid's centre in degrees (WGS 84).

    None without a CRS, or where its projection has no such place.
    """
    return window_centres(grid, [Window(0, 0, grid.width, grid.height)])[0]


def window_centres(grid: Grid, windows: Sequence[Window]) -> list[tuple[float, float] | None]:
    """Returns longitude (-180 up to 180) and latitude of each window's centre; None without a CRS or off the globe."""
    if grid.crs is None or grid.transform is None or not windows:
        return [None] * len(windows)
    centres = lonlat(grid.crs, [grid.corner(w.x + w.width / 2, w.y + w.height / 2) for w in windows])
    return [place if all_finite([place]) else None for place in centres]


def covers(grid: Grid, other: Grid) -> bool:
    """Says whether a grid covers the middle of another, whatever their CRSs."""
    if grid.crs is None or other.crs is None or grid.transform is None or other.transform is None:
        return (grid.width, grid.height) == (other.width, other.height)
    places = projected(other.crs, grid.crs, [other.corner(other.width / 2, other.height / 2)])
    if not all_finite(places):
        return False
    column, row = grid.pixel(*places[0])
    return 0 <= column <= grid.width and 0 <= row <= grid.height


def season(date: str, latitude: float) -> str | None:
    """Returns the meteorological season (three whole months each) at a latitude; None in the tropics, which have none of these.

    Args:
        date: ISO 8601.
        latitude: Degrees, negative in the south.
    """
    if abs(latitude) < _TROPIC_DEG:
        return None
    quarter = datetime.fromisoformat(date).month % 12 // 3
    return _SEASONS[quarter if latitude > 0 else (quarter + 2) % 4]


def season_of_all(dates: Sequence[str | None], latitude: float) -> str | None:
    """Returns the season that all dates of a scene or series lie in; None where they differ, or one is unknown.

    Args:
        dates: ISO 8601, or None.
        latitude: Degrees, negative in the south.
    """
    seasons = {season(date, latitude) if date is not None else None for date in dates}
    return seasons.pop() if len(seasons) == 1 else None


def acquisition_time(tags: Mapping[str, str]) -> str | None:
    """Returns the acquisition time of the file's tags as ISO 8601, or None where they do not tell one that can be read."""
    return next((time for key in _TIME_KEYS if (time := plain_time(tags.get(key)))), None)


def plain_time(text: object) -> str | None:
    """Returns a time as ISO 8601 in UTC, without a zone; a date alone stays one. None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        if len(text.strip()) <= 10:
            return moment.date().isoformat()
        return (moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment).isoformat()
    except (ValueError, OverflowError):  # the first and last day there is have no other zone
        return None
