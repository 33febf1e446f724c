"""The ``reading:`` section of pathology: at what physical scale slides are cut, and which tiles are kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from domainclip.config import Section


class PathologyReading(Section):
    """How a slide becomes tiles. Lengths are physical, so slides of any scanner give tiles of the same size and scale."""

    tile_um: float = Field(96.0, gt=0, description="Side of a tile on the slide, in um.")
    tile_px: int = Field(64, ge=8, le=4096, description="Side of what is read, in pixels; tile_um / tile_px is the scale in um/px.")
    overlap: float = Field(0.0, ge=0, lt=0.95, description="Share of a tile's side that it shares with the next.")
    min_tissue: float = Field(
        0.5, ge=0, le=1, description="Share of a tile that the tissue mask must cover; 0 keeps all, unmasked."
    )
    max_tiles: int | None = Field(None, ge=1, description="At most so many tiles a slide, evenly spread; the rest is counted.")
    region_purity: float = Field(0.75, gt=0, le=1, description="Share of a tile that one annotated region must cover.")
    spacing_um: float | None = Field(None, gt=0, description="um/px of level 0, where files do not say or are wrong; the owner's.")
    mode: Literal["auto", "tiles", "whole"] = Field(
        "auto", description="'auto' takes files of one level up to whole_px as one image each and cuts tiles from all others."
    )
    whole_px: int = Field(1024, ge=8, description="Longest side up to which a file of one level is one image.")
    upsample: bool = Field(False, description="Allow tiles finer than level 0 (invents detail); otherwise such slides are refused.")
