"""The domain object: recognises, inspects and cuts pathology files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel

from domainclip.domains.base import Gathering, Inspection, load_facts
from domainclip.domains.dicom_kind import is_dicom_slide
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.scale import REMEDY, chosen_spacing, scale_needed
from domainclip.domains.pathology.slides import (
    DICOM_MAGIC,
    JPEG_MAGIC,
    PNG_MAGIC,
    TIFF_MAGIC,
    Slide,
    first_bytes,
    open_slide,
    refuse,
    unreadable,
)
from domainclip.domains.pathology.tiles import TileReader, plan_tiles
from domainclip.sample import Sample, SourceItem, Spacing, Values, Window

SUFFIXES = frozenset(
    (".svs", ".tif", ".tiff", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif", ".czi", ".png", ".jpg", ".jpeg")
)
VALUES = Values("srgb", scale=1 / 255)
CHANNELS = ("red", "green", "blue")
_NO_ORIGINAL = "The finest level that is there is a resampled one: level 0 is missing, or was never stored."
_WHOLE_LOOK = 16_000_000
_PART_LOOK = 2048


class PathologyDomain:
    """Whole-slide images and patches; see ``domains.base.Domain``."""

    name = "pathology"
    reading_model: type[BaseModel] = PathologyReading

    def __init__(self) -> None:
        self.facts = load_facts(Path(__file__).with_name("facts.yaml"))

    def recognises(self, path: Path) -> bool:
        """Says yes to DICOM slides, TIFF, PNG and JPEG under any name, and to every file with the suffix of a slide or patch.

        The suffix is enough so that a broken slide is refused with a reason and not passed over; hidden files are not ours.
        """
        try:
            if path.name.startswith(".") or not path.is_file():
                return False
        except OSError:
            return False
        start = first_bytes(path, 132)
        if start[128:] == DICOM_MAGIC:
            return is_dicom_slide(path)
        return path.suffix.lower() in SUFFIXES or start[:4] in TIFF_MAGIC or start.startswith((PNG_MAGIC, JPEG_MAGIC))

    def gathered(self, paths: Sequence[Path]) -> Gathering:
        """Says which files make one slide: DICOM series, VMS and VMU, MIRAX; see ``domains.base.GathersFiles``."""
        from domainclip.domains.pathology.companions import gather_slides

        return gather_slides(paths)

    def inspect(self, path: Path) -> Inspection:
        """Looks at one file: its directory, and up to 16 million pixels of level 0 for the range.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        slide = open_slide(path)
        facts = slide.facts
        spacing = facts.scale.spacing
        missing = [" ".join(facts.refusal)] if facts.refusal else []
        if spacing is None:
            why = f" ({'; '.join(facts.scale.passed_over)})" if facts.scale.passed_over else ""
            missing.append(f"No scale in um per pixel{why}. {REMEDY}")
        elif spacing.source == "objective-power":
            missing.append(f"The scale is 10 / objective power, which may be off by a fifth. {REMEDY}")
        if _is_resampled(slide):
            missing.append(_NO_ORIGINAL)
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
            values="sRGB, 0 to 255" if facts.refusal is None else "not read: see missing",
            range=_range(slide),
            group=path.stem,
            missing=tuple(missing),
            details=facts.details,
        )

    def samples(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Cuts a slide into tiles, or yields a small picture of one level whole.

        ``meta["tiles"]`` counts what was kept and left out of the slide (see ``TilePlan.counts``).

        Raises:
            UnreadableFileError: It cannot be read, has no scale though tiles were asked for, or no tile is left.
        """
        assert isinstance(reading, PathologyReading)
        slide = open_slide(item.path)
        refuse(slide.facts)
        if item.regions and _is_resampled(slide):
            raise unreadable(
                f"It has annotations, in pixels of level 0. {_NO_ORIGINAL}", "Put all files of the slide in one folder."
            )
        spacing = chosen_spacing(item.spacing, reading.spacing_um, slide.facts.scale)
        if _is_whole(slide, reading):
            yield _whole(item, slide, spacing)
            return
        if spacing is None:
            raise scale_needed(slide.facts.scale)
        yield from _tiles(item, slide, spacing, reading)


def _is_resampled(slide: Slide) -> bool:
    """Says whether level 0 of a DICOM slide is missing: the finest level that is there was made from a finer one."""
    return slide.facts.details.get("finest_level") == "resampled"


def _is_whole(slide: Slide, reading: PathologyReading) -> bool:
    if reading.mode != "auto":
        return reading.mode == "whole"
    levels = slide.facts.levels
    return len(levels) == 1 and max(levels[0][:2]) <= reading.whole_px


def _whole(item: SourceItem, slide: Slide, spacing: Spacing | None) -> Sample:
    width, height, _ = slide.facts.levels[0]
    return Sample(
        key=item.name,
        axes="CYX",
        channels=CHANNELS,
        values=VALUES,
        reader=TileReader(item.path, 0, (0.0, 0.0, float(width), float(height)), (width, height)),
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


def _tiles(item: SourceItem, slide: Slide, spacing: Spacing, reading: PathologyReading) -> Iterator[Sample]:
    scale = (spacing.values[0], spacing.values[-1])
    plan = plan_tiles(slide, scale, reading, item.regions)
    wanted = reading.tile_um / reading.tile_px
    tile_spacing = Spacing((wanted, wanted), "um", spacing.source)
    group = item.group or item.name
    ids = dict(item.ids) or {"slide": group}
    meta = {"tiles": plan.counts}
    for tile in plan.tiles:
        x, y, width, height = (round(value) for value in tile.box)
        yield Sample(
            key=f"{item.name}#{x}_{y}_{width}_{height}",
            axes="CYX",
            channels=CHANNELS,
            values=VALUES,
            reader=TileReader(item.path, plan.level, tile.box, (reading.tile_px, reading.tile_px)),
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
    width, height, _ = slide.facts.levels[0]
    whole = width * height <= _WHOLE_LOOK
    wide, high = (width, height) if whole else (min(width, _PART_LOOK), min(height, _PART_LOOK))
    stored = slide.read_stored(0, (width - wide) // 2, (height - high) // 2, wide, high)
    return {"minimum": float(stored.min()), "maximum": float(stored.max()), "pixels": float(wide * high)}
