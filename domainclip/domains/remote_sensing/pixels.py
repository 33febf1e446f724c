"""Reads the pixels of windows: bands of one or several files, on the scene's grid, with their masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.quality import QualityBand, quality_masks
from domainclip.domains.remote_sensing.raster import close_file, open_raster, stamp_of
from domainclip.domains.remote_sensing.warp import close_warped, open_warped
from domainclip.sample import Pixels, Window

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """Some bands of one file, as they lie on a scene's grid.

    Attributes:
        source: Path, or what GDAL opens.
        indexes: 1-based bands.
        size: (columns, rows) of the file.
        shift: (column, row) of its first pixel in the grid, where its pixels are the grid's; None: it is resampled.
        nodata: Stored number that means no data.
        has_mask: The file carries a mask or an alpha band.
        resampling: Name of GDAL's way, for files that are resampled.
    """

    source: str
    indexes: tuple[int, ...]
    size: tuple[int, int]
    shift: tuple[int, int] | None
    nodata: float | None
    has_mask: bool
    resampling: str = "nearest"


@dataclass(frozen=True, slots=True)
class Layer:
    """Bands that are read together; of several parts the first with data counts."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Plane:
    """A scene at one time.

    Attributes:
        grid: Its pixels on the ground.
        layers: Their bands, one layer after the other, are the stored bands.
        order: Position of each channel among the stored bands; None: as they come.
        quality: Bands that become masks, each with its layer.
        power: Stored numbers are linear power and are read as decibel.
        blank: Masks whose pixels count as without data.
        physical: (scale, offset): stored numbers become physical ones, float32, as they are read.
    """

    grid: Grid
    layers: tuple[Layer, ...]
    order: tuple[int, ...] | None = None
    quality: tuple[tuple[QualityBand, Layer], ...] = ()
    power: bool = False
    blank: tuple[str, ...] = ()
    physical: tuple[float, float] | None = None

    @cached_property
    def may_lack_data(self) -> bool:
        """Some pixel may be without data; False lets a reader skip looking."""
        if len(self.layers) != 1 or self.quality or self.power or len(self.layers[0].parts) != 1:
            return True
        part = self.layers[0].parts[0]
        return part.nodata is not None or part.has_mask or part.shift != (0, 0)


@dataclass(frozen=True, slots=True)
class WindowReader:
    """Reads one window of a scene; carries names and numbers only, so that it crosses processes.

    Attributes:
        planes: The scene at each of its times.
        window: In pixels of the scene's grid; it may reach over the edges (there is no data there).
        output_px: (rows, columns) to resample to, or None for the grid's own pixels.
        stacked: The array has an axis T, also where there is one plane.
    """

    planes: tuple[Plane, ...]
    window: Window
    output_px: tuple[int, int] | None = None
    stacked: bool = False

    def stamps(self) -> tuple[tuple[int, ...], ...]:
        """Returns what changes when one of the files changes.

        Raises:
            UnreadableFileError: A file is gone.
        """
        return tuple(stamp_of(source) for source in sources_of(self.planes))

    def __call__(self) -> Pixels:
        """Returns the window, (C, Y, X) or (T, C, Y, X) in the stored type, with its masks.

        Raises:
            UnreadableFileError: A file is broken or gone.
        """
        read = [read_plane(plane, self.window, self.output_px) for plane in self.planes]
        if not self.stacked:
            return read[0]
        names = dict.fromkeys(name for pixels in read for name in pixels.masks)
        shape = read[0].array.shape[1:]
        masks = {name: np.stack([pixels.masks.get(name, np.zeros(shape, bool)) for pixels in read]) for name in names}
        return Pixels(np.stack([pixels.array for pixels in read]), masks)


def sources_of(planes: Sequence[Plane]) -> list[str]:
    """Returns the files behind planes, one a part."""
    layers = [layer for plane in planes for layer in (*plane.layers, *(layer for _, layer in plane.quality))]
    return [part.source for layer in layers for part in layer.parts]


def release(planes: Sequence[Plane]) -> None:
    """Closes the files of a scene that is done with, so that the next one's blocks need no memory of their own.

    Whoever reads a window of it later opens them again.
    """
    for source in sources_of(planes):
        close_file(source)
        close_warped(source)


