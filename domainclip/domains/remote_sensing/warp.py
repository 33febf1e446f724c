"""Files on another grid: GDAL's warper behind windows, kept open per process and thread."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.raster import gdal_errors, open_anew, stamp_of

_OPEN = 32
_local = threading.local()


@contextmanager
def open_warped(source: str, grid: Grid, resampling: str, nodata: float | None, has_mask: bool) -> Iterator[tuple[Any, int | None]]:
    """Gives a file as it looks on a grid.

    Args:
        source: Path, or what GDAL opens.
        grid: With CRS and transform.
        resampling: Name of GDAL's way.
        nodata: The file's number without data; pixels outside the file get it.
        has_mask: The file carries a mask or an alpha band, which is warped along.

    Yields:
        rasterio's dataset, and the 1-based band that is 0 where there is no data; None where ``nodata`` tells.

    Raises:
        UnreadableFileError: The file is absent, of another format, or damaged.
    """
    with gdal_errors(source):
        yield _handle(source, grid, resampling, nodata, has_mask)


def _handle(source: str, grid: Grid, resampling: str, nodata: float | None, has_mask: bool) -> tuple[Any, int | None]:
    if getattr(_local, "process", None) != os.getpid():
        # After a fork the parent's handles share their file position with it: they must not be used.
        _local.process, _local.handles = os.getpid(), OrderedDict()
    handles: OrderedDict[Any, tuple[Any, Any, Any, int | None]] = _local.handles
    key, stamp = (source, grid, resampling, nodata, has_mask), stamp_of(source)
    if key in handles and handles[key][0] == stamp:
        handles.move_to_end(key)
        return handles[key][2], handles[key][3]
    _close(handles.pop(key, None))
    dataset = open_anew(source)
    warped, alpha = _warped(dataset, grid, resampling, nodata, has_mask)
    handles[key] = (stamp, dataset, warped, alpha)
    while len(handles) > _OPEN:
        _close(handles.popitem(last=False)[1])
    return warped, alpha


def _warped(dataset: Any, grid: Grid, resampling: str, nodata: float | None, has_mask: bool) -> tuple[Any, int | None]:
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT

    assert grid.transform is not None
    options: dict[str, Any] = {
        "crs": grid.crs,
        "transform": Affine(*grid.transform),
        "width": grid.width,
        "height": grid.height,
        "resampling": Resampling[resampling],
    }
    floating = dataset.dtypes[0].startswith("float")
    number = nodata if nodata is not None else (math.nan if floating and not has_mask else None)
    if number is not None:
        # What lies outside the file, and what NaN or nodata touches, is without data.
        return WarpedVRT(dataset, src_nodata=number, nodata=number, **options), None
    if ColorInterp.alpha in dataset.colorinterp:
        return WarpedVRT(dataset, **options), dataset.colorinterp.index(ColorInterp.alpha) + 1
    warped = WarpedVRT(dataset, add_alpha=True, **options)
    return warped, int(warped.count)


def _close(entry: tuple[Any, Any, Any, int | None] | None) -> None:
    if entry is not None:
        entry[2].close()
        entry[1].close()
