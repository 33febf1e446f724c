"""From a slide to tiles of one physical size and scale, each read lazily and resampled once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.choose import chosen, thumbnail_features
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.region import Box, SlideView, best_level, read_box
from domainclip.domains.pathology.slides import COLOURS, Slide, unreadable
from domainclip.domains.pathology.stain import StainNormalizer
from domainclip.domains.pathology.tissue import TissueMask, tissue_mask
from domainclip.domains.regions import best_region
from domainclip.evenly import evenly_spread
from domainclip.sample import Pixels, Region

STAIN_TILES = 64
"""Tiles that a stain fit looks at: 8 leave the stains up to 13 degrees off, 64 up to 4 (measured on CMU-1)."""
MOST_TILES = 4_000_000
"""Of one slide's grid: 200,000 x 200,000 px in tiles of 100 px."""


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
        seen: Returns what was found on the slide; looks only now where the options ask for no tissue.
    """

    tiles: tuple[Tile, ...]
    level: int
    counts: Mapping[str, int]
    seen: Callable[[], TissueMask]


def plan_tiles(
    view: SlideView, spacing_um: tuple[float, float], reading: PathologyReading, regions: Sequence[Region], name: str
) -> TilePlan:
    """Lays the grid and decides which tiles to keep; reads a thumbnail, and tiles only where a model chooses among them.

    Args:
        view: The slide.
        spacing_um: (Y, X) um per level-0 pixel.
        reading: Size, scale and rules.
        regions: Annotations in level-0 pixels; where there are any, only tiles inside one are kept.
        name: Of the slide, for random choices.

    Raises:
        UnreadableFileError: The slide is smaller than a tile or coarser than asked for, or no tile is left.
        UsageError: The options contradict each other.
    """
    slide = view.open()
    given = reading.coordinates is not None
    boxes = given_boxes(view, reading) if given else _grid(slide, spacing_um, reading)
    side_um = float(boxes[:, 2].min()) * spacing_um[1] if given else reading.tile_um
    level = best_level(slide, spacing_um, side_um / reading.tile_px, upsample=reading.upsample)
    counts = {"grid": len(boxes), "kept": 0, "without_tissue": 0, "impure": 0, "over_cap": 0}
    seen = partial(look_for_tissue, slide, spacing_um, reading.tissue)
    masked = reading.min_tissue > 0 and not given  # whoever gave the tiles chose them
    if masked:
        enough = seen().shares(boxes) >= reading.min_tissue - 1e-9  # rounding must not cost a tile that is all tissue
        counts["without_tissue"] = int(len(boxes) - enough.sum())
        boxes = boxes[enough]
    tiles: list[Tile] = []
    for row in boxes.tolist():
        box = (row[0], row[1], row[2], row[3])
        region = best_region(regions, box, reading.region_purity)
        if regions and region is None:
            counts["impure"] += 1
            continue
        tiles.append(Tile(box, region))
    if reading.max_tiles is not None and len(tiles) > reading.max_tiles:
        counts["over_cap"] = len(tiles) - reading.max_tiles
        tiles = _capped(tiles, view, level, reading, seen, name)
    counts["kept"] = len(tiles)
    if not tiles:
        raise unreadable(*_nothing_left(counts, masked and not seen().tissue.any()))
    return TilePlan(tuple(tiles), level, counts, seen)


def given_boxes(view: SlideView, reading: PathologyReading) -> npt.NDArray[np.float64]:
    """Returns the tiles that a file of coordinates (TRIDENT, CLAM, AtlasPatch) names for a slide: (N, 4) in level-0 pixels.

    Raises:
        UnreadableFileError: There is no such file for this slide, it is broken, or its tiles leave the slide.
        UsageError: There is no such folder, or it holds two files for the slide.
    """
    from domainclip.domains.pathology.coordinates import coordinates_for, read_coordinates

    assert reading.coordinates is not None
    path = coordinates_for(Path(reading.coordinates), view.path.stem)
    if path is None:
        found = "The folder of coordinates holds no file for this slide."
        raise unreadable(found, "Name it as the slide, STEM.h5 or STEM_patches.h5; or take the slide out.")
    slide = view.open()
    boxes = read_coordinates(path, [level[2] for level in slide.facts.levels]).boxes
    width, height, _ = slide.facts.levels[0]
    if not len(boxes):
        raise unreadable("Its file of coordinates names no tile.", "Take the slide out.")
    reach = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    if boxes[:, :2].min() < 0 or reach[0] > width + 1 or reach[1] > height + 1:
        found = f"Tiles of its coordinates reach to {reach[0]:.0f}, {reach[1]:.0f}; the slide has {width} x {height} pixels."
        raise unreadable(found, "They may belong to another slide, or to another scan of it: check them.")
    return boxes


def _grid(slide: Slide, spacing_um: tuple[float, float], reading: PathologyReading) -> npt.NDArray[np.float64]:
    """Lays tiles over the whole slide, row by row: (N, 4) x, y, width, height in level-0 pixels."""
    width, height, _ = slide.facts.levels[0]
    wide, high = reading.tile_um / spacing_um[1], reading.tile_um / spacing_um[0]
    # The tolerance keeps a slide of exactly n tiles from losing one to rounding.
    columns = math.floor((width / wide - 1) / (1 - reading.overlap) + 1 + 1e-6)
    rows = math.floor((height / high - 1) / (1 - reading.overlap) + 1 + 1e-6)
    if columns < 1 or rows < 1:
        found = f"The slide has {width * spacing_um[1]:.0f} x {height * spacing_um[0]:.0f} um, less than one tile."
        raise unreadable(
            found,
            f"Ask for smaller tiles (reading.tile_um is {reading.tile_um:g}), or reading.mode=whole; if it is the macro or label "
            "picture of a slide, take it out.",
        )
    if columns * rows > MOST_TILES:
        found = f"The grid would have {columns} x {rows} tiles; the limit is {MOST_TILES}."
        raise unreadable(
            found, "Ask for larger tiles (reading.tile_um) or less overlap; or take the file out: its size may be a lie."
        )
    left, top = np.meshgrid(np.arange(columns) * wide * (1 - reading.overlap), np.arange(rows) * high * (1 - reading.overlap))
    return np.stack([left.ravel(), top.ravel(), np.full(left.size, wide), np.full(left.size, high)], axis=1)


@lru_cache(maxsize=1)
def look_for_tissue(slide: Slide, spacing_um: tuple[float, float], segmenter: str) -> TissueMask:
    """Finds tissue on a stained slide, signal on another; once for the plan, the overview and the reason of a rejection.

    Args:
        slide: An open file.
        spacing_um: (Y, X) um per level-0 pixel.
        segmenter: Name of the tissue segmenter.

    Raises:
        UnreadableFileError: The pixels cannot be decoded.
    """
    if slide.facts.channels == COLOURS:
        return tissue_mask(slide, spacing_um, segmenter)
    from domainclip.domains.pathology.fluorescence import signal_mask

    return signal_mask(slide, spacing_um)


def _nothing_left(counts: Mapping[str, int], glass_only: bool) -> tuple[str, str]:
    found = f"No tile is left of {counts['grid']}: {counts['without_tissue']} without tissue, {counts['impure']} in no region."
    if glass_only:
        remedy = "It seems to hold glass only (domainclip inspect FILE --overview PICTURE.png shows what was found); take it out, "
        return f"No tissue was found on the slide. {found}", f"{remedy}or keep all tiles with --set reading.min_tissue=0."
    return found, "Lower reading.min_tissue or reading.region_purity, or take the file out."


def _capped(
    tiles: list[Tile], view: SlideView, level: int, reading: PathologyReading, seen: Callable[[], TissueMask], name: str
) -> list[Tile]:
    def colours() -> npt.NDArray[np.float32]:
        return thumbnail_features(seen().thumbnail, seen().step, [tile.box for tile in tiles])

    def read(number: int) -> npt.NDArray[np.uint8]:
        return TileReader(view, level, tiles[number].box, (reading.tile_px, reading.tile_px))().array

    return [tiles[i] for i in chosen(len(tiles), reading, name, colours, read)]


def fitted_stain(view: SlideView, plan: TilePlan, reading: PathologyReading) -> StainNormalizer[Any]:
    """Fits the stain normaliser that ``reading.stain`` names to a slide, on tiles spread evenly over those that are kept.

    Thumbnails would not do: optical density is no linear quantity, and at 8 um/px the stains come out 12 degrees off.

    Raises:
        UnreadableFileError: The slide shows too little tissue, or only one stain.
    """
    from domainclip.domains.pathology.stain import stain_normalizer

    assert reading.stain is not None
    size = (reading.tile_px, reading.tile_px)
    spread = evenly_spread(len(plan.tiles), STAIN_TILES)
    pixels = [read_box(view.open(), plan.level, plan.tiles[i].box, size).array for i in spread]
    return stain_normalizer(reading.stain).fit_source(np.concatenate(pixels))


@dataclass(frozen=True, slots=True)
class TileReader:
    """Reads one tile; holds no handle, so it travels to worker processes and opens each slide once there.

    Attributes:
        view: The slide.
        level: Pyramid level to read from.
        box: Level-0 pixels.
        size: (width, height) of the result.
        max_missing: Share of the tile that the file may lack.
        stain: Fitted to the slide, or None; its fit is finished, so several threads may use it.
    """

    view: SlideView
    level: int
    box: Box
    size: tuple[int, int]
    max_missing: float = 1.0
    stain: StainNormalizer[Any] | None = None

    def __call__(self) -> Pixels:
        """Returns (C, H, W) of the stored type; the mask ``nodata`` marks what the file lacks.

        Raises:
            UnreadableFileError: The pixels cannot be decoded, or too many are missing.
        """
        array, missing = read_box(self.view.open(), self.level, self.box, self.size)
        if self.stain is not None:
            array = self.stain.transform(array)
        planes = array.transpose(2, 0, 1)  # a view: what is stored and shown is interleaved again
        if missing is None or not missing.any():
            return Pixels(planes)
        if missing.mean() > self.max_missing:
            found = f"{missing.mean():.0%} of a tile is not in the file: never scanned, or lost."
            raise unreadable(found, "Copy the file again if it is damaged; or allow it: --set reading.max_missing=1.")
        return Pixels(planes, {"nodata": missing})
