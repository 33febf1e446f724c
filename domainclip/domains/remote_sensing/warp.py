"""Files on another grid: GDAL's warper behind windows, kept open per process and thread."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.raster import gdal_errors, open_anew, reads_alone, stamp_of

_OPEN = 32
_local = threading.local()
_Key = tuple[str, Grid, str, float | None, bool]


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
    key = (source, grid, resampling, nodata, has_mask)
    held = _held(key)
    with gdal_errors(source, settings=held is None or not held.alone):
        opened = _opened(key) if held is None else held
        yield opened.warped, opened.alpha


@dataclass(frozen=True, slots=True)
class _Open:
    """A file and its warper; ``alone`` as ``raster.reads_alone``."""

    stamp: tuple[int, ...]
    dataset: Any
    warped: Any
    alpha: int | None
    alone: bool

    def close(self) -> None:
        self.warped.close()
        self.dataset.close()


def _held(key: _Key) -> _Open | None:
    if getattr(_local, "process", None) != os.getpid():
        # After a fork the parent's handles share their file position with it: they must not be used.
        _local.process, _local.handles = os.getpid(), OrderedDict()
    handles: OrderedDict[_Key, _Open] = _local.handles
    held = handles.get(key)
    if held is None or held.stamp != stamp_of(key[0]):
        return None
    handles.move_to_end(key)
    return held


def _opened(key: _Key) -> _Open:
    handles: OrderedDict[_Key, _Open] = _local.handles
    stale = handles.pop(key, None)
    if stale is not None:
        stale.close()
    stamp = stamp_of(key[0])
    dataset = open_anew(key[0])
    warped, alpha = _warped(dataset, *key[1:])
    handles[key] = _Open(stamp, dataset, warped, alpha, reads_alone(dataset))
    while len(handles) > _OPEN:
        handles.popitem(last=False)[1].close()
    return handles[key]


def close_warped(source: str) -> None:
    """Closes what this thread holds open of a file, on whatever grids; as ``raster.close_file``."""
    if getattr(_local, "process", None) == os.getpid():
        for key in [key for key in _local.handles if key[0] == source]:
            _local.handles.pop(key).close()


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
