"""Slides in TIFF through tifffile: OME-TIFF, QPTIFF, plain and pyramidal TIFF, tiles or strips, colour or named channels."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.pathology.slides import (
    COLOURS,
    MAX_FLAT_PIXELS,
    Level,
    Masked,
    Slide,
    SlideFacts,
    on_white,
    refuse,
    unreadable,
)
from domainclip.domains.pathology.tiff_directories import check_lengths
from domainclip.domains.pathology.tiff_judge import Judge
from domainclip.domains.pathology.tiff_scale import channel_names, tiff_scale
from domainclip.domains.pathology.tiff_scenes import Scene, is_macro, scenes
from domainclip.domains.pathology.tiff_segments import ByteSource, SegmentCache, SegmentedPage
from domainclip.errors import FOREIGN_ERRORS, missing_dependency

TO_PYRAMID = "Convert it to a tiled pyramid, e.g. vips tiffsave in.tif out.tif --tile --pyramid --compression jpeg."
DAMAGED = "The file is damaged; copy it again."
MACRO = ("It is the macro or label picture of a slide, not the slide.", "Take it out; use the slide's own file.")
_MINISBLACK, _RGB, _YCBCR = 1, 2, 6
_ASSOCIATED, _UNASSOCIATED = 1, 2
_CACHE, _NUMBERS = SegmentCache(), itertools.count()
"""One cache for all files of a process, so that memory does not grow with open files; pages are numbered throughout."""
_DIRECT_CODECS = frozenset({1, 5, 7, 8, 32946})
"""None, LZW, JPEG, Deflate: decoded alike by OpenSlide and by imagecodecs (a test compares them)."""


class TiffSlide(Slide):
    """One image of a TIFF; see ``slides.Slide``.

    Args:
        path: The file.
        scene: Which of several images, from 0.
        other: The same file in OpenSlide: for codings that tifffile does not know, for tiles in doubt, and for files whose tags
            the two libraries take differently.

    Raises:
        UnreadableFileError: The directory is broken, or has no such scene.
        MissingDependencyError: tifffile or imagecodecs is not installed.
    """

    def __init__(self, path: Path, scene: int | None = None, other: Slide | None = None) -> None:
        self._file, self._other = _opened(path), other
        try:
            found = scenes(self._file)
            if not found:
                raise ValueError("no image")
            if scene is not None and not 0 <= scene < len(found):
                raise unreadable(f"Scene {scene} was asked for; the file holds {_listed(found)}.", "Give --set reading.scene=0.")
            chosen = found[scene or 0]
            facts = _facts(self._file, chosen, found if scene is None else [chosen])
            plain = facts.channels == COLOURS and facts.dtype == "uint8" and facts.details["samples"] == 3
            judge = Judge(other) if other is not None and plain and chosen is found[0] else None
            self._levels, self.facts = ([], facts) if facts.refusal else _segmented(path, chosen.levels, facts, judge)
        except ImportError as error:
            raise missing_dependency("imagecodecs", "Reading this compressed TIFF", "imagecodecs") from error
        except FOREIGN_ERRORS as error:
            found_text = f"It begins as a TIFF, but its directory cannot be read ({type(error).__name__})."
            raise unreadable(found_text, DAMAGED) from error
        self._differs = judge is not None and bool(self._levels) and not self._levels[0][0].agrees()
        if self._differs and judge is not None:
            check_lengths(path)
            known = tuple(level for level in self.facts.levels if judge.knows(level[:2]))
            self.facts = replace(self.facts, levels=known, details={**self.facts.details, "decoded_by": "OpenSlide"})
        self._premultiplied = _alpha(chosen.levels[0][0].keyframe) == _ASSOCIATED

    def read_masked(self, level: int, x: int, y: int, width: int, height: int) -> Masked:
        """See ``slides.Slide``."""
        refuse(self.facts)
        if self._differs and self._other is not None:
            sizes = [known[:2] for known in self._other.facts.levels]
            return self._other.read_masked(sizes.index(self.facts.levels[level][:2]), x, y, width, height)
        return _read(self._levels[level], (x, y, width, height), self._premultiplied)


class DirectSlide(Slide):
    """A slide whose facts come from OpenSlide and whose tiles are decoded here, several times faster; see ``slides.Slide``."""

    def __init__(self, path: Path, file: Any, facts: SlideFacts, levels: list[list[Any]], other: Slide) -> None:
        self._file = file
        self._levels, self.facts = _segmented(path, levels, facts, Judge(other))

    def agrees(self) -> bool:
        """Whether OpenSlide reads the same pixels; see ``SegmentedPage.agrees``."""
        return self._levels[0][0].agrees()

    def read_masked(self, level: int, x: int, y: int, width: int, height: int) -> Masked:
        """See ``slides.Slide``."""
        return _read(self._levels[level], (x, y, width, height), False)


def direct_levels(path: Path, slide: Slide) -> Slide | None:
    """Returns a DirectSlide where level 0 is one tiled page of 8-bit colour that OpenSlide reads alike, else None.

    Only Aperio's files are built so; other vendors' tiles overlap or lie at fractions of pixels, which OpenSlide knows best.
    """
    if slide.facts.vendor != "aperio":
        return None
    huge: set[tuple[int, int]] = set()
    direct = _direct(path, slide, huge)
    if direct is None and huge & {level[:2] for level in slide.facts.levels}:
        # OpenSlide's process may end for want of memory.
        raise unreadable(f"A tile of it has more than {MAX_FLAT_PIXELS:,} pixels: too many.", TO_PYRAMID)
    if direct is None:
        check_lengths(path)
    return direct


def _direct(path: Path, slide: Slide, huge: set[tuple[int, int]]) -> DirectSlide | None:
    """Does the work of ``direct_levels``; sizes of pages whose tiles are too large go to ``huge``."""
    try:
        file = _opened(path)
        by_size: dict[tuple[int, int], Any] = {}
        for page in file.pages:
            if page.is_tiled and page.tilewidth * page.tilelength > MAX_FLAT_PIXELS:
                huge.add((int(page.imagewidth), int(page.imagelength)))
                continue
            plain = page.is_tiled and page.samplesperpixel == 3 and page.planarconfig == 1 and str(page.dtype) == "uint8"
            if plain and int(page.compression) in _DIRECT_CODECS and int(page.photometric) in {_RGB, _YCBCR}:
                by_size.setdefault((int(page.imagewidth), int(page.imagelength)), page)
        levels = [level for level in slide.facts.levels if level[:2] in by_size]
        if slide.facts.levels[0][:2] not in by_size:
            return None
        facts = replace(slide.facts, levels=tuple(levels), details={**slide.facts.details, **_lost(slide.facts, len(levels))})
        if is_macro(file.pages.first):
            facts = replace(facts, refusal=MACRO)
        direct = DirectSlide(path, file, facts, [[by_size[level[:2]]] for level in levels], slide)
        return direct if direct.agrees() else None
    except (*FOREIGN_ERRORS, ImportError):
        return None  # OpenSlide has opened it and reads it.


def _opened(path: Path) -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise missing_dependency("tifffile", "Reading this TIFF", "tifffile imagecodecs") from error
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it prints paths; what matters is raised
    try:
        return tifffile.TiffFile(path)
    except FOREIGN_ERRORS as error:
        raise unreadable(f"It begins as a TIFF, but its directory cannot be read ({type(error).__name__}).", DAMAGED) from error


def _segmented(
    path: Path, levels: Sequence[Sequence[Any]], facts: SlideFacts, judge: Judge | None
) -> tuple[list[list[SegmentedPage]], SlideFacts]:
    """Wraps every page of every level; all share one handle and one cache. Lower levels that contradict themselves are left out.

    Raises:
        ValueError: Level 0 contradicts itself (or another of ``FOREIGN_ERRORS``).
    """
    if any(int(page.keyframe.compression) != 1 for pages in levels for page in pages):
        import imagecodecs  # noqa: F401 - without it tifffile would call the file damaged
    source = ByteSource(path)
    wrapped: list[list[SegmentedPage]] = []
    kept: list[Level] = []
    for number, (pages, level) in enumerate(zip(levels, facts.levels, strict=True)):
        try:
            wrapped.append([SegmentedPage(page, next(_NUMBERS), source, _CACHE, judge) for page in pages])
        except FOREIGN_ERRORS:
            if number == 0:
                raise
            continue
        kept.append(level)
    return wrapped, replace(facts, levels=tuple(kept), details={**facts.details, **_lost(facts, len(kept))})


def _lost(facts: SlideFacts, kept: int) -> dict[str, int]:
    """Says how many levels cannot be read; coarser reading then takes longer, from finer levels."""
    lost = len(facts.levels) - kept + int(facts.details.get("broken_levels", 0))
    return {"broken_levels": lost} if lost else {}


def _read(pages: list[SegmentedPage], box: tuple[int, int, int, int], premultiplied: bool) -> Masked:
    try:
        parts = [page.read(*box) for page in pages]
    except NotImplementedError as error:
        raise unreadable("The TIFF's tiles are coded in a way that is not known here.", TO_PYRAMID) from error
    except FOREIGN_ERRORS as error:
        raise unreadable(f"The TIFF's pixels cannot be decoded ({type(error).__name__}).", DAMAGED) from error
    if len(parts) > 1:
        masks = [part.missing for part in parts if part.missing is not None]
        return Masked(np.concatenate([part.array for part in parts], axis=2), np.logical_or.reduce(masks) if masks else None)
    array, missing = parts[0]
    if array.shape[2] == 4 and array.dtype == np.uint8:
        return Masked(on_white(array, premultiplied=premultiplied), missing)
    return parts[0]


def _facts(file: Any, scene: Scene, found: list[Scene]) -> SlideFacts:
    first = scene.levels[0][0].keyframe
    levels: list[Level] = []
    for pages in scene.levels:
        page = pages[0].keyframe
        downsample = (first.imagewidth / page.imagewidth + first.imagelength / page.imagelength) / 2
        levels.append((int(page.imagewidth), int(page.imagelength), float(downsample)))
    samples = len(scene.levels[0]) if len(scene.levels[0]) > 1 else int(first.samplesperpixel)
    colour = int(first.photometric) in {_RGB, _YCBCR} and (samples == 3 or (samples == 4 and _alpha(first) is not None))
    names = COLOURS if colour else channel_names(file, scene.number, samples)
    compression = str(getattr(first.compression, "name", first.compression)).lower()
    facts = SlideFacts(
        format=f"{_kind(file, first)} TIFF (tifffile)",
        levels=tuple(levels),
        scale=tiff_scale(file, first, scene.number),
        dtype=str(first.dtype),
        channels=names,
        samples=3 if colour else samples,
        details={"compression": compression, "samples": samples, "scenes": len(found)},
    )
    return replace(facts, refusal=_refusal(first, facts, scene, found))


def _kind(file: Any, page: Any) -> str:
    maker = "OME " if file.is_ome else "QP" if file.is_qpi else ""
    return f"{maker}{'tiled' if page.is_tiled else 'stripped'}" if maker != "QP" else "PerkinElmer QP"


def _alpha(page: Any) -> int | None:
    """TIFF's kind of the fourth sample of a colour page, if it is transparency."""
    extra = [int(value) for value in page.extrasamples]
    return extra[0] if page.samplesperpixel == 4 and extra and extra[0] in {_ASSOCIATED, _UNASSOCIATED} else None


