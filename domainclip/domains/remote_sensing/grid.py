"""The pixels of a scene on the ground: CRS, affine and size; of a file as it is, or as the owner wants it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from domainclip.domains.remote_sensing.projection import projected
from domainclip.domains.remote_sensing.raster import Affine6, RasterHeader, unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.sample import Window

_MAX_PX = 2_000_000
_EDGE_STEPS = 8
_SAME_PX = 1e-3
"""Two grids are one where their corners agree to so many pixels: writers round origins and pixel sizes."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows and columns on the ground.

    Attributes:
        width: Columns.
        height: Rows.
        crs: ``"EPSG:32630"`` or WKT, or None.
        transform: Affine (a, b, c, d, e, f) of upper-left corners, or None.
        metres_per_unit: Of the CRS, None for degrees or no CRS.
    """

    width: int
    height: int
    crs: str | None = None
    transform: Affine6 | None = None
    metres_per_unit: float | None = None

    def corner(self, column: float, row: float) -> tuple[float, float]:
        """Returns x and y of a place in pixels.

        Raises:
            ValueError: The grid has no transform.
        """
        if self.transform is None:
            raise ValueError("the grid has no transform")
        a, b, c, d, e, f = self.transform
        return a * column + b * row + c, d * column + e * row + f

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Returns column and row of a place in the CRS; undoes ``corner``.

        A longitude that lies outside is also tried on the other side of the date line: a scene across it has places of both.
        """
        column, row = self._pixel(x, y)
        if self.crs is not None and self.metres_per_unit is None and not 0 <= column <= self.width:
            for turned in (x - 360, x + 360):
                if 0 <= (found := self._pixel(turned, y))[0] <= self.width:
                    return found
        return column, row

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        if self.transform is None:
            raise ValueError("the grid has no transform")
        a, b, c, d, e, f = self.transform
        area = a * e - b * d
        return (e * (x - c) - b * (y - f)) / area, (a * (y - f) - d * (x - c)) / area


def grid_of(header: RasterHeader) -> Grid:
    """Returns a file's own grid."""
    return Grid(header.width, header.height, header.crs, header.transform, header.metres_per_unit)


def crs_around(grid: Grid) -> str | None:
    """Returns a geographic CRS that counts longitudes around a grid that crosses the date line; None where none is needed.

    PROJ returns longitudes of -180 to 180, and a scene that goes on to 180.3 would end at 180.
    """
    if grid.crs is None or grid.transform is None or grid.metres_per_unit is not None:
        return None
    left, _, right, _ = _bounds(grid)
    if left >= -180 and right <= 180:
        return None
    from rasterio.crs import CRS

    return f"{CRS.from_user_input(grid.crs).to_proj4()} +lon_wrap={(left + right) / 2:.6f}"


def part_of(grid: Grid, window: Window) -> Grid:
    """Returns the grid of a window's pixels."""
    if grid.transform is None:
        return Grid(window.width, window.height)
    a, b, _, d, e, _ = grid.transform
    x, y = grid.corner(window.x, window.y)
    return Grid(window.width, window.height, grid.crs, (a, b, x, d, e, y), grid.metres_per_unit)


def source_window(own: Grid, grid: Grid, window: Window) -> Window | None:
    """Returns the pixels of a grid that a window of another may be made of, with a margin for interpolation; None: none of them."""
    steps = [n / _EDGE_STEPS for n in range(_EDGE_STEPS + 1)]
    edge = [(u, v) for u in steps for v in steps]
    places = [grid.corner(window.x + u * window.width, window.y + v * window.height) for u, v in edge]
    pixels = [own.pixel(x, y) for x, y in projected(str(grid.crs), str(own.crs), places) if math.isfinite(x) and math.isfinite(y)]
    if not pixels:
        return None
    columns, rows = [column for column, _ in pixels], [row for _, row in pixels]
    wide = max(columns) - min(columns), max(rows) - min(rows)
    margin = [4 + 2 * math.ceil(side / max(1, size)) for side, size in zip(wide, (window.width, window.height), strict=True)]
    left, upper = max(0, math.floor(min(columns)) - margin[0]), max(0, math.floor(min(rows)) - margin[1])
    right, lower = min(own.width, math.ceil(max(columns)) + margin[0]), min(own.height, math.ceil(max(rows)) + margin[1])
    return Window(left, upper, right - left, lower - upper) if right > left and lower > upper else None


