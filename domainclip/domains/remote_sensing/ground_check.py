"""Looks whether a raster's transform and CRS put it on the ground at all."""

from __future__ import annotations

import math
from typing import Any

from domainclip.domains.remote_sensing.refusals import unreadable

_DEGREES = ((-360.0, 540.0), (-90.0, 90.0))
"""Longitudes (scenes that cross the date line go on counting) and latitudes; a pixel more is let pass at each end."""


def check_ground(transform: Any, width: int, height: int, crs: Any) -> None:
    """Refuses a transform that has no inverse, and one that is no place in its geographic CRS.

    Args:
        transform: rasterio's affine.
        width: Columns.
        height: Rows.
        crs: rasterio's CRS, or None.

    Raises:
        UnreadableFileError: It is so.
    """
    a, b, c, d, e, f = transform.a, transform.b, transform.c, transform.d, transform.e, transform.f
    area = a * e - b * d
    if not all(map(math.isfinite, (a, b, c, d, e, f, area))) or area == 0:
        raise unreadable(
            "Its transform puts its pixels on a line, or nowhere: a pixel has no size.",
            "Correct it: rio edit-info --transform, or gdal_translate -a_ullr.",
        )
    if not crs or not crs.is_geographic:
        return
    corners = [(a * x + b * y + c, d * x + e * y + f) for x in (0, width) for y in (0, height)]
    for axis, (low, high) in enumerate(_DEGREES):
        pixel = abs((a, d)[axis]) + abs((b, e)[axis])
        values = [corner[axis] for corner in corners]
        if min(values) < low - pixel or max(values) > high + pixel:
            raise unreadable(
                f"Its CRS counts in degrees, but it reaches from {min(values):g} to {max(values):g} "
                f"({('longitude', 'latitude')[axis]}): are these metres?",
                "Correct its CRS: rio edit-info --crs, or gdal_translate -a_srs.",
            )
