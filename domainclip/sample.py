"""The record of one image with all that the domain knows about it. Layer 0: imports nothing of the package but errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ValueKind = Literal["srgb", "display", "reflectance", "hu", "db", "dn"]
Unit = Literal["um", "mm", "m", "degree"]


@dataclass(frozen=True, slots=True)
class Spacing:
    """Physical size of a pixel.

    Attributes:
        values: One per spatial axis in the order of the sample's axes (Z, Y, X or Y, X); positive.
        unit: Unit of all values.
        source: The step of the chain that gave it, e.g. ``"openslide.mpp-x"``, ``"PixelSpacing"``, ``"manifest"``.
    """

    values: tuple[float, ...]
    unit: Unit
    source: str


@dataclass(frozen=True, slots=True)
class Values:
    """What the stored numbers mean: ``physical = stored * scale + offset``.

    Attributes:
        kind: The physical quantity: ``srgb`` and ``display`` lie in 0..1, ``reflectance`` is unitless, ``hu`` Hounsfield
            units, ``db`` decibel, ``dn`` digital numbers whose scale nobody has told.
        scale: Factor, for uint8 sRGB 1/255.
        offset: Added after the factor (in physical units).
        nodata: Stored number that means "no data"; NaN pixels always do.
    """

    kind: ValueKind
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


@dataclass(frozen=True, slots=True)
class Geo:
    """Where the pixels lie on the ground.

    Attributes:
        crs: ``"EPSG:32630"`` or WKT.
        transform: Affine (a, b, c, d, e, f): x = a*col + b*row + c, y = d*col + e*row + f, upper-left corner of a pixel.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Caption:
    """One text about one image, with its provenance.

    Attributes:
        text: The words, NFC.
        language: BCP-47, e.g. ``"en"``, ``"pt-BR"``; ``"und"`` where nobody said.
        origin: ``human``, ``report``, ``template``, ``llm``, ``translation`` or ``tag``.
        parent: Identifier of the caption that this one was made from.
        region: Identifier of the region that it describes.
        generator: What made it (name and version).
        licence: SPDX name, where known.
        section: Report section, e.g. ``"findings"``.
        polarity: +1 asserts, -1 negates, 0 unknown.
        scores: Named quality scores.
    """

    text: str
    language: str = "und"
    origin: str = "human"
    parent: str | None = None
    region: str | None = None
    generator: str | None = None
    licence: str | None = None
    section: str | None = None
    polarity: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Region:
    """A labelled piece of an image: a polygon in the coordinates of its file (level-0 pixels, or the file's CRS)."""

    polygon: tuple[tuple[float, float], ...]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the file that a sample shows, in level-0 pixels.

    Attributes:
        x: Left column.
        y: Upper row.
        width: Columns in level 0.
        height: Rows in level 0.
        level: Pyramid level that was read from.
    """

    x: int
    y: int
    width: int
    height: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Pixels:
    """What ``Sample.read`` returns.

    Attributes:
        array: Shaped as the sample's ``axes`` say, stored numbers (not yet physical).
        masks: Boolean arrays on the same grid, shaped as the array without its C axis; ``"nodata"`` is True where there is no data.
    """

    array: npt.NDArray[Any]
    masks: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a domain; frozen, pixels lazy.

    Attributes:
        key: Unique within its source and stable; holds no path and no identifier of a person.
        axes: ``"CYX"``, ``"CZYX"`` or ``"TCYX"``.
        channels: Names in the order of the C axis: ``("red", "green", "blue")``, ``("B02", "B03")``, ``("MONOCHROME2",)``.
        values: What the stored numbers mean.
        reader: Returns the pixels; called by ``read`` only.
        group: The level that may not cross a split (slide, patient, scene).
        spacing: Pixel size of what ``read`` returns, or None when unknown (never guessed).
        geo: Position on the ground of what ``read`` returns.
        time: ISO 8601, where the domain may keep it.
        sensor: Scanner, modality or satellite.
        captions: Texts about this sample.
        labels: Named labels, e.g. ``{"tissue": "adipose"}``.
        regions: Labelled pieces.
        ids: Identifiers from coarse to fine (patient, study, series; slide; scene); keyed hashes once in a set.
        split: ``train``, ``val`` or ``held_out`` where the source says so.
        window: What part of the file this is.
        meta: Small, allow-listed facts.
    """

    key: str
    axes: str
    channels: tuple[str, ...]
    values: Values
    reader: Callable[[], Pixels] = field(repr=False, compare=False)
    group: str = ""
    spacing: Spacing | None = None
    geo: Geo | None = None
    time: str | None = None
    sensor: str | None = None
    captions: tuple[Caption, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    ids: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    window: Window | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def read(self) -> Pixels:
        """Reads the pixels from the file.

        Raises:
            UnreadableFileError: The file is broken or gone.
        """
        return self.reader()

    def with_(self, **changes: Any) -> Sample:
        """Returns a copy with fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Piece:
    """One image of a file that holds several, with what the owner's table says about it.

    Attributes:
        name: How the source names it (the base of its key, before hashing).
        member: Name of the member of an archive.
        place: Where a plain member lies in the archive, as ``data.archives.Member`` tells it, where that is known.
        window: The part of a slide, in level-0 pixels.
        captions: The owner's captions.
        labels: The owner's labels.
        group: The owner's group, overrides the domain's.
        split: The owner's split.
        spacing: The owner's pixel size.
        ids: The owner's identifiers.
        published: The source's own word for the split.
    """

    name: str
    member: str | None = None
    place: tuple[int, ...] | None = None
    window: Window | None = None
    captions: tuple[Caption, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    split: str | None = None
    spacing: Spacing | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    published: str | None = None


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One native file of a source with what its owner's table says about it; domains turn it into Samples.

    Attributes:
        path: The file.
        name: How the source names it, relative and stable (the base of keys, before hashing).
        captions: The owner's captions; they hold for every sample cut from the file.
        labels: The owner's labels, likewise.
        regions: The owner's annotations.
        group: The owner's group, overrides the domain's.
        split: The owner's split.
        spacing: The owner's pixel size, the first step of every scale chain.
        ids: The owner's identifiers.
        members: Further files of the same image, by path: the other slices of a series, say.
        url: Where the file lies when it is in no folder; ``path`` is then its name alone.
        pieces: The images of it that are wanted, where a table names members of an archive or windows of a slide one by one.
        inside: How images and rows lie in a container (a tar of samples, arrays), where nothing outside of it names them; with
            ``pieces``, how those lie in a Zarr store.
        published: The source's own word for the split (``valid``, ``test``), where ``split`` is ours.
    """

    path: Path
    name: str
    captions: tuple[Caption, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    group: str | None = None
    split: str | None = None
    spacing: Spacing | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    members: tuple[Path, ...] = ()
    url: str | None = None
    pieces: tuple[Piece, ...] = ()
    inside: Mapping[str, Any] | None = None
    published: str | None = None

    @property
    def place(self) -> str:
        """Where the file lies, for its owner: the address, or the absolute path."""
        return self.url or str(self.path.absolute())
