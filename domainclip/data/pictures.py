"""Pictures of a prepared set for people: an overview of each source file, and a contact sheet of the whole."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.data.shards import ShardPlan, write_bytes
from domainclip.data.spool import OVERVIEW_QUALITY, overview_path
from domainclip.data.storage import decode_image, encode_jpeg
from domainclip.evenly import evenly_spread
from domainclip.identifiers import keyed_hash
from domainclip.sample import SourceItem

if TYPE_CHECKING:
    from domainclip.data.entries import Gathered
    from domainclip.data.set_writer import SetFacts

OVERVIEWS, CONTACT_SHEET = "overviews", "contact_sheet.jpg"
MOST_SHOWN = 96
_SIDE, _GAP, _COLUMNS, _TITLE, _NARROWEST = 96, 4, 12, 22, 320


def write_pictures(
    output: Path, work: Path, items: Sequence[SourceItem], found: Gathered, plans: Sequence[ShardPlan], facts: SetFacts
) -> None:
    """Moves the overviews into the set, named by keyed hashes, and draws the contact sheet.

    Args:
        output: The set; its shards are written.
        work: Folder of the spools.
        items: The source files.
        found: The images.
        plans: Where the images lie.
        facts: Of the set; ``synthetic`` is said on the sheet.
    """
    for number, item in enumerate(items):
        draft = overview_path(work, number)
        if draft.is_file():
            (output / OVERVIEWS).mkdir(exist_ok=True)
            draft.replace(output / OVERVIEWS / f"{keyed_hash(item.name, facts.key)}.jpg")
    # What numbers of bands look like is for their domain to say; a sheet shows colour and display values.
    shown = [position for position, entry in enumerate(found.entries) if entry.shown]
    if not shown:
        return
    picked = [shown[i] for i in evenly_spread(len(shown), MOST_SHOWN)]
    title = f"{len(picked)} of {len(found.entries)} images, evenly spread"
    if facts.source.card.get("synthetic"):
        title += "; synthetic content"
    pictures = [_picture(output, *place) for place in _places(picked, found, plans)]
    write_bytes(output / CONTACT_SHEET, encode_jpeg(contact_sheet(pictures, title), OVERVIEW_QUALITY))


def _places(picked: list[int], found: Gathered, plans: Sequence[ShardPlan]) -> Iterator[tuple[str, int, int, dict[str, Any]]]:
    """Yields shard, offset, size and index columns of images by their positions."""
    import pyarrow as pa

    firsts = [plan.first for plan in plans]
    for position, row in zip(picked, pa.concat_tables(found.tables).take(picked).to_pylist(), strict=True):
        plan = plans[bisect_right(firsts, position) - 1]
        yield plan.name, plan.offsets[position - plan.first][0], found.entries[position].sizes[0], row


def contact_sheet(pictures: Sequence[npt.NDArray[np.uint8]], title: str) -> npt.NDArray[np.uint8]:
    """Lays pictures out in rows of 12, each shrunk to fit 96 px, below a line of text.

    Args:
        pictures: (H, W, 3) uint8 each.
        title: One line.

    Returns:
        (H, W, 3) uint8.
    """
    from PIL import Image, ImageDraw

    columns = min(_COLUMNS, max(6, len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    side = min(_SIDE, max(max(picture.shape[:2]) for picture in pictures))
    cell = side + _GAP
    sheet = Image.new("RGB", (max(columns * cell + _GAP, _NARROWEST), rows * cell + _GAP + _TITLE), "white")
    ImageDraw.Draw(sheet).text((_GAP, _GAP), title, fill="black")
    for number, picture in enumerate(pictures):
        image = Image.fromarray(picture)
        image.thumbnail((side, side))
        row, column = divmod(number, columns)
        sheet.paste(image, (_GAP + column * cell, _TITLE + _GAP + row * cell))
    return np.array(sheet)


def _picture(folder: Path, shard: str, offset: int, size: int, row: dict[str, Any]) -> npt.NDArray[np.uint8]:
    with (folder / shard).open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    array = decode_image(data, row["storage"], tuple(json.loads(row["shape"])), row["dtype"])
    if array.dtype != np.uint8:
        values = json.loads(row["values"])
        array = np.rint(np.clip(array * values["scale"] + values["offset"], 0, 1) * 255).astype(np.uint8)
    return np.repeat(array[0][..., None], 3, axis=2) if array.shape[0] == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))
