"""In which biome a scene lies, by the owner's copy of RESOLVE Ecoregions 2017: a public table that is too large for the package."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.feature_file import file_stamp, read_lonlat
from domainclip.domains.remote_sensing.scene_facts.coarse_map import CELLS_PER_DEGREE, WATER, Map, cell_of, coarsened
from domainclip.domains.remote_sensing.scene_facts.fact import NO_PLACE, Fact, nothing
from domainclip.errors import UsageError
from domainclip.resources import owner_folder

BIOMES = {
    "Tropical & Subtropical Moist Broadleaf Forests": "tropical and subtropical moist broadleaf forests",
    "Tropical & Subtropical Dry Broadleaf Forests": "tropical and subtropical dry broadleaf forests",
    "Tropical & Subtropical Coniferous Forests": "tropical and subtropical coniferous forests",
    "Temperate Broadleaf & Mixed Forests": "temperate broadleaf and mixed forests",
    "Temperate Conifer Forests": "temperate conifer forests",
    "Boreal Forests/Taiga": "boreal forests",
    "Tropical & Subtropical Grasslands, Savannas & Shrublands": "tropical and subtropical grasslands, savannas and shrublands",
    "Temperate Grasslands, Savannas & Shrublands": "temperate grasslands, savannas and shrublands",
    "Flooded Grasslands & Savannas": "flooded grasslands and savannas",
    "Montane Grasslands & Shrublands": "montane grasslands and shrublands",
    "Tundra": "tundra",
    "Mediterranean Forests, Woodlands & Scrub": "Mediterranean forests, woodlands and scrub",
    "Deserts & Xeric Shrublands": "deserts and xeric shrublands",
    "Mangroves": "mangroves",
}
"""The 14 biomes in the table's spelling (column ``BIOME_NAME``), each with our words."""

ATTRIBUTION = (
    "Biomes: RESOLVE Ecoregions 2017, Dinerstein et al. 2017, doi:10.1093/biosci/bix014, CC BY 4.0, coarsened to 0.1 degrees"
)
_COLUMN = "BIOME_NAME"
_ICE = "N/A"  # rock and ice, in the table
_ASKED = "Biomes were to be looked up (reading.biomes)."
_FETCH = "Fetch Ecoregions2017 from ecoregions.appspot.com (CC BY 4.0), unpack it, and name its .shp."
_FINE_PER_CELL = 5
_SIMPLIFIED_DEG = 0.005  # a quarter of a fine cell: a tenth of the table's ten million points is left
_EDITION = b"1"  # of the way to make the map: another one is made anew


def biome_fact(place: tuple[float, float] | None, table: Path) -> Fact:
    """Says in which biome a place lies.

    Args:
        place: Longitude and latitude (WGS 84) of the scene's middle.
        table: RESOLVE Ecoregions 2017, as published or in another format of ``feature_file``.

    Returns:
        The word ``biome``; none on water, on rock and ice, nor in a cell of 0.1 degrees of which no biome has 60 %.

    Raises:
        UsageError: The table cannot be read, or is another one.
    """
    if place is None:
        return nothing(NO_PLACE)
    number = cell_of(biome_map(table), *place)
    if number == WATER:
        return nothing("no land in the table of biomes there")
    if number > len(BIOMES) + 1:
        return nothing("several biomes meet there")
    if number == len(BIOMES) + 1:
        return nothing("rock and ice, which is no biome")
    return Fact({"biome": list(BIOMES.values())[number - 1]}, attribution=ATTRIBUTION)


def biome_map(table: Path) -> Map:
    """Returns the map of biomes that a table gives, in cells of 0.1 degrees; made once, then kept in the owner's folder.

    Args:
        table: See ``biome_fact``.

    Returns:
        (1800, 3600): 0 water, 1 to 14 as in ``BIOMES``, 15 rock and ice, 16 where several meet.

    Raises:
        UsageError: See ``biome_fact``.
    """
    return _map(table.resolve(), file_stamp(table, _ASKED))


