"""Reads the pixels of windows: bands of one or several files, on the scene's grid, with their masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.grid import Grid, part_of, source_window
from domainclip.domains.remote_sensing.openable import absent_pixels
from domainclip.domains.remote_sensing.quality import QualityBand, quality_masks
from domainclip.domains.remote_sensing.raster import Place, close_file, open_raster, stamp_of, stored_number
from domainclip.domains.remote_sensing.warp import close_warped, open_warped, warped_pixels
from domainclip.sample import Pixels, Window

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """Some bands of one file, as they lie on a scene's grid.

    Attributes:
        place: Of the file.
        indexes: 1-based bands.
        own: Its own grid.
        shift: (column, row) of its first pixel in the grid, where its pixels are the grid's; None: it is resampled.
        nodata: Stored number that means no data.
        has_mask: The file carries a mask or an alpha band.
        resampling: Name of GDAL's way, for files that are resampled.
        looked_at: Blocks are looked at before GDAL reads them (``RasterHeader.looked_at``).
        alpha_is_data: The band that GDAL takes for alpha is one of the bands (near infrared, say).
    """

    place: Place
    indexes: tuple[int, ...]
    own: Grid
    shift: tuple[int, int] | None
    nodata: float | None
    has_mask: bool
    resampling: str = "nearest"
    looked_at: bool = False
    alpha_is_data: bool = False


@dataclass(frozen=True)
class Plane:
    """A scene at one time.

    Attributes:
        grid: Its pixels on the ground.
        parts: Their bands, one part after the other, are the stored bands.
        order: Position of each channel among the stored bands; None: as they come.
        quality: Bands that become masks, each with its part.
        power: Stored numbers are linear power and are read as decibel.
        blank: Masks whose pixels count as without data.
        physical: (scale, offset): stored numbers become physical ones, float32, as they are read.
        beneath: Neighbours on the same grid that fill its holes, the first with data first; with their own masks and scale.
    """

    grid: Grid
    parts: tuple[Part, ...]
    order: tuple[int, ...] | None = None
    quality: tuple[tuple[QualityBand, Part], ...] = ()
    power: bool = False
    blank: tuple[str, ...] = ()
    physical: tuple[float, float] | None = None
    beneath: tuple[Plane, ...] = ()

    @cached_property
    def may_lack_data(self) -> bool:
        """Some pixel may be without data; False lets a reader skip looking."""
        if len(self.parts) != 1 or self.quality or self.power or self.beneath:
            return True
        part = self.parts[0]
        return part.nodata is not None or part.has_mask or part.looked_at or part.shift != (0, 0)


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
        return tuple(stamp_of(place) for place in places_of(self.planes))

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


def places_of(planes: Sequence[Plane]) -> list[Place]:
    """Returns the files behind planes, one a part."""
    whole = [one for plane in planes for one in (plane, *plane.beneath)]
    return [part.place for plane in whole for part in (*plane.parts, *(part for _, part in plane.quality))]


def release(planes: Sequence[Plane]) -> None:
    """Closes the files of a scene that is done with, so that the next one's blocks need no memory of their own.

    Whoever reads a window of it later opens them again.
    """
    for place in places_of(planes):
        close_file(place)
        close_warped(place)


def read_plane(plane: Plane, window: Window, output_px: tuple[int, int] | None = None) -> Pixels:
    """Reads a window of a scene at one time; holes are filled by what lies beneath.

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
    there = [one for one in (plane, *plane.beneath) if not all(_apart(part, window) for part in one.parts)] or [plane]
    array, empty, masks = _read_one(there[0], window)
    for other in there[1:]:
        if not empty.any():
            break
        more, lacking, marks = _read_one(other, window)
        gained = empty & ~lacking
        array[:, gained] = more[:, gained]
        masks = {name: np.where(gained, marks[name], mask) for name, mask in masks.items()}
        empty &= lacking
    if output_px is not None and output_px != array.shape[1:]:
        masks = {name: _shares(mask, output_px) >= 0.5 for name, mask in masks.items()}
        array, empty = _resampled(array, empty, output_px)
    return Pixels(array, {"nodata": empty, **masks})


def _read_one(plane: Plane, window: Window) -> tuple[Array, Mask, dict[str, Mask]]:
    """A plane without those beneath it: its numbers, where it has no data, and its other masks."""
    arrays, empty = [], np.zeros((window.height, window.width), bool)
    for part in plane.parts:
        array, lacking = _read_part(part, plane.grid, window)
        arrays.append(array)
        empty |= lacking
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays).astype(np.result_type(*arrays), copy=False)
    if plane.order is not None:
        array = array[list(plane.order)]
    masks: dict[str, Mask] = {}
    for band, part in plane.quality:
        codes, unknown = _read_part(part, plane.grid, window)
        for name, mask in quality_masks(band, codes, unknown).items():
            masks[name] = masks[name] | mask if name in masks else mask
    empty |= masks.pop("nodata", np.zeros_like(empty))
    for name in plane.blank:
        empty |= masks.get(name, np.zeros_like(empty))
    if plane.power:
        array, empty = _decibel(array, empty)
    if plane.physical is not None:
        array = array.astype(np.float32) * np.float32(plane.physical[0]) + np.float32(plane.physical[1])
    return array, empty, masks


