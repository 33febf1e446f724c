"""The windows of predictions, of a prepared set or of features that say where on the ground they lie, scene by scene."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.data.owner_map import owner_paths
from domainclip.data.records import geo_from_json
from domainclip.domains.base import domains
from domainclip.errors import UsageError
from domainclip.heads.export_names import file_names, model_name
from domainclip.identifiers import keyed_hash, owner_key
from domainclip.sample import Geo

_GROUND = "remote-sensing"


@dataclass(frozen=True, slots=True)
class Placed:
    """One window.

    Attributes:
        key: Keyed hash, as in the source.
        scene: Keyed hash of its file where the source knows one, else of its group.
        geo: Of its pixels.
        size: (width, height) of these pixels.
        best: Its class, None where nobody says.
        scores: Of the classes, in their order; empty for sets and features.
        told: What else is known: split, labels, number of captions, row of the features.
    """

    key: str
    scene: str
    geo: Geo
    size: tuple[int, int]
    best: str | None
    scores: tuple[float, ...]
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlacedSource:
    """All windows with a place.

    Attributes:
        kind: ``"predictions"``, ``"set"`` or ``"features"``.
        windows: In the order of the source.
        classes: Name to the words that stood for it; of a set, the labels that occur.
        model: Name of the model, None for a set.
        templates: Its prompts.
        synthetic: The model has seen generated content only, or the set is generated; None for features, which do not say.
        without_place: Images without CRS, which are left out.
        paths: Key to file, from the owner's map; empty where that is not on this machine.
        hashed: Scenes are to be named by hashes though.
    """

    kind: str
    windows: tuple[Placed, ...]
    classes: Mapping[str, tuple[str, ...]]
    model: str | None
    templates: tuple[str, ...]
    synthetic: bool | None
    without_place: int
    paths: Mapping[str, str]
    hashed: bool

    def scenes(self) -> dict[str, list[Placed]]:
        """Returns the windows by the name of their scene, in the order in which scenes first come.

        Windows of one file belong together where the owner's map names files, else by their hash.
        """
        found: dict[str, list[Placed]] = {}
        for one in self.windows:
            found.setdefault(self.paths.get(one.key, one.scene), []).append(one)
        if not self.hashed:
            names = file_names(list(found), set(self.paths.values()))
            return {names[source]: windows for source, windows in found.items()}
        files = [windows[0].scene for windows in found.values()]
        # Several files of one group: the group's hash alone would not do.
        return {
            windows[0].scene if files.count(windows[0].scene) == 1 else keyed_hash(source, owner_key()): windows
            for source, windows in found.items()
        }

    @property
    def named_by_file(self) -> bool:
        """Whether files are named by the owner's files."""
        return bool(self.paths) and not self.hashed


def open_placed(folder: Path | str, *, hashed: bool = False) -> PlacedSource:
    """Opens predictions, a prepared set, or a folder that ``embed`` or ``index`` wrote.

    Args:
        folder: Where it lies.
        hashed: Scenes are to be named by hashes.

    Raises:
        UsageError: It is none of these, is broken, or none of its images has a place on the ground.
    """
    folder = Path(folder)
    if (folder / "dataset.json").is_file():
        found = _of_set(folder, hashed)
    elif (folder / "predictions.json").is_file():
        found = _of_predictions(folder, hashed)
    elif kind := next((kind for kind in ("embed", "index") if (folder / f"{kind}.json").is_file()), None):
        found = _of_features(folder, kind, hashed)
    else:
        raise UsageError(
            f"The windows of {folder} were to be mapped.",
            "It holds no predictions.json, no dataset.json of a prepared set and no embed.json or index.json.",
            "Make one: domainclip zero-shot MODEL scene.tif --classes a,b --output DIR.",
        )
    return found