def shift_of(inner: Grid, outer: Grid) -> tuple[int, int] | None:
    """Returns where one grid's first pixel lies in another, (column, row), when its pixels are pixels of the other; else None."""
    if inner.transform is None or outer.transform is None:
        same = inner.transform is outer.transform and (inner.width, inner.height) == (outer.width, outer.height)
        return (0, 0) if same else None
    if inner == outer:
        return 0, 0
    if inner.crs != outer.crs:
        return None
    column, row = outer.pixel(*inner.corner(0, 0))
    far_column, far_row = outer.pixel(*inner.corner(inner.width, inner.height))
    near = (round(column), round(row))
    off = max(
        abs(column - near[0]),
        abs(row - near[1]),
        abs(far_column - near[0] - inner.width),
        abs(far_row - near[1] - inner.height),
    )
    return near if off <= _SAME_PX else None


def pixel_area(grid: Grid) -> float:
    """Returns the area of a pixel in units of the CRS squared, or of pixels without a CRS."""
    if grid.transform is None:
        return 1.0
    a, b, _, d, e, _ = grid.transform
    return abs(a * e - b * d)


def asked_grid(native: Grid, reading: RemoteSensingReading) -> Grid:
    """Returns the grid that ``reading.crs`` and ``reading.spacing_m`` ask for, or the native one where they ask for none.

    Pixels of a reprojected grid are square; their corners lie on whole multiples of the pixel size, so that scenes read with the
    same options share one grid. The size of a pixel is ``spacing_m``, else GDAL's suggestion (which keeps the diagonal's pixels).

    Raises:
        UnreadableFileError: There is no CRS to start from, the place lies outside the CRS, or metres are meant where there are
            degrees.
        UsageError: ``reading.crs`` is no CRS.
    """
    if reading.crs is None and reading.spacing_m is None:
        return native
    if native.crs is None or native.transform is None:
        raise unreadable(
            "It has no CRS, and reading.crs or reading.spacing_m asks for another grid.",
            "Georeference it, or leave these options out.",
        )
    from domainclip.domains.remote_sensing.place import MAX_STRETCH, covers, ground_stretch

    crs, metres = _target_crs(native, reading)
    if reading.spacing_m is not None and metres is None:
        raise unreadable(
            "Its pixels are sized in degrees, which are no fixed length, and reading.spacing_m is in metres.",
            "Set reading.crs too, to one in metres: utm takes the zone of the scene's centre.",
        )
    step = None if reading.spacing_m is None or metres is None else reading.spacing_m / metres
    grid = _aligned(native, crs, metres, step)
    if not covers(native, grid):
        raise _outside(crs)  # PROJ clamps what lies beyond, the poles in Web Mercator say
    stretch = ground_stretch(grid)
    if reading.spacing_m is not None and stretch is not None and max(abs(s - 1) for s in stretch) > MAX_STRETCH:
        raise unreadable(
            f"A metre of {crs[:40]} is {stretch[1]:.2f} m on the ground here, so reading.spacing_m cannot be kept.",
            "Set reading.crs to one that keeps lengths: utm takes the zone of the scene's centre.",
        )
    return grid


def _target_crs(native: Grid, reading: RemoteSensingReading) -> tuple[str, float | None]:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if reading.crs is None:
        return str(native.crs), native.metres_per_unit
    name = utm_of(native) if reading.crs.lower() == "utm" else reading.crs
    try:
        crs = CRS.from_user_input(name)
    except CRSError as error:
        raise UsageError(
            f"reading.crs={reading.crs} was asked for.", "It is no CRS that PROJ knows.", "Give e.g. EPSG:32633, or utm."
        ) from error
    code = crs.to_epsg()
    return (f"EPSG:{code}" if code else str(crs.to_wkt())), float(crs.linear_units_factor[1]) if crs.is_projected else None


