"""Cuts a scene into windows and finds the region that labels each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domainclip.domains.regions import coverage
from domainclip.domains.remote_sensing.place import pixel_spacing
from domainclip.domains.remote_sensing.raster import RasterHeader, unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.sample import Region, Spacing, Window

_SCENE_WINDOW_PX = 64
_ROUNDING = 1e-9


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


def resolve_cut(header: RasterHeader, reading: RemoteSensingReading, spacing: Spacing | None) -> Cut | None:
    """Says how to cut a file; None means whole (a picture, unless ``window_px`` or ``window_m`` is set).

    Args:
        header: Of the file.
        reading: Options.
        spacing: Pixel size (the owner's, else the file's).

    Raises:
        UnreadableFileError: ``window_m`` was asked for, and the pixels have no size in metres.
    """
    if reading.window_m is None:
        if reading.window_px is None and header.is_picture:
            return None
        side = reading.window_px or _SCENE_WINDOW_PX
        stride = reading.stride_px or side
        return Cut((side, side), (stride, stride), None)
    if spacing is None or spacing.unit == "degree":
        found = "Its pixels have no size." if spacing is None else "Its pixels are sized in degrees, which are no fixed length."
        raise unreadable(
            f"{found} reading.window_m is in metres.",
            "Give window_px instead, reproject, or give its spacing in the manifest.",
        )
    metres = {"m": 1.0, "mm": 1e-3, "um": 1e-6}[spacing.unit]
    side = reading.window_px or _SCENE_WINDOW_PX
    stride = reading.stride_px or side
    size = tuple(max(1, round(reading.window_m / (value * metres))) for value in spacing.values)
    step = tuple(max(1, round(stride * reading.window_m / (side * value * metres))) for value in spacing.values)
    return Cut((size[0], size[1]), (step[0], step[1]), (side, side))


def windows(header: RasterHeader, cut: Cut | None) -> Iterator[Window]:
    """Yields the windows, row by row.

    The last of a row or column is moved inwards, so that the scene is covered; a side shorter than the window is taken as is.
    """
    if cut is None:
        yield Window(0, 0, header.width, header.height)
        return
    height, width = min(cut.window_px[0], header.height), min(cut.window_px[1], header.width)
    for y in _starts(header.height, height, cut.stride_px[0]):
        for x in _starts(header.width, width, cut.stride_px[1]):
            yield Window(x, y, width, height)


def _starts(length: int, window: int, stride: int) -> list[int]:
    starts = list(range(0, length - window + 1, stride))
    if starts[-1] + window < length:
        starts.append(length - window)
    return starts


def regions_in_pixels(regions: Sequence[Region], header: RasterHeader) -> list[tuple[Region, tuple[float, float, float, float]]]:
    """Brings regions to the file's pixels. Polygons of a georeferenced file are in its CRS, those of any other in pixels.

    Returns:
        Each region with its box (left, top, right, bottom) in pixels.

    Raises:
        UnreadableFileError: No region touches the scene: the polygons are in other coordinates.
    """
    moved = list(regions)
    if header.crs is not None and header.transform is not None:
        a, b, c, d, e, f = header.transform
        area = a * e - b * d

        def pixel(x: float, y: float) -> tuple[float, float]:
            return (e * (x - c) - b * (y - f)) / area, (a * (y - f) - d * (x - c)) / area

        moved = [Region(tuple(pixel(x, y) for x, y in region.polygon), region.labels) for region in regions]
    boxed = [(region, _box(region)) for region in moved]
    inside = [box for _, box in boxed if box[2] > 0 and box[3] > 0 and box[0] < header.width and box[1] < header.height]
    if boxed and not inside:
        where = f"the file's CRS ({header.crs[:40]})" if header.crs else "pixels (the file has no CRS)"
        raise unreadable("None of its regions touches it.", f"Give the polygons in {where}.")
    return boxed


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


def spacing_of(header: RasterHeader, owner: Spacing | None) -> Spacing | None:
    """Returns the pixel size: the owner's, else the geotransform's."""
    return owner if owner is not None else pixel_spacing(header)


def window_spacing(spacing: Spacing | None, cut: Cut | None, window: Window) -> Spacing | None:
    """Returns the pixel size after the window's resampling."""
    if spacing is None or cut is None or cut.output_px is None:
        return spacing
    rows, columns = cut.output_px
    size = (spacing.values[0] * window.height / rows, spacing.values[1] * window.width / columns)
    return Spacing(size, spacing.unit, f"{spacing.source}, resampled")