def read_plane(plane: Plane, window: Window, output_px: tuple[int, int] | None = None) -> Pixels:
    """Reads a window of a scene at one time.

    A pixel has no data where any of the bands is NaN or without data, or where a file's own mask or a quality band says so: a
    vector over bands with a hole in it is of no use to a tower.

    Args:
        plane: The scene.
        window: In pixels of its grid.
        output_px: (rows, columns) to resample to: averaged when shrinking, else bilinear. Pixels of which a part has no data
            have none; a mask holds where it covers half of a pixel.

    Returns:
        (C, Y, X) in the stored type, the mask ``nodata`` and those of the quality bands.

    Raises:
        UnreadableFileError: A file is broken or gone.
    """
    arrays, empty = [], np.zeros((window.height, window.width), bool)
    for layer in plane.layers:
        array, lacking = read_layer(layer, plane.grid, window)
        arrays.append(array)
        empty |= lacking
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays).astype(np.result_type(*arrays), copy=False)
    if plane.order is not None:
        array = array[list(plane.order)]
    masks: dict[str, Mask] = {}
    for band, layer in plane.quality:
        codes, unknown = read_layer(layer, plane.grid, window)
        for name, mask in quality_masks(band, codes, unknown).items():
            masks[name] = masks[name] | mask if name in masks else mask
    empty |= masks.pop("nodata", np.zeros_like(empty))
    for name in plane.blank:
        empty |= masks.get(name, np.zeros_like(empty))
    if plane.power:
        array, empty = _decibel(array, empty)
    if plane.physical is not None:
        array = array.astype(np.float32) * np.float32(plane.physical[0]) + np.float32(plane.physical[1])
    if output_px is not None and output_px != array.shape[1:]:
        masks = {name: _shares(mask, output_px) >= 0.5 for name, mask in masks.items()}
        array, empty = _resampled(array, empty, output_px)
    return Pixels(array, {"nodata": empty, **masks})


def read_layer(layer: Layer, grid: Grid, window: Window) -> tuple[Array, Mask]:
    """Reads the bands of a layer, (C, Y, X), and where they have no data, (Y, X).

    Raises:
        UnreadableFileError: A file is broken or gone.
    """
    if len(layer.parts) == 1:
        return _read_part(layer.parts[0], grid, window)
    array: Array | None = None
    empty = np.ones((window.height, window.width), bool)
    for part in layer.parts:
        if _apart(part, window):
            continue
        more, lacking = _read_part(part, grid, window)
        if array is None:
            array, empty = more, lacking
        else:
            gained = empty & ~lacking
            array[:, gained] = more[:, gained]
            empty &= lacking
        if not empty.any():
            break
    if array is None:
        array, empty = _read_part(layer.parts[0], grid, window)
    return array, empty


def _apart(part: Part, window: Window) -> bool:
    """Says whether a file on the grid has no pixel in the window."""
    if part.shift is None:
        return False
    x, y = window.x - part.shift[0], window.y - part.shift[1]
    return x >= part.size[0] or y >= part.size[1] or x + window.width <= 0 or y + window.height <= 0


def _read_part(part: Part, grid: Grid, window: Window) -> tuple[Array, Mask]:
    if part.shift is None:
        return _read_warped(part, grid, window)
    x, y = window.x - part.shift[0], window.y - part.shift[1]
    left, upper = max(0, x), max(0, y)
    right, lower = min(part.size[0], x + window.width), min(part.size[1], y + window.height)
    if (left, upper, right, lower) == (x, y, x + window.width, y + window.height):
        return read_pixels(part.source, part.indexes, Window(x, y, window.width, window.height), part.nodata, part.has_mask)
    inner = Window(left, upper, max(0, right - left), max(0, lower - upper))
    if not inner.width or not inner.height:
        first, _ = read_pixels(part.source, part.indexes, Window(0, 0, 1, 1), part.nodata, part.has_mask)
        shape = (len(part.indexes), window.height, window.width)
        return np.zeros(shape, first.dtype), np.ones(shape[1:], bool)
    some, lacking = read_pixels(part.source, part.indexes, inner, part.nodata, part.has_mask)
    array = np.zeros((len(some), window.height, window.width), some.dtype)
    empty = np.ones(array.shape[1:], bool)
    place = (slice(upper - y, lower - y), slice(left - x, right - x))
    array[:, place[0], place[1]] = some
    empty[place] = lacking
    return array, empty


