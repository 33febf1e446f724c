"""Sources for heads: a prepared set is read as it is, raw files go through the domain's reader in supervised workers."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from domainclip.config import DataConfig, validated
from domainclip.domains.base import Domain, domains
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.heads.inputs import Image
from domainclip.identifiers import keyed_hash, owner_key
from domainclip.model_record import ModelRecord
from domainclip.sample import Geo, Pixels, SourceItem, Spacing, Window

if TYPE_CHECKING:
    from domainclip.data.prepared_set import PreparedSet

Progress = Callable[[int, int, str], None]
_FILES_AHEAD = 64  # workers may be so many files ahead, which bounds what lies on disk in between


@dataclass(frozen=True, slots=True)
class Found:
    """One image of a source.

    Attributes:
        key: Keyed hash, as in a prepared set.
        group: Keyed hash of the group.
        open: Returns the pixels; raises UnreadableFileError.
        window: The part of the file that it shows, in level-0 pixels, or None for whole files.
        labels: What the owner or the set says about it.
        split: Likewise.
        item: Position of its file in the source, for raw sources.
        size: (width, height) of the pixels, where known before they are read.
        spacing: Physical size of these pixels, where known.
        axes: CYX, CZYX or TCYX.
        meta: What the reader tells of it, the files and frames of slices among it.
        geo: Where these pixels lie on the ground, after any resampling; None without a CRS.
        source_group: Keyed hash of the source's own group, where a set joined several to one; None: ``group``.
    """

    key: str
    group: str
    open: Callable[[], Image] = field(repr=False)
    window: Window | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    item: int | None = None
    size: tuple[int, int] | None = None
    spacing: Spacing | None = None
    axes: str = "CYX"
    meta: Mapping[str, Any] = field(default_factory=dict)
    geo: Geo | None = None
    source_group: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file or image that cannot be used; the reason names neither path nor identifier."""

    key: str
    reason: str
    item: int | None = None


def reading_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Turns ``reading.name=value`` (or ``name=value``) into options of the domain's reader, values in YAML.

    Raises:
        UsageError: A setting is of another section or of another form.
    """
    options: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        parts = name.split(".")
        if not equals or not name or len(parts) > 2 or (len(parts) == 2 and parts[0] != "reading"):
            raise UsageError(
                f"--set {setting} was asked for.",
                "Only options of the reader can be set here, as reading.name=value.",
                "Try --set reading.spacing_um=0.5, or leave it out.",
            )
        try:
            options[parts[-1]] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {setting} was asked for.", "Its value is no YAML.", "Put texts into quotes.") from error
    return options


def refuse_reading(prepared: PreparedSet, reading: Mapping[str, Any] | None) -> None:
    """Refuses options of the reader other than those that a set was read with.

    Raises:
        UsageError: There are some.
    """
    own = prepared.card.get("reading") or {}
    plain = json.loads(json.dumps(dict(reading or {})))
    if differing := [name for name, value in plain.items() if name not in own or own[name] != value]:
        raise UsageError(
            f"The set {prepared.folder} was to be read with other options ({', '.join(differing)}).",
            "It is prepared already, with the options that its dataset.json names.",
            "Leave them out, or give the source that it was prepared from.",
        )


def reader_for(record: ModelRecord, path: Path | None = None) -> Domain:
    """Returns the reader of the model's domain; for a model of no domain, the one that fits the file.

    Raises:
        UsageError: The model is of no domain and no file tells which.
    """
    if record.domain in domains:
        return domains.get(record.domain)
    if path is not None and path.is_file():
        from domainclip.domains.detect import detect_domain

        return domains.get(detect_domain(path))
    raise UsageError(
        f"Files were to be read for a model of the domain {record.domain!r}.",
        "There is no reader of that name, and a folder does not tell which to take.",
        f"Prepare the files first: domainclip prepare SRC --domain D, with D one of {', '.join(domains)}.",
    )


def reading_options(record: ModelRecord, domain: Domain, reading: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the reader's options: those that the model was trained with, under those given here.

    What the training's options said of its own files alone (their scale, which tiles to keep) is not asked of others.
    """
    of_files: frozenset[str] = getattr(domain.reading_model, "of_files", frozenset())
    trained = {name: value for name, value in (record.provenance.get("reading") or {}).items() if name not in of_files}
    options = validated(domain.reading_model, {**trained, **dict(reading or {})}, f"The section reading of {domain.name}")
    values: dict[str, Any] = options.model_dump(mode="json")
    return values


