"""From a slide to tiles of one physical size and scale, each read lazily and resampled once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.slides import RGB, Slide, open_slide, unreadable
from domainclip.domains.pathology.tissue import tissue_mask
from domainclip.domains.regions import best_region
from domainclip.sample import Pixels, Region

UPSAMPLING_TOLERANCE = 0.05
"""Slides called 20x range over some percent (0.499, 0.5, 0.502); up to this much finer than level 0 counts as equal."""

Box = tuple[float, float, float, float]
"""(x, y, width, height) in level-0 pixels; not rounded."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A box to read, and the annotated region that it shows."""

    box: Box
    region: Region | None


@dataclass(frozen=True, slots=True)
class TilePlan:
    """What will be cut from one slide.

    Attributes:
        tiles: The kept ones, row by row.
        level: Pyramid level that they are read from.
        counts: ``grid`` (tiles that fit into the slide; a rest narrower than a tile at the right and lower edge is not
            cut), and of these ``kept``, ``without_tissue``, ``impure`` (no region covers enough), ``over_cap``.
    """

    tiles: tuple[Tile, ...]
    level: int
    counts: Mapping[str, int]


def plan_tiles(slide: Slide, spacing_um: tuple[float, float], reading: PathologyReading, regions: Sequence[Region]) -> TilePlan:
    """Lays the grid and decides which tiles to keep; reads a thumbnail at most.

    Args:
        slide: An open file.
        spacing_um: (Y, X) um per level-0 pixel.
        reading: Size, scale and rules.
        regions: Annotations in level-0 pixels; where there are any, only tiles inside one are kept.

    Raises:
        UnreadableFileError: The slide is smaller than a tile or coarser than asked for, or no tile is left.
    """
    width, height, _ = slide.facts.levels[0]
    wide, high = reading.tile_um / spacing_um[1], reading.tile_um / spacing_um[0]
    level = _level(slide, spacing_um, reading)
    # The tolerance keeps a slide of exactly n tiles from losing one to rounding.
    columns = math.floor((width / wide - 1) / (1 - reading.overlap) + 1 + 1e-6)
    rows = math.floor((height / high - 1) / (1 - reading.overlap) + 1 + 1e-6)
    if columns < 1 or rows < 1:
        found = f"The slide has {width * spacing_um[1]:.0f} x {height * spacing_um[0]:.0f} um, less than one tile."
        raise unreadable(found, f"Ask for smaller tiles (reading.tile_um is {reading.tile_um:g}), or reading.mode=whole.")
    step_x, step_y = wide * (1 - reading.overlap), high * (1 - reading.overlap)
    boxes = [(column * step_x, row * step_y, wide, high) for row in range(rows) for column in range(columns)]
    counts = {"grid": len(boxes), "kept": 0, "without_tissue": 0, "impure": 0, "over_cap": 0}
    mask = tissue_mask(slide, spacing_um) if reading.min_tissue > 0 else None
    tiles: list[Tile] = []
    for box in boxes:
        if mask is not None and mask.share(*box) < reading.min_tissue:
            counts["without_tissue"] += 1
            continue
        region = best_region(regions, box, reading.region_purity)
        if regions and region is None:
            counts["impure"] += 1
            continue
        tiles.append(Tile(box, region))
    if reading.max_tiles is not None and len(tiles) > reading.max_tiles:
        counts["over_cap"] = len(tiles) - reading.max_tiles
        tiles = [tiles[round((i + 0.5) * len(tiles) / reading.max_tiles - 0.5)] for i in range(reading.max_tiles)]
    counts["kept"] = len(tiles)
    if not tiles:
        found = f"No tile is left of {counts['grid']}: {counts['without_tissue']} without tissue, {counts['impure']} in no region."
        raise unreadable(found, "Lower reading.min_tissue or reading.region_purity, or take the file out.")
    return TilePlan(tuple(tiles), level, counts)


def read_box(slide: Slide, level: int, box: Box, size: tuple[int, int]) -> RGB:
    """Reads a box of level-0 pixels, resampled once from the given level; nothing outside of the box mixes in.

    Args:
        slide: An open file.
        level: Pyramid level to read from.
        box: May have fractions of pixels; they are honoured.
        size: (width, height) of the result.

    Returns:
        (height, width, 3) uint8 sRGB; antialiased (Hamming window) where it shrinks, bicubic where it grows.
    """
    columns, rows, _ = slide.facts.levels[level]
    down_x, down_y = slide.facts.levels[0][0] / columns, slide.facts.levels[0][1] / rows
    left, top = box[0] / down_x, box[1] / down_y
    right, bottom = min(left + box[2] / down_x, columns), min(top + box[3] / down_y, rows)
    x0, y0 = math.floor(left + 1e-6), math.floor(top + 1e-6)
    x1, y1 = min(math.ceil(right - 1e-6), columns), min(math.ceil(bottom - 1e-6), rows)
    pixels = slide.read_level(level, x0, y0, x1 - x0, y1 - y0)
    if (x1 - x0, y1 - y0) == size and max(abs(left - x0), abs(top - y0), abs(right - x1), abs(bottom - y1)) < 1e-3:
        return pixels
    grows = right - left < size[0]
    how = Image.Resampling.BICUBIC if grows else Image.Resampling.HAMMING
    cut = (max(left - x0, 0.0), max(top - y0, 0.0), min(right - x0, x1 - x0), min(bottom - y0, y1 - y0))
    return np.array(Image.fromarray(pixels).resize(size, how, box=cut))


@dataclass(frozen=True, slots=True)
class TileReader:
    """Reads one tile; holds no handle, so it travels to worker processes and opens each slide once there."""

    path: Path
    level: int
    box: Box
    size: tuple[int, int]

    def __call__(self) -> Pixels:
        """Returns (3, H, W) uint8."""
        pixels = read_box(open_slide(self.path), self.level, self.box, self.size)
        return Pixels(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _level(slide: Slide, spacing_um: tuple[float, float], reading: PathologyReading) -> int:
    """The coarsest level that is still at least as fine as asked for."""
    wanted = reading.tile_um / reading.tile_px
    finest = max(spacing_um)
    if finest > wanted * (1 + UPSAMPLING_TOLERANCE) and not reading.upsample:
        found = f"The slide has {finest:.4g} um/px, coarser than the {wanted:.4g} asked for."
        raise unreadable(
            found, "Ask for a coarser scale (larger reading.tile_um or smaller reading.tile_px), or reading.upsample=true."
        )
    fine = [i for i, (_, _, down) in enumerate(slide.facts.levels) if down * finest <= wanted * (1 + UPSAMPLING_TOLERANCE)]
    return fine[-1] if fine else 0
