"""Image features on disk: ``features.npy`` (N, D) float32 and ``index.parquet``, row by row the same images.

Of volumes and time series ``slices.npy`` (M, D) holds the features of every slice or frame.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from domainclip.data.records import geo_to_json
from domainclip.errors import UsageError
from domainclip.heads.reading import Found, Rejected

Features = npt.NDArray[np.float32]
FORMAT_VERSION = 1
Kind = Literal["embed", "index"]
_INTEGERS = ("x", "y", "width", "height", "level", "image_width", "image_height", "slices", "slices_at")
_FILES = ("features.npy", "slices.npy", "index.parquet", "rejected.jsonl", "embed.json", "index.json")


class FeatureWriter:
    """Writes features as they come, so that memory stays flat; the folder appears under its name when ``finish`` is called.

    Args:
        folder: Where to; refused when it holds something, unless ``overwrite`` and it is a folder of features.
        width: Numbers of a feature.
        overwrite: Replace features that lie there.

    Raises:
        UsageError: The folder cannot be used.
    """

    def __init__(self, folder: Path | str, width: int, overwrite: bool = False) -> None:
        self.folder, self.width, self.count = Path(folder), width, 0
        check_output(self.folder, overwrite)
        self._draft = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.part")
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir(parents=True)
        self._rows = _Rows(self._draft / "features.npy", width)
        self._slices: _Rows | None = None
        self._columns: list[dict[str, Any]] = []
        self._rejected: list[dict[str, str]] = []

    def add(self, images: Sequence[Found], features: Features, slices: Sequence[Features] = ()) -> None:
        """Appends images.

        Args:
            images: What was encoded.
            features: (len(images), D).
            slices: (K, D) of the slices or frames of each image; those of pictures are not kept. Empty where all are pictures.
        """
        self._rows.add(features)
        self.count += len(images)
        for number, image in enumerate(images):
            row = _row(image)
            if slices and image.axes != "CYX":
                if self._slices is None:
                    self._slices = _Rows(self._draft / "slices.npy", self.width)
                row |= {"slices": len(slices[number]), "slices_at": self._slices.count}
                self._slices.add(slices[number])
            self._columns.append(row)

    def reject(self, rejected: Rejected) -> None:
        """Notes what could not be used."""
        self._rejected.append({"key": rejected.key, "reason": rejected.reason})

    def finish(self, kind: Kind, facts: dict[str, Any]) -> dict[str, Any]:
        """Writes the rest and puts the folder in place.

        Returns:
            What ``<kind>.json`` holds.
        """
        for rows in (self._rows, self._slices):
            if rows is not None:
                rows.finish()
        table = pd.DataFrame(self._columns, columns=list(_row(None)))
        types = {**dict.fromkeys(_INTEGERS, "Int64"), "spacing_x": "Float64", "spacing_y": "Float64"}
        table.astype(types).to_parquet(self._draft / "index.parquet")
        lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self._rejected)
        (self._draft / "rejected.jsonl").write_text(lines, encoding="utf-8")
        document = {
            "format_version": FORMAT_VERSION,
            "count": self.count,
            "width": self.width,
            "rejected": len(self._rejected),
            **facts,
        }
        (self._draft / f"{kind}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
        self._draft.replace(self.folder)
        return document

    def close(self) -> None:
        """Removes what was written when the work did not come to its end."""
        for rows in (self._rows, self._slices):
            if rows is not None:
                rows.file.close()
        shutil.rmtree(self._draft, ignore_errors=True)


class _Rows:
    """A .npy file of (count, width) float32 that grows row by row."""

    def __init__(self, path: Path, width: int) -> None:
        self.count, self._width = 0, width
        self.file = path.open("wb")
        self._write_header()
        self._start = self.file.tell()

    def _write_header(self) -> None:
        # numpy leaves room in the header for the first axis to grow, so that it can be written again at the end.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.count, self._width)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def add(self, rows: Features) -> None:
        self.file.write(np.ascontiguousarray(rows, dtype="<f4").tobytes())
        self.count += len(rows)

    def finish(self) -> None:
        self.file.seek(0)
        self._write_header()
        if self.file.tell() != self._start:
            raise RuntimeError("the header of a file of features changed its length")
        self.file.close()


def check_output(folder: Path, overwrite: bool) -> None:
    """Refuses an output that exists, unless it is to be replaced and holds nothing but our files.

    Raises:
        UsageError: It cannot be used.
    """
    asked = f"Features were to be written to {folder}."
    if folder.exists() and not folder.is_dir():
        raise UsageError(asked, "There is a file of that name.", "Choose another --output.")
    entries = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in entries if name not in _FILES]
    if foreign:
        raise UsageError(asked, f"The folder holds other files, such as {foreign[0]}.", "Choose another --output.")
    if entries and not overwrite:
        raise UsageError(asked, "The folder exists and is not empty.", "Add --overwrite to replace it, or choose another --output.")


def read_features(folder: Path | str, kind: Kind) -> tuple[Features, pd.DataFrame, dict[str, Any]]:
    """Opens a folder of features.

    Returns:
        (N, D) float32, memory-mapped and read-only; the index, row by row the same images; what ``<kind>.json`` holds.

    Raises:
        UsageError: The folder holds none, is of a newer format, or its parts do not fit each other.
    """
    folder = Path(folder)
    asked = f"The {'index in' if kind == 'index' else 'feature table in'} {folder} was to be opened."
    remedy = f"Make it: domainclip {kind} MODEL SRC --output {folder}."
    try:
        facts: dict[str, Any] = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
        features = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        table = pd.read_parquet(folder / "index.parquet")
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(asked, f"A part is missing or broken ({type(error).__name__}).", remedy) from error
    if facts.get("format_version") != FORMAT_VERSION:
        raise UsageError(asked, f"Its format is {facts.get('format_version')}; this version reads {FORMAT_VERSION}.", remedy)
    if features.ndim != 2 or features.dtype != np.float32 or len(features) != len(table):
        found = f"features.npy has the shape {features.shape} and type {features.dtype}, the index {len(table)} rows."
        raise UsageError(asked, found, remedy)
    return features, table, facts


def read_slices(folder: Path | str, table: pd.DataFrame) -> Features | None:
    """Opens the features of slices and frames beside those of images.

    Args:
        folder: Of features.
        table: Its index.

    Returns:
        (M, D) float32, memory-mapped and read-only; None where all images are pictures.

    Raises:
        UsageError: The file is missing or broken, or does not fit the index.
    """
    if "slices" not in table or not table["slices"].notna().any():
        return None
    asked = f"The features of slices in {folder} were to be opened."
    try:
        slices: Features = np.load(Path(folder) / "slices.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(asked, f"slices.npy is missing or broken ({type(error).__name__}).", "Make the folder anew.") from error
    wanted = int((table["slices_at"] + table["slices"]).max())
    if slices.ndim != 2 or slices.dtype != np.float32 or len(slices) != wanted or (table["slices_at"].dropna() < 0).any():
        raise UsageError(asked, f"slices.npy has the shape {slices.shape}, the index asks for {wanted} rows.", "Make it anew.")
    return slices


_ORIGIN = ("slice_files", "slice_frames", "slice_step")


def _row(image: Found | None) -> dict[str, Any]:
    origin = {name: image.meta[name] for name in _ORIGIN if name in image.meta} if image else {}
    window, size, spacing = (image.window, image.size, image.spacing) if image else (None, None, None)
    return {
        "key": image.key if image else "",
        "group": image.group if image else "",
        "source_group": image.source_group or image.group if image else "",
        "split": image.split if image else None,
        "labels": json.dumps(dict(image.labels), sort_keys=True, ensure_ascii=False) if image else "",
        **{name: getattr(window, name, None) for name in ("x", "y", "width", "height", "level")},
        # What was encoded, so that the features can be told to programs that speak of pixels and magnifications.
        "image_width": size[0] if size else None,
        "image_height": size[1] if size else None,
        "spacing_x": spacing.values[-1] if spacing else None,
        "spacing_y": spacing.values[-2] if spacing else None,
        "spacing_unit": spacing.unit if spacing else None,
        # As in a prepared set: CRS and affine of the pixels that were encoded.
        "geo": json.dumps(geo_to_json(image.geo)) if image and image.geo else None,
        "axes": image.axes if image else "CYX",
        "slices": None,
        "slices_at": None,
        # Which file and frame each slice is from, by number.
        "slice_origin": json.dumps(origin) if origin else None,
    }
