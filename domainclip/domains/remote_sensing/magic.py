"""Tells a raster's format by its first bytes, so that GDAL never tries a driver that nobody asked for."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png"})
# Classic and big TIFF in both byte orders.
_MAGIC = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
}


def raster_driver(path: Path) -> str | None:
    """Returns GDAL's name of the format, or None for any other file.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(8)
    return next((driver for magic, driver in _MAGIC.items() if start.startswith(magic)), None)
