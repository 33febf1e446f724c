"""Turns one raster into Samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

from domainclip.domains.remote_sensing.bands import Bands, resolve_bands
from domainclip.domains.remote_sensing.pixels import WindowReader
from domainclip.domains.remote_sensing.place import acquisition_time, centre_lonlat, season, window_geo
from domainclip.domains.remote_sensing.raster import RasterHeader, read_header
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.scaling import check_plausible, probe, resolve_values
from domainclip.domains.remote_sensing.windows import (
    region_of,
    regions_in_pixels,
    resolve_cut,
    spacing_of,
    window_spacing,
    windows,
)
from domainclip.sample import Sample, SourceItem, Values


def scene_samples(item: SourceItem, reading: RemoteSensingReading) -> Generator[Sample, None, dict[str, int]]:
    """Yields the windows of a scene, or a whole picture.

    Args:
        item: The file and what its owner says. Region polygons are in the file's CRS, or in pixels where it has none.
        reading: Options.

    Yields:
        Samples with lazy pixels, (C, Y, X) in the stored type.

    Returns:
        Windows that were skipped, counted by reason (``no region``, ``no data``): the generator's return value.

    Raises:
        UnreadableFileError: The file is broken, its bands or numbers are not told, or the owner's word does not fit it.
    """
    header = read_header(item.path)
    bands = resolve_bands(header, reading)
    values = resolve_values(header, bands, reading)
    if values.kind != "dn" and not (values.kind == "srgb" and header.dtype == "uint8"):
        check_plausible(values, probe(item.path, header, bands, values.nodata))
    spacing = spacing_of(header, item.spacing)
    cut = resolve_cut(header, reading, spacing)
    regions = regions_in_pixels(item.regions, header)
    may_lack_data = values.nodata is not None or header.has_mask or header.dtype.startswith("float")
    common = _common(item, header, bands, values)
    skipped: Counter[str] = Counter()
    for window in windows(header, cut):
        region = region_of(window, regions, reading.region_purity) if regions else None
        if regions and region is None:
            skipped["no region"] += 1
            continue
        output_px = cut.output_px if cut else None
        reader = WindowReader(item.path, bands.indexes, window, values.nodata, output_px, header.has_mask)
        if may_lack_data and reader.nodata_share() > reading.max_nodata:
            skipped["no data"] += 1
            continue
        yield Sample(
            key=item.name if cut is None else f"{item.name}#{window.x}_{window.y}_{window.width}_{window.height}",
            reader=reader,
            spacing=window_spacing(spacing, cut, window),
            geo=window_geo(header, window, output_px),
            labels={**item.labels, **(region.labels if region else {})},
            regions=(region,) if region else (),
            window=window,
            **common,
        )
    return dict(skipped)


def _common(item: SourceItem, header: RasterHeader, bands: Bands, values: Values) -> dict[str, Any]:
    """What all samples of a scene share."""
    time, centre = acquisition_time(header.tags), centre_lonlat(header)
    meta: dict[str, Any] = {}
    if centre is not None:
        meta = {"longitude": round(centre[0], 4), "latitude": round(centre[1], 4)}
        if time is not None and (name := season(time, centre[1])):
            meta["season"] = name
    if header.tags.get("synthetic") == "yes":
        meta["synthetic"] = True
    group = item.group or item.path.stem
    return {
        "axes": "CYX",
        "channels": bands.channels,
        "values": values,
        "group": group,
        "ids": {"scene": item.path.stem, **item.ids},
        "time": time,
        "sensor": bands.family,
        "captions": item.captions,
        "split": item.split,
        "meta": meta,
    }
