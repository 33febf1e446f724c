"""What is looked at before and after GDAL opens a raster, so that a file leads it nowhere and declares no more than it holds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.jp2_limits import check_jp2
from domainclip.domains.remote_sensing.magic import READ, png_is_whole, raster_driver
from domainclip.domains.remote_sensing.refusals import unreadable
from domainclip.domains.remote_sensing.tiff_blocks import tiff_blocks
from domainclip.domains.remote_sensing.vrt import CheckedVrt, checked_vrt
from domainclip.domains.remote_sensing.vrt_pieces import absent_from_vrt
from domainclip.sample import Window


def check_openable(path: Path, *, outside: bool = False, remote: bool = False) -> tuple[str, str]:
    """Looks at a file before GDAL does.

    Args:
        path: Any file.
        outside: What a VRT names may lie outside its folder.
        remote: What a VRT names may be an address of http or https.

    Returns:
        GDAL's name of the driver that is to open it, and what is to be opened: the resolved path, or the text of a checked VRT.

    Raises:
        UnreadableFileError: It is of a kind that is not read, is cut short, declares more than it can hold, or leads outside.
        OSError: It cannot be read.
    """
    driver = raster_driver(path)
    if driver is None:
        raise unreadable(f"It is no {READ} by its first bytes.", "Convert it: gdal_translate.")
    if driver == "GTiff":
        tiff_blocks(path)
    elif driver == "JP2OpenJPEG":
        check_jp2(path)
    elif driver == "PNG" and not png_is_whole(path):
        raise unreadable("The PNG is cut short or damaged: its chunks do not match their checksums.", "Fetch it again.")
    elif driver == "VRT":
        return driver, _vrt(path, outside, remote).text
    return driver, str(path.resolve())


def check_opened(dataset: Any) -> None:
    """Refuses a dataset, before anything else is asked of it, that leads elsewhere or whose mask is lost.

    Metadata (in the file or in its .aux.xml) may name another file for its overviews: GDAL opens whatever stands there with any
    driver, URLs among them, when overviews are counted. And where a TIFF's further directories cannot be read GDAL goes on without
    the mask and the overviews that may stand there.

    Args:
        dataset: rasterio's.

    Raises:
        UnreadableFileError: It is so; the dataset is closed.
    """
    if any("OVERVIEW_FILE" in key.upper() for key in dataset.tags(ns="OVERVIEWS")):
        dataset.close()
        raise unreadable(
            "Its metadata name another file or address for its overviews, which is not followed.",
            "Delete its .aux.xml, or write it anew: gdal_translate -co PROFILE=GeoTIFF.",
        )
    from rasterio._err import CPLE_BaseError

    try:
        # The first looks for a mask; rasterio keeps what GDAL said of that until a property asks, as the second does.
        assert dataset.mask_flag_enums is not None and dataset.colorinterp is not None
    except CPLE_BaseError as error:
        dataset.close()
        raise unreadable(
            "Its further directories, where a mask and overviews may be, cannot be read.", "The file is damaged; fetch it again."
        ) from error


def may_lack_blocks(path: Path, driver: str) -> bool:
    """Whether ``absent_pixels`` may find some; a VRT may always have gaps.

    Args:
        path: The file.
        driver: GDAL's name of the format.
    """
    return driver == "VRT" or (driver == "GTiff" and bool((tiff_blocks(path).counts == 0).any()))


def absent_pixels(
    path: Path, driver: str, bands: tuple[int, ...], window: Window, *, outside: bool = False, remote: bool = False
) -> npt.NDArray[np.bool_] | None:
    """Says which pixels of a window GDAL would make up, and refuses those that it would decode with a warning to nobody.

    Args:
        path: The file.
        driver: GDAL's name of the format.
        bands: 1-based.
        window: In pixels of the file.
        outside: As for ``check_openable``.
        remote: As for ``check_openable``.

    Returns:
        (height, width), or None where all pixels are in the file.

    Raises:
        UnreadableFileError: A JPEG block is damaged.
    """
    if driver == "VRT":
        return absent_from_vrt(_vrt(path, outside, remote), bands, window)
    if driver != "GTiff":
        return None
    blocks = tiff_blocks(path)
    blocks.check_jpeg(bands, window)
    return blocks.absent(bands, window)


def _vrt(path: Path, outside: bool, remote: bool) -> CheckedVrt:
    status = path.stat()
    return _checked(path.resolve(), outside, remote, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=16)
def _checked(path: Path, outside: bool, remote: bool, stamp: tuple[int, int]) -> CheckedVrt:
    return checked_vrt(path, outside=outside, remote=remote)
