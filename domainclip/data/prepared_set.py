"""A prepared set: shards, their index and their captions, read at random and without trusting the files."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.data.owner_map import owner_paths
from domainclip.data.records import geo_from_json, spacing_from_json, values_from_json, window_from_json
from domainclip.data.storage import STORAGES, decode_image, decode_mask, mask_shape
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.sample import Caption, Pixels, Sample

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
JSON_COLUMNS = ("ids", "labels", "channels", "spacing", "values", "geo", "window", "meta", "shape", "masks")
_SHARD_NAME = re.compile(r"\d{5}\.tar")


class PreparedSet:
    """A folder that ``prepare`` wrote.

    Attributes:
        folder: Where it lies.
        card: The content of dataset.json: what the data set's card says, and versions, counts, reading options, splits.

    Args:
        folder: Where it lies.

    Raises:
        UsageError: It is no finished prepared set, or of a newer format.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        asked = f"The prepared set {self.folder} was to be opened."
        try:
            self.card: dict[str, Any] = json.loads((self.folder / "dataset.json").read_text(encoding="utf-8"))
            version = int(self.card["format_version"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            unfinished = (self.folder / ".preparing").is_dir()
            remedy = (
                "Finish it: domainclip prepare ... --resume." if unfinished else "Check the path, or make one: domainclip prepare."
            )
            raise UsageError(asked, "It has no readable dataset.json, which is written last.", remedy) from error
        if version > FORMAT_VERSION:
            raise UsageError(asked, f"Its format is {version}; this version reads {FORMAT_VERSION}.", "Update domainclip.")
        self._handles: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"PreparedSet({str(self.folder)!r})"

    def __len__(self) -> int:
        return len(self.index)

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]

    @property
    def domain(self) -> str:
        """Name of the domain whose reader read the files."""
        return str(self.card["domain"])

    @property
    def synthetic(self) -> bool:
        """Whether the content is generated."""
        return bool(self.card.get("synthetic", False))

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row an image; the columns of ``JSON_COLUMNS`` hold dictionaries, lists or None.

        ``group`` is what counts as one and may not cross a split, duplicates joined; ``source_group`` is the source's own (a slide,
        a patient, a scene), the same where nothing was joined.
        """
        import pandas as pd

        table = pd.read_parquet(self.folder / "index.parquet")
        table["source_group"] = table["source_group"].fillna(table["group"]) if "source_group" in table else table["group"]
        for name in JSON_COLUMNS:
            known: dict[str, Any] = {}
            table[name] = pd.Series([_parsed(text, known) for text in table[name]], index=table.index, dtype=object)
        for name in ("time", "sensor"):
            table[name] = pd.Series([t if isinstance(t, str) else None for t in table[name]], index=table.index, dtype=object)
        return table

    @cached_property
    def captions(self) -> pd.DataFrame:
        """One row a caption, columns ``CAPTION_COLUMNS``."""
        import pandas as pd

        return pd.read_parquet(self.folder / "captions.parquet")

    def subset(self, split: str) -> pd.DataFrame:
        """Returns the rows of a split, numbered from 0 in the order of the set.

        Raises:
            UsageError: The set has no such split.
        """
        rows = self.index[self.index["split"] == split]
        if rows.empty:
            there = ", ".join(f"{name} ({count})" for name, count in self.index["split"].value_counts().items())
            raise UsageError(
                f"The split {split!r} of {self.folder} was asked for.", f"It is empty; there are: {there}.", "Choose one."
            )
        return rows.reset_index(drop=True)

    def with_shots(self, label: str, shots: int, seed: int = 0) -> PreparedSet:
        """Returns the set with that many training images of each class; other parts stay whole. See ``domainclip.data.shots``.

        Raises:
            UsageError: No training image has the label, or a class has fewer.
        """
        import pandas as pd

        from domainclip.data.shots import k_shot

        part = self.index["split"] == "train"
        fewer = PreparedSet(self.folder)
        fewer.__dict__["index"] = pd.concat([k_shot(self.index[part], label, shots, seed=seed), self.index[~part]]).sort_index()
        fewer.card["shots"] = {"label": label, "shots": shots, "seed": seed}
        return fewer

    def read(self, row: Mapping[str, Any] | pd.Series | int) -> Pixels:
        """Reads the pixels of a row.

        Args:
            row: A row of ``index`` or ``subset`` (anything that maps column names to values), or a position in ``index``.

        Raises:
            UnreadableFileError: The member is damaged or is not what the index says.
        """
        facts: Any = self.index.iloc[row] if isinstance(row, int) else row
        if facts["storage"] not in STORAGES:
            raise UnreadableFileError("An image was to be read.", "its storage is of no known kind", "Update domainclip.")
        data = self._bytes(facts["shard"], int(facts["offset"]), int(facts["size"]))
        array = decode_image(data, facts["storage"], tuple(facts["shape"]), facts["dtype"])
        masks = {
            name: decode_mask(self._bytes(facts["shard"], offset, size), mask_shape(array.shape, facts["axes"]))
            for name, (offset, size) in (facts["masks"] or {}).items()
        }
        return Pixels(array, masks)

    def sample(self, row: Mapping[str, Any] | pd.Series | int) -> Sample:
        """Returns the row as a Sample (keys, groups and ids are keyed hashes; ``reader`` reads from the shard)."""
        facts: Any = self.index.iloc[row] if isinstance(row, int) else row
        return Sample(
            key=facts["key"],
            axes=facts["axes"],
            channels=tuple(facts["channels"]),
            values=values_from_json(facts["values"]),
            reader=lambda: self.read(facts),
            group=facts["group"],
            spacing=spacing_from_json(facts["spacing"]),
            geo=geo_from_json(facts["geo"]),
            time=facts["time"],
            sensor=facts["sensor"],
            captions=self.captions_of(facts["key"]),
            labels=facts["labels"] or {},
            ids=facts["ids"] or {},
            split=facts["split"],
            window=window_from_json(facts["window"]),
            meta=facts["meta"] or {},
        )

    def captions_of(self, key: str) -> tuple[Caption, ...]:
        """Returns the captions of an image in the order of the table."""
        table = self.captions
        rows = [table.iloc[position] for position in self._caption_positions.get(key, ())]
        names = ("text", "language", "origin", "parent", "region", "generator", "licence", "section")
        texts = [{name: row[name] if isinstance(row[name], str) else None for name in names} for row in rows]
        return tuple(
            Caption(**text, polarity=int(row["polarity"]), scores=json.loads(row["scores"] or "{}"))  # type: ignore[arg-type]
            for text, row in zip(texts, rows, strict=True)
        )

    def paths(self) -> dict[str, str]:
        """Returns key to source path, from the owner's private map; empty where that is not on this machine."""
        return owner_paths(str(self.card.get("set_id", "")))

    @cached_property
    def _caption_positions(self) -> dict[str, list[int]]:
        positions: dict[str, list[int]] = {}
        for position, key in enumerate(self.captions["key"]):
            positions.setdefault(key, []).append(position)
        return positions

    def _bytes(self, shard: str, offset: int, size: int) -> bytes:
        """Reads a piece of a shard; threads may do so at the same time."""
        with self._lock:
            if shard not in self._handles:
                self._handles[shard] = self._open(shard)
            handle, length = self._handles[shard]
            if not 0 <= offset <= offset + size <= length:
                raise UnreadableFileError("A shard was to be read.", "it is shorter than its index says", "Prepare the set anew.")
            if not hasattr(os, "pread"):  # Windows: one file position, hence the lock.
                os.lseek(handle, offset, os.SEEK_SET)
                return os.read(handle, size)
        return os.pread(handle, size, offset)

    def _open(self, shard: str) -> tuple[int, int]:
        if not _SHARD_NAME.fullmatch(shard):
            raise UnreadableFileError("A shard was to be read.", "the index names it in no known way", "Prepare the set anew.")
        try:
            handle = os.open(self.folder / shard, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            found = f"{shard} cannot be opened ({error.strerror})"
            raise UnreadableFileError("A shard was to be read.", found, "Copy the set again, or prepare it anew.") from error
        return handle, os.fstat(handle).st_size

    def __del__(self) -> None:
        for handle, _ in getattr(self, "_handles", {}).values():
            os.close(handle)


def _parsed(text: str | None, known: dict[str, Any]) -> Any:
    """Parses JSON; equal texts share one object, of which a large set has many."""
    if not isinstance(text, str):
        return None
    if text not in known:
        known[text] = json.loads(text)
    return known[text]
