"""The ``reading:`` section of remote sensing: how files become windows, and what the owner tells about them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from domainclip.config import Section


class RemoteSensingReading(Section):
    """Reading options. Whatever is told here wins over the file; what neither tells is asked for, never guessed."""

    of_files: ClassVar[frozenset[str]] = frozenset({
        "band_names", "sensor", "values", "scale", "offset", "nodata", "processing_baseline", "points", "area", "region_purity",
        "max_windows", "choose", "choose_seed", "group_by", "block_m", "mosaic", "remote", "outside", "facts", "biomes", "tags",
    })  # fmt: skip
    """Options that speak of the files at hand: a model that was trained with them does not ask them of other files."""
    paths: ClassVar[frozenset[str]] = frozenset({"points", "area", "biomes", "tags"})
    """Options that may be paths on the owner's machine; a set keeps keyed hashes of them."""

    axes: Literal["CYX", "TCYX"] = Field(
        "CYX", description="TCYX: the scenes of a folder, one a date, become one series in the order of their times."
    )
    mosaic: bool = Field(False, description="The scenes of a folder are one scene: the first file (by name) with data counts.")
    window_px: int | None = Field(
        None, ge=8, description="Window in pixels; default: 64 for georeferenced scenes, pictures (JPEG, PNG, plain TIFF) whole."
    )
    whole: bool = Field(
        False, description="Each scene is one image, as chips of published sets are; up to 4,096 pixels a side. Not with windows."
    )
    stride_px: int | None = Field(None, ge=1, description="Step between windows in pixels of the output; default: window_px.")
    window_m: float | None = Field(
        None, gt=0, description="Window in metres on the ground, resampled to window_px; default: no resampling."
    )
    stride_m: float | None = Field(None, gt=0, description="Step between windows in metres on the ground, instead of stride_px.")
    crs: str | None = Field(
        None, description="Read on a grid of this CRS (EPSG:3035, WKT; utm: the zone of the centre); default: the file's."
    )
    spacing_m: float | None = Field(None, gt=0, description="Pixel of that grid in metres; default: as fine as the file.")
    resampling: Literal["auto", "nearest", "bilinear", "cubic", "average"] = Field(
        "auto", description="Of bands and files on another grid: auto averages to coarser, is bilinear to finer; masks are nearest."
    )
    points: str | None = Field(
        None,
        description="GeoJSON, GeoPackage, GeoParquet, Shapefile or CSV (longitude, latitude): a window is centred on each point.",
    )
    area: str | None = Field(
        None, description="GeoJSON, GeoPackage, GeoParquet or Shapefile of polygons: windows whose centre lies in one."
    )
    max_windows: int | None = Field(None, ge=1, description="At most so many windows a scene, as choose says; the rest is counted.")
    choose: Literal["even", "random"] = Field("even", description="Which windows max_windows keeps: evenly spread, or at random.")
    choose_seed: int = Field(0, description="Of choose=random.")
    bands: tuple[str, ...] | None = Field(None, min_length=1, description="Bands to read by name, in this order; default: all.")
    band_names: tuple[str, ...] | None = Field(
        None, min_length=1, description="Names of all bands in the file's order, where the file does not name them."
    )
    sensor: str | None = Field(None, description="Order of the bands by name, e.g. sentinel-2-l2a; 'domainclip domains' lists all.")
    values: Literal["srgb", "display", "reflectance", "db", "power", "dn"] | None = Field(
        None, description="What the stored numbers are; default: what the file tells, else dn. power (linear SAR) is read as dB."
    )
    scale: float | None = Field(None, gt=0, description="physical = stored * scale + offset; needs values.")
    offset: float | None = Field(None, description="See scale, e.g. -0.1 for Sentinel-2 since processing baseline 04.00.")
    processing_baseline: str | None = Field(
        None, pattern=r"^\d\d\.\d\d$", description="Of Sentinel-2, where files do not tell: 04.00 and later have an offset of -0.1."
    )
    nodata: float | None = Field(None, description="Stored number that means no data; default: the file's tag.")
    max_nodata: float = Field(0.25, ge=0, lt=1, description="Windows with a larger share without data are skipped.")
    max_cloud: float | None = Field(
        None, ge=0, lt=1, description="Windows with a larger share of clouds (by the scene's quality bands) are skipped."
    )
    blank: tuple[str, ...] = Field((), description="Masks whose pixels count as without data, e.g. [cloud, shadow].")
    region_purity: float = Field(0.75, gt=0, le=1, description="Share of a window that one region must cover to label it.")
    group_by: Literal["scene", "block"] = Field(
        "scene", description="block: cells of block_m on the ground, whatever the scene; windows across two cells are skipped."
    )
    block_m: float = Field(10_000, gt=0, description="Side of a cell of group_by=block, in metres (EPSG:6933, equal area).")
    facts: tuple[Literal["place", "climate", "season", "date", "gsd", "sensor", "ndvi", "ndwi", "nbr", "objects"], ...] = Field(
        (),
        description="Facts to put into labels and captions (docs/scene-facts.md); with objects, regions are counted, not labels.",
    )
    biomes: str | None = Field(
        None, description="RESOLVE Ecoregions 2017 (.shp, unpacked): the biome becomes a label (docs/scene-facts.md)."
    )
    tags: str | None = Field(
        None, description="Mapped features with tags as in OpenStreetMap (GeoJSON, GeoPackage, GeoParquet, Shapefile)."
    )
    remote: bool = Field(False, description="Allow files at URLs that STAC items and VRTs name.")
    outside: bool = Field(False, description="Allow files outside the folder of the STAC item or VRT that names them.")

    @field_validator("processing_baseline", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        """YAML takes 04.00 for a number."""
        return f"{value:05.2f}" if isinstance(value, float) else value

    @model_validator(mode="after")
    def _fits(self) -> RemoteSensingReading:
        if (self.scale is not None or self.offset is not None) and self.values is None:
            raise ValueError("scale and offset need 'values' (what the scaled numbers are), e.g. values: reflectance")
        if self.processing_baseline is not None and (self.scale is not None or self.offset is not None):
            raise ValueError("processing_baseline and scale or offset say the same twice: give one of them")
        if self.band_names is not None and len(set(self.band_names)) != len(self.band_names):
            raise ValueError("band_names holds a name twice")
        if self.bands is not None and len(set(self.bands)) != len(self.bands):
            raise ValueError("bands holds a name twice")
        if self.stride_m is not None and self.stride_px is not None:
            raise ValueError("stride_m and stride_px are both given: give one of them")
        if self.whole and (self.window_px, self.window_m, self.stride_px, self.stride_m, self.points) != (None,) * 5:
            raise ValueError(
                "whole takes a scene as one image, and windows were asked for too: set whole: false, or leave them out"
            )
        if self.mosaic and self.axes == "TCYX":
            raise ValueError("mosaic joins scenes into one, axes: TCYX puts them in a row: give one of them")
        return self
