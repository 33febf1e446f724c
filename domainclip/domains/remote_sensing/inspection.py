"""What ``inspect`` shows of a scene: headers, names, scale, masks, range of a stated subset, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from domainclip.domains.base import Inspection
from domainclip.domains.remote_sensing.bands import Bands, StoredBand, resolve_bands
from domainclip.domains.remote_sensing.item_products import products_of
from domainclip.domains.remote_sensing.place import centre_lonlat, pixel_spacing, season_of_all
from domainclip.domains.remote_sensing.products import Product
from domainclip.domains.remote_sensing.raster import RasterHeader
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.samples import scene_name
from domainclip.domains.remote_sensing.scaling import Probe, probe
from domainclip.domains.remote_sensing.scene import Described, Scene, described_by, headers_of, scene_of_described, scene_of_several
from domainclip.domains.remote_sensing.scene_facts.free import free_facts
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem

_TITLES = {"GTiff": "GeoTIFF", "JPEG": "JPEG", "PNG": "PNG", "JP2OpenJPEG": "JPEG 2000", "VRT": "VRT"}


def inspect_scene(item: SourceItem, reading: RemoteSensingReading) -> Inspection:
    """Looks at a scene, a mosaic, a series or a picture.

    Args:
        item: Its files.
        reading: Options; the defaults show what files say by themselves.

    Returns:
        The inspection; ``range`` spans all bands and tells how many pixels were looked at, ``details["bands"]`` each band.

    Raises:
        UnreadableFileError: A file cannot be read, or the parts of a mosaic or series do not fit each other.
    """
    products = products_of(item, reading)
    missing: list[str] = []
    if len(products) == 1 and reading.axes == "CYX":
        described, missing = _lenient(products[0], reading)
        scene = scene_of_described(described, reading)
    else:
        scene = scene_of_several(products, reading, checked=False)
        described = scene.first
    header, looked_at = described.header, probe(scene.planes[0])
    spacing = pixel_spacing(scene.grid)
    if spacing is None and not header.is_picture:
        missing.append("no CRS: no pixel size, no place; give its spacing in the manifest, or georeference it")
    missing += [
        f"files that belong to it and are not there: {', '.join(part.product.absent)}"
        for part in scene.parts
        if part.product.absent
    ]
    return Inspection(
        format=_format(scene, header),
        width=scene.grid.width,
        height=scene.grid.height,
        levels=_levels(scene, header),
        channels=described.bands.channels if described.bands.source != "position" else (),
        spacing=None
        if spacing is None
        else {"x": spacing.values[1], "y": spacing.values[0], "unit": spacing.unit, "source": spacing.source},
        dtype=header.dtype,
        values=_values(described),
        range=_range(looked_at),
        group=scene_name(item, scene),
        missing=tuple(missing),
        details=_details(scene, looked_at) | _place(scene, header, reading),
    )


def _lenient(product: Product, reading: RemoteSensingReading) -> tuple[Described, list[str]]:
    """Describes a product also where nothing tells its bands or numbers, which is then missing."""
    missing = []
    headers = headers_of(product, reading)
    try:
        bands = resolve_bands(product, headers, reading)
    except UnreadableFileError as error:
        bands = _nameless(headers)
        missing.append(f"names of the bands: {error.found} {error.remedy}")
    try:
        described = described_by(product, headers, bands, reading)
    except UnreadableFileError as error:
        missing.append(f"what the numbers mean: {error.found} {error.remedy}")
        first = Bands(bands.chosen[:1], (), bands.family, bands.source)
        as_stored = reading.model_copy(update={"values": "dn", "scale": None, "offset": None})
        plain = described_by(product, headers, first, as_stored)
        return replace(plain, bands=bands, values_from="unknown"), missing
    if described.values_from == "nothing":
        tags = {(header.scales[0], header.offsets[0]) for header in headers} - {(1.0, 0.0)}
        told = f"the scale tags {sorted(tags)} do not say of what quantity" if tags else "no scale is told"
        remedy = "set reading.values (e.g. reflectance), reading.scale and reading.offset, or train on dn"
        missing.append(f"what the numbers mean: {told}; {remedy}")
    return described, missing


def _nameless(headers: Sequence[RasterHeader]) -> Bands:
    indexes = [index + 1 for index, colour in enumerate(headers[0].colours) if colour != "alpha"]
    return Bands(tuple(StoredBand(f"band {index}", f"band {index}", 0, index) for index in indexes), (), None, "position")


def _format(scene: Scene, header: RasterHeader) -> str:
    title = _TITLES.get(header.driver, header.driver)
    if header.driver == "GTiff" and not header.crs:
        title = "TIFF without CRS"
    files = sum(len(part.product.files) for part in scene.parts)
    several = {"series": f", series of {len(scene.planes)}", "mosaic": f", mosaic of {len(scene.parts)}"}.get(scene.kind, "")
    return f"{title} (GDAL {header.driver}{f', {files} files' if files > 1 else ''}{several})"


def _levels(scene: Scene, header: RasterHeader) -> tuple[tuple[int, int, float], ...]:
    levels = [(scene.grid.width, scene.grid.height, 1.0)]
    own = scene.kind == "scene" and (header.width, header.height) == (scene.grid.width, scene.grid.height)
    if header.driver != "JPEG" and own:  # GDAL lists sizes that it can decode to, which no JPEG holds.
        levels += [(-(-header.width // factor), -(-header.height // factor), float(factor)) for factor in header.levels]
    return tuple(levels)


def _values(described: Described) -> str:
    if described.values_from == "unknown":
        return "unknown"
    values = described.values
    if values.kind == "dn":
        return "dn (digital numbers)"
    offset = f" {values.offset:+g}" if values.offset else ""
    return f"{values.kind} (stored x {values.scale:g}{offset})"


def _range(looked_at: Probe) -> dict[str, float] | None:
    if not looked_at.numbers.size:
        return None
    low, high = looked_at.numbers.min(), looked_at.numbers.max()
    return {"minimum": float(low), "maximum": float(high), "pixels": looked_at.pixels, "valid_share": looked_at.valid_share}


def _details(scene: Scene, looked_at: Probe) -> dict[str, Any]:
    described = scene.first
    header, bands = described.header, described.bands
    details: dict[str, Any] = {
        "crs": scene.grid.crs,
        "nodata": header.nodata if header.nodata is not None else described.told.nodata,
        "mask": header.has_mask,
        "block": list(header.block),
        "compression": header.compression,
        "range_of": "the whole file" if looked_at.whole else f"{looked_at.pixels} pixels in 9 windows spread evenly",
        "band_names_from": bands.source,
    }
    if described.values.kind != "dn":
        details["values_from"] = described.values_from
    if bands.family:
        details["sensor"] = bands.family
    if bands.left_out:
        details["left_out"] = f"{', '.join(bands.left_out)} (of another unit; name them with reading.bands)"
    if aside := [path.name for part in scene.parts for path in part.product.others]:
        details["files_aside"] = f"{len(aside)} files of the product are not read"
    if bands.quality:
        details["quality"] = [name for band, _, _ in bands.quality for name in band.names]
        details["masks"] = {name: round(share, 4) for name, share in looked_at.masks.items()}
    if looked_at.numbers.size:
        low, high = looked_at.numbers.min(axis=1), looked_at.numbers.max(axis=1)
        mean = looked_at.numbers.mean(axis=1, dtype=np.float64)
        details["bands"] = {
            name: {"minimum": float(low[i]), "maximum": float(high[i]), "mean": float(mean[i])}
            for i, name in enumerate(bands.channels)
        }
    return details


def _place(scene: Scene, header: RasterHeader, reading: RemoteSensingReading) -> dict[str, Any]:
    told: dict[str, Any] = {}
    centre, times = centre_lonlat(scene.grid), [time for time in scene.times if time is not None]
    if centre is not None:
        told["centre"] = {"longitude": round(centre[0], 6), "latitude": round(centre[1], 6)}
        told["hemisphere"] = "north" if centre[1] >= 0 else "south"
    if times:
        told["time"] = times[0]
        if scene.kind == "series":
            told["times"] = times
        if centre is not None and (name := season_of_all(times, centre[1])):
            told["season"] = name
    told |= free_facts(scene.grid, scene.first.bands.family, times, reading.biomes)
    if "synthetic" in header.tags:
        told["synthetic"] = header.tags["synthetic"]
    return told
