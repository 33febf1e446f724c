"""A picture for people: the slide, its tissue, what was left out and why, and where tiles lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.slides import RGB
from domainclip.domains.pathology.tissue import TissueMask

LONGEST_PX = 1600
LEAST_PX = 480
OUTLINE, TILES = (0, 120, 0), (40, 40, 40)
TINTS = {"pen": (255, 200, 0), "fold": (220, 0, 0), "blurred": (0, 90, 255)}
_STRENGTH = 0.5
_LINE_PX, _MARGIN_PX = 22, 8


def draw_overview(mask: TissueMask, boxes: Sequence[tuple[float, float, float, float]], note: str = "") -> RGB:
    """Draws the thumbnail with the mask and the tiles over it, a legend and a scale bar below.

    Tissue is outlined in green; pen, folds and tissue out of focus are tinted; tiles have thin grey borders.

    Args:
        mask: From ``tissue_mask``.
        boxes: (x, y, width, height) in level-0 pixels.
        note: A line for the foot, e.g. ``"synthetic"``.

    Returns:
        (H, W, 3) uint8, at most 1600 px on the long side of the slide; the foot comes on top of that.
    """
    import cv2

    rows, columns = mask.tissue.shape
    # Pixels of the picture for one point of the grid; small slides are drawn larger, in whole steps.
    scale = LONGEST_PX / max(rows, columns)
    scale = min(scale, max(1.0, math.ceil(LEAST_PX / max(rows, columns))))
    width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(mask.thumbnail, (width, height), interpolation=how)
    for name, tint in TINTS.items():
        share = _scaled(getattr(mask, name), width, height)[..., None].astype(np.float32) / 255 * _STRENGTH
        picture = (picture * (1 - share) + np.array(tint, np.float32) * share).astype(np.uint8)
    picture = np.ascontiguousarray(picture)
    for x, y, wide, high in boxes:
        corners = [(x, y), (x + wide, y + high)]
        first, last = ((round(a / mask.step[0] * scale), round(b / mask.step[1] * scale)) for a, b in corners)
        cv2.rectangle(picture, first, (last[0] - 1, last[1] - 1), TILES, 1)
    outlines, _ = cv2.findContours(
        (_scaled(mask.tissue, width, height) > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, outlines, -1, OUTLINE, 1 if max(width, height) < 1000 else 2)
    um_per_px = mask.step[0] * mask.spacing_um[1] / scale
    foot = _foot(mask, width, um_per_px, note, len(boxes))
    return np.vstack([picture, foot])


def _scaled(mask: npt.NDArray[np.bool_], width: int, height: int) -> npt.NDArray[np.uint8]:
    import cv2

    how = cv2.INTER_AREA if width < mask.shape[1] else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=how), dtype=np.uint8)


def _foot(mask: TissueMask, width: int, um_per_px: float, note: str, tiles: int) -> RGB:
    """Scale bar, legend and note, wrapped to the width."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(13)
    bar_um = _round_length(width * um_per_px / 5)
    entries: list[tuple[str, tuple[int, int, int] | None]] = [("tissue", OUTLINE)]
    entries += [(name if name in mask.judged else f"{name}: not judged", tint) for name, tint in TINTS.items()]
    entries += [(f"{tiles} tile{'' if tiles == 1 else 's'}", TILES)] if tiles else []
    entries += [(note, None)] if note else []
    placed = []
    x, y = _MARGIN_PX + round(bar_um / um_per_px) + 12, 0
    bar_text = f"{bar_um:g} um" if bar_um < 1000 else f"{bar_um / 1000:g} mm"
    x += math.ceil(font.getlength(bar_text)) + 18
    for text, colour in entries:
        wide = math.ceil(font.getlength(text)) + (18 if colour else 0)
        if x + wide > width and x > _MARGIN_PX:
            x, y = _MARGIN_PX, y + _LINE_PX
        placed.append((x, y, text, colour))
        x += wide + 16
    foot = Image.new("RGB", (width, y + _LINE_PX + 8), (255, 255, 255))
    draw = ImageDraw.Draw(foot)
    draw.rectangle((_MARGIN_PX, 12, _MARGIN_PX + round(bar_um / um_per_px) - 1, 15), (0, 0, 0))
    draw.text((_MARGIN_PX + round(bar_um / um_per_px) + 6, 5), bar_text, (0, 0, 0), font=font)
    for x, y, text, colour in placed:
        if colour:
            draw.rectangle((x, y + 8, x + 11, y + 19), None if colour == TILES else colour, colour)
        draw.text((x + (18 if colour else 0), y + 5), text, (0, 0, 0), font=font)
    return np.array(foot)


def _round_length(um: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is no longer."""
    power = 10.0 ** math.floor(math.log10(um))
    return max(power * digit for digit in (1, 2, 5) if power * digit <= um * (1 + 1e-9))
