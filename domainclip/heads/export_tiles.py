"""The formats of tiles: TRIDENT, CLAM and QuPath; see ``heads.export``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.palette import PALETTE
from domainclip.domains.pathology.hdf5_coordinates import Format, Written, write_coordinates, write_features_h5
from domainclip.domains.pathology.qupath import write_qupath
from domainclip.errors import UsageError
from domainclip.heads.export import Exported
from domainclip.heads.reading import Progress
from domainclip.heads.slide_tiles import SlideTiles, TileTable, open_tiles

_SHOWN = 3
_STEPS = (80, 60, 40, 20, 10, 5)
_STEPS_UM = (0.16, 0.2, 0.3, 0.6, 1.2, 2.4)
"""TRIDENT takes a slide of under so many um per pixel for the step of the same place (``WSI.py``: ``_fetch_magnification``)."""


def export_trident(source: Path, folder: Path, hashed: bool, progress: Progress) -> Exported:
    """Writes one HDF5 file a slide as TRIDENT reads them; see ``hdf5_coordinates`` for the magnifications."""
    return _export_h5("trident", source, folder, hashed, progress)


def export_clam(source: Path, folder: Path, hashed: bool, progress: Progress) -> Exported:
    """Writes one HDF5 file a slide as CLAM reads them."""
    return _export_h5("clam", source, folder, hashed, progress)


def export_qupath(source: Path, folder: Path, hashed: bool, progress: Progress) -> Exported:
    """Writes one GeoJSON file a slide: tiles in level-0 pixels, with their class where the set knows it."""
    table = open_tiles(source, hashed=hashed)
    target = folder / "annotations"
    target.mkdir()
    # One colour a class in all files: QuPath keeps one list of classes a project.
    names = sorted({label for label in table.table["label"] if isinstance(label, str)})
    colors = {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}

    def write(slide: SlideTiles) -> None:
        whole = np.rint(slide.coordinates.boxes)
        write_qupath(target / f"{slide.coordinates.slide}.geojson", whole.tolist(), slide.labels, colors=colors)

    return _exported("qupath", table, folder, (write, []), progress)


def _export_h5(format: Format, source: Path, folder: Path, hashed: bool, progress: Progress) -> Exported:
    table = open_tiles(source, hashed=hashed)
    features = table.features
    place = "patches" if features is None else {"trident": "features", "clam": "h5_files"}[format]
    suffix = "_patches.h5" if format == "trident" and features is None else ".h5"
    target = folder / place
    target.mkdir()
    done: list[Written] = []

    def write(slide: SlideTiles) -> None:
        path = target / f"{slide.coordinates.slide}{suffix}"
        if features is None:
            done.append(write_coordinates(path, slide.coordinates, format))
        else:
            rows = np.ascontiguousarray(features[slide.rows])
            done.append(write_features_h5(path, rows, slide.coordinates, format, encoder=table.encoder))

    return _exported(format, table, folder, (write, done), progress)


def _exported(
    format: str, table: TileTable, folder: Path, writer: tuple[Callable[[SlideTiles], None], list[Written]], progress: Progress
) -> Exported:
    """Writes slide after slide; what a format cannot express is a rejected slide, not the end."""
    write, written = writer
    slides = tiles = 0
    rejected: list[dict[str, str]] = []
    found = table.slides()
    for number, slide in enumerate(found, start=1):
        progress(number, len(found), "writing slides")
        try:
            _check_one_slide(slide, table)
            write(slide)
        except UsageError as error:
            rejected.append({"key": slide.group, "reason": f"{error.found} {error.remedy}"})
            continue
        slides, tiles = slides + 1, tiles + len(slide.coordinates)
    if not slides:
        raise UsageError(
            f"Tiles were to be exported for {format}.",
            f"None of {len(rejected)} slides can be written. The first: {rejected[0]['reason']}",
            "Choose another --format.",
        )
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in rejected)
    (folder / "rejected.jsonl").write_text(lines, encoding="utf-8")
    document: dict[str, Any] = {
        "format": format,
        "slides": slides,
        "tiles": tiles,
        "rejected": len(rejected),
        "images_without_window": table.without_window,
        "named_by": "file" if table.paths else "hashed group",
    }
    if written:
        document["rounding_px"] = max(one.rounding_px for one in written)
    said = [f"Slides: {slides}, tiles: {tiles}."]
    if rejected:
        said.append(f"Slides that cannot be written in this format: {len(rejected)}; why: rejected.jsonl")
    if table.without_window:
        said.append(f"{table.without_window} images are no part of a slide and are left out.")
    said += _of_pixels(written)
    if format == "trident":
        document["magnifications"] = [
            {"level0": level0, "target": target, "slides": count} for (level0, target), count in _magnifications(written).items()
        ]
        said += _of_magnifications(written)
    said.append(_of_names(table))
    return Exported(document, tuple(said))


def _check_one_slide(slide: SlideTiles, table: TileTable) -> None:
    """Refuses a group in which a tile comes twice: it holds several slides, which one file would mix."""
    boxes = slide.coordinates.boxes
    if not table.paths and len(np.unique(boxes, axis=0)) < len(boxes):
        raise UsageError(
            "The tiles of a slide were to be written.",
            "The group holds several slides (two of its tiles lie at the same place), and nothing here tells which is which.",
            "Export on the machine of the owner's map, without --hashed; or prepare with one group a slide.",
        )


def _of_pixels(written: list[Written]) -> list[str]:
    """A box of a set is rounded already; sides that differ by a pixel are made one."""
    if not written:
        return []
    off = max(one.rounding_px for one in written)
    again = f"; sides were made equal, by up to {off:g} pixel" if off else ""
    return [f"Places are whole level-0 pixels, rounded by up to half a pixel when the tiles were read{again}."]


def _magnifications(written: list[Written]) -> Counter[tuple[float, float]]:
    return Counter(one.magnifications for one in written if one.magnifications is not None)


def _of_magnifications(written: list[Written]) -> list[str]:
    lines = []
    for (level0, target), count in list(_magnifications(written).items())[:_SHOWN]:
        step = next((step for step, limit in zip(_STEPS, _STEPS_UM, strict=True) if 10 / level0 < limit), None)
        other = f" (TRIDENT itself would say {step})" if step is not None and abs(step - level0) > 1e-6 * step else ""
        lines.append(f"level0_magnification {level0:.6g}{other}, target_magnification {target:.6g}: {count} of the slides.")
    if lines:
        lines.append("These are 10 / (um per pixel), not rounded to 5, 10, 20, 40: TRIDENT then reads exactly these boxes.")
    return lines


def _of_names(table: TileTable) -> str:
    if table.paths:
        return "Files are named by slide, from your own map: they are for you; to pass them on, export with --hashed."
    return "Files are named by the hashed groups of the set; a group that is a patient may hold several slides."