def _of_predictions(folder: Path, hashed: bool) -> PlacedSource:
    asked = f"The predictions of {folder} were to be mapped."
    try:
        told = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
        classes = {str(name): tuple(map(str, words)) for name, words in told["classes"].items()}
        rows, model = told["windows"], told["model"]
        if not isinstance(rows, list):
            raise TypeError("windows are a list")
        if rows and not any("geo" in row for row in rows):
            found = "They were written before predictions said where they lie."
            raise UsageError(asked, found, "Classify again: domainclip zero-shot ... --output DIR.")
        windows = [_predicted(row, tuple(classes)) for row in rows if row["geo"]]
        paths = {key: path for set_id in told["set_ids"] for key, path in owner_paths(str(set_id)).items()}
        facts = (model_name(model), tuple(map(str, told["templates"])), bool(told["synthetic"]))
        _check_some(asked, len(windows), str(model.get("domain")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(asked, f"Its predictions.json is broken ({type(error).__name__}).", "Classify again.") from error
    return PlacedSource("predictions", tuple(windows), classes, *facts, len(rows) - len(windows), paths, hashed)


def _predicted(row: Mapping[str, Any], classes: Sequence[str]) -> Placed:
    scores = tuple(float(row["probabilities"][name]) for name in classes)
    if not all(0 <= score <= 1 for score in scores):
        raise ValueError("probabilities lie between 0 and 1")
    # The images of a prepared set are files of their own there; what holds them together is their group.
    scene = str(row["group"] if row["file"] == row["key"] and row["window"] else row["file"])
    return Placed(str(row["key"]), scene, _geo(row["geo"]), _size(*row["size"]), str(row["class"]), scores, {})


def _of_set(folder: Path, hashed: bool) -> PlacedSource:
    from domainclip.data.prepared_set import PreparedSet

    prepared = PreparedSet(folder)
    asked = f"The set {folder} was to be mapped."
    class_label = domains.get(prepared.domain).facts.class_label if prepared.domain in domains else ""
    captions = prepared.captions["key"].value_counts()
    windows = []
    names = ["key", "source_group", "geo", "labels", "split", "time", "sensor", "width", "height"]
    for row in prepared.index[names].to_dict("records"):
        if not row["geo"]:
            continue
        labels = row["labels"] or {}
        told = {
            "split": row["split"],
            **{f"label:{name}": str(value) for name, value in sorted(labels.items())},
            "captions": int(captions.get(row["key"], 0)),
            "time": row["time"],
            "sensor": row["sensor"],
        }
        size = _size(row["width"], row["height"])
        windows.append(Placed(row["key"], row["source_group"], _geo(row["geo"]), size, labels.get(class_label), (), told))
    _check_some(asked, len(windows), prepared.domain)
    classes = {name: (name,) for name in sorted({one.best for one in windows if one.best is not None})}
    without = len(prepared.index) - len(windows)
    return PlacedSource("set", tuple(windows), classes, None, (), prepared.synthetic, without, prepared.paths(), hashed)


def _of_features(folder: Path, kind: Any, hashed: bool) -> PlacedSource:
    from domainclip.heads.feature_table import read_features

    _, table, facts = read_features(folder, kind)
    asked = f"The features of {folder} were to be mapped."
    model = facts.get("model") or {}
    if "geo" not in table:
        found = "They were written before features said where they lie."
        raise UsageError(asked, found, f"Make them again: domainclip {kind} MODEL SRC --output DIR.")
    windows = []
    own = "source_group" if "source_group" in table else "group"
    names = ["key", own, "geo", "labels", "split", "image_width", "image_height"]
    for number, row in enumerate(table[names].to_dict("records")):
        if not isinstance(row["geo"], str):
            continue
        labels = json.loads(row["labels"] or "{}")
        told = {
            "row": number,
            "split": row["split"] if isinstance(row["split"], str) else None,
            **{f"label:{name}": str(value) for name, value in sorted(labels.items())},
        }
        size = _size(row["image_width"], row["image_height"])
        windows.append(Placed(row["key"], row[own], _geo(json.loads(row["geo"])), size, None, (), told))
    _check_some(asked, len(windows), str(model.get("domain")))
    paths = owner_paths(str(facts.get("set_id") or ""))
    return PlacedSource("features", tuple(windows), {}, model_name(model), (), None, len(table) - len(windows), paths, hashed)


def _geo(value: Mapping[str, Any]) -> Geo:
    geo = geo_from_json(value)
    if geo is None or not isinstance(geo.crs, str) or not np.isfinite(np.array(geo.transform, dtype=np.float64)).all():
        raise ValueError("a CRS and six finite numbers")
    return geo


def _size(width: Any, height: Any) -> tuple[int, int]:
    size = (int(width), int(height))
    if min(size) < 1:
        raise ValueError("an image has one pixel or more")
    return size


def _check_some(asked: str, count: int, domain: str) -> None:
    if count:
        return
    if domain in domains and domain != _GROUND:
        found = f"They are of {domain}, whose images lie nowhere on the ground."
        fits = "--format qupath, trident and clam take sets and features of slides" if domain == "pathology" else "Use the tables"
        raise UsageError(asked, found, f"{fits}; predictions.csv has windows in the file's pixels.")
    found = "None of its images has a coordinate system: they have no place on the ground."
    remedy = "Use the GeoTIFFs that they were cut from; or give them a CRS and a geotransform (gdal_edit.py -a_srs -a_ullr)."
    raise UsageError(asked, found, remedy)


def scores_of(windows: Sequence[Placed], classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Returns scores of the classes, (N, len(classes)); of labels, 1 for the class and 0 for the others."""
    if windows[0].scores:
        return np.array([one.scores for one in windows], dtype=np.float64)
    places = {name: number for number, name in enumerate(classes)}
    found = np.zeros((len(windows), len(classes)))
    for number, one in enumerate(windows):
        if one.best is not None:
            found[number, places[one.best]] = 1
    return found
