"""A picture of groups of duplicates, to be looked at: a row a group, its images as they are, framed by their splits."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.data.duplicates.polar import grey, middle_square
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.shards import write_bytes
from domainclip.errors import UsageError

_CELL, _GAP, _TITLE, _FRAME = 112, 4, 22, 4
_MOST_IN_ROW = 8
SPLIT_COLOURS = {"train": (31, 119, 180), "val": (255, 160, 0), "held_out": (214, 39, 40)}
_OTHER = (120, 120, 120)
_KINDS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def group_sheet(
    groups: Sequence[Sequence[int]],
    read: Callable[[int], npt.NDArray[Any]],
    splits: Sequence[str],
    *,
    rows: int = 24,
    columns: int = 2,
    synthetic: bool = False,
) -> npt.NDArray[np.uint8]:
    """Draws groups of duplicates.

    Args:
        groups: Numbers of images; those in several splits are drawn first, then the largest, eight images of each at most, which
            the title says.
        read: Number to (C, Y, X).
        splits: Of each image; blue train, orange val, red held_out.
        rows: Groups below each other.
        columns: Groups beside each other.
        synthetic: The content is generated, which the title says.

    Returns:
        (Y, X, 3) uint8.
    """
    from PIL import Image, ImageDraw

    torn = {tuple(group) for group in groups if len({splits[image] for image in group}) > 1}
    shown = sorted(groups, key=lambda group: (tuple(group) not in torn, -len(group), tuple(group)))[: rows * columns]
    widest = min(max((len(group) for group in shown), default=1), _MOST_IN_ROW)
    across, down = widest * (_CELL + _GAP) + 3 * _GAP, _CELL + _GAP
    height = max(1, -(-len(shown) // columns))
    sheet = Image.new("RGB", (columns * across + _GAP, height * down + _TITLE + _GAP), "white")
    cut = sum(len(group) > _MOST_IN_ROW for group in shown)
    title = f"{len(shown)} of {len(groups)} groups of duplicates, {len(torn)} in several splits; "
    title += "frames: blue train, orange val, red held_out"
    title += f"; of {cut} groups the first {_MOST_IN_ROW}" if cut else ""
    ImageDraw.Draw(sheet).text((_GAP, _GAP), title + ("; SYNTHETIC" if synthetic else ""), fill="black")
    for number, group in enumerate(shown):
        left, top = (number % columns) * across + _GAP, (number // columns) * down + _TITLE
        for place, image in enumerate(group[:_MOST_IN_ROW]):
            picture = picture_of(read(image), _CELL - 2 * _FRAME)
            framed = Image.new("RGB", (_CELL, _CELL), SPLIT_COLOURS.get(splits[image], _OTHER))
            framed.paste(Image.fromarray(picture), (_FRAME, _FRAME))
            sheet.paste(framed, (left + place * (_CELL + _GAP), top))
    return np.asarray(sheet)


def draw_sheet(path: Path, prepared: PreparedSet, groups: Sequence[Sequence[int]]) -> None:
    """Writes the picture of groups of a set's images: those that its splits tear apart first.

    Args:
        path: Ends in .jpg, .jpeg or .png.
        prepared: The set.
        groups: Positions in its index.

    Raises:
        UsageError: The file cannot be written, or ends in something else.
    """
    splits = list(prepared.index["split"])
    drawn = group_sheet(groups, lambda number: prepared.read(number).array, splits, synthetic=prepared.synthetic)
    write_picture(path, f"A sheet of duplicates was to be drawn into {path}.", drawn)


def write_picture(path: Path, asked: str, drawn: npt.NDArray[np.uint8]) -> None:
    """Writes (Y, X, 3) uint8 as JPEG or PNG, which the name's ending says.

    Raises:
        UsageError: The file cannot be written, or ends in something else.
    """
    from PIL import Image

    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(asked, f"Its name ends in {path.suffix or 'nothing'}.", f"End it in {', '.join(_KINDS)}.")
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, kind, quality=92)
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        raise UsageError(
            asked, f"Writing failed ({error.strerror}).", "Choose a folder that is there and can be written."
        ) from error


def picture_of(array: npt.NDArray[Any], side: int) -> npt.NDArray[np.uint8]:
    """Returns (side, side, 3) uint8, the middle square of an image: 8-bit colour as it is, all else as the grey compared."""
    colour = array.shape[0] == 3 and array.dtype == np.uint8
    planes = [plane.astype(np.float32) for plane in array] if colour else [grey(array)] * 3
    stacked = np.stack([middle_square(plane, side) for plane in planes], axis=2)
    return np.clip(np.rint(stacked), 0, 255).astype(np.uint8)
