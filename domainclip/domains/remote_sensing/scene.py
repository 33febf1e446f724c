"""Turns one raster into Samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from domainclip.domains.remote_sensing.bands import Bands, resolve_bands
from domainclip.domains.remote_sensing.pixels import WindowReader
from domainclip.domains.remote_sensing.place import acquisition_time, centre_lonlat, season, window_geo
from domainclip.domains.remote_sensing.raster import RasterHeader, read_header, unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.scaling import check_plausible, probe, resolve_values
from domainclip.domains.remote_sensing.scene_facts import with_facts
from domainclip.domains.remote_sensing.windows import (
    Cut,
    region_of,
    regions_in_pixels,
    resolve_cut,
    spacing_of,
    window_spacing,
    windows,
)
from domainclip.sample import Region, Sample, SourceItem, Values, Window


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The windows that are kept of a file.

    Attributes:
        kept: Windows with their readers and regions.
        counts: ``grid`` (all windows), ``kept``, ``without_region``, ``without_data``.
    """

    kept: tuple[tuple[Window, WindowReader, Region | None], ...]
    counts: dict[str, int]


def scene_samples(item: SourceItem, reading: RemoteSensingReading) -> Iterator[Sample]:
    """Yields the windows of a scene, or a whole picture.

    Args:
        item: The file and what its owner says. Region polygons are in the file's CRS, or in pixels where it has none.
        reading: Options.

    Yields:
        Samples with lazy pixels, (C, Y, X) in the stored type. ``meta["windows"]`` counts what was kept and skipped of the file.

    Raises:
        UnreadableFileError: The file is broken, its bands or numbers are not told, the owner's word does not fit it, or no
            window is left.
        UsageError: ``reading.sensor`` is unknown.
    """
    header = read_header(item.path)
    bands = resolve_bands(header, reading)
    values = resolve_values(header, bands, reading)
    if values.kind != "dn" and not (values.kind == "srgb" and header.dtype == "uint8"):
        check_plausible(values, probe(item.path, header, bands, values.nodata))
    spacing = spacing_of(header, item.spacing)
    cut = resolve_cut(header, reading, spacing)
    plan = plan_windows(item, header, bands, values, cut, reading)
    common = _common(item, header, bands, values, plan.counts)
    for window, reader, region in plan.kept:
        sample = Sample(
            key=item.name if cut is None else f"{item.name}#{window.x}_{window.y}_{window.width}_{window.height}",
            reader=reader,
            spacing=window_spacing(spacing, cut, window),
            geo=window_geo(header, window, cut.output_px if cut else None),
            labels={**item.labels, **(region.labels if region else {})},
            regions=(region,) if region else (),
            window=window,
            **common,
        )
        shape = reader.output_px or (window.height, window.width)
        yield with_facts(sample, reading, shape, item.regions, header.crs)


def plan_windows(
    item: SourceItem, header: RasterHeader, bands: Bands, values: Values, cut: Cut | None, reading: RemoteSensingReading
) -> WindowPlan:
    """Chooses the windows: those that one region covers enough of (where there are regions), with enough data.

    Raises:
        UnreadableFileError: No window is left, no region touches the file, or the pixels are damaged.
    """
    # Regions of objects are counted in each window (scene_facts) and choose none.
    regions = regions_in_pixels(() if "objects" in reading.facts else item.regions, header)
    may_lack_data = values.nodata is not None or header.has_mask or header.dtype.startswith("float")
    output_px = cut.output_px if cut else None
    counts = {"grid": 0, "kept": 0, "without_region": 0, "without_data": 0}
    kept = []
    for window in windows(header, cut):
        counts["grid"] += 1
        region = region_of(window, regions, reading.region_purity) if regions else None
        if regions and region is None:
            counts["without_region"] += 1
            continue
        reader = WindowReader(item.path, bands.indexes, window, values.nodata, output_px, header.has_mask)
        if may_lack_data and reader.nodata_share() > reading.max_nodata:
            counts["without_data"] += 1
            continue
        kept.append((window, reader, region))
    counts["kept"] = len(kept)
    if not kept:
        raise unreadable(
            f"None of its {counts['grid']} windows is left: {counts['without_region']} lie not enough in one region, "
            f"{counts['without_data']} have too little data.",
            "Lower reading.region_purity or raise reading.max_nodata, or use a smaller reading.window_px.",
        )
    return WindowPlan(tuple(kept), counts)


def _common(item: SourceItem, header: RasterHeader, bands: Bands, values: Values, counts: dict[str, int]) -> dict[str, Any]:
    """What all samples of a scene share."""
    time, centre = acquisition_time(header.tags), centre_lonlat(header)
    meta: dict[str, Any] = {"windows": counts} if counts["grid"] > 1 else {}
    if centre is not None:
        meta |= {"longitude": round(centre[0], 4), "latitude": round(centre[1], 4)}
        if time is not None and (name := season(time, centre[1])):
            meta["season"] = name
    if header.tags.get("synthetic") == "yes":
        meta["synthetic"] = True
    # With its folders: the same stem in two folders is two scenes.
    group = item.group or str(PurePosixPath(item.name).with_suffix(""))
    return {
        "axes": "CYX",
        "channels": bands.channels,
        "values": values,
        "group": group,
        "ids": dict(item.ids) or {"scene": group},
        "time": time,
        "sensor": bands.family,
        "captions": item.captions,
        "split": item.split,
        "meta": meta,
    }
