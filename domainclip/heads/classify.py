"""Zero-shot over files: a prediction a window and a file, what was rejected, and the tables that are written."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.addresses import is_address
from domainclip.data.owner_map import owner_map_path
from domainclip.data.records import geo_to_json
from domainclip.domains.base import DomainFacts, domains
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.heads.domain_model import DomainModel
from domainclip.heads.embed import Stream, model_facts
from domainclip.heads.model_input import MissingTally, missing_lines
from domainclip.heads.prompts import Classes, checked_classes
from domainclip.heads.reading import Found, Progress, Rejected
from domainclip.heads.zero_shot import ZeroShotClassifier
from domainclip.sample import Geo

_SHOWN_FILES = 40
_NAME_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Prediction:
    """Class probabilities of one window, or the mean over a file's windows.

    Attributes:
        path: The file; the key where nobody here knows it.
        file: Keyed hash of the file.
        key: Keyed hash of the window; of the file for the mean.
        windows: Number of windows that stand behind it: 1 for a window itself.
        window: x, y, width, height, level; None for files and whole images.
        probabilities: Class name to probability; they sum to 1.
        group: Keyed hash of the source's own group.
        size: (width, height) of the pixels that were classified, after any resampling.
        geo: Where these pixels lie on the ground; None for files and without a CRS.
    """

    path: str
    file: str
    key: str
    windows: int
    window: dict[str, int] | None
    probabilities: dict[str, float]
    group: str = ""
    size: tuple[int, int] | None = None
    geo: Geo | None = None

    @property
    def best(self) -> str:
        """The class with the highest probability."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclass(frozen=True, slots=True)
class Classification:
    """What ``classify_files`` found.

    Attributes:
        classes: Name to the words that stood for it.
        templates: The prompts.
        files: One a file.
        windows: One a window, in the order of the files; whole images are windows too.
        rejected: Path (None for what is no file of ours) and reason.
        output: Where tables were written.
        synthetic: The model has seen generated content only.
        model: Where it was loaded from, its domain, and its weights' checksum.
        missing_channels: The model's rule for images that lack channels, and how many lacked which.
        set_ids: Names of the owner's maps (``sources/<set_id>.jsonl`` in the owner's folder) from the tables' keys to paths.
    """

    classes: dict[str, tuple[str, ...]]
    templates: tuple[str, ...]
    files: tuple[Prediction, ...]
    windows: tuple[Prediction, ...]
    rejected: tuple[dict[str, str | None], ...] = ()
    output: Path | None = None
    synthetic: bool = False
    model: dict[str, str | None] = field(default_factory=dict)
    set_ids: tuple[str, ...] = ()
    missing_channels: dict[str, Any] = field(default_factory=dict)

    def document(self, paths: bool = True) -> dict[str, Any]:
        """Returns everything, ready for JSON; ``paths=False`` leaves out the paths, which may name a person."""
        return {
            "model": self.model,
            "synthetic": self.synthetic,
            "classes": {name: list(words) for name, words in self.classes.items()},
            "templates": list(self.templates),
            "files": [_plain(one, paths) for one in self.files],
            "windows": [_plain(one, paths) for one in self.windows],
            "rejected": [{name: value for name, value in one.items() if paths or name != "path"} for one in self.rejected],
            "output": str(self.output) if self.output and paths else None,
            "set_ids": list(self.set_ids),
            "missing_channels": self.missing_channels,
        }

    def lines(self) -> list[str]:
        """Returns what a person reads: a line a file, what was rejected, where the tables are."""
        lines = []
        for one in self.files[:_SHOWN_FILES]:
            others = sorted(((p, name) for name, p in one.probabilities.items() if name != one.best), reverse=True)[:2]
            beside = ", ".join(f"{name} {p:.2f}" for p, name in others)
            counted = f"  mean of {one.windows} windows" if one.windows > 1 else ""
            lines.append(f"{one.path}: {one.best} {one.probabilities[one.best]:.2f}  ({beside}){counted}")
        if len(self.files) > _SHOWN_FILES:
            lines.append(f"... and {len(self.files) - _SHOWN_FILES} more files; --json or --output DIR gives all.")
        lines += [f"rejected: {one['path'] or one['key']}: {one['reason']}" for one in self.rejected[:_SHOWN_FILES]]
        if len(self.rejected) > _SHOWN_FILES:
            lines.append(f"... and {len(self.rejected) - _SHOWN_FILES} more rejected; --json or --output DIR gives all.")
        lines.append(f"{len(self.files)} files ({len(self.windows)} images) classified, {len(self.rejected)} rejected.")
        lines += missing_lines(self.missing_channels, len(self.windows))
        if self.output:
            maps = ", ".join(str(owner_map_path(name)) for name in self.set_ids)
            lines.append(
                f"Tables: {self.output / 'predictions.csv'}, {self.output / 'predictions.json'}; they hold keys instead of paths."
            )
            lines.append(f"Which key is which file, for you alone: {maps}")
        lines += self._how_to_map()
        if self.synthetic:
            lines.append(
                "The model was trained on synthetic content only: it shows how things work and says nothing of real images."
            )
        return lines

    def _how_to_map(self) -> list[str]:
        placed = sum(one.geo is not None for one in self.windows)
        if not placed:
            return []
        first, folder = ("", self.output) if self.output else ("add --output DIR, then ", "DIR")
        command = f"domainclip export {folder} --format cog --output MAPS"
        return [f"{placed} images lie on the ground. For a map: {first}{command} (or --format geojson, geoparquet)."]


