"""One synthetic slide: pieces of tissue on glass, light, ink, and the truth about them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.starter.pathology_stain import RGB, Map, Staining, balanced, ink_transmittance, random_staining, regional
from domainclip.starter.pathology_tissue import TISSUES, Brush

SIDE_UM = 1056.0
DRAWN_UM = 0.5
"""um per pixel at which slides are drawn; the scanner's own spacing comes by resampling once."""
TRUTH_UM = 8.0
SPACINGS_UM = (0.5, 0.5, 0.499, 0.46, 0.46, 0.25, 0.2325)
INK_SHARE = 0.4
_PULL = 0.75
_TILE = 256


@dataclass(frozen=True, slots=True)
class Piece:
    """What one piece of tissue is to show: values of the labels tissue, density, texture and composition."""

    tissue: str
    density: str
    texture: str
    composition: str


@dataclass(frozen=True, slots=True)
class SlidePlan:
    """All that is decided about a slide before it is drawn."""

    name: str
    split: str
    pieces: tuple[Piece, ...]
    seed: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Painted:
    """Tissue before light falls through it.

    Attributes:
        staining: Dyes, light and noise.
        density: (side, side, 3) float32 optical densities of red, green and blue, ``DRAWN_UM`` a pixel.
        tissue: (side, side) uint8, 1 in tissue.
        outlines: (64, 2) pixels x, y of each piece.
    """

    staining: Staining
    density: Map
    tissue: npt.NDArray[np.uint8]
    outlines: list[npt.NDArray[np.float64]]


def make_slide(plan: SlidePlan, folder: Path) -> None:
    """Draws a slide and writes ``slides/<name>.tif``, ``annotations/<name>.geojson`` and ``truth/<name>.npz``.

    The truth holds ``tissue`` and ``pen`` (bool, one point for 8 um), ``step_um``, and loads without pickle.
    """
    import cv2

    cv2.setNumThreads(1)
    rng = np.random.default_rng(plan.seed)
    painted = paint_pieces(rng, plan.pieces)
    side = len(painted.density)
    image = through_light(rng, painted)
    pen = draw_ink(rng, image, painted.outlines) if rng.random() < INK_SHARE else np.zeros((side, side), np.uint8)
    add_noise(rng, image, painted.staining)
    spacing = float(rng.choice(SPACINGS_UM))
    write_slide(folder / "slides" / f"{plan.name}.tif", np.clip(image, 0, 255).astype(np.uint8), spacing)
    _write_annotations(folder / "annotations" / f"{plan.name}.geojson", plan.pieces, painted.outlines, DRAWN_UM / spacing)
    write_truth(folder / "truth" / f"{plan.name}.npz", {"tissue": painted.tissue & ~pen & 1, "pen": pen})


def paint_pieces(rng: np.random.Generator, pieces: Sequence[Piece | None]) -> Painted:
    """Draws one laboratory's staining and the pieces, two in a row; None leaves a place empty."""
    staining = random_staining(rng)
    side = round(SIDE_UM / DRAWN_UM)
    density = np.zeros((side, side, 3), np.float32)
    tissue = np.zeros((side, side), np.uint8)
    outlines = []
    for piece, cell in zip(pieces, _cells(rng, side, len(pieces)), strict=True):
        if piece is None:
            continue
        outline = _outline(rng, *cell)
        _paint(rng, density, tissue, outline, piece, staining)
        outlines.append(outline)
    return Painted(staining, density, tissue, outlines)


def through_light(rng: np.random.Generator, painted: Painted) -> Map:
    """Shines the scanner's uneven light through the densities; (side, side, 3) float32, 0 to 255."""
    light = painted.staining.light * (1 + 0.02 * _tilt(rng, len(painted.density)))[..., None]
    image: Map = light * np.exp(-painted.density * np.float32(math.log(10)))
    return image


