"""What look-alikes of published sets are made of: plain-coloured pictures whose colour tells which image a row led to.

A look-alike is written from the evidence that a card cites, never from the card's layout: file names, columns, separators,
encodings and quirks as they were seen. It says itself what a right reading gives, so that a card and a peer's loader
are held to the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Expected:
    """One image as a right reading gives it.

    Attributes:
        name: Path below the root; ``archive.zip/member`` for a member, ``file.h5/17`` or ``file.npz/train/17`` for the row of an
            array, ``file.parquet/17`` for the row of a table of pictures, ``slide.svs@x,y`` for a patch of a slide.
        colour: Number of the picture: ``plain(number)`` was stored.
        labels: Published values of named labels; those not named here are not checked.
        captions: Texts of the set in order; None where it has none (they are then composed of labels).
        group: What may not cross a split; None where the set gives none.
        split: ``train``, ``val``, ``held_out``, or None where none is published.
    """

    name: str
    colour: int
    labels: dict[str, str] = field(default_factory=dict)
    captions: tuple[str, ...] | None = None
    group: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class LookAlike:
    """What a right reading gives of a whole set.

    Attributes:
        images: All images that can be used.
        rejected: Names of rows without a file and files without a row; each must be counted, none silently dropped.
        options: What a user must add to read it (``{"reading": {...}}``), as the set's own text says.
    """

    images: tuple[Expected, ...]
    rejected: tuple[str, ...] = ()
    options: dict[str, dict[str, object]] = field(default_factory=dict)


Maker = Callable[[Path], LookAlike]
makers: dict[str, Maker] = {}
"""Card name to what writes its look-alike below a root and says what it holds."""


def lookalike(name: str) -> Callable[[Maker], Maker]:
    """Registers the maker of a card's look-alike."""

    def register(maker: Maker) -> Maker:
        assert name not in makers, name
        makers[name] = maker
        return maker

    return register


def plain(number: int, size: int = 16, channels: int = 3) -> np.ndarray:
    """Returns (size, size, 3) or (size, size) of uint8, all of one colour that JPEG keeps to within 4; numbers below 512 differ."""
    levels = [32 + 24 * (number // 8**power % 8) for power in range(3)]
    if channels == 1:
        return np.full((size, size), 16 + 3 * (number % 72), np.uint8)
    return np.full((size, size, 3), levels, np.uint8)


def encoded(number: int, kind: str = "JPEG", size: int = 16, channels: int = 3) -> bytes:
    """Returns the picture of a number as a file of a kind that Pillow knows."""
    buffer = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" and channels == 3 else {}
    Image.fromarray(plain(number, size, channels)).save(buffer, kind, **options)
    return buffer.getvalue()


def put(path: Path, content: bytes | str, encoding: str = "utf-8") -> None:
    """Writes a file and the folders above it; text with the newlines it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))


def picture(path: Path, number: int, size: int = 16, channels: int = 3) -> None:
    """Writes the picture of a number, of the kind that the name's ending says (JPEG where it has none)."""
    kinds = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}
    put(path, encoded(number, kinds.get(path.suffix.lower(), "JPEG"), size, channels))
