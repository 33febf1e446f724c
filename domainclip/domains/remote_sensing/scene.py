"""A scene: one or several products on one grid, with their bands, numbers and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from domainclip.domains.remote_sensing.bands import Bands, StoredBand, mask_positions, resolve_bands
from domainclip.domains.remote_sensing.grid import Grid, asked_grid, grid_of, pixel_area, shift_of, united
from domainclip.domains.remote_sensing.metadata import told_beside
from domainclip.domains.remote_sensing.pixels import Part, Plane
from domainclip.domains.remote_sensing.place import acquisition_time
from domainclip.domains.remote_sensing.products import Product, Told, one_product
from domainclip.domains.remote_sensing.quality import QualityBand
from domainclip.domains.remote_sensing.raster import RasterHeader, read_header, unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.scaling import StoredNumbers, check_plausible, probe, resolve_values
from domainclip.domains.remote_sensing.sensors import quality_rule
from domainclip.sample import Values

_SAME_AREA = 0.01


@dataclass(frozen=True, slots=True)
class Described:
    """A product, its headers read: what is known before any pixel.

    Attributes:
        product: Its files.
        headers: One a file.
        bands: Which are read.
        told: What lies beside the pixels.
        values: What the stored numbers mean.
        values_from: Who says so.
        time: ISO 8601, or None.
        native: The finest grid among the files of the chosen bands.
    """

    product: Product
    headers: tuple[RasterHeader, ...]
    bands: Bands
    told: Told
    values: Values
    values_from: str
    time: str | None
    native: Grid

    @property
    def header(self) -> RasterHeader:
        """Of the file of the first chosen band."""
        return self.headers[self.bands.chosen[0].file]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is cut into windows.

    Attributes:
        planes: One a time.
        grid: Of all planes.
        parts: The products behind the planes (of a mosaic all of the one plane).
        values: Of all planes.
        channels: Of all planes.
        times: ISO 8601 of each plane, or None.
        kind: One scene, a mosaic of several, or a series in time.
    """

    planes: tuple[Plane, ...]
    grid: Grid
    parts: tuple[Described, ...]
    values: Values
    channels: tuple[str, ...]
    times: tuple[str | None, ...]
    kind: Literal["scene", "mosaic", "series"] = "scene"

    @property
    def first(self) -> Described:
        """The product that stands for the scene."""
        return self.parts[0]


def describe(product: Product, reading: RemoteSensingReading) -> Described:
    """Reads the headers of a product, and finds its bands and what its numbers mean.

    Raises:
        UnreadableFileError: A file is broken, its bands or numbers are not told, or the owner's word does not fit it.
        UsageError: The sensor is unknown.
    """
    headers = headers_of(product, reading)
    return described_by(product, headers, resolve_bands(product, headers, reading), reading)


def headers_of(product: Product, reading: RemoteSensingReading) -> tuple[RasterHeader, ...]:
    """Reads the headers of a product, one a file.

    Raises:
        UnreadableFileError: A file is broken.
    """
    return tuple(read_header(file.place(outside=reading.outside, remote=reading.remote)) for file in product.files)


def described_by(product: Product, headers: tuple[RasterHeader, ...], bands: Bands, reading: RemoteSensingReading) -> Described:
    """Puts together what headers and chosen bands tell of a product.

    Raises:
        UnreadableFileError: Its numbers are not told, or the owner's word does not fit them.
    """
    told = told_beside(product)
    chosen = [headers[band.file] for band in bands.chosen]
    kinds = {header.dtype for header in chosen}
    if len(kinds) > 1:
        raise unreadable(f"Its bands have different types ({', '.join(sorted(kinds))}).", "Read bands of one type: reading.bands.")
    values, values_from = resolve_values(_stored(bands, chosen, told, reading), reading)
    time = told.time or next((time for header in headers if (time := acquisition_time(header.tags))), None) or product.time
    native = min((grid_of(header) for header in chosen), key=pixel_area)
    return Described(product, headers, bands, told, values, values_from, time, native)


def _stored(bands: Bands, headers: Sequence[RasterHeader], told: Told, reading: RemoteSensingReading) -> StoredNumbers:
    pairs = list(zip(bands.chosen, headers, strict=True))
    holes = {_nodata(header, told, reading) for header in headers}
    return StoredNumbers(
        headers[0].dtype,
        bands.channels,
        bands.family,
        tuple(
            (header.scales[band.index - 1], header.offsets[band.index - 1], header.units[band.index - 1]) for band, header in pairs
        ),
        tuple(None if _holds_codes(band, bands) else told.of(band.written) for band in bands.chosen) if told.scale else (),
        told.source,
        holes.pop() if len(holes) == 1 else None,
    )


