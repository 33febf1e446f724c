"""Predictions, sets and features in other programs' formats: one folder an export, and one entry of ``exporters`` a format."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainclip.errors import UsageError
from domainclip.heads.reading import Progress
from domainclip.registry import Registry

MARK = "export.json"
_OF_SLIDES = ("patches", "features", "h5_files", "annotations")
_OF_SCENES = ("classes", "scores", "legend.json", "legend.png", "geojson", "windows.parquet")
_OURS = frozenset((MARK, "rejected.jsonl", *_OF_SLIDES, *_OF_SCENES))


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Attributes:
        document: The facts, for ``--json`` and ``export.json``; no name of a slide is among them.
        lines: What a person should know, one sentence each.
    """

    document: dict[str, Any]
    lines: tuple[str, ...]


Exporter = Callable[[Path, Path, bool, Progress], Exported]
"""Called with what is to be exported, an empty folder to write into, whether slides are named by hashes alone, and progress."""

exporters: Registry[Exporter] = Registry(
    "export format",
    {
        "trident": "domainclip.heads.export_tiles:export_trident",
        "clam": "domainclip.heads.export_tiles:export_clam",
        "qupath": "domainclip.heads.export_tiles:export_qupath",
        "cog": "domainclip.heads.export_maps:export_cog",
        "geojson": "domainclip.heads.export_maps:export_geojson",
        "geoparquet": "domainclip.heads.export_maps:export_geoparquet",
    },
)


def export(
    source: str | Path,
    format: str,
    output: str | Path,
    *,
    hashed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Writes predictions, a prepared set, or a folder of features, in another program's format.

    ``trident``: ``patches/<slide>_patches.h5`` for a set, ``features/<slide>.h5`` for features. ``clam``: ``patches/<slide>.h5``,
    or ``h5_files/<slide>.h5``. ``qupath``: ``annotations/<slide>.geojson``, tiles with their class. Slides are named by their files
    where the owner's map is on this machine, else by the hashed groups of the set. A slide that the format cannot express goes to
    ``rejected.jsonl``, and the others are written.

    Scenes on the ground (``docs/maps.md``): ``cog``, maps of classes and scores; ``geojson``, windows in WGS 84; ``geoparquet``,
    all windows in one table.

    Args:
        source: A prepared set, or what ``zero-shot``, ``embed`` or ``index`` wrote.
        format: A name in ``exporters``.
        output: Folder to write.
        hashed: Name slides by hashed groups though the owner's map is here, to pass the files on.
        overwrite: Replace an export that lies there.
        progress: Called with (done, total, text).

    Returns:
        What was done.

    Raises:
        UsageError: The format is unknown, the output holds something, or nothing of the source can be written.
    """
    run = exporters.get(format)
    source, output = Path(source), Path(output)
    _check_output(output, overwrite)
    draft = output.with_name(f".{output.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        exported = run(source, draft, hashed, progress or (lambda done, total, text: None))
        document = exported.document | {"listing": _listing(draft)}
        (draft / MARK).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _check_output(output, overwrite)  # again: writing may have taken long
        if output.is_dir():
            shutil.rmtree(output)
        draft.replace(output)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return exported


def _listing(folder: Path) -> str:
    """Hashes names, sizes and times of all files but the mark: what was written is there, and nothing else."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MARK)
    listed = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _is_as_written(folder: Path) -> bool:
    try:
        document = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("listing") == _listing(folder)


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuses what exists, unless it is an export of ours with nothing else in it and is to be replaced."""
    asked = f"An export was to be written to {output}."
    if output.exists() and not output.is_dir():
        raise UsageError(asked, "There is a file of that name.", "Choose another --output.")
    entries = {path.name for path in output.iterdir()} if output.is_dir() else set()
    # Other programs write their results beside what they read: these are not ours to remove.
    if entries and (MARK not in entries or entries - _OURS):
        foreign = sorted(entries - _OURS) or sorted(entries)
        raise UsageError(asked, f"The folder holds other files, such as {foreign[0]}.", "Choose another --output.")
    if entries and not overwrite:
        raise UsageError(asked, "An export lies there.", "Add --overwrite to replace it, or choose another --output.")
    if entries and not _is_as_written(output):
        found = "Files were added to the export that lies there, changed or taken away since it was written."
        raise UsageError(asked, found, "Choose another --output, or remove the folder yourself.")
