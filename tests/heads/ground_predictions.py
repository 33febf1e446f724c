"""Predictions made by hand: scenes whose windows and classes are known, as ``zero-shot`` writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pyproj
from affine import Affine

CLASSES = ("land", "water", "ice & snow")
SET_ID = "0123456789abcdef0123"


@dataclass
class Scene:
    """A scene of ``grid`` (columns, rows) windows of ``side`` file pixels; window ``planted`` is water, all others are land."""

    crs: str
    affine: Affine
    grid: tuple[int, int] = (6, 5)
    side: tuple[int, int] = (64, 64)
    stride: tuple[int, int] | None = None
    out: tuple[int, int] | None = None
    planted: int = 8
    without: tuple[int, ...] = ()
    name: str = "scene"
    path: str = ""
    probabilities: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def windows(self) -> list[tuple[int, int, int, int]]:
        (columns, rows), (width, height) = self.grid, self.side
        dx, dy = self.stride or self.side
        return [(x * dx, y * dy, width, height) for y in range(rows) for x in range(columns)]

    def shares(self, number: int) -> tuple[float, ...]:
        return self.probabilities.get(number, (0.05, 0.9, 0.05) if number == self.planted else (0.8, 0.15, 0.05))

    def point(self, number: int, across: float = 0.5, down: float = 0.5) -> tuple[float, float]:
        """A place within a window, in the scene's CRS."""
        x, y, width, height = self.windows()[number]
        return self.affine @ (x + across * width, y + down * height)

    def lonlat(self, points):
        to = pyproj.Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        found = [to.transform(*point) for point in points]
        return [((lon + 180) % 360 - 180, lat) for lon, lat in found]  # PROJ leaves degrees beyond 180 as they are

    def used(self) -> list[int]:
        return [number for number in range(len(self.windows())) if number not in self.without]


def write_predictions(folder: Path, scenes: list[Scene], *, classes=CLASSES, known=True, synthetic=True, **changes) -> Path:
    """Writes ``predictions.json`` and, where ``known``, the owner's map."""
    from domainclip.data.owner_map import write_owner_map

    rows, lines = [], []
    for place, scene in enumerate(scenes):
        path = scene.path or f"/somewhere/secret/{scene.name}.tif"
        file = f"{place:020x}"
        for number, (x, y, width, height) in enumerate(scene.windows()):
            if number in scene.without:
                continue
            size = scene.out or (width, height)
            own = scene.affine @ Affine.translation(x, y) @ Affine.scale(width / size[0], height / size[1])
            key = f"{place:010x}{number:010x}"
            shares = dict(zip(classes, scene.shares(number), strict=True))
            rows.append({
                "file": file, "key": key, "group": file, "windows": 1,
                "window": {"x": x, "y": y, "width": width, "height": height, "level": 0}, "size": list(size),
                "geo": {"crs": scene.crs, "transform": list(own)[:6]} if scene.crs else None,
                "class": max(shares, key=shares.__getitem__), "probabilities": shares,
            })  # fmt: skip
            lines.append({"key": key, "path": path})
    document = {
        "model": {"source": "/home/someone/models/mine", "domain": "remote-sensing", "sha256": "ab" * 32},
        "synthetic": synthetic, "classes": {name: [name] for name in classes}, "templates": ["a satellite image of {}"],
        "files": [], "windows": rows, "rejected": [], "output": None, "set_ids": [SET_ID],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "predictions.json").write_text(json.dumps(document | changes))
    if known:
        from domainclip.resources import owner_folder

        owner_folder().mkdir(parents=True, exist_ok=True)
        write_owner_map(SET_ID, lines)
    return folder


def places() -> dict[str, Scene]:
    """Scenes in all the ways in which rasters lie on the ground."""
    up = Affine(10, 0, 400_000, 0, -10, 4_600_000)
    return {
        "utm north": Scene("EPSG:32630", up),
        "utm south": Scene("EPSG:32755", Affine(10, 0, 420_000, 0, -10, 6_100_000)),
        "south-up": Scene("EPSG:32719", Affine(10, 0, 300_000, 0, 10, 6_300_000)),
        "mirrored": Scene("EPSG:32630", Affine(-10, 0, 400_000, 0, -10, 4_600_000)),
        "rotated": Scene("EPSG:32630", Affine.translation(400_000, 4_600_000) @ Affine.rotation(30) @ Affine.scale(10, -10)),
        "degrees": Scene("EPSG:4326", Affine(1e-4, 0, 12.3, 0, -1e-4, -33.3)),
        "web mercator": Scene("EPSG:3857", Affine(30, 0, -8_000_000, 0, -30, 5_000_000)),
        "degrees over the date line": Scene("EPSG:4326", Affine(1e-3, 0, 179.87, 0, -1e-3, -16)),
        "NAD83 over the date line": Scene("EPSG:4269", Affine(1e-3, 0, 179.87, 0, -1e-3, 52)),
        "mercator over the date line": Scene("EPSG:3857", Affine(300, 0, 19_980_000, 0, -300, -1_500_000)),
        "utm 1 over the date line": Scene("EPSG:32601", Affine(1000, 0, 100_000, 0, -1000, 7_400_000)),
        "utm 60 over the date line": Scene("EPSG:32760", Affine(500, 0, 700_000, 0, -500, 8_200_000)),
        "north pole": Scene("EPSG:3413", Affine(1000, 0, -150_000, 0, -1000, 170_000)),
        "south pole": Scene("EPSG:3031", Affine(1000, 0, -150_000, 0, -1000, 170_000)),
        "pole on a corner": Scene("EPSG:3413", Affine(1000, 0, -128_000, 0, -1000, 128_000)),
        "pole on a side": Scene("EPSG:3031", Affine(1000, 0, -128_000, 0, -1000, 160_000)),
        "not square": Scene("EPSG:32630", Affine(10, 0, 400_000, 0, -25, 4_600_000)),
        "resampled": Scene("EPSG:32630", up, side=(107, 107), out=(64, 64)),
        "wkt": Scene(pyproj.CRS("+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84").to_wkt(), Affine(100, 0, 50_000, 0, -100, 3_000)),
    }
