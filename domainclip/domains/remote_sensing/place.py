"""Where and when: spacing, position on the ground, hemisphere, season, date."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from domainclip.domains.remote_sensing.raster import RasterHeader
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


def pixel_spacing(header: RasterHeader) -> Spacing | None:
    """Returns the size of a pixel (Y, X) from the geotransform, in metres or degrees; None without a CRS."""
    if header.crs is None or header.transform is None:
        return None
    a, b, _, d, e, _ = header.transform
    x, y = math.hypot(a, d), math.hypot(b, e)
    if header.metres_per_unit is None:
        return Spacing((y, x), "degree", "geotransform")
    return Spacing((y * header.metres_per_unit, x * header.metres_per_unit), "m", "geotransform")


def window_geo(header: RasterHeader, window: Window, output_px: tuple[int, int] | None) -> Geo | None:
    """Returns CRS and affine of a window's pixels, as they are after resampling to ``output_px`` (rows, columns)."""
    if header.crs is None or header.transform is None:
        return None
    a, b, c, d, e, f = header.transform
    rows, columns = output_px or (window.height, window.width)
    x_step, y_step = window.width / columns, window.height / rows
    origin = (a * window.x + b * window.y + c, d * window.x + e * window.y + f)
    return Geo(header.crs, (a * x_step, b * y_step, origin[0], d * x_step, e * y_step, origin[1]))


def centre_lonlat(header: RasterHeader) -> tuple[float, float] | None:
    """Returns longitude (-180 up to 180) and latitude of the scene's centre in degrees (WGS 84).

    None without a CRS, or where its projection has no such place.
    """
    if header.crs is None or header.transform is None:
        return None
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    a, b, c, d, e, f = header.transform
    column, row = header.width / 2, header.height / 2
    try:
        longitudes, latitudes = transform(header.crs, "EPSG:4326", [a * column + b * row + c], [d * column + e * row + f])
    except (RasterioError, CPLE_BaseError):  # outside the projection, or a local system of coordinates
        return None
    if not (math.isfinite(longitudes[0]) and math.isfinite(latitudes[0])):
        return None
    return (float(longitudes[0]) + 180) % 360 - 180, float(latitudes[0])


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


def acquisition_time(tags: Mapping[str, str]) -> str | None:
    """Returns the acquisition time of the file's tags as ISO 8601, or None where they do not tell one that can be read."""
    for key in _TIME_KEYS:
        text = tags.get(key, "").strip()
        if text:
            try:
                return (
                    datetime.fromisoformat(text).isoformat() if len(text) > 10 else datetime.fromisoformat(text).date().isoformat()
                )
            except ValueError:
                continue
    return None