def add_noise(rng: np.random.Generator, image: Map, staining: Staining) -> None:
    """Adds the sensor's noise in place."""
    import cv2

    side = len(image)
    image += cv2.resize(rng.normal(0, staining.noise, (side // 2, side // 2)).astype(np.float32), (side, side))[..., None]


def _cells(rng: np.random.Generator, side: int, count: int) -> list[tuple[float, float, float, float]]:
    """Splits the slide into cells (x, y, width, height), two in a row, at uneven cuts."""
    rows = -(-count // 2)
    cells = []
    height = side / rows
    for row in range(rows):
        cut = side * rng.uniform(0.46, 0.54)
        for left, right in ((0.0, cut), (cut, float(side))):
            cells.append((left, row * height, right - left, height))
    return cells[:count]


def _outline(rng: np.random.Generator, x: float, y: float, width: float, height: float) -> npt.NDArray[np.float64]:
    """A rounded, uneven patch that nearly fills its cell: a superellipse with waves, (64, 2) pixels."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    power = rng.uniform(5, 9)
    cos, sin = np.cos(angle), np.sin(angle)
    reach = (np.abs(cos) ** power + np.abs(sin) ** power) ** (-1 / power)
    waves = sum(rng.normal(0, 0.02) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (3, 5, 8, 13))
    reach *= np.clip(0.94 + waves, 0.82, 0.98)
    return np.stack([x + width / 2 * (1 + reach * cos), y + height / 2 * (1 + reach * sin)], axis=1)


def _paint(
    rng: np.random.Generator,
    density: Map,
    tissue: npt.NDArray[np.uint8],
    outline: npt.NDArray[np.float64],
    piece: Piece,
    staining: Staining,
) -> None:
    """Draws a piece into the slide's optical densities and the truth."""
    import cv2

    x0, y0 = np.floor(outline.min(axis=0)).astype(int).clip(0)
    x1, y1 = np.ceil(outline.max(axis=0)).astype(int).clip(0, tissue.shape[0])
    brush = Brush(rng, y1 - y0, x1 - x0, rng.uniform(0.8, 1.25) / DRAWN_UM, piece.density == "dense", piece.texture == "coarse")
    haematoxylin, eosin = TISSUES[piece.tissue](brush)
    alpha = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(alpha, [np.round((outline - (x0, y0)) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    dyes = np.stack(
        [
            balanced(rng, haematoxylin, 0.20 * math.exp(rng.normal(0, 0.25)), _PULL),
            balanced(rng, eosin, 0.28 * math.exp(rng.normal(0, 0.25)), _PULL),
        ],
        axis=2,
    )
    thickness = 1 + 0.08 * brush.noise(90)
    dyes = cv2.GaussianBlur(np.clip(dyes, 0, 2.2), (0, 0), rng.uniform(0.4, 1.8))
    edge = cv2.GaussianBlur(alpha, (0, 0), 1.5).astype(np.float32) / 255
    density[y0:y1, x0:x1] += (dyes * (edge * thickness)[..., None]) @ regional(rng, staining)
    tissue[y0:y1, x0:x1] |= (alpha > 127).astype(np.uint8)


def _tilt(rng: np.random.Generator, side: int) -> Map:
    """Uneven light: a slope from -1 to 1 in some direction."""
    along = np.linspace(-1, 1, side, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = along[None, :] * math.cos(angle) + along[:, None] * math.sin(angle)
    return (slope / 1.5).astype(np.float32)


def draw_ink(
    rng: np.random.Generator, image: Map, outlines: list[npt.NDArray[np.float64]], colour: str | None = None
) -> npt.NDArray[np.uint8]:
    """Draws a pen stroke along a piece's border into the image, of any colour where none is named; returns where, 0 or 1."""
    import cv2

    pen = np.zeros(image.shape[:2], np.uint8)
    outline = outlines[int(rng.integers(len(outlines)))]
    start, length = int(rng.integers(64)), int(rng.integers(10, 26))
    centre = outline.mean(axis=0)
    stroke = np.roll(outline, -start, axis=0)[:length]
    stroke = centre + (stroke - centre) * rng.uniform(0.99, 1.05)
    cv2.polylines(pen, [np.round(stroke).astype(np.int32)], False, 255, int(rng.integers(70, 120)), cv2.LINE_AA)
    share = cv2.GaussianBlur(pen, (0, 0), 3).astype(np.float32)[..., None] / 255 * np.float32(rng.uniform(0.85, 1.0))
    image *= 1 - share + share * ink_transmittance(colour or str(rng.choice(("blue", "green", "black", "red"))))
    return (pen > 127).astype(np.uint8)


def write_slide(path: Path, image: RGB, spacing_um: float) -> None:
    """Writes three levels, each half of the one before, as OpenSlide wants them of a generic TIFF."""
    import cv2
    import tifffile

    side = round(SIDE_UM / spacing_um)
    how = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_CUBIC
    level = image if side == image.shape[0] else cv2.resize(image, (side, side), interpolation=how)
    with tifffile.TiffWriter(path) as writer:
        for number in range(3):
            if number:
                level = cv2.resize(level, (level.shape[1] // 2, level.shape[0] // 2), interpolation=cv2.INTER_AREA)
            per_cm = 1e4 / (spacing_um * side / level.shape[1])
            writer.write(
                level,
                tile=(_TILE, _TILE),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 85},
                subfiletype=1 if number else 0,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                description="synthetic content, made by domainclip" if not number else None,
                metadata=None,
                software="domainclip",
            )


def _write_annotations(path: Path, pieces: tuple[Piece, ...], outlines: list[npt.NDArray[np.float64]], factor: float) -> None:
    features: list[dict[str, Any]] = []
    for piece, outline in zip(pieces, outlines, strict=True):
        ring = np.round(outline * factor, 1).tolist()
        metadata = {"density": piece.density, "texture": piece.texture, "composition": piece.composition}
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
                "properties": {"objectType": "annotation", "classification": {"name": piece.tissue}, "metadata": metadata},
            }
        )
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


def write_truth(path: Path, masks: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes masks (0 or 1, ``DRAWN_UM`` a pixel) as bool, one point for ``TRUTH_UM``, and ``step_um``; no pickle."""
    import cv2

    side = round(SIDE_UM / TRUTH_UM)
    small: dict[str, Any] = {
        name: cv2.resize(mask.astype(np.uint8) * 255, (side, side), interpolation=cv2.INTER_AREA) > 127
        for name, mask in masks.items()
    }
    np.savez_compressed(path, **small, step_um=np.float64(TRUTH_UM))
