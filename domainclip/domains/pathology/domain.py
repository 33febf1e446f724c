"""The domain object: recognises, inspects and cuts pathology files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from domainclip.domains.base import Inspection, load_facts
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.region import SlideView
from domainclip.domains.pathology.scale import REMEDY, chosen_spacing, scale_needed
from domainclip.domains.pathology.slides import (
    COLOURS,
    JPEG_MAGIC,
    PNG_MAGIC,
    TIFF_MAGIC,
    Slide,
    SlideFacts,
    first_bytes,
    open_slide,
    unreadable,
)
from domainclip.domains.pathology.tiles import TileReader, plan_tiles
from domainclip.sample import Sample, SourceItem, Spacing, Values, Window

SUFFIXES = frozenset(
    (".svs", ".tif", ".tiff", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif", ".czi", ".png", ".jpg", ".jpeg")
)
VALUES = Values("srgb", scale=1 / 255)
_WHOLE_LOOK = 16_000_000
_PART_LOOK = 2048
_NAME_CHANNELS = 'Name them: --set reading.channels=\'["DAPI", "CD8"]\'; models ask for channels by name.'


class PathologyDomain:
    """Whole-slide images and patches; see ``domains.base.Domain``."""

    name = "pathology"
    reading_model: type[BaseModel] = PathologyReading

    def __init__(self) -> None:
        self.facts = load_facts(Path(__file__).with_name("facts.yaml"))

    def recognises(self, path: Path) -> bool:
        """Says yes to TIFF, PNG and JPEG under any name, and to every file with the suffix of a slide or patch.

        The suffix is enough so that a broken slide is refused with a reason and not passed over; hidden files are not ours.
        """
        try:
            if path.name.startswith(".") or not path.is_file():
                return False
        except OSError:
            return False
        start = first_bytes(path)
        return path.suffix.lower() in SUFFIXES or start[:4] in TIFF_MAGIC or start.startswith((PNG_MAGIC, JPEG_MAGIC))

    def inspect(self, path: Path) -> Inspection:
        """Looks at one file: its directory, and up to 16 million pixels of level 0 for the range.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        slide = open_slide(path)
        facts = slide.facts
        spacing = facts.scale.spacing
        sixteen = facts.channels == COLOURS and facts.dtype != "uint8"
        values = "sRGB, 0 to 255" if facts.channels == COLOURS and not sixteen else "numbers of the detector"
        return Inspection(
            format=facts.format,
            width=facts.levels[0][0],
            height=facts.levels[0][1],
            levels=facts.levels,
            channels=facts.channels,
            spacing=None
            if spacing is None
            else {"x": spacing.values[1], "y": spacing.values[0], "unit": spacing.unit, "source": spacing.source},
            dtype=facts.dtype,
            values=values if facts.refusal is None else "not read: see missing",
            range=_range(slide),
            group=path.stem,
            missing=_missing(facts, sixteen),
            details=facts.details,
        )

    def samples(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Cuts a slide into tiles, or yields a small picture of one level whole.

        ``meta["tiles"]`` counts what was kept and left out of the slide (see ``TilePlan.counts``).

        Raises:
            UnreadableFileError: It cannot be read, has no scale though tiles were asked for, or no tile is left.
        """
        assert isinstance(reading, PathologyReading)
        view = SlideView(item.path, reading.scene, reading.white_level)
        slide = view.open()
        channels = _channels(slide.facts, reading)
        spacing = chosen_spacing(item.spacing, reading.spacing_um, slide.facts.scale)
        if _is_whole(slide, reading):
            yield _whole(item, view, channels, spacing)
            return
        if spacing is None:
            raise scale_needed(slide.facts.scale)
        yield from _tiles(item, view, channels, spacing, reading)


def _missing(facts: SlideFacts, sixteen: bool) -> tuple[str, ...]:
    """Says what a user would miss, each with the remedy."""
    missing = [" ".join(facts.refusal)] if facts.refusal else []
    spacing = facts.scale.spacing
    if sixteen and not facts.refusal:
        remedy = "give it: --set reading.white_level=65535 (the range is shown above)."
        missing.append(f"The pixels are {facts.dtype}; which number is white is not in the file: {remedy}")
    if not facts.channels and not facts.refusal:
        missing.append(f"The {facts.samples} channels have no names. {_NAME_CHANNELS}")
    if spacing is None:
        why = f" ({'; '.join(facts.scale.passed_over)})" if facts.scale.passed_over else ""
        missing.append(f"No scale in um per pixel{why}. {REMEDY}")
    elif spacing.source == "objective-power":
        missing.append(f"The scale is 10 / objective power, which may be off by a fifth. {REMEDY}")
    return tuple(missing)


def _channels(facts: SlideFacts, reading: PathologyReading) -> tuple[str, ...]:
    """Returns the names of the channels: the file's, else the owner's.

    Raises:
        UnreadableFileError: Nobody names them, or not as many as there are.
    """
    names = facts.channels or reading.channels or ()
    if not names:
        raise unreadable(f"It has {facts.samples} channels without names; it is no red, green and blue picture.", _NAME_CHANNELS)
    if len(names) != facts.samples:
        raise unreadable(f"{len(names)} channel names were given; the file has {facts.samples} channels.", _NAME_CHANNELS)
    return tuple(names)


def _is_whole(slide: Slide, reading: PathologyReading) -> bool:
    if reading.mode != "auto":
        return reading.mode == "whole"
    levels = slide.facts.levels
    return len(levels) == 1 and max(levels[0][:2]) <= reading.whole_px


def _values(slide: Slide) -> Values:
    return VALUES if slide.facts.channels == COLOURS else Values("dn")


def _whole(item: SourceItem, view: SlideView, channels: tuple[str, ...], spacing: Spacing | None) -> Sample:
    slide = view.open()
    width, height, _ = slide.facts.levels[0]
    return Sample(
        key=item.name,
        axes="CYX",
        channels=channels,
        values=_values(slide),
        reader=TileReader(view, 0, (0.0, 0.0, float(width), float(height)), (width, height)),
        group=item.group or item.name,
        spacing=spacing,
        sensor=slide.facts.vendor,
        captions=item.captions,
        labels=dict(item.labels),
        regions=item.regions,
        ids=dict(item.ids) or {"slide": item.group or item.name},
        split=item.split,
        window=Window(0, 0, width, height),
    )


def _tiles(
    item: SourceItem, view: SlideView, channels: tuple[str, ...], spacing: Spacing, reading: PathologyReading
) -> Iterator[Sample]:
    slide = view.open()
    plan = plan_tiles(view, (spacing.values[0], spacing.values[-1]), reading, item.regions, item.name)
    wanted = reading.tile_um / reading.tile_px
    tile_spacing = Spacing((wanted, wanted), "um", spacing.source)
    values, group = _values(slide), item.group or item.name
    ids = dict(item.ids) or {"slide": group}
    meta = {"tiles": plan.counts}
    for tile in plan.tiles:
        x, y, width, height = (round(value) for value in tile.box)
        yield Sample(
            key=f"{item.name}#{x}_{y}_{width}_{height}",
            axes="CYX",
            channels=channels,
            values=values,
            reader=TileReader(view, plan.level, tile.box, (reading.tile_px, reading.tile_px), reading.max_missing),
            group=group,
            spacing=tile_spacing,
            sensor=slide.facts.vendor,
            captions=item.captions,
            labels={**item.labels, **(tile.region.labels if tile.region else {})},
            regions=(tile.region,) if tile.region else (),
            ids=ids,
            split=item.split,
            window=Window(x, y, width, height, plan.level),
            meta=meta,
        )


def _range(slide: Slide) -> dict[str, float] | None:
    """Smallest and largest stored number of level 0, whole up to 16 million pixels, else of its centre."""
    if slide.facts.refusal is not None:
        return None
    width, height, _ = slide.facts.levels[0]
    whole = width * height <= _WHOLE_LOOK
    wide, high = (width, height) if whole else (min(width, _PART_LOOK), min(height, _PART_LOOK))
    stored, missing = slide.read_masked(0, (width - wide) // 2, (height - high) // 2, wide, high)
    if missing is not None:
        stored = stored[~missing]
        if not stored.size:
            return None
    return {"minimum": float(stored.min()), "maximum": float(stored.max()), "pixels": float(wide * high)}