def parse_classes(text: str) -> dict[str, tuple[str, ...]]:
    """Reads class names as the command line gives them.

    Args:
        text: Names separated by commas; or a text file with one class a line, where ``name | synonym | synonym`` gives
            further words.

    Raises:
        UsageError: The file cannot be read, or there are fewer than two classes.
    """
    path = Path(text)
    if "," not in text and (path.suffix.lower() in {".txt", ".csv", ".lst"} or len(path.parts) > 1 or _is_file(path)):
        try:
            rows = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            remedy = "Give a text file with one name a line, or names separated by commas."
            raise UsageError(f"Class names were to be read from {path}.", f"{reason}.", remedy) from error
    else:
        rows = text.split(",")
    named: dict[str, tuple[str, ...]] = {}
    for row in rows:
        words = tuple(word.strip() for word in row.split("|") if word.strip())
        if not words:
            continue
        if words[0] in named:
            raise UsageError("Class names were given.", f"{words[0]!r} comes twice.", "Name each class once.")
        named[words[0]] = words
    return checked_classes(named)


def words_from_facts(classes: Classes, facts: DomainFacts, language: str) -> dict[str, tuple[str, ...]]:
    """Gives classes that are values of the domain's class label (``pleural_effusion``) the names that the domain knows for them.

    Classes with words of their own, and names that the domain does not list, stay as they are.
    """
    known = facts.labels[facts.class_label]
    return {
        name: known[name].names[language] if words == (name,) and name in known and known[name].names.get(language) else words
        for name, words in checked_classes(classes).items()
    }


