"""Search in a source's images by text or by image; exact."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from domainclip.config import MissingChannels
from domainclip.data.missing_channels import checked_rule
from domainclip.data.owner_map import owner_files
from domainclip.data.planes import stacked_axis
from domainclip.data.records import geo_from_json
from domainclip.domains.base import domains
from domainclip.errors import UsageError
from domainclip.heads.domain_model import DomainModel, Features, load_model
from domainclip.heads.embed import write_features
from domainclip.heads.feature_table import check_output, read_features, read_slices
from domainclip.heads.reading import Progress
from domainclip.heads.top_k import top_k
from domainclip.sample import Geo, Window

if TYPE_CHECKING:
    from domainclip.models.pooling import Pooling


@dataclass(frozen=True, slots=True)
class Hit:
    """One found image.

    Attributes:
        key: Keyed hash, as in the index.
        score: Cosine of query and image, -1..1.
        level: Pyramid level that the image was read from, None for whole files.
        window: The part of the file in level-0 pixels, None for whole files.
        path: Its file, where the owner's map of sources is readable, else None; of a slice that has a file of its own, that one.
        axis: ``"Z"`` or ``"T"`` of volumes and time series, along which they have slices or frames; None for pictures.
        slice: The slice or frame that is nearest to the query, from 0; None for pictures.
        slices: How many there are.
        slice_score: Cosine of query and that slice.
        frame: The frame of ``path`` that the slice is, from 0, where the file has several.
        geo: Where the pixels that were encoded lie on the ground; None without a CRS.
    """

    key: str
    score: float
    level: int | None
    window: Window | None
    path: str | None
    axis: str | None = None
    slice: int | None = None
    slices: int | None = None
    slice_score: float | None = None
    frame: int | None = None
    geo: Geo | None = None


def slice_place(files: Sequence[str], origin: Mapping[str, Any], number: int) -> tuple[str | None, int | None]:
    """Returns the file and the frame that a slice was read from.

    Args:
        files: All files of the image; empty where nobody here knows them.
        origin: ``slice_files`` and ``slice_frames`` number the file and the frame of each slice as acquired; ``slice_step`` is how
            many of these one slice of a resampled volume goes on.
        number: The slice.

    Returns:
        The path or None, and the frame or None.
    """
    numbers, frames = origin.get("slice_files"), origin.get("slice_frames")
    acquired = round(number * float(origin.get("slice_step", 1.0)))
    which = None if numbers is None else int(numbers[min(acquired, len(numbers) - 1)])
    frame = None if frames is None else int(frames[min(acquired, len(frames) - 1)])
    if not files:
        return None, frame
    return files[which] if which is not None and which < len(files) else files[0], frame


class Retriever:
    """Finds the images of a source that are nearest to a text or an image.

    Args:
        model: A loaded model; queries are encoded by it.
    """

    def __init__(self, model: DomainModel) -> None:
        self.model = model
        self._features: Features | None = None

    def fit(
        self,
        source: Any,
        *,
        root: str | Path | None = None,
        reading: Mapping[str, Any] | None = None,
        batch_size: int = 64,
        pooling: Pooling = "mean",
        progress: Progress | None = None,
    ) -> Retriever:
        """Encodes the images of a source (see ``heads.embed.embed`` for what it may be).

        Features are kept on disk in a temporary folder until ``save``, so that memory does not grow with the source.

        Raises:
            UsageError: The source is not there, or nothing in it can be used.
        """
        self._scratch = tempfile.TemporaryDirectory(prefix="domainclip-index-")
        folder = Path(self._scratch.name) / "index"
        write_features("index", self.model, source, folder, root, reading, batch_size, False, progress, pooling)
        self._open(folder)
        return self

    def _open(self, folder: Path) -> None:
        self._folder = folder
        self._features, self._table, self.facts = read_features(folder, "index")
        self._slices = read_slices(folder, self._table)
        self._files: dict[str, list[str]] | None = None

    def __len__(self) -> int:
        return 0 if self._features is None else len(self._features)

    def search(
        self,
        query: Any,
        k: int = 10,
        language: str | None = None,
        by: Literal["image", "slice"] = "image",
        reading: Mapping[str, Any] | None = None,
    ) -> list[Hit]:
        """Finds the ``k`` nearest images, the nearest first; of volumes and time series also their nearest slice or frame.

        Args:
            query: A text (``str``), or an image: a ``Path``, PIL image, array, tensor or Sample.
            k: How many hits, at least 1; fewer come when the index is smaller.
            language: Language of a text.
            reading: Options of the domain's reader for a ``Path``, over those that the images of the index were read with. A single
                picture may be searched for in an index of volumes: ``{"axes": "CYX"}``.
            by: ``slice`` ranks all slices and frames instead of whole images, so that one image may come several times.

        Raises:
            UsageError: Nothing has been indexed, ``k`` is below 1, the query is blank, or there are no slices to rank.
        """
        if self._features is None:
            raise UsageError("An index was to be searched.", "It is empty.", "Call fit(source), or Retriever.load(folder).")
        if k < 1:
            raise UsageError(f"{k} hits were asked for.", "That is none.", "Ask for one or more.")
        text = isinstance(query, str)
        vector = (
            self.model.encode_text(query, language=language)
            if text
            else self.model.encode_image(query, reading=self._query_reading(reading))
        )
        if len(vector) != 1:
            raise UsageError("An index was to be searched.", f"The query holds {len(vector)} images.", "Search one at a time.")
        if by == "slice":
            return self._slice_hits(vector, k)
        scores, positions = top_k(self._features, vector, k)
        return [self._hit(int(row), float(score), vector) for score, row in zip(scores[0], positions[0], strict=True)]

    def _query_reading(self, reading: Mapping[str, Any] | None) -> dict[str, Any]:
        own, asked = self.facts.get("reading") or {}, dict(reading or {})
        name = self.model.record.domain
        combine = getattr(domains.get(name).reading_model, "for_query", None) if name in domains else None
        options: dict[str, Any] = {**own, **asked} if combine is None else combine(own, asked)
        return options

    def _slice_hits(self, vector: Features, k: int) -> list[Hit]:
        if self._slices is None:
            found = "It holds pictures only, which have no slices."
            raise UsageError(
                "Slices of an index were to be searched.", found, "Search images; or index volumes (reading.axes=CZYX)."
            )
        scores, places = top_k(self._slices, vector, k)
        rows = np.flatnonzero(self._table["slices"].notna())
        starts = self._table["slices_at"].iloc[rows].to_numpy(np.int64)
        assert self._features is not None
        hits = []
        for score, place in zip(scores[0], places[0], strict=True):
            number = int(np.searchsorted(starts, place, side="right")) - 1
            position = int(rows[number])
            whole = float(self._features[position] @ vector[0])
            hits.append(self._hit(position, whole, vector, (int(place - starts[number]), float(score))))
        return hits

    def _hit(self, position: int, score: float, vector: Features, nearest: tuple[int, float] | None = None) -> Hit:
        row = self._table.iloc[position]
        window = None
        if not pd.isna(row["x"]):
            window = Window(*(int(row[name]) for name in ("x", "y", "width", "height", "level")))
        key = str(row["key"])
        if self._files is None:
            self._files = owner_files(str(self.facts.get("set_id") or ""))
        files = self._files.get(key, [])
        text = row.get("geo")  # older folders have no such column
        geo = geo_from_json(json.loads(text)) if isinstance(text, str) else None
        plain = Hit(key, score, window.level if window else None, window, files[0] if files else None, geo=geo)
        if self._slices is None or pd.isna(row["slices"]):
            return plain
        if nearest is None:
            first = int(row["slices_at"])
            cosines = np.asarray(self._slices[first : first + int(row["slices"])]) @ vector[0]
            nearest = int(cosines.argmax()), float(cosines.max())
        number, cosine = nearest
        path, frame = slice_place(files, json.loads(row["slice_origin"] or "{}"), number)
        axis = stacked_axis(str(row["axes"]))
        return replace(plain, path=path, axis=axis, slice=number, slices=int(row["slices"]), slice_score=cosine, frame=frame)

    def save(self, folder: str | Path, overwrite: bool = False) -> dict[str, Any]:
        """Writes the index: ``features.npy``, ``index.parquet``, ``index.json``, ``rejected.jsonl``.

        Returns:
            What ``index.json`` holds: ``count``, ``width``, ``rejected``, ``model``, ``set_id``.

        Raises:
            UsageError: Nothing has been indexed, or the folder exists and ``overwrite`` is not given.
        """
        if self._features is None:
            raise UsageError("An index was to be saved.", "It is empty.", "Call fit(source) first.")
        target = Path(folder)
        if target.resolve() == self._folder.resolve():
            return self.facts
        check_output(target, overwrite)
        draft = target.with_name(f".{target.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(self._folder, draft)
        if target.is_dir():
            shutil.rmtree(target)
        draft.replace(target)
        return self.facts

    @classmethod
    def load(
        cls, folder: str | Path, model: DomainModel | None = None, missing_channels: MissingChannels | None = None
    ) -> Retriever:
        """Opens a saved index.

        Args:
            folder: What ``save`` wrote.
            model: The model that made it; None loads it from where the index says it was.
            missing_channels: For queries that lack channels, where the model is loaded here; None takes the index's own rule.

        Raises:
            UsageError: The folder holds no index, or the model is not the one that made it.
        """
        features, _, facts = read_features(folder, "index")
        made_by = facts.get("model") or {}
        asked = f"The index {folder} was to be opened."
        if model is None:
            if not made_by.get("source"):
                raise UsageError(asked, "It does not say where its model lies.", "Give the model: Retriever.load(folder, model).")
            own = (facts.get("missing_channels") or {}).get("rule", "refuse")
            model = load_model(made_by["source"], missing_channels=missing_channels or checked_rule(own))
        weights = model.record.provenance.get("weights", {}).get("sha256")
        if features.shape[1] != model.width or made_by.get("sha256") != weights:
            raise UsageError(
                asked,
                "Its features were made by a model with other weights than the one that is given or lies there now.",
                "Make the index anew: domainclip index MODEL SRC --output INDEX --overwrite.",
            )
        retriever = cls(model)
        retriever._open(Path(folder))
        return retriever

    def features(self) -> Features:
        """Returns the (N, D) features, read-only."""
        return np.empty((0, self.model.width), dtype=np.float32) if self._features is None else self._features
