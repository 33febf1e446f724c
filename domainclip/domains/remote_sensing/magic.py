"""Tells a raster's format by its first bytes, so that GDAL never tries a driver that nobody asked for; checks PNG."""

from __future__ import annotations

import zlib
from pathlib import Path

SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2"})
# Classic and big TIFF in both byte orders.
_MAGIC = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    # JPEG 2000: the signature box of a file (its first eight bytes), and a codestream alone.
    b"\x00\x00\x00\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}


def raster_driver(path: Path) -> str | None:
    """Returns GDAL's name of the format, or None for any other file.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(8)
    return next((driver for magic, driver in _MAGIC.items() if start.startswith(magic)), None)


def png_is_whole(path: Path) -> bool:
    """Says whether every chunk of a PNG up to the last is there and has the right checksum.

    GDAL 3.10 reads a PNG that is cut short without an error, and gives zeros for the rest.

    Raises:
        OSError: The file cannot be opened.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if length > size - file.tell():
                return False
            checksum = zlib.crc32(file.read(length), zlib.crc32(head[4:]))
            if checksum != int.from_bytes(file.read(4), "big"):
                return False
            if head[4:] == b"IEND":
                return True
    return False
