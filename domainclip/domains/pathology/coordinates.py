"""Tile coordinates of other programs: TRIDENT's, CLAM's and AtlasPatch's HDF5 files, read.

Layouts, as their sources state them (facts only; no code of theirs is here):

- TRIDENT (``trident/IO.py``: ``coords_to_h5``, ``read_coords``): ``coords`` (N, 2) int64, upper-left corners in level-0 pixels;
  attributes of ``coords``: ``patch_size`` (pixels at the target magnification), ``patch_size_level0``, ``level0_magnification``,
  ``target_magnification``, ``overlap`` (pixels at the target), ``name``. Feature files copy them.
- CLAM (``wsi_core/WholeSlideImage.py``: ``process_contour``; ``dataset_modules/dataset_h5.py``): ``coords`` (N, 2), corners in
  level-0 pixels; attributes ``patch_size`` (pixels at ``patch_level``), ``patch_level``, mostly ``downsample`` (of that level),
  ``name``; some forks ``custom_downsample`` (what was read is shrunk by it). Its feature files carry no attributes at all.
- AtlasPatch (``atlas_patch/services/storage.py``): ``coords`` (N, 5) int32: x, y in level-0 pixels, read width and height at the
  level, level; attributes of the file, named as TRIDENT's, and ``wsi_path``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.hdf5 import Attributes, member, opened, refusal, table
from domainclip.errors import UsageError

Origin = Literal["trident", "clam", "atlaspatch", "domainclip"]
Boxes = npt.NDArray[np.float64]
SPACING_ATTRIBUTE = "spacing_um"
"""Our own attribute of ``coords``: um per pixel of a tile as it is read. TRIDENT's magnifications are rounded to steps and do not
tell it (0.23 and 0.29 um/px both are 40x there); other readers pass over attributes that they do not know."""
FARTHEST_PX = 2.0**31
"""No slide is wider, and 32-bit readers cannot go farther."""
SIZE_TOLERANCE_PX = 1.0
"""Two statements on one tile's side may differ by this much, which rounding up and down explains."""


@dataclass(frozen=True, slots=True, eq=False)
class TileCoordinates:
    """Where the tiles of one slide lie.

    Attributes:
        boxes: (N, 4) float64: x, y, width, height in level-0 pixels; widths and heights are positive.
        slide: Name of the slide without folder and suffix.
        origin: The program whose layout it came in; ``"domainclip"`` for tiles of our own.
        tile_px: Side of a tile as its model sees it, in pixels, where said.
        spacing_um: um per pixel of that tile, where said (TRIDENT and CLAM never do).
        overlap_px: Pixels of a tile, at ``tile_px``, that it shares with the next, where said.
    """

    boxes: Boxes
    slide: str
    origin: Origin
    tile_px: int | None = None
    spacing_um: float | None = None
    overlap_px: float | None = None

    def __len__(self) -> int:
        return len(self.boxes)


def read_coordinates(path: Path, downsamples: Sequence[float] | None = None) -> TileCoordinates:
    """Reads the tiles of a slide; which program wrote the file is told from its content.

    Args:
        path: An HDF5 file with ``coords``: TRIDENT's ``<slide>_patches.h5``, CLAM's ``patches/<slide>.h5``, AtlasPatch's, or a
            feature file that carries the attributes too.
        downsamples: Of the slide's levels, the finest (1.0) first, as OpenSlide says them. Needed only where the file tells tile
            sizes in pixels of a coarser level and not what that level is.

    Returns:
        The tiles in the order of the file; there may be none.

    Raises:
        UnreadableFileError: It is no such file, is broken or hostile, contradicts itself, or ``downsamples`` is needed.
        MissingDependencyError: h5py is not installed.
    """
    with opened(Path(path)) as file:
        return coordinates_of(file, Path(path), downsamples)


