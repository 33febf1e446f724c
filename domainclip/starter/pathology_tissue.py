"""Draws eight kinds of tissue as two maps of dye: they differ in structure, and colour comes later."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float32]
Canvas = npt.NDArray[np.uint8]
FULL = 255


@dataclass(frozen=True, slots=True)
class Brush:
    """What a renderer draws with.

    Attributes:
        rng: Source of all chance.
        height: Rows of the piece.
        width: Columns of the piece.
        um: Pixels for one um of drawn structure (the piece's random magnification is in it).
        dense: Many nuclei rather than few.
        coarse: Large structures rather than small.
    """

    rng: np.random.Generator
    height: int
    width: int
    um: float
    dense: bool
    coarse: bool

    def canvas(self, value: float = 0.0) -> Canvas:
        """Returns an empty layer; 0 to 1 stands for 0 to 255."""
        return np.full((self.height, self.width), round(value * FULL), np.uint8)

    def noise(self, cell_um: float) -> Map:
        """Returns smooth noise of mean 0 and about unit spread, with features of the given size."""
        import cv2

        cell = max(2.0, cell_um * self.um)
        small = self.rng.standard_normal((int(self.height / cell) + 4, int(self.width / cell) + 4)).astype(np.float32)
        size = (math.ceil(small.shape[1] * cell), math.ceil(small.shape[0] * cell))
        big = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
        return np.ascontiguousarray(big[: self.height, : self.width] * np.float32(1.3), dtype=np.float32)

    def points(self, pitch_um: float, jitter: float = 0.38) -> npt.NDArray[np.float64]:
        """Returns (n, 2) points x, y on a jittered hexagonal lattice: even, but not regular."""
        pitch = pitch_um * self.um
        columns, rows = int(self.width / pitch) + 3, int(self.height / (pitch * 0.87)) + 3
        x, y = np.meshgrid(np.arange(columns, dtype=np.float64), np.arange(rows, dtype=np.float64))
        x += 0.5 * (np.arange(rows) % 2)[:, None]
        grid = np.stack([x.ravel() * pitch, y.ravel() * pitch * 0.87], axis=1) - pitch
        return grid + self.rng.normal(0, jitter * pitch * 0.5, grid.shape)

    def nuclei(
        self,
        layer: Canvas,
        at: npt.NDArray[np.float64],
        radius_um: float,
        ratio: float,
        angles: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Draws dark ellipses of varying size, shape and strength.

        Args:
            layer: Where to.
            at: (n, 2) centres.
            radius_um: Mean geometric radius.
            ratio: Mean length over breadth.
            angles: (n,) radians, or None for any.
        """
        import cv2

        n = len(at)
        sizes = radius_um * self.um * np.exp(self.rng.normal(0, 0.16, n))
        stretch = np.sqrt(ratio * np.exp(self.rng.normal(0, 0.12, n)))
        turned = np.degrees(self.rng.uniform(0, np.pi, n) if angles is None else angles)
        strength = np.clip(self.rng.normal(0.8, 0.12, n), 0.45, 1) * FULL
        for (x, y), size, s, angle, value in zip(at, sizes, stretch, turned, strength, strict=True):
            if -20 < x < self.width + 20 and -20 < y < self.height + 20:
                axes = (max(6, int(size * s * 16)), max(6, int(size / s * 16)))
                cv2.ellipse(layer, (int(x * 16), int(y * 16)), axes, angle, 0, 360, int(value), -1, cv2.LINE_AA, 4)

    def blob(self, x: float, y: float, radius: float, roughness: float) -> npt.NDArray[np.float64]:
        """Returns the corners (48, 2) of an irregular round outline."""
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        waves = sum(self.rng.normal(0, roughness / k) * np.cos(k * angle + self.rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5))
        reach = radius * np.clip(1 + waves, 0.5, 1.6)
        return np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1)

    def fill(self, layer: Canvas, outline: npt.NDArray[np.float64], value: float) -> None:
        """Fills an outline."""
        import cv2

        cv2.fillPoly(layer, [np.round(outline * 16).astype(np.int32)], round(value * FULL), cv2.LINE_AA, 4)

    def cells(self, pitch_um: float, line_um: float) -> tuple[Map, npt.NDArray[np.float64]]:
        """Returns the walls (0 to 1) between the cells of a mosaic, and the cells' centres."""
        import cv2

        centres = self.points(pitch_um, jitter=0.5)
        seeds = np.full((self.height, self.width), 255, np.uint8)
        inside = (centres[:, 0] >= 0) & (centres[:, 0] < self.width) & (centres[:, 1] >= 0) & (centres[:, 1] < self.height)
        spots = centres[inside].astype(int)
        seeds[spots[:, 1], spots[:, 0]] = 0
        labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
        edges = np.zeros(labels.shape, np.uint8)
        edges[:, 1:] |= (labels[:, 1:] != labels[:, :-1]).astype(np.uint8)
        edges[1:] |= (labels[1:] != labels[:-1]).astype(np.uint8)
        wide = max(1, round(line_um * self.um))
        walls = cv2.dilate(edges, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))).astype(np.float32)
        return cv2.GaussianBlur(walls, (0, 0), max(0.6, 0.3 * wide)), centres[inside]

    def at(self, field: Map, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Looks a map up at points; those outside get the nearest pixel."""
        columns = np.clip(points[:, 0].astype(int), 0, self.width - 1)
        rows = np.clip(points[:, 1].astype(int), 0, self.height - 1)
        values: npt.NDArray[np.float64] = field[rows, columns].astype(np.float64)
        return values

    def thinned(self, points: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
        """Keeps a random share of the points."""
        kept: npt.NDArray[np.float64] = points[self.rng.random(len(points)) < share]
        return kept


def _unit(layer: Canvas) -> Map:
    unit: Map = layer.astype(np.float32) / np.float32(FULL)
    return unit


def glands(brush: Brush) -> tuple[Map, Map]:
    """Round glands: a white lumen, a ring of nuclei at the outer border, stroma between."""
    radius = (46.0 if brush.coarse else 23.0) * brush.um
    h, e, mask = brush.canvas(0.06), brush.canvas(0.5), brush.canvas()
    brush.nuclei(h, brush.thinned(brush.points(13), 0.5), 2.2, 2.6)
    for x, y in brush.points(2.35 * radius / brush.um, jitter=0.25):
        outline = brush.blob(x, y, radius * math.exp(brush.rng.normal(0, 0.13)), 0.1)
        centre = outline.mean(axis=0)
        brush.fill(mask, outline, 1)
        brush.fill(h, outline, 0.16)
        brush.fill(e, outline, 0.42)
        lumen = centre + (outline - centre) * brush.rng.uniform(0.36, 0.58)
        brush.fill(h, lumen, 0)
        brush.fill(e, lumen, 0)
        around = 2 * np.pi * 0.82 * radius
        for depth in (0.84, 0.66) if brush.dense else (0.84,):
            count = int(around / ((5.6 if brush.dense else 10.5) * brush.um))
            pick = (np.arange(count) + brush.rng.uniform(-0.25, 0.25, count)) * 48 / max(count, 1)
            ring = outline[pick.astype(int) % 48]
            inward = centre - ring
            places = centre - inward * depth * brush.rng.uniform(0.95, 1.05, (count, 1))
            brush.nuclei(h, places, 2.9, 1.6, np.arctan2(inward[:, 1], inward[:, 0]))
    return _unit(h), _unit(e) * (1 + 0.12 * brush.noise(8))


def adipose(brush: Brush) -> tuple[Map, Map]:
    """Large empty cells with thin walls; few flat nuclei in the walls."""
    pitch = 72.0 if brush.coarse else 36.0
    walls, _ = brush.cells(pitch, 3.2 if brush.coarse else 2.4)
    h = brush.canvas()
    places = brush.points(6.5)
    on_wall = places[brush.at(walls, places) > 0.35]
    brush.nuclei(h, brush.thinned(on_wall, 0.75 if brush.dense else 0.16), 2.4, 1.7)
    return _unit(h) + 0.06 * walls, 0.8 * walls + 0.03


def muscle(brush: Brush) -> tuple[Map, Map]:
    """Straight parallel fibres with long nuclei along them."""
    angle = brush.rng.uniform(0, np.pi)
    across = _axes(brush, angle)[1]
    bend = 2.5 * brush.um * brush.noise(60)
    breadth = (17.0 if brush.coarse else 8.0) * brush.um
    wave = np.cos(2 * np.pi * (across + bend) / breadth + 0.8 * brush.noise(30))
    clefts = np.clip(wave * 3 - 1.7, 0, 1)
    e = 0.62 + 0.1 * np.cos(np.pi * (across + bend) / breadth) + 0.05 * brush.noise(3) - 0.62 * clefts
    h = brush.canvas()
    places = brush.points(9.5 if brush.dense else 19)
    brush.nuclei(h, places, 2.6, 5.0, np.full(len(places), angle) + brush.rng.normal(0, 0.07, len(places)))
    return _unit(h) * 0.9 + 0.05, np.maximum(e, 0.02).astype(np.float32)


def lymphoid(brush: Brush) -> tuple[Map, Map]:
    """Sheets of round nuclei with hardly any cytoplasm, nothing between them but pale ground."""
    radius = 4.4 if brush.coarse else 2.7
    h = brush.canvas()
    pitch = radius * (2.3 if brush.dense else 3.1)
    brush.nuclei(h, brush.points(pitch, jitter=0.45), radius, 1.08)
    return _unit(h), (0.22 + 0.06 * brush.noise(12)).astype(np.float32)


def necrosis(brush: Brush) -> tuple[Map, Map]:
    """Smudged granular ground, shreds and dust of nuclei, no whole cell."""
    clump = 14.0 if brush.coarse else 5.0
    ground = 0.5 + 0.17 * brush.noise(clump) + 0.14 * brush.noise(1.6)
    holes = np.clip(brush.noise(clump * 1.6) - 1.0, 0, 1)
    h = brush.canvas()
    gather = brush.noise(clump * 2)
    places = brush.points(3.4, jitter=0.8)
    kept = places[brush.at(gather, places) > (-0.2 if brush.dense else 0.9)]
    kept = brush.thinned(kept, 0.75)
    brush.nuclei(h, kept, 0.85 if not brush.coarse else 1.15, 1.5)
    h_map = _unit(h) * 0.85 + 0.05 + np.clip(0.06 * brush.noise(clump), 0, 1)
    return h_map.astype(np.float32), np.clip(ground - 0.7 * holes, 0.0, 2).astype(np.float32)


def squamous(brush: Brush) -> tuple[Map, Map]:
    """Pavement of polygonal cells with pale borders and central nuclei, whorls of keratin in it."""
    pitch = 21.0 if brush.coarse else 12.5
    borders, centres = brush.cells(pitch, 2.0)
    h = brush.canvas()
    whorls = np.zeros((brush.height, brush.width), np.float32)
    distance = np.full((brush.height, brush.width), np.inf, np.float32)
    rows, columns = np.mgrid[0 : brush.height, 0 : brush.width].astype(np.float32)
    radius = (30.0 if brush.coarse else 19.0) * brush.um
    for x, y in brush.thinned(brush.points(88 if brush.coarse else 66, jitter=0.4), 0.9):
        box = _box(brush, x, y, radius * 1.5)
        away = np.hypot(columns[box] - x, (rows[box] - y) * brush.rng.uniform(0.8, 1.25))
        distance[box] = np.minimum(distance[box], away)
    distance *= 1 + 0.07 * brush.noise(14)
    inside = np.clip((radius - distance) / (3 * brush.um), 0, 1)
    rings = 0.5 + 0.5 * np.cos(2 * np.pi * np.where(np.isfinite(distance), distance, 0) / (5.2 * brush.um))
    whorls = inside * (0.35 + 0.6 * rings)
    outside = centres[brush.at(inside, centres) < 0.3]
    brush.nuclei(h, brush.thinned(outside, 1.0 if brush.dense else 0.45), 3.6, 1.25)
    e = (0.56 - 0.56 * borders + 0.04 * brush.noise(4)) * (1 - inside) + whorls
    return (_unit(h) + 0.08) * (1 - 0.9 * inside), np.maximum(e, 0.02).astype(np.float32)


def stroma(brush: Brush) -> tuple[Map, Map]:
    """Loose wavy fibres that swirl and cross with white gaps, thin nuclei along them."""
    breadth = (9.0 if brush.coarse else 4.6) * brush.um
    e = np.zeros((brush.height, brush.width), np.float32)
    h = brush.canvas()
    start = brush.rng.uniform(0, np.pi)
    for turn in (0.0, brush.rng.uniform(0.9, 2.2)):
        along, across = _axes(brush, start + turn)
        crimp = 4.0 * brush.um * np.sin(2 * np.pi * along / (34 * brush.um) + 1.6 * brush.noise(50))
        swirl = 17 * brush.um * brush.noise(80)
        wave = np.cos(2 * np.pi * (across + crimp + swirl) / (1.9 * breadth) + brush.noise(20))
        strands = np.clip(wave * 1.4 - 0.1 + 0.5 * brush.noise(11), 0, 1)
        e = np.maximum(e, 0.72 * strands)
        places = brush.thinned(brush.points(15 if brush.dense else 31), 0.6)
        slope = np.arctan2(np.gradient(crimp + swirl, axis=1), np.float32(1))
        lean = start + turn - brush.at(slope.astype(np.float32), places)
        brush.nuclei(h, places, 2.3, 3.8, lean + brush.rng.normal(0, 0.2, len(places)))
    return _unit(h) + 0.03, e + 0.05


def cartilage(brush: Brush) -> tuple[Map, Map]:
    """Smooth ground with round clear spaces, one small nucleus in each, often in pairs and fours."""
    radius = (11.5 if brush.coarse else 6.3) * brush.um
    ground_h, ground_e = brush.canvas(0.2), brush.canvas(0.36)
    h = brush.canvas()
    pitch = radius / brush.um * (3.0 if brush.dense else 4.3)
    for x, y in brush.points(pitch * 1.25, jitter=0.5):
        count = int(brush.rng.choice((1, 2, 2, 4)))
        turn = brush.rng.uniform(0, 2 * np.pi)
        for k in range(count):
            angle, reach = turn + 2 * np.pi * k / count, (0.0 if count == 1 else 0.95 if count == 2 else 1.25) * radius
            cx, cy = x + reach * math.cos(angle), y + reach * math.sin(angle)
            size = radius * brush.rng.uniform(0.7, 1.0)
            brush.fill(ground_h, brush.blob(cx, cy, size * 1.45, 0.03), 0.36)
            space = brush.blob(cx, cy, size, 0.06)
            brush.fill(ground_h, space, 0)
            brush.fill(ground_e, space, 0.04)
            brush.nuclei(h, np.array([[cx, cy]]), 0.4 * size / brush.um, 1.2)
    return np.maximum(_unit(h), _unit(ground_h)) + 0.02 * brush.noise(20), _unit(ground_e) + 0.03 * brush.noise(25)


def _axes(brush: Brush, angle: float) -> tuple[Map, Map]:
    """Coordinates along and across a direction, in pixels."""
    rows, columns = np.mgrid[0 : brush.height, 0 : brush.width].astype(np.float32)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return columns * cos + rows * sin, rows * cos - columns * sin


def _box(brush: Brush, x: float, y: float, reach: float) -> tuple[slice, slice]:
    rows = slice(max(0, int(y - reach)), max(0, min(brush.height, int(y + reach))))
    return rows, slice(max(0, int(x - reach)), max(0, min(brush.width, int(x + reach))))


TISSUES: dict[str, Callable[[Brush], tuple[Map, Map]]] = {
    "adipose": adipose,
    "cartilage": cartilage,
    "gland": glands,
    "lymphoid": lymphoid,
    "muscle": muscle,
    "necrosis": necrosis,
    "squamous": squamous,
    "stroma": stroma,
}
"""Label value to renderer: a Brush to (haematoxylin, eosin), each (height, width) float32, about 0 to 1."""
