"""Tile coordinates and features written as TRIDENT's and CLAM's own readers take them.

What those readers access (facts from their sources, no code):

- TRIDENT, ``trident/wsi_objects/WSI.py`` (``extract_patch_features``) and ``trident/IO.py`` (``read_coords``): ``coords`` and its
  attributes ``patch_size``, ``level0_magnification``, ``target_magnification``; slide encoders such as TITAN also
  ``patch_size_level0``, and ``features``. Its patcher reads ``round(patch_size * level0 / target)`` level-0 pixels a side.
- CLAM, ``dataset_modules/dataset_h5.py`` (``Whole_Slide_Bag_FP``): ``coords`` and its attributes ``patch_level``, ``patch_size``;
  ``wsi_core/wsi_utils.py`` (``StitchCoords``): also ``name``. It reads ``patch_size`` pixels of that level as they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.coordinates import SIZE_TOLERANCE_PX, SPACING_ATTRIBUTE, TileCoordinates
from domainclip.domains.pathology.hdf5 import h5py_module
from domainclip.domains.pathology.scale import POWER_TIMES_UM
from domainclip.errors import UsageError, unknown_name

Format = Literal["trident", "clam"]
Features = npt.NDArray[np.float32]
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Written:
    """What a file says now.

    Attributes:
        tiles: Their number.
        size_px: Side of all of them in level-0 pixels.
        rounding_px: How far, at most, a corner or a side was moved to a whole pixel.
        magnifications: (level 0, target) as written for TRIDENT: 10 / (um per pixel), not rounded to a step; None for CLAM.
    """

    tiles: int
    size_px: int
    rounding_px: float
    magnifications: tuple[float, float] | None


def write_coordinates(path: Path, coordinates: TileCoordinates, format: Format = "trident", *, overwrite: bool = False) -> Written:
    """Writes the tiles of a slide for another program; the file appears whole or not at all.

    ``trident`` takes ``tile_px`` and ``spacing_um``: ``target_magnification`` is 10 / spacing_um, and ``level0_magnification`` is
    what makes TRIDENT read exactly the boxes (target * side / tile_px, that is 10 / um per level-0 pixel). TRIDENT itself would
    put the slide's step there (5, 10, 20, 40, 60, 80: 0.23 and 0.29 um/px both are 40), with which it reads other areas. Steps
    are written only where the scale is exactly one.

    ``clam`` is written at level 0 with the boxes' side as ``patch_size``, whatever pyramid the slide has: CLAM reads pixels of a
    level as they are and shrinks them in its transform. At other levels TRIDENT and CLAM disagree on what ``patch_size`` means.

    Args:
        path: File to write; its folder exists.
        coordinates: Square boxes of one size.
        format: ``"trident"`` or ``"clam"``.
        overwrite: Replace a file that lies there.

    Returns:
        What was written, with the rounding.

    Raises:
        UsageError: The format cannot say it: boxes that are not square or differ in size, no tiles, a missing scale; the file
            exists; or the format is unknown.
    """
    return _write(Path(path), coordinates, format, None, None, overwrite)


def write_features_h5(
    path: Path,
    features: Features,
    coordinates: TileCoordinates,
    format: Format = "trident",
    *,
    encoder: str | None = None,
    overwrite: bool = False,
) -> Written:
    """Writes features and the tiles that they belong to: ``features`` (N, D) float32 and ``coords``, row by row the same tiles.

    Args:
        path: File to write; its folder exists.
        features: (N, D) float32, finite.
        coordinates: N square boxes of one size; see ``write_coordinates`` for how they are written.
        format: ``"trident"`` or ``"clam"``.
        encoder: Name of the model, kept as TRIDENT keeps it (attribute ``encoder`` of ``features``).
        overwrite: Replace a file that lies there.

    Returns:
        What was written, with the rounding.

    Raises:
        UsageError: As for ``write_coordinates``; or features and boxes differ in number, or are not finite.
    """
    if features.ndim != 2 or len(features) != len(coordinates) or not np.isfinite(features).all():
        found = f"There are {len(coordinates)} tiles; the features have the shape {features.shape} or numbers that are not finite."
        raise UsageError("Features were to be written.", found, "Give one row of finite numbers a tile.")
    return _write(Path(path), coordinates, format, np.asarray(features, dtype=np.float32), encoder, overwrite)


def _write(
    path: Path, coordinates: TileCoordinates, format: Format, features: Features | None, encoder: str | None, overwrite: bool
) -> Written:
    if format not in {"trident", "clam"}:
        raise unknown_name("format of coordinates", format, ("trident", "clam"))
    if path.exists() and not overwrite:
        raise UsageError(f"{path.name} was to be written.", "There is a file of that name.", "Choose another, or overwrite it.")
    corners, size, rounding = _whole_pixels(coordinates)
    if format == "trident":
        attributes, magnifications = _trident_attributes(coordinates, size)
    else:
        attributes, magnifications = _clam_attributes(coordinates, size), None
    attributes["name"] = coordinates.slide
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py_module().File(draft, "w") as file:
            _put(file, "coords", corners, attributes)
            if features is not None:
                _put(file, "features", features, {"name": coordinates.slide, **({"encoder": encoder} if encoder else {})})
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Written(len(corners), size, rounding, magnifications)


def _put(file: Any, name: str, values: npt.NDArray[Any], attributes: dict[str, Any]) -> None:
    # Growable, as both programs write it (they append to what they find), in pieces of about 1 MiB.
    rows = max(1, min(len(values), _CHUNK_BYTES // max(1, values[:1].nbytes)))
    shape = (None, values.shape[1])
    dataset = file.create_dataset(name, data=values, maxshape=shape, chunks=(rows, values.shape[1]))
    for key, value in attributes.items():
        dataset.attrs[key] = value


def _whole_pixels(coordinates: TileCoordinates) -> tuple[npt.NDArray[np.int64], int, float]:
    """Returns (N, 2) corners and the one side in whole pixels, and how far they were moved.

    Raises:
        UsageError: There is no tile, or the boxes have no one side.
    """
    boxes = np.asarray(coordinates.boxes, dtype=np.float64)
    asked = "The tiles of a slide were to be written for TRIDENT or CLAM."
    if boxes.ndim != 2 or boxes.shape[1:] != (4,) or not len(boxes) or not np.isfinite(boxes).all() or boxes[:, 2:].min() <= 0:
        found = "There is no tile, or boxes have no positive, finite size."
        raise UsageError(asked, found, "Give (N, 4) boxes: x, y, width, height in level-0 pixels.")
    size = round(float(boxes[:, 2:].mean()))
    off = float(np.abs(boxes[:, 2:] - size).max())
    if off > SIZE_TOLERANCE_PX or size < 1:
        low, high = boxes[:, 2:].min(axis=0), boxes[:, 2:].max(axis=0)
        raise UsageError(
            asked,
            f"Widths are {low[0]:g} to {high[0]:g} and heights {low[1]:g} to {high[1]:g} pixels; "
            f"one square side for all would be up to {off:g} pixels off.",
            "These formats hold square tiles of one size a file: write each size apart, or export --format qupath.",
        )
    corners = np.rint(boxes[:, :2])
    return corners.astype(np.int64), size, max(off, float(np.abs(boxes[:, :2] - corners).max()))


def _trident_attributes(coordinates: TileCoordinates, size: int) -> tuple[dict[str, Any], tuple[float, float]]:
    if coordinates.tile_px is None or coordinates.spacing_um is None:
        missing = " and ".join(name for name in ("tile_px", "spacing_um") if getattr(coordinates, name) is None)
        raise UsageError(
            "The tiles of a slide were to be written for TRIDENT.",
            f"Its files state a magnification, and {missing} of these tiles is not known.",
            "Give it; or write for CLAM (format clam), which states level-0 pixels only.",
        )
    target = POWER_TIMES_UM / coordinates.spacing_um
    # From the whole side, not from the slide's scale: round(patch_size * level0 / target) in TRIDENT then gives the side.
    source = target * size / coordinates.tile_px
    attributes: dict[str, Any] = {
        "patch_size": coordinates.tile_px,
        "patch_size_level0": size,
        "level0_magnification": _plain(source),
        "target_magnification": _plain(target),
        SPACING_ATTRIBUTE: float(coordinates.spacing_um),
    }
    if coordinates.overlap_px is not None:
        attributes["overlap"] = _plain(coordinates.overlap_px)
    return attributes, (source, target)


def _clam_attributes(coordinates: TileCoordinates, size: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {"patch_size": size, "patch_level": 0, "downsample": (1.0, 1.0)}
    if coordinates.spacing_um is not None and coordinates.tile_px is not None:
        # What CLAM reads has the pixels of level 0, hence their spacing and not that of our tile.
        attributes[SPACING_ATTRIBUTE] = coordinates.spacing_um * coordinates.tile_px / size
    return attributes


def _plain(value: float) -> int | float:
    """A whole number as int, the type that TRIDENT writes; others as they are."""
    return round(value) if abs(value - round(value)) < 1e-9 * max(1.0, abs(value)) else value