@lru_cache(maxsize=2)
def _map(table: Path, _stamp: tuple[int, int]) -> Map:
    kept = owner_folder() / "tables" / f"biomes-{_digest(table)}.png"
    found = _kept(kept)
    if found is None:
        with _alone(kept):
            found = _kept(kept)  # another process may have made it meanwhile
            if found is None:
                found = coarsened(_rasterised(read_lonlat(table, _ASKED)), len(BIOMES) + 1)
                _keep(found, kept)
    return found


def _kept(path: Path) -> Map | None:
    """The map that was made before; None where there is none, or a damaged one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            found = np.asarray(image, np.uint8)
    except (OSError, UnidentifiedImageError):
        return None
    return found if found.shape == (180 * CELLS_PER_DEGREE, 360 * CELLS_PER_DEGREE) else None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process at a time make the map: it takes a gigabyte, and each worker of a machine would."""
    try:
        import fcntl

        path.parent.mkdir(exist_ok=True)
        file = path.with_suffix(".lock").open("w")
    except (ImportError, OSError):  # no such locks, or no place for one: each makes its own
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(table: Path) -> str:
    """Of the content: a Shapefile's names stand in the .dbf beside it."""
    digest = hashlib.sha256(_EDITION)
    names = table.with_suffix(".DBF" if table.suffix.isupper() else ".dbf")
    for path in (table, names) if table.suffix.lower() == ".shp" else (table,):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            found = f"The file {path.suffix} of the table cannot be opened ({type(error).__name__})."
            raise UsageError(_ASKED, found, _FETCH) from error
    return digest.hexdigest()[:24]


def _rasterised(frame: Any) -> npt.NDArray[np.uint8]:
    """Draws the polygons in cells of 0.02 degrees."""
    import shapely
    from rasterio.features import rasterize
    from rasterio.transform import from_origin

    if _COLUMN not in frame.columns:
        raise UsageError(_ASKED, f"The table has no column {_COLUMN}.", _FETCH)
    names = [*BIOMES, _ICE]
    told = frame[_COLUMN].astype(object).where(frame[_COLUMN].notna(), "").astype(str)
    if unknown := sorted(set(told) - set(names)):
        found = f"Its column {_COLUMN} holds {unknown[0][:40]!r}, which is no biome of RESOLVE Ecoregions 2017."
        raise UsageError(_ASKED, found, _FETCH)
    shapes = frame.geometry
    drawn = ~(shapes.isna() | shapes.is_empty)
    if not drawn.any() or not set(shapes[drawn].geom_type) <= {"Polygon", "MultiPolygon"}:
        raise UsageError(_ASKED, "The table holds something else than polygons.", _FETCH)
    if max(np.abs(shapes[drawn].total_bounds) - (180, 90, 180, 90)) > 1:
        raise UsageError(_ASKED, "Its coordinates lie outside of -180..180, -90..90 degrees.", "Name the CRS that they are in.")
    simple = shapely.simplify(shapes[drawn].to_numpy(), _SIMPLIFIED_DEG, preserve_topology=False)
    numbers = [names.index(name) + 1 for name in told[drawn]]
    pairs = [(shape, number) for shape, number in zip(simple, numbers, strict=True) if not shape.is_empty]
    per_degree = CELLS_PER_DEGREE * _FINE_PER_CELL
    shape, transform = (180 * per_degree, 360 * per_degree), from_origin(-180, 90, 1 / per_degree, 1 / per_degree)
    drawn_map: npt.NDArray[np.uint8] = rasterize(pairs, out_shape=shape, transform=transform, dtype="uint8")
    return drawn_map


def _keep(made: Map, path: Path) -> None:
    """Writes the map whole or not at all."""
    from PIL import Image

    draft = path.with_name(f"{path.stem}.{os.getpid()}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(made).save(draft, format="PNG")
        draft.replace(path)
    except OSError:  # no place for it: it is made again next time, which costs time alone
        with suppress(OSError):
            draft.unlink()
