"""Image features of whole sources, written as they are computed."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.addresses import is_address, last_part, without_query
from domainclip.domains.misfits import misfit_of
from domainclip.errors import DomainClipError, UsageError, unknown_name
from domainclip.heads.domain_model import DomainModel, Features
from domainclip.heads.feature_table import FeatureWriter, Kind
from domainclip.heads.inputs import Image
from domainclip.heads.model_input import MissingTally, ModelInput, input_groups
from domainclip.heads.reading import (
    Found,
    Progress,
    Rejected,
    open_for,
    opened,
    read_files,
    read_prepared,
    reader_for,
    reading_options,
    refuse_reading,
)
from domainclip.identifiers import keyed_hash, owner_key
from domainclip.sample import SourceItem

if TYPE_CHECKING:
    from domainclip.data.prepared_set import PreparedSet
    from domainclip.models.pooling import Pooling


def embed(
    model: DomainModel,
    source: str | Path | PreparedSet,
    output: str | Path,
    *,
    root: str | Path | None = None,
    reading: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    overwrite: bool = False,
    pooling: Pooling = "mean",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Encodes every image of a source.

    Writes ``features.npy`` (N, D) float32 of unit norm, ``index.parquet`` (key, group, split, labels, window: x, y, width, height
    and level, size in pixels, spacing, CRS and affine of what was encoded, row by row the same images), ``rejected.jsonl`` (key,
    reason) and ``embed.json``. Of volumes and time series, ``slices.npy`` (M, D) has the features of all slices or frames, each
    image's from row ``slices_at`` on. Keys are keyed hashes, the same as in a prepared set; the map back to paths lies in the
    owner's folder.

    Args:
        model: A loaded model.
        source: A prepared set, or a folder, file, manifest or card's name.
        output: Folder to write.
        root: Folder of a card's files.
        reading: Options of the domain's reader, over those that the model was trained with.
        batch_size: Images at a time.
        overwrite: Replace features that lie at ``output``.
        pooling: How features of slices and frames become one of the image: their ``mean``, or the ``max`` of each number.
        progress: Called with (done, total, text).

    Returns:
        What ``embed.json`` holds: ``count``, ``width``, ``rejected``, ``pooling``, ``missing_channels`` (the model's rule, and how
        many images lacked which), ``model``, ``set_id``.

    Raises:
        UsageError: The output exists, the source is not there, or nothing in it can be used.
    """
    return write_features("embed", model, source, output, root, reading, batch_size, overwrite, progress, pooling)


def write_features(
    kind: Kind,
    model: DomainModel,
    source: Any,
    output: str | Path,
    root: str | Path | None,
    reading: Mapping[str, Any] | None,
    batch_size: int,
    overwrite: bool,
    progress: Progress | None,
    pooling: Pooling = "mean",
) -> dict[str, Any]:
    """Does the work of ``embed``; ``kind`` names the JSON file that marks the folder."""
    stream = Stream(model, source, root=root, reading=reading, progress=progress)
    writer = FeatureWriter(output, model.width, overwrite)
    try:
        for images, features, slices in stream.features(batch_size, writer.reject, pooling):
            writer.add(images, features, slices)
        if not writer.count:
            raise stream.nothing()
        set_id = stream.remember_paths()
        return writer.finish(
            kind,
            {
                "set_id": set_id,
                "pooling": pooling,
                "reading": stream.of_queries(),
                "missing_channels": stream.missing.document(),
                "model": model_facts(model),
            },
        )
    except BaseException:
        writer.close()
        raise


def checked_pooling(name: str) -> Pooling:
    """Returns a way of pooling by its name.

    Raises:
        UsageError: There is none of that name.
    """
    ways: dict[str, Pooling] = {"mean": "mean", "max": "max"}
    if name not in ways:
        raise unknown_name("way of pooling", name, ways)
    return ways[name]


def model_facts(model: DomainModel) -> dict[str, Any]:
    """Returns what an index keeps of its model: where it was loaded from, and its weights' checksum."""
    source = model.source
    where = str(Path(source).absolute()) if source and Path(source).exists() else source
    return {"source": where, "domain": model.record.domain, "sha256": model.record.provenance.get("weights", {}).get("sha256")}


