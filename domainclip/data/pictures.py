"""Pictures of a prepared set for people: an overview of each source file, and a contact sheet of the whole."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.data.shards import ShardPlan, write_bytes
from domainclip.data.spool import OVERVIEW_QUALITY, overview_path
from domainclip.data.storage import decode_image, encode_jpeg
from domainclip.identifiers import keyed_hash
from domainclip.sample import SourceItem

if TYPE_CHECKING:
    from domainclip.data.set_writer import SetFacts

OVERVIEWS, CONTACT_SHEET = "overviews", "contact_sheet.jpg"
MOST_SHOWN = 96
_SIDE, _GAP, _COLUMNS, _TITLE = 96, 4, 12, 22


def write_pictures(
    output: Path, work: Path, items: list[SourceItem], records: list[dict[str, Any]], plans: Sequence[ShardPlan], facts: SetFacts
) -> None:
    """Moves the overviews into the set, named by keyed hashes, and draws the contact sheet.

    Args:
        output: The set; its shards are written.
        work: Folder of the spools.
        items: The source files.
        records: Of all images, in the order of the set.
        plans: Where the images lie.
        facts: Of the set; ``synthetic`` is said on the sheet.
    """
    for number, item in enumerate(items):
        draft = overview_path(work, number)
        if draft.is_file():
            (output / OVERVIEWS).mkdir(exist_ok=True)
            draft.replace(output / OVERVIEWS / f"{keyed_hash(item.name, facts.key)}.jpg")
    # What numbers of bands look like is for their domain to say; a sheet shows colour and display values.
    shown = [position for position, record in enumerate(records) if _has_picture(record)]
    if not shown:
        return
    count = min(MOST_SHOWN, len(shown))
    picked = [shown[round((i + 0.5) * len(shown) / count - 0.5)] for i in range(count)]
    title = f"{count} of {len(records)} images, evenly spread"
    if facts.source.card.get("synthetic"):
        title += "; synthetic content"
    firsts = [plan.first for plan in plans]
    pictures = []
    for position in picked:
        plan = plans[bisect_right(firsts, position) - 1]
        pictures.append(_picture(output / plan.name, plan.offsets[position - plan.first][0], records[position]))
    write_bytes(output / CONTACT_SHEET, encode_jpeg(contact_sheet(pictures, title), OVERVIEW_QUALITY))


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
    sheet = Image.new("RGB", (columns * (_SIDE + _GAP) + _GAP, rows * (_SIDE + _GAP) + _GAP + _TITLE), "white")
    ImageDraw.Draw(sheet).text((_GAP, _GAP), title, fill="black")
    for number, picture in enumerate(pictures):
        image = Image.fromarray(picture)
        image.thumbnail((_SIDE, _SIDE))
        row, column = divmod(number, columns)
        sheet.paste(image, (_GAP + column * (_SIDE + _GAP), _TITLE + _GAP + row * (_SIDE + _GAP)))
    return np.array(sheet)


def _has_picture(record: dict[str, Any]) -> bool:
    shape = record["shape"]
    colour = record["values"]["kind"] == "srgb" and record["dtype"] == "uint8" and shape[0] == 3
    display = record["values"]["kind"] == "display" and record["storage"] == "png" and shape[0] == 1
    return bool(record["axes"] == "CYX" and (colour or display))


def _picture(shard: Path, offset: int, record: dict[str, Any]) -> npt.NDArray[np.uint8]:
    with shard.open("rb") as file:
        file.seek(offset)
        data = file.read(record["size"])
    array = decode_image(data, record["storage"], tuple(record["shape"]), record["dtype"])
    if array.dtype != np.uint8:
        values = record["values"]
        array = np.rint(np.clip(array * values["scale"] + values["offset"], 0, 1) * 255).astype(np.uint8)
    return np.repeat(array[0][..., None], 3, axis=2) if array.shape[0] == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))