def open_for(record: ModelRecord, source: Any, root: Path | str | None = None, reading: Mapping[str, Any] | None = None) -> Any:
    """Opens a source for a model.

    Args:
        record: The model's.
        source: A prepared set, or what ``data.open_source`` takes: card name, folder, file, manifest.
        root: Folder of a card's files.
        reading: Options of the domain's reader, over those that the model was trained with.

    Returns:
        A ``PreparedSet`` or a ``Source``.

    Raises:
        UsageError: There is nothing of that name, or nothing in it that the domain reads.
    """
    from domainclip.data.prepared_set import PreparedSet
    from domainclip.data.sources import open_source

    if isinstance(source, PreparedSet):
        return source
    if not isinstance(source, str | Path):
        raise UsageError(
            "Images of a source were to be embedded.",
            f"The source is a {type(source).__name__}.",
            "Give a prepared set, a folder, a file, a manifest or a card's name; single images go to encode_image.",
        )
    path = Path(source).expanduser()
    if (path / "dataset.json").is_file():
        return PreparedSet(path)
    config = DataConfig(source=str(source), root=str(root) if root is not None else None)
    domain = reader_for(record, path)
    return open_source(config, domain, reading_options(record, domain, reading))


def read_prepared(prepared: PreparedSet, progress: Progress) -> Iterator[Found]:
    """Yields the images of a prepared set in its order."""
    from domainclip.data.records import geo_from_json, spacing_from_json, values_from_json, window_from_json

    total = len(prepared.index)
    for number in range(total):
        row = prepared.index.iloc[number]

        def read(row: Any = row) -> Image:
            spacing = spacing_from_json(row["spacing"])
            return Image(prepared.read(row), values_from_json(row["values"]), tuple(row["channels"]), spacing, row["axes"])

        window, spacing = window_from_json(row["window"]), spacing_from_json(row["spacing"])
        size = (int(row["width"]), int(row["height"]))
        told = (row["axes"], row["meta"] or {}, geo_from_json(row["geo"]), row["source_group"])
        yield Found(row["key"], row["group"], read, window, row["labels"] or {}, row["split"], None, size, spacing, *told)
        progress(number + 1, total, "encoding")


def read_files(
    items: Sequence[SourceItem], domain: Domain, reading: Mapping[str, Any], progress: Progress, workers: int | None = None
) -> Iterator[Found | Rejected]:
    """Reads raw files in worker processes with limits of time and memory, yielding their images in the order of the files.

    Args:
        items: The files.
        domain: Their reader.
        reading: Its checked options.
        progress: Called with (files done, files in all, text).
        workers: Processes, default one a core.
    """
    from domainclip.data.supervised import Limits, run_supervised

    key = owner_key()
    count = workers or os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="domainclip-") as folder:
        setup = {"reading": dict(reading), "folder": folder, "key": key.hex(), "seed": 0}
        for start in range(0, len(items), _FILES_AHEAD):
            jobs = range(start, min(start + _FILES_AHEAD, len(items)))
            reasons: dict[int, str | None] = {}
            following = start
            for outcome in run_supervised(jobs, items.__getitem__, domain, setup, count, Limits()):
                reasons[outcome.number] = outcome.reason
                while following in reasons:
                    yield from _spooled(Path(folder), following, items[following], reasons[following], key)
                    following += 1
                    progress(following, len(items), "reading and encoding")


def _spooled(folder: Path, number: int, item: SourceItem, reason: str | None, key: bytes) -> Iterator[Found | Rejected]:
    """Yields what a worker left of a file, then removes it."""
    from domainclip.data.records import geo_from_json, spacing_from_json, window_from_json
    from domainclip.data.spool import read_spool, spool_paths

    data_path, lines_path = spool_paths(folder, number)
    if reason is not None:
        yield Rejected(keyed_hash(item.name, key), reason, number)
        return
    seen = False
    for line in read_spool(folder, number):
        seen = True
        if "reason" in line:
            yield Rejected(line["key"], line["reason"], number)
            continue

        def read(line: dict[str, Any] = line) -> Image:
            return _unpacked(data_path, line)

        size, spacing = (line["shape"][-1], line["shape"][-2]), spacing_from_json(line.get("spacing"))
        window = window_from_json(line["window"])
        told = (line["axes"], line["meta"], geo_from_json(line.get("geo")))
        yield Found(line["key"], line["group"], read, window, line["labels"], line["split"], number, size, spacing, *told)
    if not seen:
        yield Rejected(
            keyed_hash(item.name, key), "its reader found no image in it (no tissue, no labelled region, or no data)", number
        )
    data_path.unlink(missing_ok=True)
    lines_path.unlink(missing_ok=True)


def _unpacked(path: Path, line: Mapping[str, Any]) -> Image:
    from domainclip.data.records import spacing_from_json, values_from_json
    from domainclip.data.storage import decode_image, decode_mask, mask_shape

    shape = tuple(line["shape"])
    with path.open("rb") as file:
        file.seek(line["at"])
        data = file.read(line["size"])
        masks = {name: decode_mask(file.read(size), mask_shape(shape, line["axes"])) for name, size in line["masks"].items()}
    pixels = Pixels(decode_image(data, line["storage"], shape, line["dtype"]), masks)
    spacing = spacing_from_json(line.get("spacing"))
    return Image(pixels, values_from_json(line["values"]), tuple(line["channels"]), spacing, line["axes"])


def opened(found: Found) -> Image | Rejected:
    """Returns the pixels, or why there are none."""
    try:
        return found.open()
    except UnreadableFileError as error:
        return Rejected(found.key, error.reason, found.item)
