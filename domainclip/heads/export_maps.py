"""Maps of what a model or a set says of scenes: COG, GeoJSON and GeoParquet; see ``heads.export``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from domainclip import __version__
from domainclip.domains.remote_sensing.footprints import corners, is_lonlat, lonlat_polygons, plane_polygons
from domainclip.domains.remote_sensing.legend import write_legend
from domainclip.domains.remote_sensing.score_grid import lay_grid
from domainclip.domains.remote_sensing.score_maps import write_maps
from domainclip.errors import UsageError
from domainclip.heads.export import Exported
from domainclip.heads.placed_windows import Placed, PlacedSource, open_placed, scores_of
from domainclip.heads.reading import Progress

_LONLAT = "OGC:CRS84"
_DIGITS = 8  # of degrees: a millimetre


def export_cog(source: Path, folder: Path, hashed: bool, progress: Progress) -> Exported:
    """Writes ``classes/<scene>.tif``, of predictions also ``scores/<scene>.tif``, and the legend; rules: ``docs/maps.md``."""
    placed = open_placed(source, hashed=hashed)
    if not placed.classes:
        found = "Features name no class." if placed.kind == "features" else "Its images have no label of the domain's class."
        remedy = "Export predictions (domainclip zero-shot ... --output DIR), or use --format geojson or geoparquet."
        raise UsageError(f"Maps of classes of {source} were to be written.", found, remedy)
    names, scored = list(placed.classes), placed.kind == "predictions"
    tags, coarse = _tags(placed), 0
    for part in ("classes", "scores") if scored else ("classes",):
        (folder / part).mkdir()
    total = np.zeros(len(names) + 1, dtype=np.int64)

    def write(name: str, windows: list[Placed]) -> None:
        nonlocal coarse
        grid = lay_grid([one.geo for one in windows], [one.size for one in windows])
        known = np.array([one.best is not None for one in windows])
        values = scores_of(windows, names)[known]
        stem = (folder / "classes" / f"{name}.tif", folder / "scores" / f"{name}.tif" if scored else None)
        cells = write_maps(stem, replace(grid, boxes=grid.boxes[known]), names, values, tags)
        total[:] += cells
        coarse += not grid.aligned

    exported = _exported("cog", placed, folder, write, progress)
    write_legend(folder, placed.classes, {"domainclip": __version__, **_facts(placed)})
    document = {
        "cells": {name: int(count) for name, count in zip(names, total[1:], strict=True)},
        "cells_without_data": int(total[0]),
    }
    lines = [f"Value k of classes/ is the k-th class of legend.json{', and band k of scores/' if scored else ''}; 0 is no data."]
    if coarse:
        lines.append(f"{coarse} scenes: no grid of a fitting size has all windows' sides between cells; a cell's middle decides.")
    return Exported({**exported.document, **document, "scenes_not_aligned": coarse}, (*exported.lines, *lines))


def export_geojson(source: Path, folder: Path, hashed: bool, progress: Progress) -> Exported:
    """Writes ``geojson/<scene>.geojson`` as in RFC 7946: windows in WGS 84 longitude and latitude."""
    placed = open_placed(source, hashed=hashed)
    (folder / "geojson").mkdir()

    def write(name: str, windows: list[Placed]) -> None:
        shapes = _lonlat(windows)
        with (folder / "geojson" / f"{name}.geojson").open("w", encoding="utf-8") as file:
            head = {"type": "FeatureCollection", "name": name, "domainclip": {"version": __version__, **_facts(placed)}}
            file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "features": [')
            for number, (one, shape) in enumerate(zip(windows, shapes, strict=True)):
                feature = {"type": "Feature", "id": one.key, "geometry": _geometry(shape), "properties": _row(placed, name, one)}
                file.write((",\n" if number else "\n") + json.dumps(feature, ensure_ascii=False, allow_nan=False))
            file.write("\n]}\n")

    return _exported("geojson", placed, folder, write, progress)


def export_geoparquet(source: Path, folder: Path, hashed: bool, progress: Progress) -> Exported:
    """Writes ``windows.parquet`` (GeoParquet 1.1): all windows in the scenes' CRS, or in WGS 84 where scenes differ."""
    import geopandas

    placed = open_placed(source, hashed=hashed)
    systems = {one.geo.crs for one in placed.windows}
    crs = systems.pop() if len(systems) == 1 else _LONLAT
    rows: list[dict[str, Any]] = []
    shapes: list[Any] = []

    def write(name: str, windows: list[Placed]) -> None:
        plain = crs != _LONLAT and not is_lonlat(crs)
        found = plane_polygons(corners([one.geo for one in windows], [one.size for one in windows])) if plain else _lonlat(windows)
        shapes.extend(found)
        rows.extend(_row(placed, name, one) for one in windows)

    exported = _exported("geoparquet", placed, folder, write, progress)
    system = _LONLAT if crs != _LONLAT and is_lonlat(crs) else crs
    table = geopandas.GeoDataFrame(rows, geometry=shapes, crs=system)
    table.to_parquet(folder / "windows.parquet", index=False, compression="zstd", schema_version="1.1.0", write_covering_bbox=True)
    return Exported({**exported.document, "crs": system}, exported.lines)


