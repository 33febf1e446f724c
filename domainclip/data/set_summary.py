"""What a prepared set holds, counted: classes, languages, scales and sizes by split; as a table and as a picture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.data.duplicates.sheet import SPLIT_COLOURS, picture_of, write_picture
from domainclip.data.pictures import contact_sheet
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.splits import SPLITS
from domainclip.evenly import evenly_spread

_MOST_VALUES, _MOST_BARS, _SHOWN = 40, 16, 36
_LINE, _LEFT, _BAR, _WIDTH = 18, 230, 560, 1220


def summarise(prepared: PreparedSet) -> dict[str, Any]:
    """Counts what a set holds.

    Returns:
        ``name``, ``synthetic``, ``licence``, ``forbids``; ``splits``: images and groups of each; ``labels``: label to value to
        images of each split (of labels with more than 40 values, how many values); ``captions``: languages and origins with
        their counts, captions an image; ``spacing``: unit to the smallest, median and largest pixel (``unknown``: images);
        ``sizes``: widths, heights and depths likewise; ``channels``, ``sources`` and ``rejected``.
    """
    rows, captions, card = prepared.index, prepared.captions, prepared.card
    parts = [split for split in SPLITS if (rows["split"] == split).any()]
    splits = {
        split: {"images": int((rows["split"] == split).sum()), "groups": int(rows.loc[rows["split"] == split, "group"].nunique())}
        for split in parts
    }
    each = captions["key"].value_counts().reindex(rows["key"], fill_value=0).to_numpy()
    return {
        "name": card.get("name", "unnamed"),
        "domain": prepared.domain,
        "synthetic": prepared.synthetic,
        "licence": card.get("licence"),
        "forbids": list(card.get("forbids") or ()),
        "split_source": card.get("split_source"),
        "splits": splits,
        "labels": _labels(prepared, parts),
        "captions": {
            "languages": _counted(captions["language"]),
            "origins": _counted(captions["origin"]),
            "distinct": int(captions["text"].nunique()),
            "an_image": {"fewest": int(each.min()), "mean": round(float(each.mean()), 2), "most": int(each.max())},
        },
        "spacing": _spacing(rows["spacing"]),
        "sizes": {name: _range(rows[name].to_numpy()) for name in ("width", "height", "depth")},
        "channels": {", ".join(names): count for names, count in Counter(map(tuple, rows["channels"])).most_common()},
        "sources": _counted(rows["source"]) if "source" in rows else {},
        "rejected": int(card.get("counts", {}).get("rejected", 0)),
    }


def _labels(prepared: PreparedSet, parts: list[str]) -> dict[str, Any]:
    counts: dict[str, dict[str, Counter[str]]] = {}
    for split, labels in zip(prepared.index["split"], prepared.index["labels"], strict=True):
        for name, value in (labels or {}).items():
            counts.setdefault(name, {}).setdefault(str(value), Counter())[split] += 1
    return {
        name: {"values": len(values)}
        if len(values) > _MOST_VALUES
        else {value: {split: values[value][split] for split in parts} for value in sorted(values)}
        for name, values in sorted(counts.items())
    }


def _counted(column: Any) -> dict[str, int]:
    return {str(name): int(count) for name, count in column.value_counts().items()}


def _range(numbers: npt.NDArray[Any]) -> dict[str, float]:
    return {"smallest": float(numbers.min()), "median": float(np.median(numbers)), "largest": float(numbers.max())}


def _spacing(column: Any) -> dict[str, Any]:
    known: dict[str, list[float]] = {}
    for spacing in column:
        if spacing:
            known.setdefault(spacing["unit"], []).append(float(spacing["values"][-1]))
    told: dict[str, Any] = {unit: _range(np.array(values)) for unit, values in sorted(known.items())}
    unknown = len(column) - sum(map(len, known.values()))
    return told | ({"unknown": unknown} if unknown else {})


def summary_lines(told: dict[str, Any]) -> list[str]:
    """Returns the table that a person reads."""
    parts = list(told["splits"])
    lines = [f"{told['name']} ({told['domain']}{', SYNTHETIC' if told['synthetic'] else ''}); split: {told['split_source']}"]
    lines += [f"  {split:<9} {count['images']:>8} images {count['groups']:>7} groups" for split, count in told["splits"].items()]
    for name, values in told["labels"].items():
        if set(values) == {"values"}:
            lines.append(f"  label {name}: {values['values']} different values")
            continue
        lines.append(f"  label {name}: {', '.join(parts)}")
        lines += [f"    {value:<38} " + " ".join(f"{counts[split]:>8}" for split in parts) for value, counts in values.items()]
    captions = told["captions"]
    each = captions["an_image"]
    lines.append(
        f"  captions: {captions['distinct']} different; an image has {each['fewest']} to {each['most']}, mean {each['mean']}"
    )
    lines += [f"    {kind}: " + ", ".join(f"{name} {n}" for name, n in captions[kind].items()) for kind in ("languages", "origins")]
    for unit, values in told["spacing"].items():
        lines.append(f"  pixel unknown: {values} images" if unit == "unknown" else f"  pixel in {unit}: {_words(values)}")
    lines += [
        f"  {name}: {_words(values)} px" for name, values in told["sizes"].items() if name != "depth" or values["largest"] > 1
    ]
    lines += [f"  channels {names}: {count}" for names, count in list(told["channels"].items())[:5]]
    lines += [f"  source {name}: {count}" for name, count in told["sources"].items()]
    lines.append(f"  rejected: {told['rejected']}")
    if told["forbids"]:
        lines.append(f"  its licence forbids: {', '.join(told['forbids'])}")
    return lines


def _words(values: dict[str, float]) -> str:
    return f"{values['smallest']:g} to {values['largest']:g}, median {values['median']:g}"


def draw_summary(path: Path, prepared: PreparedSet, told: dict[str, Any]) -> None:
    """Writes the summary as a picture: a bar a class, language and scale, coloured by split, above a contact sheet.

    Args:
        path: Ends in .jpg, .jpeg or .png.
        prepared: The set.
        told: Of ``summarise``.

    Raises:
        UsageError: The file cannot be written, or ends in something else.
    """
    write_picture(path, f"A summary was to be drawn into {path}.", summary_picture(prepared, told))


def summary_picture(prepared: PreparedSet, told: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """Returns the picture, (H, W, 3) uint8."""
    from PIL import Image, ImageDraw

    blocks = _blocks(told)
    shown = evenly_spread(len(prepared.index), _SHOWN)
    sheet = contact_sheet([picture_of(prepared.read(number).array, 96) for number in shown], f"{len(shown)} images, evenly spread")
    height = _LINE * (3 + sum(len(bars) + 2 for _, bars in blocks)) + sheet.shape[0] + 8
    picture = Image.new("RGB", (_WIDTH, height), "white")
    draw = ImageDraw.Draw(picture)
    total = sum(count["images"] for count in told["splits"].values())
    draw.text((8, 4), f"{told['name']}: {total} images{'; SYNTHETIC content' if told['synthetic'] else ''}", fill="black")
    x = 8
    for split, count in told["splits"].items():
        draw.rectangle((x, _LINE + 6, x + 10, _LINE + 16), fill=SPLIT_COLOURS[split])
        draw.text((x + 14, _LINE + 4), f"{split}: {count['images']} images, {count['groups']} groups", fill="black")
        x += 260
    top = 3 * _LINE
    for title, bars in blocks:
        draw.text((8, top), title, fill="black")
        top += _LINE
        most = max((sum(counts.values()) for _, counts in bars), default=1) or 1
        for name, counts in bars:
            draw.text((16, top), name[:34], fill="black")
            x = _LEFT
            for split, count in counts.items():
                end = x + round(_BAR * count / most)
                draw.rectangle((x, top + 3, max(x, end - 1), top + _LINE - 4), fill=SPLIT_COLOURS.get(split, (90, 90, 90)))
                x = end
            draw.text((x + 6, top), str(sum(counts.values())), fill="black")
            top += _LINE
        top += _LINE
    picture.paste(Image.fromarray(sheet), (0, top))
    return np.asarray(picture)


def _blocks(told: dict[str, Any]) -> list[tuple[str, list[tuple[str, dict[str, int]]]]]:
    """Titles, and of each the names and counts of its bars."""
    blocks: list[tuple[str, list[tuple[str, dict[str, int]]]]] = []
    for label, values in told["labels"].items():
        if set(values) == {"values"}:
            continue
        ranked = sorted(values.items(), key=lambda pair: -sum(pair[1].values()))
        title = f"label {label}" + (f" (the {_MOST_BARS} most frequent of {len(ranked)})" if len(ranked) > _MOST_BARS else "")
        blocks.append((title, ranked[:_MOST_BARS]))
    for kind in ("languages", "origins"):
        blocks.append((f"captions: {kind}", [(name, {"": n}) for name, n in list(told["captions"][kind].items())[:_MOST_BARS]]))
    if told["sources"]:
        blocks.append(("sources", [(name, {"": n}) for name, n in told["sources"].items()]))
    facts = [
        f"pixel in {unit}: {_words(v)}" if unit != "unknown" else f"pixel unknown: {v} images"
        for unit, v in told["spacing"].items()
    ]
    facts += [f"{name}: {_words(values)} px" for name, values in told["sizes"].items() if name != "depth"]
    blocks.append(("scale and size: " + "; ".join(facts), []))
    return blocks
