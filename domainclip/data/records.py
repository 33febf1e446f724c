"""Samples and source items as plain JSON values: what workers send, spools hold and the index stores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from domainclip.domains.base import Inspection
from domainclip.sample import Caption, Geo, Piece, Region, Sample, SourceItem, Spacing, Values, Window


def caption_to_json(caption: Caption) -> dict[str, Any]:
    """Returns the fields of a caption that differ from their defaults, and its text."""
    default = Caption("")
    names = ("language", "origin", "parent", "region", "generator", "licence", "section", "polarity")
    fields = {name: getattr(caption, name) for name in names if getattr(caption, name) != getattr(default, name)}
    return {"text": caption.text, **fields, **({"scores": dict(caption.scores)} if caption.scores else {})}


def spacing_to_json(spacing: Spacing | None) -> dict[str, Any] | None:
    """Returns ``{"values": [y, x], "unit": ..., "source": ...}`` or None."""
    if spacing is None:
        return None
    return {"values": [float(value) for value in spacing.values], "unit": spacing.unit, "source": spacing.source}


def spacing_from_json(value: Mapping[str, Any] | None) -> Spacing | None:
    """Undoes ``spacing_to_json``."""
    return None if not value else Spacing(tuple(value["values"]), value["unit"], value["source"])


def values_to_json(values: Values) -> dict[str, Any]:
    """Returns the fields of ``Values``; a nodata of NaN is written as the text "nan", since JSON has none."""
    nodata = values.nodata
    if nodata is not None:
        nodata = "nan" if math.isnan(nodata) else float(nodata)  # type: ignore[assignment]
    return {"kind": values.kind, "scale": float(values.scale), "offset": float(values.offset), "nodata": nodata}


def values_from_json(value: Mapping[str, Any]) -> Values:
    """Undoes ``values_to_json``."""
    nodata = value["nodata"]
    return Values(value["kind"], value["scale"], value["offset"], math.nan if nodata == "nan" else nodata)


def window_to_json(window: Window | None) -> dict[str, int] | None:
    """Returns the fields of a window or None."""
    if window is None:
        return None
    return {name: int(getattr(window, name)) for name in ("x", "y", "width", "height", "level")}


def window_from_json(value: Mapping[str, Any] | None) -> Window | None:
    """Undoes ``window_to_json``."""
    return None if not value else Window(**value)


def geo_to_json(geo: Geo | None) -> dict[str, Any] | None:
    """Returns ``{"crs": ..., "transform": [a, b, c, d, e, f]}`` or None."""
    return None if geo is None else {"crs": geo.crs, "transform": [float(value) for value in geo.transform]}


def geo_from_json(value: Mapping[str, Any] | None) -> Geo | None:
    """Undoes ``geo_to_json``."""
    if not value:
        return None
    a, b, c, d, e, f = value["transform"]
    return Geo(value["crs"], (a, b, c, d, e, f))


def item_to_json(item: SourceItem) -> dict[str, Any]:
    """Returns a source item as JSON values, for the worker that reads its file."""
    return {
        "path": str(item.path),
        "name": item.name,
        "captions": [caption_to_json(caption) for caption in item.captions],
        "labels": dict(item.labels),
        "regions": [{"polygon": [list(p) for p in region.polygon], "labels": dict(region.labels)} for region in item.regions],
        "group": item.group,
        "split": item.split,
        "spacing": spacing_to_json(item.spacing),
        "ids": dict(item.ids),
        "members": [str(path) for path in item.members],
        "url": item.url,
        **({"published": item.published} if item.published else {}),
        **({"pieces": [_piece_to_json(piece) for piece in item.pieces]} if item.pieces else {}),
        **({"inside": dict(item.inside)} if item.inside is not None else {}),
    }


def _piece_to_json(piece: Piece) -> dict[str, Any]:
    told = {
        "name": piece.name,
        "member": piece.member,
        "place": piece.place,
        "window": window_to_json(piece.window),
        "captions": [caption_to_json(caption) for caption in piece.captions],
        "labels": dict(piece.labels),
        "group": piece.group,
        "split": piece.split,
        "spacing": spacing_to_json(piece.spacing),
        "ids": dict(piece.ids),
        "published": piece.published,
    }
    return {name: value for name, value in told.items() if value}


def piece_from_json(value: Mapping[str, Any]) -> Piece:
    """Returns the piece that these fields, or those of an item, tell."""
    place = value.get("place")
    return Piece(
        name=value["name"],
        member=value.get("member"),
        place=tuple(place) if place else None,
        window=window_from_json(value.get("window")),
        captions=tuple(Caption(**caption) for caption in value.get("captions", ())),
        labels=value.get("labels", {}),
        group=value.get("group"),
        split=value.get("split"),
        spacing=spacing_from_json(value.get("spacing")),
        ids=value.get("ids", {}),
        published=value.get("published"),
    )


def item_from_json(value: Mapping[str, Any]) -> SourceItem:
    """Undoes ``item_to_json``."""
    return SourceItem(
        path=Path(value["path"]),
        name=value["name"],
        captions=tuple(Caption(**caption) for caption in value["captions"]),
        labels=value["labels"],
        regions=tuple(Region(tuple((x, y) for x, y in region["polygon"]), region["labels"]) for region in value["regions"]),
        group=value["group"],
        split=value["split"],
        spacing=spacing_from_json(value["spacing"]),
        ids=value["ids"],
        members=tuple(Path(path) for path in value["members"]),
        url=value["url"],
        pieces=tuple(piece_from_json(piece) for piece in value.get("pieces", ())),
        inside=value.get("inside"),
        published=value.get("published"),
    )


def sample_to_json(sample: Sample) -> dict[str, Any]:
    """Returns everything of a sample but its pixels, its regions and what must be hashed (key, group, ids)."""
    return {
        "axes": sample.axes,
        "channels": list(sample.channels),
        "spacing": spacing_to_json(sample.spacing),
        "geo": geo_to_json(sample.geo),
        "time": sample.time,
        "sensor": sample.sensor,
        "captions": [caption_to_json(caption) for caption in sample.captions],
        "labels": {str(name): str(value) for name, value in sample.labels.items()},
        "split": sample.split,
        "window": window_to_json(sample.window),
        "meta": dict(sample.meta),
    }


def inspection_to_json(seen: Inspection) -> dict[str, Any]:
    """Returns the fields of an inspection."""
    return asdict(seen)


def inspection_from_json(value: Mapping[str, Any]) -> Inspection:
    """Undoes ``inspection_to_json``; lists within ``details`` stay lists."""
    fixed = {name: tuple(value[name]) for name in ("channels", "missing")}
    levels = tuple((width, height, downsample) for width, height, downsample in value["levels"])
    return Inspection(**{**value, **fixed, "levels": levels})
