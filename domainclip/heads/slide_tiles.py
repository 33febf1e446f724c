"""The tiles of a prepared set or of a folder of features, slide by slide, as other programs want them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.base import domains
from domainclip.domains.pathology.coordinates import TileCoordinates
from domainclip.errors import UsageError
from domainclip.heads.export_names import file_names, model_name

if TYPE_CHECKING:
    import pandas as pd

DOMAIN = "pathology"
_SAME_SPACING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class SlideTiles:
    """The tiles of one slide.

    Attributes:
        group: Keyed hash of the slide's group, as in the set.
        coordinates: The tiles; ``slide`` is the name of the file that is written for them.
        labels: Class of each tile, or None.
        rows: (N,) int64, positions of the tiles in the table of features.
    """

    group: str
    coordinates: TileCoordinates
    labels: tuple[str | None, ...]
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TileTable:
    """All tiles of a source.

    Attributes:
        table: One row a tile: key, group, x, y, width, height, tile_px, spacing_um, label.
        paths: Key to the slide's file, from the owner's map; empty where that is not on this machine or not to be used.
        features: (N, D) float32 of all images of the source, or None for a set.
        encoder: Name of the model that made the features.
        overlap: Share of a tile's side that it shares with the next, where known.
        without_window: Images that are no part of a slide; they are left out.
    """

    table: pd.DataFrame
    paths: Mapping[str, str]
    features: npt.NDArray[np.float32] | None
    encoder: str | None
    overlap: float | None
    without_window: int

    def slides(self) -> list[SlideTiles]:
        """Returns the slides in the order in which they first come.

        Tiles of one file belong together where the owner's map names files, else tiles of one group (which may be several slides of
        a patient: ``export`` says so).
        """
        sources = [self.paths.get(key) or group for key, group in zip(self.table["key"], self.table["group"], strict=True)]
        names = file_names(list(dict.fromkeys(sources)), set(self.paths.values()))
        slides = []
        for source, part in self.table.groupby(np.array(sources, dtype=object), sort=False):
            boxes = part[["x", "y", "width", "height"]].to_numpy(dtype=np.float64)
            tile_px, spacing = _one(part["tile_px"]), _one(part["spacing_um"])
            overlap = self.overlap * tile_px if self.overlap is not None and tile_px is not None else None
            coordinates = TileCoordinates(
                boxes, names[str(source)], "domainclip", None if tile_px is None else int(tile_px), spacing, overlap
            )
            rows = part["row"].to_numpy(dtype=np.int64)
            slides.append(SlideTiles(str(part["group"].iloc[0]), coordinates, tuple(part["label"]), rows))
        return slides


def open_tiles(folder: Path, *, hashed: bool = False) -> TileTable:
    """Opens a prepared set, or a folder that ``embed`` or ``index`` wrote.

    Args:
        folder: Where it lies.
        hashed: Do not look into the owner's map: slides are then named by hashed groups.

    Raises:
        UsageError: It is neither, is of another domain, or holds no tile of a slide.
    """
    from domainclip.data.prepared_set import PreparedSet

    folder = Path(folder)
    if (folder / "dataset.json").is_file():
        return _of_set(PreparedSet(folder), hashed)
    for kind in ("embed", "index"):
        if (folder / f"{kind}.json").is_file():
            return _of_features(folder, kind, hashed)
    if (folder / "predictions.json").is_file():
        raise UsageError(
            f"The tiles of {folder} were to be exported.",
            "It holds predictions; TRIDENT, CLAM and QuPath formats take a prepared set or features.",
            "Those of scenes on the ground become maps: --format cog, geojson or geoparquet.",
        )
    raise UsageError(
        f"The tiles of {folder} were to be exported.",
        "It holds neither dataset.json of a prepared set nor embed.json of embedded images.",
        "Make one: domainclip prepare SRC --domain pathology --output SET; or domainclip embed MODEL SRC --output EMB.",
    )


def _of_set(prepared: Any, hashed: bool) -> TileTable:
    import pandas as pd

    _check_domain(prepared.folder, prepared.domain)
    rows = [
        {
            "key": row.key,
            "group": row.source_group,
            **{name: row.window[name] for name in ("x", "y", "width", "height")},
            "tile_px": row.width if row.width == row.height else None,
            "spacing_um": _micrometres(row.spacing["values"], row.spacing["unit"]) if row.spacing else None,
            "label": (row.labels or {}).get(_class_label()),
            "row": number,
        }
        for number, row in enumerate(prepared.index.itertuples(index=False))
        if row.window
    ]
    reading = prepared.card.get("reading") or {}
    overlap = None if reading.get("coordinates") else reading.get("overlap")  # whoever gave the tiles laid them as they are
    table = pd.DataFrame(rows)
    without = len(prepared.index) - len(rows)
    _check_some(prepared.folder, len(rows))
    plain = float(overlap) if isinstance(overlap, int | float) else None
    return TileTable(table, {} if hashed else prepared.paths(), None, None, plain, without)


def _of_features(folder: Path, kind: Any, hashed: bool) -> TileTable:
    from domainclip.data.owner_map import owner_paths
    from domainclip.heads.feature_table import read_features

    features, index, facts = read_features(folder, kind)
    model = facts.get("model") or {}
    _check_domain(folder, str(model.get("domain")))
    index["row"] = np.arange(len(index))
    table = index[index["x"].notna()].copy()
    if "source_group" in table:  # a slide whose tiles another slide has too stays a slide
        table["group"] = table["source_group"]
    _check_some(folder, len(table))
    absent = {"image_width", "image_height", "spacing_x", "spacing_y", "spacing_unit"} - set(table.columns)
    for name in absent:  # folders of before 0.2 do not say what was encoded
        table[name] = None
    known = list(zip(table["image_width"], table["image_height"], strict=True))
    table["tile_px"] = [None if _missing(width) or width != height else int(width) for width, height in known]
    units = zip(table["spacing_y"], table["spacing_x"], table["spacing_unit"], strict=True)
    table["spacing_um"] = [None if _missing(y) else _micrometres((float(y), float(x)), unit) for y, x, unit in units]
    table["label"] = [json.loads(labels or "{}").get(_class_label()) for labels in table["labels"]]
    paths = {} if hashed else owner_paths(str(facts.get("set_id") or ""))
    return TileTable(table, paths, features, model_name(model), None, len(index) - len(table))


def _micrometres(values: Any, unit: Any) -> float | None:
    """The one spacing in um of square pixels; None for others: one number would be wrong for an axis."""
    y, x = float(values[-2]), float(values[-1])
    return x if unit == "um" and abs(y - x) <= _SAME_SPACING * x else None


def _one(column: Any) -> Any:
    """The value that all rows share, or None."""
    values = set(column)
    value = values.pop() if len(values) == 1 else None
    return None if _missing(value) else value


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or bool(pd.isna(value))


def _class_label() -> str:
    return domains.get(DOMAIN).facts.class_label


def _check_domain(folder: Path, name: str) -> None:
    if name != DOMAIN and name in domains:
        raise UsageError(
            f"The tiles of {folder} were to be exported.",
            f"They are of {name}; TRIDENT, CLAM and QuPath know tiles of slides alone.",
            "Export a set or features of pathology; scenes on the ground become maps: --format cog, geojson or geoparquet.",
        )


def _check_some(folder: Path, count: int) -> None:
    if not count:
        raise UsageError(
            f"The tiles of {folder} were to be exported.",
            "None of its images says what part of a slide it is.",
            "Prepare or embed the slides themselves: pictures that were cut before have no place.",
        )
