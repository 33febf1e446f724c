"""Cuts a scene into windows and finds the region that labels each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domainclip.domains.regions import coverage
from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.place import pixel_spacing
from domainclip.domains.remote_sensing.projection import projected
from domainclip.domains.remote_sensing.raster import unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.sample import Region, Spacing, Window

_SCENE_WINDOW_PX = 64
_ROUNDING = 1e-9
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a file is cut.

    Attributes:
        window_px: (rows, columns) of a window in the file's pixels.
        stride_px: (rows, columns) between windows in the file's pixels.
        output_px: (rows, columns) that a window is resampled to, or None.
    """

    window_px: tuple[int, int]
    stride_px: tuple[int, int]
    output_px: tuple[int, int] | None


_MOST_WHOLE_PX = 4096


def resolve_cut(grid: Grid, reading: RemoteSensingReading, spacing: Spacing | None, *, is_picture: bool) -> Cut | None:
    """Says how to cut a scene; None means whole (a picture, unless a size or places are set).

    Args:
        grid: Of the scene.
        reading: Options.
        spacing: Pixel size (the owner's, else the grid's).
        is_picture: 8-bit colours without a CRS.

    Raises:
        UnreadableFileError: Metres were asked for, and the pixels have no size in metres.
    """
    if reading.whole:
        if max(grid.width, grid.height) > _MOST_WHOLE_PX:
            found = f"It has {grid.width} x {grid.height} pixels; reading.whole takes scenes of up to {_MOST_WHOLE_PX} a side."
            raise unreadable(found, "Leave reading.whole out, or set reading.window_px.")
        return None
    metres = reading.window_m is not None or reading.stride_m is not None
    if metres and (spacing is None or spacing.unit == "degree"):
        found = "Its pixels have no size." if spacing is None else "Its pixels are sized in degrees, which are no fixed length."
        name = "reading.window_m" if reading.window_m is not None else "reading.stride_m"
        raise unreadable(
            f"{found} {name} is in metres.",
            "Give window_px instead, set reading.crs=utm, or give its spacing in the manifest.",
        )
    if not metres:
        if reading.window_px is None and is_picture and reading.points is None:
            return None
        side = reading.window_px or _SCENE_WINDOW_PX
        if reading.window_px is not None and side > max(grid.width, grid.height):
            raise unreadable(
                f"A window of {side} pixels (reading.window_px) is larger than it ({grid.width} x {grid.height}).",
                "Lower reading.window_px, or join neighbouring scenes: reading.mosaic=true.",
            )
        stride = reading.stride_px or side
        return Cut((side, side), (stride, stride), None)
    assert spacing is not None
    unit = {"m": 1.0, "mm": 1e-3, "um": 1e-6}[spacing.unit]
    side = reading.window_px or _SCENE_WINDOW_PX
    size = (side, side)
    if reading.window_m is not None:
        size = _pixels(reading.window_m, spacing, unit, "window_m")
    if reading.stride_m is not None:
        step = _pixels(reading.stride_m, spacing, unit, "stride_m")
    else:
        stride = reading.stride_px or side
        step = (max(1, round(stride * size[0] / side)), max(1, round(stride * size[1] / side)))
    return Cut(size, step, (side, side) if reading.window_m is not None else None)


def _pixels(length_m: float, spacing: Spacing, unit: float, name: str) -> tuple[int, int]:
    """(rows, columns) of a length on the ground, to the nearest pixel."""
    rows, columns = (round(length_m / (value * unit)) for value in spacing.values)
    if min(rows, columns) < 1:
        pixel = " x ".join(f"{value * unit:g}" for value in spacing.values)
        raise unreadable(
            f"reading.{name} is {length_m:g} m, and its pixels have {pixel} m.", f"Raise reading.{name} to some pixels."
        )
    return rows, columns


