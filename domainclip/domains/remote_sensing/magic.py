"""Tells a raster's format by its first bytes, so that GDAL never tries a driver that nobody asked for; checks PNG."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2", ".j2k", ".vrt"})
READ = "GeoTIFF, JPEG 2000, JPEG, PNG or VRT"
HEAD_BYTES = 1024
# Classic and big TIFF in both byte orders; JP2's signature box (ITU-T T.800 I.5.1) and a bare codestream (SOC, SIZ).
_MAGIC = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}
_VRT = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^<>]*\?>\s*)?(?:<!--.*?-->\s*)*<VRTDataset[\s>/]", re.DOTALL)


def raster_driver(path: Path) -> str | None:
    """Returns GDAL's name of the format, or None for any other file.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(HEAD_BYTES)
    if _VRT.match(start):
        return "VRT"
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