def utm_of(grid: Grid) -> str:
    """Returns the UTM zone of a grid's centre (WGS 84), e.g. ``"EPSG:32735"``; the exceptions of Norway and Svalbard are left out.

    Raises:
        UnreadableFileError: The centre lies beyond 84 degrees north or 80 south, where UTM ends, or nowhere.
    """
    from domainclip.domains.remote_sensing.place import centre_lonlat

    centre = centre_lonlat(grid)
    if centre is None or not -80 <= centre[1] <= 84:
        raise unreadable(
            "Its centre lies where UTM has no zone.",
            "Set reading.crs to one that fits, e.g. EPSG:3413 or EPSG:3031 near the poles.",
        )
    zone = int((centre[0] + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if centre[1] >= 0 else 32700) + zone}"


def _aligned(native: Grid, crs: str, metres: float | None, step: float | None) -> Grid:
    from rasterio.errors import CRSError, RasterioError
    from rasterio.transform import Affine
    from rasterio.warp import calculate_default_transform, transform_bounds

    assert native.transform is not None
    try:
        if step is None:
            edges = _bounds(native)
            affine, _, _ = calculate_default_transform(native.crs, crs, native.width, native.height, *edges)
            step = abs(Affine(*affine[:6]).a)
        left, bottom, right, top = transform_bounds(native.crs, crs, *_bounds(native), densify_pts=101)
    except (CRSError, RasterioError, ValueError) as error:
        raise _outside(crs) from error
    if not all(math.isfinite(value) for value in (left, bottom, right, top, step)) or right <= left or top <= bottom:
        raise _outside(crs)
    # A hair of a pixel more is rounding, not ground.
    first, last = math.floor(left / step + _SAME_PX), math.ceil(right / step - _SAME_PX)
    low, high = math.floor(bottom / step + _SAME_PX), math.ceil(top / step - _SAME_PX)
    width, height = max(1, last - first), max(1, high - low)
    if max(width, height) > _MAX_PX:
        raise unreadable(
            f"On the grid that was asked for it has {width} x {height} pixels.", "Set reading.spacing_m to a larger pixel."
        )
    return Grid(width, height, crs, (step, 0.0, first * step, 0.0, -step, high * step), metres)


def _bounds(grid: Grid) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of all four corners, so that turned grids are covered."""
    corners = [grid.corner(x, y) for x in (0, grid.width) for y in (0, grid.height)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def united(grids: list[Grid]) -> Grid:
    """Returns the smallest grid that covers all; their pixels must be pixels of the first one's.

    Raises:
        UnreadableFileError: One has another CRS, or pixels between those of the first.
    """
    first = grids[0]
    corners = []
    for grid in grids:
        shift = _shift_beyond(grid, first)
        if shift is None:
            raise unreadable(
                "Its parts lie on different grids: their CRS, pixel sizes or pixel borders differ.",
                "Set reading.crs and reading.spacing_m (and reading.resampling): all parts are then read on one grid.",
            )
        corners.append((*shift, shift[0] + grid.width, shift[1] + grid.height))
    left, upper = min(c[0] for c in corners), min(c[1] for c in corners)
    right, lower = max(c[2] for c in corners), max(c[3] for c in corners)
    if max(right - left, lower - upper) > _MAX_PX:
        raise unreadable("Its parts lie far apart from each other.", "Prepare them as scenes of their own (reading.mosaic=false).")
    assert first.transform is not None
    a, b, _, d, e, _ = first.transform
    x, y = first.corner(left, upper)
    return Grid(right - left, lower - upper, first.crs, (a, b, x, d, e, y), first.metres_per_unit)


def _shift_beyond(inner: Grid, outer: Grid) -> tuple[int, int] | None:
    return shift_of(inner, outer) if inner.transform is not None and outer.transform is not None else None


def _outside(crs: str) -> UnreadableFileError:
    return unreadable(f"It lies outside the area of {crs[:40]}.", "Choose a CRS for where it lies; reading.crs=utm takes one.")
