"""A table of mapped features with tags as in OpenStreetMap: read once, in longitude and latitude, with a tree for look-ups."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from domainclip.domains.remote_sensing.feature_file import file_stamp, read_features
from domainclip.errors import UsageError

_ASKED = "Tags were to be joined to scenes (reading.tags)."


@dataclass(frozen=True, slots=True)
class TagTable:
    """Features that have a name.

    Attributes:
        names: What each is called, singular.
        tags: Of each, those that a name can come from.
        shapes: Shapely geometries, longitude and latitude (WGS 84); those over the date line run on past 180.
        tree: Over ``shapes``.
        nameless: How many features of the file have no tag that can be seen from above.
    """

    names: tuple[str, ...]
    tags: tuple[Mapping[str, str], ...]
    shapes: npt.NDArray[Any]
    tree: Any
    nameless: int


@cache
def tag_names() -> dict[str, dict[str, str]]:
    """Returns key to value to name, from ``osm_tags.yaml``; keys in the order in which they name a feature."""
    table: dict[str, dict[str, str]] = yaml.safe_load(
        (Path(__file__).resolve().parent / "osm_tags.yaml").read_text(encoding="utf-8")
    )
    return table


def name_of(tags: Mapping[str, str]) -> str | None:
    """Returns what a feature with these tags is called, or None where none of them can be seen from above."""
    for key, names in tag_names().items():
        value = tags.get(key)
        if value in (None, "", "no"):
            continue
        if name := names.get(str(value)) or names.get("*"):
            return name
    return None


def read_tags(path: Path) -> TagTable:
    """Reads features from a file, in any CRS (``feature_file``); kept for the next call.

    Tags are columns of their own (osmtogeojson, Overpass, osmnx) or a column ``tags`` that holds an object (ohsome, Overture-like
    tables), as JSON text where the format has no objects.

    Raises:
        UsageError: The file is absent or of another format, has no CRS, its tags are in a form that is not read, or no feature has
            a tag that can be seen from above.
        MissingDependencyError: geopandas is absent.
    """
    return _read(path.resolve(), file_stamp(path, _ASKED))


@lru_cache(maxsize=4)
def _read(path: Path, _stamp: tuple[int, int]) -> TagTable:
    import shapely

    frame = read_features(path, _ASKED)
    foreign = not frame.crs.equals("EPSG:4326", ignore_axis_order=True)
    whole = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    if len(whole) < len(frame):
        warnings.warn(f"{len(frame) - len(whole)} features of reading.tags have no geometry and are left out.", stacklevel=2)
    every = _tags_of(whole)
    named = [(number, name, tags) for number, tags in enumerate(every) if (name := name_of(tags))]
    if not named:
        raise _refused(
            f"None of its {len(frame)} features has a tag that can be seen from above.",
            f"Tags are columns, or an object in the column 'tags'; keys that count: {', '.join(tag_names())}.",
        )
    shapes = whole.geometry.to_crs("EPSG:4326").to_numpy()[[number for number, _, _ in named]]
    if foreign:
        shapes = np.array([_unwrapped(shape) for shape in shapes], dtype=object)
    shapes = shapely.make_valid(shapes)
    names, tags = tuple(name for _, name, _ in named), tuple(tags for _, _, tags in named)
    return TagTable(names, tags, shapes, shapely.STRtree(shapes), len(every) - len(named))


def _tags_of(frame: Any) -> list[dict[str, str]]:
    """Returns the tags of each feature, those that name features only."""
    keys = set(tag_names())
    if "tags" in frame.columns:
        return [{key: str(value) for key, value in _tag_object(cell).items() if key in keys} for cell in frame["tags"]]
    if "other_tags" in frame.columns:
        raise _refused(
            "Its column 'other_tags' is text of GDAL's OSM driver (hstore), of which tags would be lost.",
            "Export with osmtogeojson or osmnx, or set OSM_CONFIG_FILE so that tags become columns.",
        )
    columns = [name for name in frame.columns if name in keys]
    rows = frame[columns].astype(object).where(frame[columns].notna(), None).to_dict("records") if columns else [{}] * len(frame)
    return [{key: str(value) for key, value in row.items() if value is not None} for row in rows]


def _tag_object(cell: Any) -> dict[str, Any]:
    """Returns the tags of one cell: an object, JSON text of one, or the pairs as which Parquet gives a map."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError:
            cell = cell or None
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return {}
    if isinstance(cell, np.ndarray | list | tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in cell):
        cell = dict(cell)
    if not isinstance(cell, dict):
        raise _refused(
            f"A cell of its column 'tags' is no object of tags, but {type(cell).__name__}.", "Write tags as JSON objects."
        )
    return {str(key): value for key, value in cell.items() if value is not None}


def _unwrapped(shape: Any) -> Any:
    """Undoes what a change of CRS does to a shape over the date line: its western part has come out at -180."""
    import shapely

    if shape.bounds[2] - shape.bounds[0] <= 180:
        return shape
    return shapely.transform(shape, lambda points: np.stack([points[:, 0] % 360, points[:, 1]], axis=1))


def _refused(found: str, remedy: str) -> UsageError:
    return UsageError(_ASKED, found, remedy)