def read_pixels(source: str, indexes: tuple[int, ...], window: Window, nodata: float | None, has_mask: bool) -> tuple[Array, Mask]:
    """Reads a window of one file in its own pixels.

    Args:
        source: Path, or what GDAL opens.
        indexes: 1-based bands.
        window: Inside the file, in its pixels.
        nodata: Stored number, or None.
        has_mask: Look at the file's mask or alpha band too.

    Returns:
        (C, Y, X) in the stored type, and where it has no data, (Y, X).

    Raises:
        UnreadableFileError: The file is broken or gone.
    """
    # Rows and columns: rasterio makes a window of them at less cost than of its own Window class.
    part = ((window.y, window.y + window.height), (window.x, window.x + window.width))
    with open_raster(source, pixels_only=True) as dataset:
        array: Array = dataset.read(indexes, window=part)
        masked = dataset.dataset_mask(window=part) == 0 if has_mask else None
    return array, _empty(array, nodata, masked)


def _read_warped(part: Part, grid: Grid, window: Window) -> tuple[Array, Mask]:
    with open_warped(part.source, grid, part.resampling, part.nodata, part.has_mask) as (dataset, alpha):
        size = dataset.width, dataset.height
        left, upper = max(0, window.x), max(0, window.y)
        right, lower = min(size[0], window.x + window.width), min(size[1], window.y + window.height)
        box = ((upper, lower), (left, right))
        some: Array = dataset.read(part.indexes, window=box)
        masked = dataset.read(alpha, window=box) == 0 if alpha else None
    lacking = _empty(some, part.nodata, masked)
    if some.shape[1:] == (window.height, window.width):
        return some, lacking
    array = np.zeros((len(some), window.height, window.width), some.dtype)
    empty = np.ones(array.shape[1:], bool)
    place = (slice(upper - window.y, lower - window.y), slice(left - window.x, right - window.x))
    array[:, place[0], place[1]] = some
    empty[place] = lacking
    return array, empty


def _empty(array: Array, nodata: float | None, masked: Mask | None) -> Mask:
    """Where any band has no data."""
    empty = np.zeros(array.shape[1:], bool) if masked is None else masked
    number = _as_stored(nodata, array.dtype)
    for plane in array:  # band by band: no temporary of all bands
        if array.dtype.kind == "f":
            empty |= np.isnan(plane)
        if number is not None:
            empty |= plane == number
    return empty


def _as_stored(nodata: float | None, dtype: np.dtype[Any]) -> Any:
    """The number without data in the type of the pixels, None where no pixel can have it.

    As a float it would cost five times as much: numpy compares int16 with a float in float64.
    """
    if nodata is None or math.isnan(nodata):
        return None
    if dtype.kind not in "iu":
        return nodata
    limits = np.iinfo(dtype)
    return dtype.type(int(nodata)) if nodata.is_integer() and limits.min <= nodata <= limits.max else None


def _decibel(array: Array, empty: Mask) -> tuple[Array, Mask]:
    """Linear power to decibel, 10 log10; what is not above 0 has no data."""
    positive: Mask = np.all(array > 0, axis=0)
    shown = np.where(positive[None] & ~empty[None], array, 1).astype(np.float32)
    return 10 * np.log10(shown), empty | ~positive


def _resampled(array: Array, empty: Mask, output_px: tuple[int, int]) -> tuple[Array, Mask]:
    rows, columns = output_px
    pixels = np.full((len(array), rows, columns), np.nan, np.float32)
    filled = array.astype(np.float32)
    filled[:, empty] = np.nan
    _reproject(filled, pixels, np.nan)
    lost = np.isnan(pixels).any(axis=0) | (_shares(empty, output_px) > 1e-6)
    pixels[:, lost] = 0
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        return np.clip(np.rint(pixels), limits.min, limits.max).astype(array.dtype), lost
    return pixels.astype(array.dtype), lost


def _shares(mask: Mask, output_px: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The share of a mask in each resampled pixel."""
    shares = np.zeros(output_px, np.float32)
    _reproject(mask.astype(np.float32), shares, None)
    return shares


def _reproject(source: Array, target: Array, nodata: float | None) -> None:
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    (height, width), (rows, columns) = source.shape[-2:], target.shape[-2:]
    shrinks = rows <= height and columns <= width
    # Any CRS does: source and target share it.
    options: Mapping[str, Any] = {
        "src_transform": Affine.identity(),
        "dst_transform": Affine.scale(width / columns, height / rows),
        "src_crs": "EPSG:3857",
        "dst_crs": "EPSG:3857",
        "resampling": Resampling.average if shrinks else Resampling.bilinear,
    }
    reproject(source, target, **options, **({} if nodata is None else {"src_nodata": nodata, "dst_nodata": nodata}))
