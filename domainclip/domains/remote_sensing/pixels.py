"""Reads the pixels of one window; the reader that a Sample carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domainclip.domains.remote_sensing.openable import absent_pixels
from domainclip.domains.remote_sensing.raster import open_raster
from domainclip.sample import Pixels, Window


@dataclass(frozen=True, slots=True)
class WindowReader:
    """Reads one window of one file; carries names and numbers only, so that it crosses processes.

    Attributes:
        path: The file.
        indexes: 1-based bands in the order of the channels.
        window: In pixels of the file.
        nodata: Stored number that means no data.
        output_px: (rows, columns) to resample to, or None for the file's own pixels.
        has_mask: The file carries a mask or an alpha band.
    """

    path: Path
    indexes: tuple[int, ...]
    window: Window
    nodata: float | None = None
    output_px: tuple[int, int] | None = None
    has_mask: bool = False

    def __call__(self) -> Pixels:
        """Returns the window, (C, Y, X) in the stored type, with the mask ``nodata``.

        Raises:
            UnreadableFileError: The file is broken or gone.
        """
        return read_pixels(self.path, self.indexes, self.window, self.nodata, self.output_px, self.has_mask)

    def nodata_share(self) -> float:
        """Returns the share of pixels without data, 0..1.

        Raises:
            UnreadableFileError: The file is broken or gone.
        """
        return float(self().masks["nodata"].mean())


def read_pixels(
    path: Path,
    indexes: tuple[int, ...],
    window: Window,
    nodata: float | None,
    output_px: tuple[int, int] | None,
    has_mask: bool,
) -> Pixels:
    """Reads a window lazily from the file.

    A pixel has no data where any of the bands is NaN or equals ``nodata``, where the file's own mask says so, or where the file
    does not hold the block (GDAL gives zeros): a vector over bands with a hole in it is of no use to a tower.

    Args:
        path: The file.
        indexes: 1-based bands.
        window: Inside the file, in its pixels.
        nodata: Stored number, or None.
        output_px: (rows, columns) to resample to: averaged when shrinking, else bilinear. Pixels of which a part has no data
            have none.
        has_mask: Look at the file's mask or alpha band too.

    Returns:
        (C, Y, X) in the stored type and the mask ``nodata``.

    Raises:
        UnreadableFileError: The file is broken or gone.
    """
    from rasterio.windows import Window as RasterWindow

    with open_raster(path) as dataset:
        absent = absent_pixels(path, dataset.driver, indexes, window)
        part = RasterWindow(window.x, window.y, window.width, window.height)
        array: np.ndarray = dataset.read(list(indexes), window=part)
        empty = np.zeros(array.shape[1:], bool)
        if has_mask:
            empty |= dataset.dataset_mask(window=part) == 0
    if absent is not None:
        empty |= absent
    if array.dtype.kind == "f":
        empty |= np.isnan(array).any(axis=0)
    if nodata is not None:
        empty |= (array == nodata).any(axis=0)
    if output_px is not None and output_px != array.shape[1:]:
        array, empty = _resampled(array, empty, output_px)
    return Pixels(array, {"nodata": empty})


def _resampled(array: np.ndarray, empty: np.ndarray, output_px: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    rows, columns = output_px
    step = Affine.scale(array.shape[2] / columns, array.shape[1] / rows)
    shrinks = rows <= array.shape[1] and columns <= array.shape[2]
    how = Resampling.average if shrinks else Resampling.bilinear
    pixels = np.full((len(array), rows, columns), np.nan, np.float32)
    # Any CRS does: source and target share it.
    options = {"src_transform": Affine.identity(), "dst_transform": step, "src_crs": "EPSG:3857", "dst_crs": "EPSG:3857"}
    reproject(array.astype(np.float32), pixels, dst_nodata=np.nan, resampling=how, **options)
    holes = np.zeros((rows, columns), np.float32)
    reproject(empty.astype(np.float32), holes, resampling=how, **options)
    lost = np.isnan(pixels).any(axis=0) | (holes > 1e-6)
    pixels[:, lost] = 0
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        return np.clip(np.rint(pixels), limits.min, limits.max).astype(array.dtype), lost
    return pixels.astype(array.dtype), lost
