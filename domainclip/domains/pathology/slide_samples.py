"""Slides and patches as samples: a grid of tiles, or a small picture whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from domainclip.domains.pathology.markers import look_like_markers
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.region import Box, SlideView
from domainclip.domains.pathology.scale import chosen_spacing, scale_needed
from domainclip.domains.pathology.slides import COLOURS, Slide, SlideFacts, unreadable
from domainclip.domains.pathology.stain import stain_normalizer
from domainclip.domains.pathology.tiles import TilePlan, TileReader, fitted_stain, look_for_tissue, plan_tiles
from domainclip.domains.pathology.tissue import TissueMask
from domainclip.errors import UnreadableFileError
from domainclip.sample import Pixels, Sample, SourceItem, Spacing, Values, Window

NAME_CHANNELS = 'Name them: --set reading.channels=\'["DAPI", "CD8"]\'; models ask for channels by name.'
UNKNOWN_NAMES = (
    "The file gives a channel a name that is not in the list of markers; it is free text, and may name a person.",
    NAME_CHANNELS,
)
"""(found, remedy)"""
NO_ORIGINAL = "The finest level that is there is a resampled one: level 0 is missing, or was never stored."
_COLOUR = Values("srgb", scale=1 / 255)


def cut_slide(item: SourceItem, reading: PathologyReading) -> tuple[Iterator[Sample], TilePlan | None]:
    """Plans what to take of a file.

    Returns:
        The samples, whose pixels are read later; and the plan of its tiles, None for a picture that is taken whole.

    Raises:
        UnreadableFileError: It cannot be read, has no scale though tiles were asked for, or no tile is left.
    """
    view = SlideView(item.path, reading.scene, reading.white_level)
    slide = view.open()
    channels = _channels(slide.facts, reading)
    if item.regions and is_resampled(slide.facts):
        found = f"It has annotations, in pixels of level 0. {NO_ORIGINAL}"
        raise unreadable(found, "Put all files of the slide in one folder.")
    spacing = chosen_spacing(item.spacing, reading.spacing_um, slide.facts.scale)
    if _is_whole(slide, reading):
        return iter((_whole(item, view, channels, spacing, reading),)), None
    if spacing is None:
        raise scale_needed(slide.facts.scale)
    _refuse_stain(channels, reading)
    plan = plan_tiles(view, (spacing.values[0], spacing.values[-1]), reading, item.regions, item.name)
    return _tiles(item, view, channels, spacing, reading, plan), plan


def cut_patches(item: SourceItem, reading: PathologyReading) -> Iterator[Sample]:
    """Yields a sample for each piece of the item, of the pixels of level 0 as they are.

    Raises:
        UnreadableFileError: The file cannot be read, or its level 0 is missing.
    """
    view = SlideView(item.path, reading.scene, reading.white_level)
    slide = view.open()
    if is_resampled(slide.facts):
        raise unreadable(
            f"Its table names windows in pixels of level 0. {NO_ORIGINAL}", "Put all files of the slide in one folder."
        )
    channels, values = _channels(slide.facts, reading), _values(slide)
    wide, high, _ = slide.facts.levels[0]
    for piece in item.pieces:
        window = piece.window
        assert window is not None
        box = (float(window.x), float(window.y), float(window.width), float(window.height))
        inside = window.x + window.width <= wide and window.y + window.height <= high
        reader = TileReader(view, 0, box, (window.width, window.height), reading.max_missing)
        group = piece.group or item.group or item.name
        yield Sample(
            key=piece.name,
            axes="CYX",
            channels=channels,
            values=values,
            reader=reader if inside else _Beyond(f"its window ends beyond the slide, which has {wide} x {high} pixels"),
            group=group,
            spacing=chosen_spacing(piece.spacing, reading.spacing_um, slide.facts.scale),
            sensor=slide.facts.vendor,
            captions=piece.captions,
            labels=dict(piece.labels),
            ids=dict(piece.ids) or {"slide": item.name},
            split=piece.split,
            window=window,
        )


@dataclass(frozen=True, slots=True)
class _Beyond:
    """Reads a window that the slide does not have."""

    found: str

    def __call__(self) -> Pixels:
        raise unreadable(self.found, "Check that the table is of this slide, and of its level 0.")


def is_resampled(facts: SlideFacts) -> bool:
    """Says whether level 0 of a DICOM slide is missing: the finest level that is there was made from a finer one."""
    return facts.details.get("finest_level") == "resampled"


def found_on(item: SourceItem, reading: PathologyReading, error: UnreadableFileError) -> TissueMask:
    """Returns what was found on a slide of which no tile is left.

    Raises:
        UnreadableFileError: ``error``, where the slide cannot be looked at or nothing was looked for.
    """
    try:
        view = SlideView(item.path, reading.scene, reading.white_level)
        slide = view.open()
        spacing = chosen_spacing(item.spacing, reading.spacing_um, slide.facts.scale)
        if spacing is None or _is_whole(slide, reading):
            raise error
        return look_for_tissue(slide, (spacing.values[0], spacing.values[-1]), reading.tissue)
    except UnreadableFileError:
        raise error from None


def _channels(facts: SlideFacts, reading: PathologyReading) -> tuple[str, ...]:
    """Returns the names of the channels: the owner's, else the file's, which are free text that enters the set.

    Raises:
        UnreadableFileError: Nobody names them, or not as many as there are; the file's are no names of markers.
    """
    names = reading.channels if reading.channels and facts.channels != COLOURS else facts.channels
    if names is facts.channels and not look_like_markers(names):
        raise unreadable(*UNKNOWN_NAMES)
    if not names:
        raise unreadable(f"It has {facts.samples} channels without names; it is no red, green and blue picture.", NAME_CHANNELS)
    if len(names) != facts.samples:
        raise unreadable(f"{len(names)} channel names were given; the file has {facts.samples} channels.", NAME_CHANNELS)
    return tuple(names)


def _is_whole(slide: Slide, reading: PathologyReading) -> bool:
    if reading.mode != "auto":
        return reading.mode == "whole"
    levels = slide.facts.levels
    return len(levels) == 1 and max(levels[0][:2]) <= reading.whole_px


def _values(slide: Slide) -> Values:
    return _COLOUR if slide.facts.channels == COLOURS else Values("dn")


def _whole(
    item: SourceItem, view: SlideView, channels: tuple[str, ...], spacing: Spacing | None, reading: PathologyReading
) -> Sample:
    slide = view.open()
    width, height, _ = slide.facts.levels[0]
    reader = TileReader(view, 0, (0.0, 0.0, float(width), float(height)), (width, height), reading.max_missing)
    stain = None
    if reading.stain is not None:
        _refuse_stain(channels, reading)
        stain = stain_normalizer(reading.stain).fit_source(reader().array.transpose(1, 2, 0))
        reader = replace(reader, stain=stain)
    return Sample(
        key=item.name,
        axes="CYX",
        channels=channels,
        values=_values(slide),
        reader=reader,
        group=item.group or item.name,
        spacing=spacing,
        sensor=slide.facts.vendor,
        captions=item.captions,
        labels=dict(item.labels),
        regions=item.regions,
        ids=dict(item.ids) or {"slide": item.group or item.name},
        split=item.split,
        window=Window(0, 0, width, height),
        meta={} if stain is None else {"stain": stain.to_dict()},
    )


def _given_spacing(box: Box, spacing: Spacing, reading: PathologyReading) -> Spacing | None:
    """The scale of a tile whose size another program chose; None for tiles of our own grid."""
    if reading.coordinates is None:
        return None
    tall, wide = box[3] * spacing.values[0], box[2] * spacing.values[-1]
    return Spacing((tall / reading.tile_px, wide / reading.tile_px), "um", spacing.source)


def _refuse_stain(channels: tuple[str, ...], reading: PathologyReading) -> None:
    if reading.choose_model is not None and channels != COLOURS:
        found = f"The channels are {', '.join(channels)}; models choose tiles of red, green and blue."
        raise unreadable(found, "Leave reading.choose_model out, or take the file out.")
    if reading.stain is not None and channels != COLOURS:
        found = f"The channels are {', '.join(channels)}; stains are normalised in red, green and blue."
        raise unreadable(found, "Leave reading.stain out, or take the file out.")


def _tiles(
    item: SourceItem, view: SlideView, channels: tuple[str, ...], spacing: Spacing, reading: PathologyReading, plan: TilePlan
) -> Iterator[Sample]:
    slide = view.open()
    wanted = reading.tile_um / reading.tile_px
    values, group = _values(slide), item.group or item.name
    ids = dict(item.ids) or {"slide": group}
    stain = fitted_stain(view, plan, reading) if reading.stain is not None else None
    meta: dict[str, Any] = {"tiles": plan.counts} | ({} if stain is None else {"stain": stain.to_dict()})
    for tile in plan.tiles:
        x, y, width, height = (round(value) for value in tile.box)
        yield Sample(
            key=f"{item.name}#{x}_{y}_{width}_{height}",
            axes="CYX",
            channels=channels,
            values=values,
            reader=TileReader(view, plan.level, tile.box, (reading.tile_px, reading.tile_px), reading.max_missing, stain),
            group=group,
            spacing=_given_spacing(tile.box, spacing, reading) or Spacing((wanted, wanted), "um", spacing.source),
            sensor=slide.facts.vendor,
            captions=item.captions,
            labels={**item.labels, **(tile.region.labels if tile.region else {})},
            regions=(tile.region,) if tile.region else (),
            ids=ids,
            split=item.split,
            window=Window(x, y, width, height, plan.level),
            meta=meta,
        )