def _apart(part: Part, window: Window) -> bool:
    """Says whether a file on the grid has no pixel in the window."""
    if part.shift is None:
        return False
    x, y = window.x - part.shift[0], window.y - part.shift[1]
    return x >= part.own.width or y >= part.own.height or x + window.width <= 0 or y + window.height <= 0


def _read_part(part: Part, grid: Grid, window: Window) -> tuple[Array, Mask]:
    """Reads what a file has of a window; what lies outside the file has no data."""
    shift, whole = (part.shift, part.own) if part.shift is not None else ((0, 0), grid)
    x, y = window.x - shift[0], window.y - shift[1]
    left, upper = max(0, x), max(0, y)
    right, lower = min(whole.width, x + window.width), min(whole.height, y + window.height)
    within = Window(left, upper, right - left, lower - upper)
    if (within.width, within.height) == (window.width, window.height):
        return _read_inside(part, grid, within)
    if within.width <= 0 or within.height <= 0:
        some, _ = _read_inside(part, grid, Window(0, 0, 1, 1))
        return np.zeros((len(some), window.height, window.width), some.dtype), np.ones((window.height, window.width), bool)
    some, lacking = _read_inside(part, grid, within)
    array = np.zeros((len(some), window.height, window.width), some.dtype)
    empty = np.ones(array.shape[1:], bool)
    inside = (slice(upper - y, lower - y), slice(left - x, right - x))
    array[:, inside[0], inside[1]] = some
    empty[inside] = lacking
    return array, empty


def _read_inside(part: Part, grid: Grid, window: Window) -> tuple[Array, Mask]:
    """Reads a window that lies inside the file where its pixels are the grid's, else inside the grid."""
    return _read_warped(part, grid, window) if part.shift is None else read_pixels(part, window)


def read_pixels(part: Part, window: Window) -> tuple[Array, Mask]:
    """Reads a window of one file in its own pixels.

    Args:
        part: The file and its bands.
        window: Inside the file, in its pixels.

    Returns:
        (C, Y, X) in the stored type, and where it has no data, (Y, X): NaN, nodata, the file's mask, and blocks that the file does
        not hold (GDAL gives zeros).

    Raises:
        UnreadableFileError: The file is broken or gone.
    """
    # Rows and columns: rasterio makes a window of them at less cost than of its own Window class.
    box = ((window.y, window.y + window.height), (window.x, window.x + window.width))
    with open_raster(part.place, pixels_only=True) as dataset:
        absent = None
        if part.looked_at:
            here, allowed = Path(part.place.name), {"outside": part.place.outside, "remote": part.place.remote}
            absent = absent_pixels(here, dataset.driver, part.indexes, window, **allowed)
        array: Array = dataset.read(part.indexes, window=box)
        masked = dataset.dataset_mask(window=box) == 0 if part.has_mask else None
    empty = _empty(array, part.nodata, masked)
    return array, empty if absent is None else empty | absent


def _read_warped(part: Part, grid: Grid, window: Window) -> tuple[Array, Mask]:
    if part.looked_at or part.alpha_is_data or part.resampling == "cubic" or (part.has_mask and part.nodata is not None):
        # GDAL's warper would take blocks that are not there for zeros and an alpha band for a mask, heeds a mask or a number
        # without data but not both, and lets cubic run wild beside a hole in one band: the file is read first, then turned.
        around, some, lacking = _around(part, grid, window)
        return warped_pixels(some, lacking, around, grid, window, part.resampling)
    box = ((window.y, window.y + window.height), (window.x, window.x + window.width))
    with open_warped(part.place, part.own, grid, part.resampling, part.nodata, part.has_mask) as (dataset, alpha):
        array: Array = dataset.read(part.indexes, window=box)
        masked = dataset.read(alpha, window=box) == 0 if alpha else None
    return array, _empty(array, part.nodata, masked)


def _around(part: Part, grid: Grid, window: Window) -> tuple[Grid, Array, Mask]:
    """Reads the pixels of a file, in its own, that a window of another grid may need; with the grid that they lie on."""
    box = source_window(part.own, grid, window)
    if box is None:
        first, _ = read_pixels(part, Window(0, 0, 1, 1))
        return part.own, first, np.ones((1, 1), bool)
    array, empty = read_pixels(part, box)
    return part_of(part.own, box), array, empty


def _empty(array: Array, nodata: float | None, masked: Mask | None) -> Mask:
    """Where any band has no data."""
    empty = np.zeros(array.shape[1:], bool) if masked is None else masked
    number = stored_number(nodata, array.dtype)
    for plane in array:  # band by band: no temporary of all bands
        if array.dtype.kind == "f":
            empty |= np.isnan(plane)
        if number is not None:
            empty |= plane == number
    return empty


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