def classify_files(
    model: DomainModel,
    inputs: Sequence[str | Path],
    classes: Classes,
    *,
    templates: Sequence[str] | None = None,
    language: str = "en",
    reading: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Classification:
    """Classifies files by class names; slides and scenes are cut into windows by the domain's reader.

    Args:
        model: A loaded model.
        inputs: Files, folders or prepared sets.
        classes: Names, or name to words; two or more. Values of the domain's class label get the domain's names.
        templates: See ``ZeroShotClassifier``.
        language: Language of names and templates.
        reading: Options of the domain's reader.
        output: Folder for ``predictions.csv``, ``predictions.json`` and ``rejected.jsonl``; they hold keys instead of paths.
        strict: Stop at the first file that cannot be used.
        overwrite: Replace tables that lie in ``output``.
        batch_size: Images at a time.
        progress: Called with (done, total, text).

    Raises:
        UsageError: Fewer than two classes, an input is not there, nothing can be used, or the output exists.
        UnreadableFileError: With ``strict``, a file cannot be used.
    """
    if model.record.domain in domains:
        classes = words_from_facts(classes, domains.get(model.record.domain).facts, language)
    classifier = ZeroShotClassifier(model, classes, templates, language, batch_size).fit()
    target = None if output is None else _claimed(Path(output), overwrite)
    windows: list[Prediction] = []
    rejected: list[dict[str, str | None]] = []
    streams = _streams(model, inputs, reading, progress)
    for stream in streams:
        windows += _classified(stream, classifier, strict, batch_size, rejected)
    if not windows:
        raise streams[0].nothing()
    result = Classification(
        checked_classes(classes),
        tuple(templates or model.record.prompts.templates[language]),
        tuple(_per_file(windows)),
        tuple(windows),
        tuple(rejected),
        target,
        model.record.synthetic,
        model_facts(model) | {"source": model.source},
        tuple(set_id for stream in streams if target is not None and (set_id := stream.remember_paths())),
        reduce(MissingTally.join, (stream.missing for stream in streams)).document(),
    )
    if target is not None:
        _write(result, target)
    return result


def _streams(
    model: DomainModel, inputs: Sequence[str | Path], reading: Mapping[str, Any] | None, progress: Progress | None
) -> list[Stream]:
    if not inputs:
        raise UsageError("Files were to be classified.", "None is named.", "Name files or folders.")
    for one in inputs:
        if not is_address(str(one)) and not Path(one).exists():
            raise UsageError(f"The file {one} was to be classified.", "There is no such file or folder.", "Check the path.")
    return [Stream(model, files, reading=reading, progress=progress) for files in _together(inputs)]


def _together(inputs: Sequence[str | Path]) -> list[Any]:
    """Puts single files into one list, so that one set of workers reads them; folders stay as they are."""
    places = [one if is_address(str(one)) else Path(one) for one in inputs]
    files = [place for place in places if isinstance(place, str) or place.is_file()]
    return [*([files] if files else []), *(place for place in places if not isinstance(place, str) and not place.is_file())]


def _classified(
    stream: Stream, classifier: ZeroShotClassifier, strict: bool, batch_size: int, rejected: list[dict[str, str | None]]
) -> list[Prediction]:
    def reject(one: Rejected) -> None:
        path = stream.path_of(one)
        if strict:
            raise UnreadableFileError(
                f"All files were to be usable (--strict); {path or one.key} was to be classified.",
                one.reason,
                "Mend or remove the file; or leave --strict out.",
            )
        rejected.append({"path": path, "key": one.key, "reason": one.reason})

    predictions = []
    for images, features, _ in stream.features(batch_size, reject):
        probabilities = classifier.probabilities(classifier.scores_of_features(features))
        for image, row in zip(images, probabilities, strict=True):
            place = (stream.path_of(image) or image.key, stream.file_key(image))
            predictions.append(_prediction(image, place, classifier.classes_, row))
    return predictions


def _prediction(image: Found, place: tuple[str, str], names: npt.NDArray[np.str_], row: npt.NDArray[np.float32]) -> Prediction:
    window = image.window
    where = None if window is None else {name: getattr(window, name) for name in ("x", "y", "width", "height", "level")}
    shares = {str(name): float(share) for name, share in zip(names, row, strict=True)}
    return Prediction(*place, image.key, 1, where, shares, image.source_group or image.group, image.size, image.geo)


def _per_file(windows: Sequence[Prediction]) -> list[Prediction]:
    """Averages the probabilities of each file's windows."""
    by_file: dict[str, list[Prediction]] = {}
    for one in windows:
        # A prepared set's images have their file in common only by the owner's map.
        by_file.setdefault(one.path, []).append(one)
    files = []
    for path, members in by_file.items():
        mean = {name: float(np.mean([one.probabilities[name] for one in members])) for name in members[0].probabilities}
        files.append(Prediction(path, members[0].file, members[0].file, len(members), None, mean))
    return files


def _claimed(output: Path, overwrite: bool) -> Path:
    asked = f"Predictions were to be written to {output}."
    if output.exists() and not output.is_dir():
        raise UsageError(asked, "There is a file of that name.", "Choose another --output.")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise UsageError(asked, "The folder exists and is not empty.", "Add --overwrite to replace its tables, or choose another.")
    return output


def _write(result: Classification, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    names = list(result.classes)
    with (output / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        box = ("x", "y", "width", "height", "level")
        ground = ("image_width", "image_height", "crs", "transform")
        writer.writerow(["file", "key", *box, "class", *(f"p:{name}" for name in names), *ground])
        for one in result.windows:
            where = one.window or {}
            place = [where.get(name, "") for name in box]
            shares = [f"{one.probabilities[name]:.6f}" for name in names]
            writer.writerow([one.file, one.key, *place, one.best, *shares, *(one.size or ("", "")), *_ground(one.geo)])
    text = json.dumps(result.document(paths=False), indent=1, ensure_ascii=False)
    (output / "predictions.json").write_text(text + "\n", encoding="utf-8")
    lines = "".join(json.dumps({"key": one["key"], "reason": one["reason"]}, ensure_ascii=False) + "\n" for one in result.rejected)
    (output / "rejected.jsonl").write_text(lines, encoding="utf-8")


def _ground(geo: Geo | None) -> tuple[str, str]:
    """The CRS, and the affine's six numbers with spaces between them, in full precision; empty without a place."""
    return (geo.crs, " ".join(repr(float(number)) for number in geo.transform)) if geo else ("", "")


def _plain(one: Prediction, paths: bool) -> dict[str, Any]:
    named = {"path": one.path} if paths else {}
    return {
        **named,
        "file": one.file,
        "key": one.key,
        "group": one.group,
        "windows": one.windows,
        "window": one.window,
        "size": list(one.size) if one.size else None,
        "geo": geo_to_json(one.geo),
        "class": one.best,
        "probabilities": one.probabilities,
    }


def _is_file(path: Path) -> bool:
    try:
        return len(str(path)) < _NAME_BYTES and path.is_file()
    except OSError:
        return False
