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

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.grid import Grid, crs_around, part_of
from domainclip.domains.remote_sensing.raster import Place, gdal_errors, open_anew, reads_alone, stamp_of, stored_number
from domainclip.sample import Window

_OPEN = 32
BLOCK = (128, 512)
"""(rows, columns) of a file on another grid that GDAL warps at once; large scenes take one row more, see ``_spread``."""
_SPREAD_ROWS = 129
_WORTH_PX = 1024 * 1024
_local = threading.local()
_Key = tuple[Place, Grid, Grid, str, float | None, bool]


@contextmanager
def open_warped(
    place: Place, own: Grid, grid: Grid, resampling: str, nodata: float | None, has_mask: bool
) -> Iterator[tuple[Any, int | None]]:
    """Gives a file as it looks on a grid.

    Args:
        place: Of the file.
        own: Its own grid.
        grid: With CRS and transform.
        resampling: Name of GDAL's way.
        nodata: The file's number without data; pixels outside the file get it.
        has_mask: The file carries a mask or an alpha band, which is warped along.

    Yields:
        rasterio's dataset, and the 1-based band that is 0 where there is no data; None where ``nodata`` tells.

    Raises:
        UnreadableFileError: The file is absent, of another format, or damaged.
    """
    key = (place, own, grid, resampling, nodata, has_mask)
    held = _held(key)
    with gdal_errors(place, settings=held is None or not held.alone):
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


def close_warped(place: Place) -> None:
    """Closes what this thread holds open of a file, on whatever grids; as ``raster.close_file``."""
    if getattr(_local, "process", None) == os.getpid():
        for key in [key for key in _local.handles if key[0] == place]:
            _local.handles.pop(key).close()


def _warped(dataset: Any, own: Grid, grid: Grid, resampling: str, nodata: float | None, has_mask: bool) -> tuple[Any, int | None]:
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
    if (crs := crs_around(own)) is not None:
        options["src_crs"] = crs
    floating = dataset.dtypes[0].startswith("float")
    number = stored_number(nodata, np.dtype(dataset.dtypes[0]))
    if number is None and floating and not has_mask:
        number = math.nan
    if number is not None:
        if resampling == "nearest" and not math.isnan(number):
            # The number is copied as any other, so that GDAL need not look for it: half the time, and the same pixels.
            plain = WarpedVRT(dataset, src_nodata=None, nodata=None, init_dest_nodata=False, INIT_DEST=str(number), **options)
            return _spread(plain, dataset), None
        # By default GDAL leaves out only pixels without data in all bands; band by band it fills the rim of a hole from around it.
        options["UNIFIED_SRC_NODATA"] = "PARTIAL"
        # What lies outside the file, and what NaN or nodata touches, is without data.
        return WarpedVRT(dataset, src_nodata=number, nodata=number, **options), None
    if ColorInterp.alpha in dataset.colorinterp:
        return WarpedVRT(dataset, **options), dataset.colorinterp.index(ColorInterp.alpha) + 1
    warped = WarpedVRT(dataset, add_alpha=True, **options)
    return warped, int(warped.count)


def _spread(warped: Any, dataset: Any) -> Any:
    """The same warper with blocks of an odd number of rows, where the scene is large enough to repay the time to make it.

    GDAL warps a block of all bands pixel by pixel, each band in memory of its own. 512 x 128 pixels are whole pages for every type,
    so that the same pixel of all bands falls into the same few lines of the processor's cache: with twelve bands a quarter of the
    time. rasterio has no option for the block, so the warper is written as GDAL writes it, and read again with another number.
    """
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    # Only of a TIFF is it sure that GDAL, which opens the file by its name here, takes the driver that was checked.
    if dataset.driver != "GTiff" or warped.width * warped.height < _WORTH_PX or warped.block_shapes[0] != BLOCK:
        return warped
    with MemoryFile(ext=".vrt") as file:
        copy(warped, file.name, driver="VRT")
        file.seek(0)
        recipe = file.read().decode("utf-8")
    height = f"<BlockYSize>{BLOCK[0]}</BlockYSize>"
    if height not in recipe or '<SourceDataset relativeToVRT="0">' not in recipe:
        return warped
    spread = rasterio.open(recipe.replace(height, f"<BlockYSize>{_SPREAD_ROWS}</BlockYSize>"), driver="VRT", sharing=False)
    warped.close()
    return spread


def warped_pixels(
    array: npt.NDArray[Any], empty: npt.NDArray[np.bool_], own: Grid, grid: Grid, window: Window, resampling: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Brings pixels that were read already onto a window of another grid.

    Args:
        array: (C, Y, X).
        empty: (Y, X) without data; such pixels take no part.
        own: Their grid.
        grid: The other.
        window: In its pixels.
        resampling: Name of GDAL's way.

    Returns:
        (C, Y, X) of the window in the same type, and where there is no data.
    """
    from rasterio.enums import Resampling
    from rasterio.transform import Affine
    from rasterio.warp import reproject

    target = part_of(grid, window)
    assert own.transform is not None and target.transform is not None
    source = array.astype(np.float64)
    source[:, empty] = np.nan
    pixels = np.full((len(array), window.height, window.width), np.nan)
    reproject(
        source,
        pixels,
        src_transform=Affine(*own.transform),
        src_crs=crs_around(own) or own.crs,
        dst_transform=Affine(*target.transform),
        dst_crs=target.crs,
        resampling=Resampling[resampling],
        src_nodata=np.nan,
        dst_nodata=np.nan,
    )
    lost: npt.NDArray[np.bool_] = np.isnan(pixels).any(axis=0)
    pixels[:, lost] = 0
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        pixels = np.clip(np.rint(pixels), limits.min, limits.max)
    return pixels.astype(array.dtype), lost
