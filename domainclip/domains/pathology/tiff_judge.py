"""OpenSlide's reading of a tile, asked where the decoder of this package is in doubt."""

from __future__ import annotations

from domainclip.domains.pathology.slides import RGB, Slide
from domainclip.errors import UnreadableFileError


class Judge:
    """Level by level the same file in OpenSlide, which fails at every warning of libjpeg where other callers go on.

    Args:
        slide: The file in OpenSlide.
    """

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self._levels = {level[:2]: number for number, level in reversed(list(enumerate(slide.facts.levels)))}

    def knows(self, size: tuple[int, int]) -> bool:
        """Whether it has a level of this (width, height)."""
        return size in self._levels

    def pixels(self, size: tuple[int, int], box: tuple[int, int, int, int]) -> RGB | None:
        """Decodes a box.

        Args:
            size: (width, height) of the level.
            box: (x, y, width, height) in pixels of the level.

        Returns:
            (height, width, 3) uint8; None where it cannot be decoded or is not in the file, and on levels whose pixels OpenSlide
            resamples, because they lie at fractions of those of level 0.
        """
        level = self._levels.get(size)
        return None if level is None or self._slide.facts.levels[level][2] % 1 else self._read(level, box)

    def _read(self, level: int, box: tuple[int, int, int, int]) -> RGB | None:
        try:
            array, missing = self._slide.read_masked(level, *box)
        except UnreadableFileError:
            return None
        return array if missing is None else None