def windows(grid: Grid, cut: Cut | None) -> Iterator[Window]:
    """Yields the windows, row by row.

    The last of a row or column is moved inwards, so that the scene is covered; a side shorter than the window is taken as is.
    """
    if cut is None:
        yield Window(0, 0, grid.width, grid.height)
        return
    if cut.output_px is not None and (cut.window_px[0] > grid.height or cut.window_px[1] > grid.width):
        raise unreadable(
            f"A window of {cut.window_px[1]} x {cut.window_px[0]} pixels is larger than it ({grid.width} x {grid.height}), "
            "and would be stretched to another scale.",
            "Lower reading.window_m, or join neighbouring scenes: reading.mosaic=true.",
        )
    height, width = min(cut.window_px[0], grid.height), min(cut.window_px[1], grid.width)
    for y in _starts(grid.height, height, cut.stride_px[0]):
        for x in _starts(grid.width, width, cut.stride_px[1]):
            yield Window(x, y, width, height)


def _starts(length: int, window: int, stride: int) -> list[int]:
    starts = list(range(0, length - window + 1, stride))
    if starts[-1] + window < length:
        starts.append(length - window)
    return starts


def regions_in_pixels(regions: Sequence[Region], native: Grid, grid: Grid) -> list[tuple[Region, Box]]:
    """Brings regions to the pixels of a scene. Polygons of a georeferenced file are in its CRS, those of any other in pixels.

    Args:
        regions: Polygons as their owner gives them.
        native: The file's own grid.
        grid: The scene's, which may be of another CRS.

    Returns:
        Each region with its box (left, top, right, bottom) in pixels of ``grid``.

    Raises:
        UnreadableFileError: No region touches the scene: the polygons are in other coordinates.
    """
    moved = list(regions)
    if native.crs is not None and grid.transform is not None:
        moved = [Region(tuple(_on(region.polygon, str(native.crs), grid)), region.labels) for region in regions]
    boxed = [(region, _box(region)) for region in moved]
    inside = [box for _, box in boxed if box[2] > 0 and box[3] > 0 and box[0] < grid.width and box[1] < grid.height]
    if boxed and not inside:
        where = f"the file's CRS ({native.crs[:40]})" if native.crs else "pixels (the file has no CRS)"
        raise unreadable("None of its regions touches it.", f"Give the polygons in {where}.")
    return boxed


def _on(polygon: Sequence[tuple[float, float]], crs: str, grid: Grid) -> list[tuple[float, float]]:
    """A polygon in pixels of a grid of perhaps another CRS."""
    places = list(polygon)
    if crs != grid.crs:
        places = projected(crs, str(grid.crs), places)
    return [grid.pixel(x, y) for x, y in places]


def _box(region: Region) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in region.polygon], [y for _, y in region.polygon]
    return min(xs), min(ys), max(xs), max(ys)


def region_of(window: Window, regions: Sequence[tuple[Region, tuple[float, float, float, float]]], purity: float) -> Region | None:
    """Returns the region that covers most of a window, when it covers at least ``purity`` of it, else None."""
    best, share = None, 0.0
    for region, (left, top, right, bottom) in regions:
        width = min(right, window.x + window.width) - max(left, window.x)
        height = min(bottom, window.y + window.height) - max(top, window.y)
        # The box bounds the coverage from above, and is much cheaper.
        if width <= 0 or height <= 0 or width * height < (max(purity, share) - _ROUNDING) * window.width * window.height:
            continue
        covered = coverage(region, window.x, window.y, window.width, window.height)
        if covered > share:
            best, share = region, covered
    return best if share >= purity - _ROUNDING else None


def spacing_of(grid: Grid, owner: Spacing | None) -> Spacing | None:
    """Returns the pixel size: the owner's, else the grid's."""
    return owner if owner is not None else pixel_spacing(grid)


def window_spacing(spacing: Spacing | None, cut: Cut | None, window: Window) -> Spacing | None:
    """Returns the pixel size after the window's resampling."""
    if spacing is None or cut is None or cut.output_px is None:
        return spacing
    rows, columns = cut.output_px
    size = (spacing.values[0] * window.height / rows, spacing.values[1] * window.width / columns)
    return Spacing(size, spacing.unit, f"{spacing.source}, resampled")