def _holds_codes(band: StoredBand, bands: Bands) -> bool:
    """A quality band that was asked for as a channel: classes and bits, which are no reflectance and have no mean."""
    return quality_rule(band.name, bands.family) is not None


def _nodata(header: RasterHeader, told: Told, reading: RemoteSensingReading) -> float | None:
    return reading.nodata if reading.nodata is not None else header.nodata if header.nodata is not None else told.nodata


def scene_of(product: Product, reading: RemoteSensingReading, checked: bool = True) -> Scene:
    """Makes a scene of one product.

    Args:
        product: Its files.
        reading: Options.
        checked: Look whether the numbers are plausible.

    Raises:
        UnreadableFileError: See ``describe``; or the numbers contradict what is told.
    """
    scene = scene_of_described(describe(product, reading), reading)
    if checked:
        _check(scene.planes[0], scene.first)
    return scene


def scene_of_described(described: Described, reading: RemoteSensingReading) -> Scene:
    """Makes a scene of a product whose headers are read; whether its numbers are plausible is not looked at.

    Raises:
        UnreadableFileError: It cannot be laid onto the grid that was asked for.
    """
    grid = asked_grid(described.native, reading)
    plane = plane_on(described, grid, reading)
    return Scene((plane,), grid, (described,), described.values, described.bands.channels, (described.time,))


def scene_of_several(products: Sequence[Product], reading: RemoteSensingReading, checked: bool = True) -> Scene:
    """Makes a series (``axes`` TCYX) or a mosaic of several products; of one product, and neither, a scene.

    Series are in the order of their times, on the grid of the first. A mosaic covers all its parts; of parts that overlap the first
    by name counts, where it has data. Parts whose numbers have different scales are read in physical numbers.

    Raises:
        UnreadableFileError: See ``scene_of``; or the parts have different bands or quantities, no time, or no common grid.
    """
    if reading.axes == "CYX" and not reading.mosaic:
        return scene_of(one_product(products), reading, checked)
    parts = [describe(product, reading) for product in products]
    _check_alike(parts)
    if reading.axes == "TCYX":
        parts = _in_time(parts)
    values = parts[0].values
    physical = len({(part.values.scale, part.values.offset) for part in parts}) > 1
    if physical:
        values = Values(values.kind)
    elif len({part.values.nodata for part in parts}) > 1:
        values = replace(values, nodata=None)  # the masks tell
    grid = asked_grid(parts[0].native, reading) if reading.axes == "TCYX" else _of_mosaic(parts, reading)
    planes = [plane_on(part, grid, reading, physical) for part in parts]
    if checked:
        for part in parts:  # as stored: what is physical already would be scaled twice
            _check(plane_on(part, part.native if reading.mosaic else grid, reading), part)
    channels, times = parts[0].bands.channels, tuple(part.time for part in parts)
    if reading.axes == "TCYX":
        _check_over(parts, grid)
        return Scene(tuple(planes), grid, tuple(parts), values, channels, times, "series")
    return Scene((_joined(planes),), grid, tuple(parts), values, channels, times[:1] if len(set(times)) == 1 else (None,), "mosaic")


def plane_on(described: Described, grid: Grid, reading: RemoteSensingReading, physical: bool = False) -> Plane:
    """Lays the files of a product onto a grid.

    Raises:
        UnreadableFileError: A file lies in another CRS, and none was asked for; or has no place while another has one.
    """
    chosen = described.bands.chosen
    parts, stored = [], []
    for number, codes in sorted({(band.file, _holds_codes(band, described.bands)) for band in chosen}):
        bands = [band for band in chosen if (band.file, _holds_codes(band, described.bands)) == (number, codes)]
        part = _part(described, number, tuple(band.index for band in bands), grid, reading)
        parts.append(replace(part, resampling="nearest") if codes else part)
        stored += bands
    order = tuple(stored.index(band) for band in chosen)
    quality = tuple(
        (band, _quality_part(band, _part(described, number, indexes, grid, reading), described.headers[number]))
        for band, number, indexes in described.bands.quality
    )
    scale = (described.values.scale, described.values.offset) if physical else None
    plain = None if order == tuple(range(len(order))) else order
    return Plane(grid, tuple(parts), plain, quality, reading.values == "power", reading.blank, scale)