class Stream:
    """The images of a source, encoded batch by batch; files and images that cannot be used are told, not raised.

    Args:
        model: The model.
        source: See ``embed``; or a list of files.
        root: Folder of a card's files.
        reading: Options of the domain's reader.
        progress: Called with (done, total, text).
    """

    def __init__(
        self,
        model: DomainModel,
        source: Any,
        *,
        root: str | Path | None = None,
        reading: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.model = model
        self._progress: Progress = progress or (lambda done, total, text: None)
        self._paths: dict[str, str] = {}
        self._members: dict[str, tuple[Path, ...]] = {}
        self._first_reason = ""
        self.missing = MissingTally(model.missing_channels)
        self._prepared: PreparedSet | None = None
        self.items: list[SourceItem] = []
        self._rejections: tuple[tuple[str, str], ...] = ()
        opened_source = files_as_items(source) if isinstance(source, list) else open_for(model.record, source, root, reading)
        if isinstance(opened_source, list):
            self._name, self.items = f"{len(source)} files" if len(source) > 1 else _shown(source[0]), opened_source
        elif isinstance(opened_source, _prepared_type()):
            self._name, self._prepared = str(opened_source.folder), opened_source
            refuse_reading(opened_source, reading)
        else:
            self._name, self.items, self._rejections = _shown(source), list(opened_source.items()), opened_source.rejections
        if self._prepared is None:
            self._domain = reader_for(model.record, self.items[0].path if len(self.items) == 1 else None)
            needed = {} if isinstance(opened_source, list) else opened_source.reading
            self._reading = reading_options(model.record, self._domain, {**needed, **(reading or {})})
            if isinstance(opened_source, list):
                self._leave_out_misfits()

    def _leave_out_misfits(self) -> None:
        """Rejects what the domain does not read by a reason better than its reader has: an archive, another domain's file."""
        misfits = {item.name: found for item in self.items if (found := misfit_of(item.path, self._domain))}
        self._paths |= {keyed_hash(item.name, owner_key()): str(item.path) for item in self.items if item.name in misfits}
        self.items = [item for item in self.items if item.name not in misfits]
        self._rejections = tuple((name, found.reason) for name, found in misfits.items())

    def __iter__(self) -> Iterator[Found | Rejected]:
        if self._prepared is not None:
            self._paths = self._prepared.paths()
            yield from read_prepared(self._prepared, self._progress)
            return
        for name, reason in self._rejections:
            yield Rejected(keyed_hash(name, owner_key()), reason)
        for one in read_files(self.items, self._domain, self._reading, self._progress):
            if one.item is not None:
                self._paths[one.key] = self._paths[self.file_key(one)] = self.items[one.item].url or str(self.items[one.item].path)
                if members := self.items[one.item].members:
                    self._members[one.key] = members
            yield one

    def path_of(self, one: Found | Rejected) -> str | None:
        """Returns the file of an image that has been yielded, where the owner's map knows it."""
        return self._paths.get(one.key)

    def file_key(self, one: Found | Rejected) -> str:
        """Returns the keyed hash of an image's file; of the image itself in a prepared set."""
        return one.key if one.item is None else keyed_hash(self.items[one.item].name, owner_key())

    def features(
        self, batch_size: int, reject: Any, pooling: Pooling = "mean"
    ) -> Iterator[tuple[list[Found], Features, list[Features]]]:
        """Yields images, their (n, D) features, and the (K, D) features of the planes of each.

        Args:
            batch_size: Planes at a time; a picture is one.
            reject: Called with every ``Rejected``.
            pooling: See ``embed``.
        """
        waiting: list[Found] = []

        def inputs() -> Iterator[ModelInput]:
            for found, one in self._inputs(reject):
                waiting.append(found)
                self.missing.add(one)
                yield one

        for group in input_groups(inputs(), batch_size):
            images = waiting[: len(group)]
            del waiting[: len(group)]
            yield images, *self.model.pooled(group, batch_size, pooling)

    def _inputs(self, reject: Any) -> Iterator[tuple[Found, ModelInput]]:
        for one in self:
            image = one if isinstance(one, Rejected) else opened(one)
            given = image if isinstance(image, Rejected) else self._transformed(image, one)
            if isinstance(given, Rejected):
                self._first_reason = self._first_reason or given.reason
                reject(given)
            elif isinstance(one, Found):
                yield one, given

    def _transformed(self, image: Image, one: Found | Rejected) -> ModelInput | Rejected:
        try:
            return self.model.to_input(image)
        except DomainClipError as error:
            # One file with other channels or values among many is a rejected file; when all are, ``nothing`` says why.
            return Rejected(one.key, error.reason, one.item)

    def of_queries(self) -> dict[str, Any]:
        """Returns the reader's options by which a query must be read too, to be like the images: windows, say.

        The domain names them (``reading_model.of_queries``); they hold no path.
        """
        if self._prepared is not None:
            from domainclip.domains.base import domains

            reader = domains.get(self._prepared.domain) if self._prepared.domain in domains else None
            reading: Mapping[str, Any] = self._prepared.card.get("reading") or {}
        else:
            reader, reading = self._domain, self._reading
        names: frozenset[str] = getattr(getattr(reader, "reading_model", None), "of_queries", frozenset())
        return {name: value for name, value in reading.items() if name in names}

    def remember_paths(self) -> str | None:
        """Writes the owner's map of a raw source, and returns the identifier under which it lies (a prepared set has its own)."""
        from domainclip.data.owner_map import members_line, write_owner_map

        if self._prepared is not None:
            known: str | None = self._prepared.card.get("set_id")
            return known
        set_id = secrets.token_hex(10)
        absolute = [
            {
                "key": key,
                "path": path if is_address(path) else str(Path(path).absolute()),
                **members_line(self._members.get(key, ())),
            }
            for key, path in self._paths.items()
        ]
        write_owner_map(set_id, absolute)
        return set_id

    def nothing(self) -> UsageError:
        """Builds the error for a source of which nothing could be used."""
        return UsageError(
            f"The images of {self._name} were to be encoded by a model of {self.model.record.domain} "
            f"(channels {', '.join(self.model.record.preprocessing.channels)}).",
            f"None can be used. The first: {self._first_reason or 'it holds no image.'}",
            "Look at a file with `domainclip inspect`; check that it is of the model's domain and has its channels.",
        )


def _shown(source: object) -> str:
    """What messages call a source: tokens of addresses are no business of logs."""
    return without_query(str(source)) if is_address(str(source)) else str(source)


def files_as_items(places: Sequence[Path | str]) -> list[SourceItem]:
    """Names single files by their last part; where two share it, by their whole path or address, so that keys differ."""
    items = [item_at(place) for place in dict.fromkeys(places)]
    counted = Counter(item.name for item in items)
    return [item if counted[item.name] == 1 else replace(item, name=Path(item.place).as_posix()) for item in items]


def item_at(place: Path | str) -> SourceItem:
    """Returns the item of one file, by its path or address."""
    if isinstance(place, str) and is_address(place):
        return SourceItem(Path(last_part(place)), last_part(place), url=place)
    return SourceItem(Path(place), Path(place).name)


def _prepared_type() -> type[PreparedSet]:
    from domainclip.data.prepared_set import PreparedSet

    return PreparedSet