def coordinates_of(file: Any, path: Path, downsamples: Sequence[float] | None = None) -> TileCoordinates:
    """Does the work of ``read_coordinates`` on an open file."""
    dataset = member(file, "coords")
    rows = table(dataset, "coords", (2, 5))
    said = Attributes(dataset, file)
    slide = _slide_name(said, path)
    corners = rows[:, :2].astype(np.float64)
    if len(corners) and np.abs(corners).max() >= FARTHEST_PX:
        raise refusal("coords lie farther out than any slide reaches.", "Check that they are pixels of level 0.")
    origin, size = _origin_and_size(rows, said, downsamples)
    boxes = np.concatenate([corners, np.broadcast_to(size, corners.shape)], axis=1)
    tile_px = _whole(said, "patch_size")
    shrunk = said.number("custom_downsample") if origin == "clam" else None
    if tile_px is not None and shrunk is not None:
        tile_px = int(tile_px // _positive(shrunk, "custom_downsample"))
    spacing, overlap = said.number(SPACING_ATTRIBUTE), said.number("overlap")
    if spacing is not None:
        _positive(spacing, SPACING_ATTRIBUTE)
    if overlap is not None and overlap < 0:
        raise refusal("The attribute overlap is negative.", "Make the file anew.")
    return TileCoordinates(boxes, slide, origin, tile_px, spacing, overlap)


def coordinates_for(folder: Path, slide_stem: str) -> Path | None:
    """Finds the file of a slide in a folder of coordinates.

    Looks for ``<stem>.h5`` (CLAM, AtlasPatch, features) and ``<stem>_patches.h5`` (TRIDENT), in the folder and in its subfolder
    ``patches``, where TRIDENT and CLAM put them. Of ``a.ome`` (the stem of a.ome.tif), ``a`` is tried too, as TRIDENT names it.

    Args:
        folder: The folder.
        slide_stem: The slide's file name without its suffix.

    Returns:
        The file, or None where the folder has none.

    Raises:
        UsageError: There is no such folder, the stem is none, or there are two files for the slide.
    """
    folder = Path(folder)
    asked = "The coordinates of a slide were to be found."
    if not folder.is_dir():
        raise UsageError(asked, "There is no such folder.", "Check the path of the folder of coordinates.")
    if not slide_stem or PurePath(slide_stem).name != slide_stem or "\\" in slide_stem or "\0" in slide_stem:
        raise UsageError(asked, "The slide's name is empty or has parts of a path.", "Give the file name without its suffix.")
    for stem in dict.fromkeys((slide_stem, slide_stem.removesuffix(".ome"))):
        names = [f"{stem}.h5", f"{stem}_patches.h5"]
        there = [path for place in (folder, folder / "patches") for name in names if (path := place / name).is_file()]
        if len(there) > 1:
            found = f"There are {len(there)}: {', '.join(path.relative_to(folder).as_posix() for path in there)}."
            raise UsageError(asked, found, "Keep one file a slide, or name the subfolder.")
        if there:
            return there[0]
    return None


def _origin_and_size(
    rows: npt.NDArray[Any], said: Attributes, downsamples: Sequence[float] | None
) -> tuple[Origin, npt.NDArray[np.float64]]:
    """Returns the layout and the level-0 (width, height) of tiles: (2,) or (N, 2)."""
    if rows.shape[1] == 5:
        return "atlaspatch", _atlaspatch_size(rows, said, downsamples)
    if "patch_size_level0" in said or ("level0_magnification" in said and "target_magnification" in said):
        return "trident", np.full(2, _trident_size(said))
    if "patch_level" in said and "patch_size" in said:
        return "clam", _clam_size(said, downsamples)
    raise refusal(
        "coords has two columns and no attributes that tell the size of a tile (CLAM's feature files are such).",
        "Give the file that the tiles were cut by: patches/<slide>.h5 of CLAM, <slide>_patches.h5 of TRIDENT.",
    )


def _trident_size(said: Attributes) -> float:
    """What is stated at level 0, checked against what TRIDENT's reader computes from the magnifications."""
    stated = said.number("patch_size_level0")
    patch, source, target = (said.number(name) for name in ("patch_size", "level0_magnification", "target_magnification"))
    computed = None
    if patch is not None and source is not None and target is not None:
        for name, value in (("patch_size", patch), ("level0_magnification", source), ("target_magnification", target)):
            _positive(value, name)
        computed = float(round(patch * source / target))
    if stated is None and computed is None:
        raise refusal("The attribute patch_size_level0 is no number.", "Make the file anew with the program that wrote it.")
    if stated is not None and computed is not None and abs(stated - computed) > SIZE_TOLERANCE_PX:
        found = f"patch_size_level0 is {stated:g}, but patch_size and the magnifications give {computed:g}."
        raise refusal(found, "The file contradicts itself; make it anew.")
    return _positive(stated if stated is not None else computed, "patch_size_level0")


def _clam_size(said: Attributes, downsamples: Sequence[float] | None) -> npt.NDArray[np.float64]:
    level, patch = _level(said.number("patch_level")), _positive(said.number("patch_size"), "patch_size")
    stated = said.numbers("downsample")
    if stated is not None and (len(stated) > 2 or not all(1 <= value < FARTHEST_PX for value in stated)):
        raise refusal("The attribute downsample is no downsample of a level.", "Make the file anew.")
    factors = np.array([*stated, *stated][:2] if stated else _given(level, downsamples))
    if stated and level == 0 and not np.allclose(factors, 1.0):
        raise refusal(f"patch_level is 0, but downsample is {factors.max():g}.", "The file contradicts itself; make it anew.")
    if stated and downsamples is not None and not np.allclose(factors, _given(level, downsamples), rtol=0.01):
        found = f"Its downsample of level {level} is {factors.max():g}, the slide's is {_given(level, downsamples):g}."
        raise refusal(found, "The coordinates are of another slide or another copy of it.")
    size: npt.NDArray[np.float64] = patch * factors
    return size


def _atlaspatch_size(rows: npt.NDArray[Any], said: Attributes, downsamples: Sequence[float] | None) -> npt.NDArray[np.float64]:
    """The stated size at level 0; where there is none, what each row reads times its level's downsample."""
    read, levels = rows[:, 2:4].astype(np.float64), rows[:, 4]
    if len(rows) and (read.min() <= 0 or levels.min() < 0 or not np.array_equal(levels, np.floor(levels))):
        raise refusal("coords has rows whose size is not positive or whose level is none.", "Make the file anew.")
    stated = said.number("patch_size_level0")
    known = stated is None or downsamples is not None
    factors = {int(level): _given(int(level), downsamples) for level in np.unique(levels) if known or level == 0}
    for level, factor in factors.items():
        off = np.abs(read[levels == level] * factor - (stated or 0.0)).max()
        # What is read is rounded to a pixel of its level.
        if stated is not None and off > SIZE_TOLERANCE_PX + factor / 2:
            found = f"patch_size_level0 is {stated:g}, but rows of level {level} differ from it by {off:g} pixels."
            raise refusal(found, "The file contradicts itself; make it anew.")
    if stated is not None:
        return np.full(2, _positive(stated, "patch_size_level0"))
    scale = np.array([factors[int(level)] for level in levels], dtype=np.float64).reshape(-1, 1)
    return read * scale


def _given(level: int, downsamples: Sequence[float] | None) -> float:
    if level == 0:
        return 1.0
    if downsamples is None:
        raise refusal(
            f"Its tiles are sized in pixels of level {level}, and it does not say how much coarser that is than level 0.",
            "domainclip prepare with reading.coordinates takes it from the slide; read_coordinates takes it as downsamples=[1, 4].",
        )
    if level >= len(downsamples):
        raise refusal(f"Its tiles are of level {level}; the slide has {len(downsamples)} levels.", "Check that it is this slide's.")
    return float(downsamples[level])


def _level(value: float | None) -> int:
    if value is None or not 0 <= value < 64 or value != math.floor(value):
        raise refusal("The attribute patch_level is no level.", "Make the file anew with the program that wrote it.")
    return int(value)


def _positive(value: float | None, name: str) -> float:
    if value is None or not 0 < value < FARTHEST_PX:
        raise refusal(f"The attribute {name} is not positive, or beyond any slide.", "Make the file anew.")
    return value


def _whole(said: Attributes, name: str) -> int | None:
    value = said.number(name)
    return None if value is None else round(_positive(value, name))


def _slide_name(said: Attributes, path: Path) -> str:
    """The slide's name as the file says it, else as the file is called."""
    name = said.text("name")
    if name is None and (slide := said.text("wsi_path")):
        name = PurePath(slide.replace("\\", "/")).stem
    if name and len(name) < 256 and name.isprintable() and not set(name) & set("/\\"):
        return name
    return path.stem.removesuffix("_patches")