def _exported(
    format: str, placed: PlacedSource, folder: Path, write: Callable[[str, list[Placed]], None], progress: Progress
) -> Exported:
    """Writes scene after scene; one that the format cannot express is rejected, and the others are written."""
    scenes = placed.scenes()
    windows, rejected = 0, []
    for number, (name, members) in enumerate(scenes.items(), start=1):
        progress(number, len(scenes), "writing scenes")
        try:
            write(name, members)
        except UsageError as error:
            rejected.append({"key": members[0].scene, "reason": f"{error.found} {error.remedy}"})
            continue
        windows += len(members)
    if len(rejected) == len(scenes):
        raise UsageError(
            f"Scenes were to be exported as {format}.",
            f"None of {len(rejected)} can be written. The first: {rejected[0]['reason']}",
            "Choose another --format, or read the scenes in another way.",
        )
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in rejected)
    (folder / "rejected.jsonl").write_text(lines, encoding="utf-8")
    document: dict[str, Any] = {
        "format": format,
        "scenes": len(scenes) - len(rejected),
        "windows": windows,
        "rejected": len(rejected),
        "images_without_place": placed.without_place,
        "named_by": "file" if placed.named_by_file else "hash",
        **_facts(placed),
    }
    return Exported(document, tuple(_said(document, placed)))


def _said(document: dict[str, Any], placed: PlacedSource) -> Iterator[str]:
    yield f"Scenes: {document['scenes']}, windows: {document['windows']}."
    if document["rejected"]:
        yield f"Scenes that cannot be written in this format: {document['rejected']}; why: rejected.jsonl"
    if placed.without_place:
        yield f"{placed.without_place} images have no coordinate system and are left out."
    if placed.named_by_file:
        yield "Files are named by scene, from your own map: they are for you; to pass them on, export with --hashed."
    if placed.synthetic:
        yield "Synthetic: these maps show how things work and say nothing of real places."


def _facts(placed: PlacedSource) -> dict[str, Any]:
    facts: dict[str, Any] = {} if placed.synthetic is None else {"synthetic": placed.synthetic}
    return facts | ({"model": placed.model, "prompts": list(placed.templates)} if placed.model else {})


def _tags(placed: PlacedSource) -> dict[str, str]:
    """Returns the tags of a map; ``synthetic`` is what our reader looks for in a scene."""
    tags = {"TIFFTAG_SOFTWARE": f"domainclip {__version__}", "classes": json.dumps(list(placed.classes), ensure_ascii=False)}
    if placed.model:
        tags |= {"model": placed.model, "prompts": json.dumps(list(placed.templates), ensure_ascii=False)}
    return tags | ({"synthetic": "yes"} if placed.synthetic else {})


def _row(placed: PlacedSource, name: str, one: Placed) -> dict[str, Any]:
    """Returns the properties of a window; ``p:<class>`` as in predictions.csv."""
    row: dict[str, Any] = {"key": one.key, "scene": name}
    if placed.kind != "features":
        row["class"] = one.best
    if one.scores:
        row |= {f"p:{label}": score for label, score in zip(placed.classes, one.scores, strict=True)}
    model = {"model": placed.model} if placed.model else {}
    return {**row, **one.told, **model, **({} if placed.synthetic is None else {"synthetic": placed.synthetic})}


def _lonlat(windows: Sequence[Placed]) -> list[Any]:
    """Returns the outlines in longitude and latitude, in the order of the windows; a scene may have several CRSs."""
    found: list[Any] = [None] * len(windows)
    for crs in dict.fromkeys(one.geo.crs for one in windows):
        numbers = [number for number, one in enumerate(windows) if one.geo.crs == crs]
        members = [windows[number] for number in numbers]
        sizes = [one.size for one in members]
        for number, shape in zip(numbers, lonlat_polygons(corners([one.geo for one in members], sizes), crs, sizes), strict=True):
            found[number] = shape
    return found


def _geometry(shape: Any) -> dict[str, Any]:
    def rings(polygon: Any) -> list[list[list[float]]]:
        parts = (polygon.exterior, *polygon.interiors)
        return [[[round(x, _DIGITS), round(y, _DIGITS)] for x, y in ring.coords] for ring in parts]

    if shape.geom_type == "Polygon":
        return {"type": "Polygon", "coordinates": rings(shape)}
    return {"type": "MultiPolygon", "coordinates": [rings(part) for part in shape.geoms]}
