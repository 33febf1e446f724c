"""What ``inspect`` shows of a raster: header, names, scale, range of a stated subset, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.base import Inspection
from domainclip.domains.remote_sensing.bands import Bands, resolve_bands
from domainclip.domains.remote_sensing.place import acquisition_time, centre_lonlat, pixel_spacing, season
from domainclip.domains.remote_sensing.raster import RasterHeader, read_header
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.scaling import Probe, file_scale, probe, resolve_values
from domainclip.errors import UnreadableFileError

_TITLES = {"GTiff": "GeoTIFF", "JPEG": "JPEG", "PNG": "PNG", "JP2OpenJPEG": "JPEG 2000", "VRT": "VRT"}


def inspect_raster(path: Path) -> Inspection:
    """Looks at one raster.

    Args:
        path: GeoTIFF, plain TIFF, JPEG or PNG.

    Returns:
        The inspection; ``range`` spans all bands and tells how many pixels were looked at, ``details["bands"]`` each band.

    Raises:
        UnreadableFileError: The file cannot be read.
    """
    header = read_header(path)
    bands, missing = _bands(header)
    kind, unclear = _values(header, bands)
    missing += unclear
    looked_at = probe(path, header, bands, header.nodata)
    spacing = pixel_spacing(header)
    if spacing is None and not header.is_picture:
        missing.append("no CRS: no pixel size, no place; give its spacing in the manifest, or georeference it")
    title = _TITLES[header.driver] if header.crs or header.driver != "GTiff" else "TIFF without CRS"
    levels = [(header.width, header.height, 1.0)]
    if header.driver != "JPEG":  # GDAL lists sizes that it can decode to, which no JPEG holds.
        levels += [(-(-header.width // factor), -(-header.height // factor), float(factor)) for factor in header.levels]
    return Inspection(
        format=f"{title} (GDAL {header.driver})",
        width=header.width,
        height=header.height,
        levels=tuple(levels),
        channels=bands.channels if bands.source != "position" else (),
        spacing=None
        if spacing is None
        else {"x": spacing.values[1], "y": spacing.values[0], "unit": spacing.unit, "source": spacing.source},
        dtype=header.dtype,
        values=kind,
        range=_range(looked_at),
        group=path.stem,
        missing=tuple(missing),
        details=_details(header, bands, looked_at),
    )


def _bands(header: RasterHeader) -> tuple[Bands, list[str]]:
    try:
        return resolve_bands(header, RemoteSensingReading()), []
    except UnreadableFileError as error:
        indexes = tuple(index + 1 for index, colour in enumerate(header.colours) if colour != "alpha")
        nameless = Bands(tuple(f"band {index}" for index in indexes), indexes, None, "position")
        return nameless, [f"names of the bands: {error.found} {error.remedy}"]


def _values(header: RasterHeader, bands: Bands) -> tuple[str, list[str]]:
    try:
        values = resolve_values(header, bands, RemoteSensingReading())
    except UnreadableFileError as error:
        return "unknown", [f"what the numbers mean: {error.found} {error.remedy}"]
    if values.kind == "dn":
        tagged = file_scale(header, bands)
        told = f"the scale tags ({tagged[0]:g}, {tagged[1]:g}) do not say of what quantity" if tagged else "no scale is told"
        remedy = "set reading.values (e.g. reflectance), reading.scale and reading.offset, or train on dn"
        return "dn (digital numbers)", [f"what the numbers mean: {told}; {remedy}"]
    offset = f" {values.offset:+g}" if values.offset else ""
    return f"{values.kind} (stored x {values.scale:g}{offset})", []


def _range(looked_at: Probe) -> dict[str, float] | None:
    if not looked_at.numbers.size:
        return None
    low, high = looked_at.numbers.min(), looked_at.numbers.max()
    return {"minimum": float(low), "maximum": float(high), "pixels": looked_at.pixels, "valid_share": looked_at.valid_share}


def _details(header: RasterHeader, bands: Bands, looked_at: Probe) -> dict[str, Any]:
    details: dict[str, Any] = {
        "crs": header.crs,
        "nodata": header.nodata,
        "mask": header.has_mask,
        "block": list(header.block),
        "compression": header.compression,
        "range_of": "the whole file" if looked_at.whole else f"{looked_at.pixels} pixels in 9 windows spread evenly",
        "band_names_from": bands.source,
    }
    if looked_at.numbers.size:
        low, high = looked_at.numbers.min(axis=1), looked_at.numbers.max(axis=1)
        mean = looked_at.numbers.mean(axis=1, dtype=np.float64)
        details["bands"] = {
            name: {"minimum": float(low[i]), "maximum": float(high[i]), "mean": float(mean[i])}
            for i, name in enumerate(bands.channels)
        }
    time, centre = acquisition_time(header.tags), centre_lonlat(header)
    if centre is not None:
        details["centre"] = {"longitude": round(centre[0], 6), "latitude": round(centre[1], 6)}
        details["hemisphere"] = "north" if centre[1] >= 0 else "south"
    if time is not None:
        details["time"] = time
        if centre is not None and (name := season(time, centre[1])):
            details["season"] = name
    if "synthetic" in header.tags:
        details["synthetic"] = header.tags["synthetic"]
    return details
