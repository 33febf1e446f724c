"""The domain object: recognises, inspects and cuts pathology files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from domainclip.domains import magic
from domainclip.domains.base import Gathering, Inspection, load_facts
from domainclip.domains.dicom_kind import is_dicom_slide
from domainclip.domains.pathology.markers import look_like_markers
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.scale import REMEDY
from domainclip.domains.pathology.slide_samples import (
    NAME_CHANNELS,
    NO_ORIGINAL,
    UNKNOWN_NAMES,
    cut_patches,
    cut_slide,
    found_on,
    is_resampled,
)
from domainclip.domains.pathology.slides import (
    COLOURS,
    Slide,
    SlideFacts,
    first_bytes,
    open_slide,
)
from domainclip.domains.pathology.tiles import TilePlan, look_for_tissue
from domainclip.errors import UnreadableFileError
from domainclip.sample import Sample, SourceItem

SUFFIXES = frozenset(
    (".svs", ".tif", ".tiff", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif", ".czi", ".png", ".jpg", ".jpeg")
)
_WHOLE_LOOK = 16_000_000
_PART_LOOK = 2048


class PathologyDomain:
    """Whole-slide images and patches; see ``domains.base.Domain``."""

    name = "pathology"
    thread_safe = True
    """Tiles of one slide may be read by several threads."""
    reading_model: type[BaseModel] = PathologyReading

    def __init__(self) -> None:
        self.facts = load_facts(Path(__file__).with_name("facts.yaml"))
        self._last: tuple[SourceItem, PathologyReading, TilePlan | None] | None = None

    def recognises(self, path: Path) -> bool:
        """Says yes to DICOM slides, TIFF, PNG and JPEG under any name, and to every file with the suffix of a slide or patch.

        The suffix is enough so that a broken slide is refused with a reason and not passed over; hidden files are not ours.
        """
        try:
            if path.name.startswith(".") or not path.is_file():
                return False
        except OSError:
            return False
        start = first_bytes(path, magic.DICOM_HEAD_BYTES)
        if magic.is_dicom(start):
            return is_dicom_slide(path)
        return path.suffix.lower() in SUFFIXES or start[:4] in magic.TIFF or start.startswith((magic.PNG, magic.JPEG))

    def gathered(self, paths: Sequence[Path], reading: BaseModel | None = None) -> Gathering:
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
        self._last = None
        look_for_tissue.cache_clear()  # the last slide's thumbnail and mask go before the next are made
        samples, plan = cut_slide(item, reading)
        self._last = item, reading, plan
        yield from samples

    def patches(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Yields the windows that a table names, in the pixels of level 0; see ``domains.base.CutsPatches``."""
        assert isinstance(reading, PathologyReading)
        self._last = None
        return cut_patches(item, reading)

    def overview(self, item: SourceItem, reading: BaseModel, note: str = "") -> npt.NDArray[np.uint8] | None:
        """Draws the tissue, the artefacts and the tiles that were taken of a slide.

        Args:
            item: The file.
            reading: As for ``samples``; nothing is planned again where it was just called for the same file.
            note: Stands below the picture.

        Returns:
            (H, W, 3) uint8, at most 1,600 px wide or high; None for a picture that is taken whole.

        Raises:
            UnreadableFileError: As ``samples``.
        """
        assert isinstance(reading, PathologyReading)
        from domainclip.domains.pathology.overview import draw_overview

        if self._last is None or self._last[:2] != (item, reading):
            try:
                self._last = item, reading, cut_slide(item, reading)[1]
            except UnreadableFileError as error:
                # Where no tile is left, the picture is what shows why.
                return draw_overview(found_on(item, reading, error), [], note)
        plan = self._last[2]
        if plan is None:
            return None
        return draw_overview(plan.seen(), [tile.box for tile in plan.tiles], note)


def _missing(facts: SlideFacts, sixteen: bool) -> tuple[str, ...]:
    """Says what a user would miss, each with the remedy."""
    missing = [" ".join(facts.refusal)] if facts.refusal else []
    spacing = facts.scale.spacing
    if sixteen and not facts.refusal:
        remedy = "give it: --set reading.white_level=65535 (the range is shown above)."
        missing.append(f"The pixels are {facts.dtype}; which number is white is not in the file: {remedy}")
    if not facts.channels and not facts.refusal:
        missing.append(f"The {facts.samples} channels have no names. {NAME_CHANNELS}")
    if facts.channels and facts.channels != COLOURS and not look_like_markers(facts.channels):
        missing.append(" ".join(UNKNOWN_NAMES))
    if spacing is None:
        why = f" ({'; '.join(facts.scale.passed_over)})" if facts.scale.passed_over else ""
        missing.append(f"No scale in um per pixel{why}. {REMEDY}")
    elif spacing.source == "objective-power":
        missing.append(f"The scale is 10 / objective power, which may be off by a fifth. {REMEDY}")
    if is_resampled(facts):
        missing.append(NO_ORIGINAL)
    return tuple(missing)


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
