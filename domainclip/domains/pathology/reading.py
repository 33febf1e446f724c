"""The ``reading:`` section of pathology: at what physical scale slides are cut, and which tiles are kept."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from domainclip.config import Section


class PathologyReading(Section):
    """How a slide becomes tiles. Lengths are physical, so slides of any scanner give tiles of the same size and scale."""

    of_files: ClassVar[frozenset[str]] = frozenset({
        "coordinates", "spacing_um", "scene", "white_level", "channels", "mode", "whole_px", "region_purity",
        "max_tiles", "choose", "choose_seed", "choose_model", "choose_prompts", "choose_pooling",
    })  # fmt: skip
    """Options that speak of the files at hand: a model that was trained with them does not ask them of other files."""
    paths: ClassVar[frozenset[str]] = frozenset({"coordinates", "choose_model"})
    """Options that may be paths on the owner's machine; a set keeps keyed hashes of them."""

    tile_um: float = Field(96.0, gt=0, description="Side of a tile on the slide, in um.")
    tile_px: int = Field(64, ge=8, le=4096, description="Side of what is read, in pixels; tile_um / tile_px is the scale in um/px.")
    overlap: float = Field(0.0, ge=0, lt=0.95, description="Share of a tile's side that it shares with the next.")
    min_tissue: float = Field(
        0.5, ge=0, le=1, description="Share of a tile that the tissue mask must cover; 0 keeps all, unmasked."
    )
    tissue: str = Field("optical", description="Name of the tissue segmenter: 'optical', 'otsu', or a plug-in's.")
    max_tiles: int | None = Field(
        None, ge=1, description="At most so many tiles a slide, chosen as choose says; the rest is counted."
    )
    choose: Literal["even", "random", "diverse", "prompt"] = Field(
        "even",
        description="Which tiles max_tiles keeps: evenly spread over the slide; at random (choose_seed); k-means clusters each "
        "giving alike (of choose_model's features, else of colour and its spread); those nearest to choose_prompts.",
    )
    choose_seed: int = Field(0, description="Of choose=random and diverse.")
    choose_model: str | None = Field(None, description="MODEL (run folder or zoo name) whose features choose tiles.")
    choose_prompts: tuple[str, ...] = Field((), description="Texts of choose=prompt.")
    choose_pooling: Literal["max", "sum"] = Field(
        "max", description="Of a tile's similarities to several prompts (PathGen: max over attributes, sum over findings)."
    )
    max_missing: float = Field(
        0.01, ge=0, le=1, description="Share of a tile that the file may lack (never scanned, never written); else it is rejected."
    )
    coordinates: str | None = Field(
        None, description="Folder of TRIDENT, CLAM or AtlasPatch h5 files, one a slide: their tiles are read, each as tile_px."
    )
    region_purity: float = Field(0.75, gt=0, le=1, description="Share of a tile that one annotated region must cover.")
    spacing_um: float | None = Field(None, gt=0, description="um/px of level 0, where files do not say or are wrong; the owner's.")
    mode: Literal["auto", "tiles", "whole"] = Field(
        "auto", description="'auto' takes files of one level up to whole_px as one image each and cuts tiles from all others."
    )
    whole_px: int = Field(1024, ge=8, description="Longest side up to which a file of one level is one image.")
    upsample: bool = Field(False, description="Allow tiles finer than level 0 (invents detail); otherwise such slides are refused.")
    scene: int | None = Field(None, ge=0, description="Which image of a file that holds several, from 0.")
    white_level: int | None = Field(None, ge=1, le=65535, description="Stored number that is white in 16-bit colour slides.")
    channels: tuple[str, ...] | None = Field(None, description="Names of the channels of fluorescence, instead of the file's.")
    stain: Literal["macenko", "reinhard"] | None = Field(
        None, description="Bring each slide's stains to a published target, fitted once a slide on 64 of its tiles."
    )
