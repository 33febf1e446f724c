"""The ``reading:`` section of remote sensing: how files become windows, and what the owner tells about them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from domainclip.config import Section


class RemoteSensingReading(Section):
    """Reading options. Whatever is told here wins over the file; what neither tells is asked for, never guessed."""

    of_files: ClassVar[frozenset[str]] = frozenset({"facts", "tags"})
    paths: ClassVar[frozenset[str]] = frozenset({"tags"})
    window_px: int | None = Field(
        None, ge=8, description="Window in pixels; default: 64 for georeferenced scenes, pictures (JPEG, PNG, plain TIFF) whole."
    )
    stride_px: int | None = Field(None, ge=1, description="Step between windows in pixels of the output; default: window_px.")
    window_m: float | None = Field(
        None, gt=0, description="Window in metres on the ground, resampled to window_px; default: no resampling."
    )
    bands: tuple[str, ...] | None = Field(None, min_length=1, description="Bands to read by name, in this order; default: all.")
    band_names: tuple[str, ...] | None = Field(
        None, min_length=1, description="Names of all bands in the file's order, where the file does not name them."
    )
    sensor: str | None = Field(None, description="Order of the bands by name, e.g. sentinel-2-l2a; see sensors.yaml.")
    values: Literal["srgb", "display", "reflectance", "db", "dn"] | None = Field(
        None, description="What the stored numbers are; default: what the file's tags tell, else dn."
    )
    scale: float | None = Field(None, gt=0, description="physical = stored * scale + offset; needs values.")
    offset: float | None = Field(None, description="See scale, e.g. -0.1 for Sentinel-2 since processing baseline 04.00.")
    nodata: float | None = Field(None, description="Stored number that means no data; default: the file's tag.")
    max_nodata: float = Field(0.25, ge=0, lt=1, description="Windows with a larger share without data are skipped.")
    region_purity: float = Field(0.75, gt=0, le=1, description="Share of a window that one region must cover to label it.")
    facts: tuple[Literal["place", "climate", "season", "date", "gsd", "sensor", "ndvi", "ndwi", "nbr", "objects"], ...] = Field(
        (),
        description="Facts to put into labels and captions (docs/scene-facts.md); with objects, regions are counted, not labels.",
    )
    tags: str | None = Field(None, description="Mapped features with tags as in OpenStreetMap (GeoJSON, GeoParquet, GeoPackage).")

    @model_validator(mode="after")
    def _fits(self) -> RemoteSensingReading:
        if (self.scale is not None or self.offset is not None) and self.values is None:
            raise ValueError("scale and offset need 'values' (what the scaled numbers are), e.g. values: reflectance")
        if self.band_names is not None and len(set(self.band_names)) != len(self.band_names):
            raise ValueError("band_names holds a name twice")
        if self.bands is not None and len(set(self.bands)) != len(self.bands):
            raise ValueError("bands holds a name twice")
        return self