def _part(described: Described, number: int, indexes: tuple[int, ...], grid: Grid, reading: RemoteSensingReading) -> Part:
    header, file = described.headers[number], described.product.files[number]
    own = grid_of(header)
    shift = shift_of(own, grid)
    if shift is None and (own.crs is None or grid.crs is None):
        raise unreadable("Its files differ in size, and have no CRS that says how they lie on each other.", "Georeference them.")
    if shift is None and own.crs != grid.crs and reading.crs is None:
        raise unreadable("Its files have different CRSs.", "Set reading.crs: all are then read on one grid.")
    nodata = _nodata(header, described.told, reading)
    place = file.place(outside=reading.outside, remote=reading.remote)
    data = {n for n, colour in enumerate(header.colours) if colour == "alpha"} - mask_positions(file, header, reading)
    masked, how = header.has_mask and not (data and header.mask_is_alpha), _resampling(own, grid, reading)
    return Part(place, indexes, own, shift, nodata, masked, how, header.looked_at, bool(data))


def _quality_part(band: QualityBand, part: Part, header: RasterHeader) -> Part:
    """What the owner and the product tell of numbers without data is about the bands, and codes are not numbers between others."""
    told = header.nodata if header.nodata is not None and not band.rule.means_nodata(header.nodata) else None
    return replace(part, nodata=told, resampling="nearest")


def _resampling(own: Grid, grid: Grid, reading: RemoteSensingReading) -> str:
    """The stated rule of ``auto``: pixels that become larger are averaged, all others are bilinear."""
    if reading.resampling != "auto":
        return reading.resampling
    coarser = own.crs == grid.crs and pixel_area(grid) > pixel_area(own) * (1 + _SAME_AREA)
    if own.crs != grid.crs and own.metres_per_unit and grid.metres_per_unit:
        ratio = pixel_area(grid) * grid.metres_per_unit**2 / (pixel_area(own) * own.metres_per_unit**2)
        coarser = ratio > 2  # less is the turn of one CRS against the other
    return "average" if coarser else "bilinear"


def _check(plane: Plane, described: Described) -> None:
    values, header = described.values, described.header
    if values.kind != "dn" and not (values.kind == "srgb" and header.dtype == "uint8"):
        check_plausible(values, probe(plane), power=plane.power)


def _check_alike(parts: Sequence[Described]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.bands.channels != first.bands.channels:
            raise unreadable(
                f"Its parts have different bands: {', '.join(first.bands.channels)}; and {', '.join(part.bands.channels)}.",
                "Name bands that all have: reading.bands.",
            )
        if part.values.kind != first.values.kind:
            raise unreadable(
                f"Its parts hold different quantities: {first.values.kind} and {part.values.kind}.", "Tell reading.values for all."
            )
        if part.headers[0].dtype != first.headers[0].dtype:
            found = f"Its parts have different types: {first.headers[0].dtype} and {part.headers[0].dtype}."
            raise unreadable(found, "Convert them to one: gdal_translate -ot.")


def _in_time(parts: list[Described]) -> list[Described]:
    if len(parts) < 2:
        raise unreadable("One date is left, which makes no series.", "Read it as a scene: reading.axes=CYX.")
    untimed = sum(part.time is None for part in parts)
    if untimed:
        raise unreadable(
            f"{untimed} of its {len(parts)} scenes tell no time: neither tags, metadata nor a date in the name.",
            "Name the files by their dates, e.g. site_2017-09-18.tif.",
        )
    ordered = sorted(parts, key=lambda part: (str(part.time), str(part.product.files[0].path)))
    for one, other in pairwise(ordered):
        if one.time == other.time:
            raise unreadable(f"Two of its scenes are of one time ({one.time}).", "Take one out, or join them: reading.mosaic=true.")
    return ordered


def _check_over(parts: Sequence[Described], grid: Grid) -> None:
    """Refuses scenes beside each other: a series shows one place."""
    from domainclip.domains.remote_sensing.place import covers

    for part in parts:
        if not covers(part.native, grid):
            raise unreadable(
                f"Its scenes show different places: that of {part.time} does not cover the middle of the first.",
                "Put the scenes of each place into a folder of their own.",
            )


def _of_mosaic(parts: Sequence[Described], reading: RemoteSensingReading) -> Grid:
    if reading.crs is None:
        return asked_grid(united([part.native for part in parts]), reading)
    if reading.spacing_m is None and len(parts) > 1:
        raise unreadable("Its parts are to be reprojected, each to pixels of its own size.", "Set reading.spacing_m as well.")
    return united([asked_grid(part.native, reading) for part in parts])


def _joined(planes: Sequence[Plane]) -> Plane:
    """One plane of several on one grid: the first counts, the others fill its holes."""
    masks = {tuple(sorted(name for band, _ in plane.quality for name in band.rule.masks)) for plane in planes}
    if len(masks) > 1:
        found = "Its parts have different quality bands, so that a mask would hold for some of them alone."
        raise unreadable(found, "Put the quality bands beside all parts, or beside none.")
    return replace(planes[0], beneath=tuple(planes[1:]))
