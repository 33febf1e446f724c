"""Which pages of a TIFF are the slide, its levels, its channels, and which are other pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from domainclip.errors import FOREIGN_ERRORS

_REDUCED, _MACRO = 1, 8
_SCENE_SHARE = 0.25
"""A further page with fewer pixels than this share of the largest is a thumbnail, label or macro picture and not a scene."""
_NOT_SLIDES = ("label", "macro", "thumbnail", "overview")


@dataclass(frozen=True, slots=True)
class Scene:
    """One image of a file.

    Attributes:
        levels: Per level, the finest first, its pages: one, or one a channel.
        number: Of the image in the file (of OME's ``Image`` elements).
        planes: What it holds beside channels, in words ("5 focal planes"), or "".
        macro: The page says that it is the macro or label picture of a slide.
    """

    levels: tuple[tuple[Any, ...], ...]
    number: int
    planes: str = ""
    macro: bool = False


def scenes(file: Any) -> list[Scene]:
    """Finds the images of an open TIFF; thumbnails, labels and macro pictures are left out unless the file holds nothing else.

    Args:
        file: tifffile's TiffFile.

    Raises:
        ValueError: Whatever tifffile raises at broken directories (one of ``FOREIGN_ERRORS``).
    """
    if file.is_ome or file.is_qpi:
        found = [_of_series(number, series) for number, series in enumerate(file.series)]
        slides = [s for s, series in zip(found, file.series, strict=True) if _may_be_slide(series)]
        return _large(slides or found)
    return _large(_of_pages(file))


def _may_be_slide(series: Any) -> bool:
    # A level whose slide tifffile could not match stands alone; its flag still tells.
    return not str(series.name).lower().startswith(_NOT_SLIDES) and not int(series.keyframe.subfiletype) & _REDUCED


def _of_series(number: int, series: Any) -> Scene:
    """OME's and PerkinElmer's files say which page belongs to which level and channel."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    planes = [f"{sizes[axis]} {name}" for axis, name in (("Z", "focal planes"), ("T", "times")) if sizes.get(axis, 1) > 1]
    levels = [tuple(level.pages) if len(level.pages) > 1 else (level.keyframe,) for level in series.levels]
    kept = [levels[0]]
    for level in levels[1:]:
        sound = len(level) == len(levels[0]) and _makes_sense(level[0].keyframe)
        if sound and _is_level(level[0].keyframe, [kept[0][0].keyframe, kept[-1][0].keyframe]):
            kept.append(level)
    return Scene(tuple(kept), number, " and ".join(planes))


def _of_pages(file: Any) -> list[Scene]:
    """Other files: a page that is a smaller copy of an earlier one, by its flag or its shape, is a level of it."""
    bases: list[list[Any]] = []
    seen: set[int] = set()
    for page in _flattened(file):
        if page.offset in seen or (bases and not _makes_sense(page)):
            continue  # pointed at twice, or a damaged level or label; what else there is can be read
        seen.add(page.offset)
        home = next((base for base in bases if _is_level(page, base)), None)
        if home is not None:
            home.append(page)
        elif _outgrows(page, bases):
            bases = [[page]]
        elif not bases or not int(page.subfiletype) & _REDUCED:
            bases.append([page])
    return [Scene(tuple((page,) for page in base), n, macro=is_macro(base[0])) for n, base in enumerate(bases)]


def _flattened(file: Any) -> Iterator[Any]:
    """Yields the pages of a file, each followed by those of its SubIFDs; at a directory that cannot be read, those before it."""
    yield file.pages.first
    with contextlib.suppress(*FOREIGN_ERRORS):
        yield from _levels_below(file.pages.first)
    with contextlib.suppress(*FOREIGN_ERRORS):
        for number in range(1, len(file.pages)):
            page = file.pages.get(number)  # a whole page, where iteration would give frames that share another page's tags
            page = page.aspage() if page.keyframe is not page else page
            yield page
            yield from _levels_below(page)


def _levels_below(page: Any) -> Iterator[Any]:
    if page.subifds:
        yield from (level.aspage() if level.keyframe is not level else level for level in page.pages)


def _outgrows(page: Any, bases: list[list[Any]]) -> bool:
    """Whether a page calls itself a reduced copy, is wider than all before it, and lists its tiles: then their sizes lie."""
    reduced = bases and int(page.subfiletype) & _REDUCED and not int(page.subfiletype) & _MACRO
    if not reduced or page.imagewidth <= max(base[0].imagewidth for base in bases):
        return False
    tiles = -(-page.imagewidth // max(page.tilewidth, 1)) * -(-page.imagelength // max(page.tilelength, 1))
    return bool(page.is_tiled and len(page.dataoffsets) == tiles)


def _makes_sense(page: Any) -> bool:
    """Whether what is compared here are numbers: tifffile hands on what a damaged tag holds, tuples and bytes too."""
    names = ("imagewidth", "imagelength", "samplesperpixel", "subfiletype", "tilewidth", "tilelength")
    return all(isinstance(getattr(page, name), int) for name in names)


def _is_level(page: Any, base: list[Any]) -> bool:
    first, last = base[0], base[-1]
    if (page.samplesperpixel, str(page.dtype)) != (first.samplesperpixel, str(first.dtype)) or not (
        0 < page.imagewidth < last.imagewidth and page.imagelength > 0
    ):
        return False
    if int(page.subfiletype) & _MACRO or page.is_tiled != first.is_tiled:
        return False
    # Sizes are rounded to whole pixels at every level, down or up.
    across, down = first.imagewidth / page.imagewidth, first.imagelength / page.imagelength
    return bool(abs(across - down) <= max(across, down) * 2 / min(page.imagewidth, page.imagelength))


def is_macro(page: Any) -> bool:
    """Says whether a page's flag or Aperio's description calls it a slide's macro or label picture."""
    text = str(page.description)[:2000].lower()
    aperio = text.startswith("aperio") and any(f"\n{word} " in text for word in ("macro", "label"))
    return int(page.subfiletype) in {_MACRO, _MACRO | _REDUCED} or aperio  # with other bits set the tag is damaged


def _large(found: list[Scene]) -> list[Scene]:
    sizes = [scene.levels[0][0].keyframe.imagewidth * scene.levels[0][0].keyframe.imagelength for scene in found]
    return [scene for scene, size in zip(found, sizes, strict=True) if size >= _SCENE_SHARE * max(sizes)]