def _refusal(page: Any, facts: SlideFacts, scene: Scene, found: list[Scene]) -> tuple[str, str] | None:
    """Says what is in the way of reading pixels at all; what depends on the reading options is said by the domain."""
    if len(found) > 1:
        return f"It holds {_listed(found)}.", "Say which: --set reading.scene=0 (or 1, ...)."
    if scene.planes:
        return f"It holds {scene.planes}.", "Export one plane; slides are read in two dimensions."
    if facts.dtype not in {"uint8", "uint16"}:
        return f"The pixels are {facts.dtype}; slides hold 8 or 16 bits.", "Export it as 8-bit RGB or 16-bit channels."
    if scene.macro:
        return MACRO
    colour_coded = int(page.photometric) in {_MINISBLACK, _RGB, _YCBCR}
    if not colour_coded:
        return f"Its colours are coded as {str(getattr(page.photometric, 'name', page.photometric)).lower()}.", "Save it as RGB."
    if page.is_tiled and page.tilewidth * page.tilelength > MAX_FLAT_PIXELS:
        return f"One tile has {page.tilewidth} x {page.tilelength} pixels: too many.", TO_PYRAMID
    if not page.is_tiled and int(page.compression) != 1 and page.imagewidth * page.rowsperstrip > MAX_FLAT_PIXELS:
        return f"One strip has {page.imagewidth} x {page.rowsperstrip} pixels: too many.", TO_PYRAMID
    return None


def _listed(found: list[Scene]) -> str:
    sizes = [
        f"{number}: {page.imagewidth} x {page.imagelength}" for number, page in enumerate(s.levels[0][0].keyframe for s in found)
    ]
    more = f", and {len(sizes) - 8} more" if len(sizes) > 8 else ""
    return f"{len(sizes)} scenes ({', '.join(sizes[:8])}{more})" if len(sizes) > 1 else f"one scene ({sizes[0]})"
