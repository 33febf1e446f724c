"""Colours of classes, and the legend of a map as JSON, as a picture and as GDAL's category names."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from domainclip.domains.palette import PALETTE, Color

MOST_CLASSES = 65535
_GOLDEN = 0.618033988749895
_ROW_PX, _SWATCH_PX, _GAP_PX, _FONT_PX = 26, 18, 8, 15
_MOST_ROWS = 256


def class_colors(count: int) -> list[Color]:
    """Returns a colour for each class: the palette of the colour-blind first, then hues that lie far from the last ones."""
    more = []
    for number in range(max(0, count - len(PALETTE))):
        hue, value = (number * _GOLDEN) % 1.0, 0.95 if number % 2 else 0.65
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, value)
        more.append((round(255 * red), round(255 * green), round(255 * blue)))
    return [*PALETTE, *more][:count]


def write_legend(folder: Path, classes: Mapping[str, Sequence[str]], facts: Mapping[str, Any]) -> None:
    """Writes ``legend.json`` and ``legend.png``: what the values of ``classes`` and the bands of ``scores`` mean.

    Args:
        folder: Where to.
        classes: Name to the words that stood for it, in the order of the values 1, 2, ...
        facts: What else the legend says: model, prompts, synthetic.
    """
    colors = class_colors(len(classes))
    rows = [
        {"value": value, "class": name, "words": list(words), "color": list(color)}
        for value, ((name, words), color) in enumerate(zip(classes.items(), colors, strict=True), start=1)
    ]
    document = {**facts, "nodata": 0, "classes": rows}
    (folder / "legend.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    note = "synthetic model" if facts.get("synthetic") else ""
    _draw(list(classes), colors, note).save(folder / "legend.png")


def category_names(names: Sequence[str]) -> str:
    """Returns GDAL's sidecar (``<file>.aux.xml``) that names the values 0, 1, 2, ... of the first band."""
    rows = "".join(f"      <Category>{escape(name)}</Category>\n" for name in ("no data", *names))
    band = f'  <PAMRasterBand band="1">\n    <CategoryNames>\n{rows}    </CategoryNames>\n  </PAMRasterBand>\n'
    return f"<PAMDataset>\n{band}</PAMDataset>\n"


def _draw(names: Sequence[str], colors: Sequence[Color], note: str) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_FONT_PX)
    missing = bytes(font.getmask("\uffff"))

    def drawable(text: str) -> bool:
        return all(character.isspace() or bytes(font.getmask(character)) != missing for character in text)

    # The font that is always there has no Chinese or Arabic: the number stands for such a name.
    texts = [
        f"{value}  {name if drawable(name) else '(see legend.json)'}" for value, name in enumerate(names[:_MOST_ROWS], start=1)
    ]
    if len(names) > _MOST_ROWS:
        texts.append(f"... {len(names) - _MOST_ROWS} more in legend.json")
    if note:
        texts.append(note)
    width = max(int(font.getlength(text)) for text in texts) + _SWATCH_PX + 3 * _GAP_PX
    image = Image.new("RGB", (width, _ROW_PX * len(texts) + 2 * _GAP_PX), "white")
    draw = ImageDraw.Draw(image)
    for number, text in enumerate(texts):
        top = _GAP_PX + number * _ROW_PX
        if number < min(len(names), _MOST_ROWS):
            box = (_GAP_PX, top + 3, _GAP_PX + _SWATCH_PX, top + 3 + _SWATCH_PX)
            draw.rectangle(box, fill=tuple(colors[number]), outline="black")
        draw.text((2 * _GAP_PX + _SWATCH_PX, top + 3), text, fill="black", font=font)
    return image
