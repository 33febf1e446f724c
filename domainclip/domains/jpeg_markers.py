"""The markers of a JPEG stream, walked once for all who look at them (ITU-T T.81 B.1.1; JPEG-LS, T.87, has the same)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

SOI, EOI, SOS, DHT, DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDD
JPEG_LS = 0xF7
FRAMES = frozenset((*range(0xC0, 0xD0), JPEG_LS)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame: SOFn (T.81 B.1.1.3), and SOF55 of JPEG-LS (T.87 C.2.2)."""
ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a segment: TEM, RSTn, SOI."""

_MCU = 16
"""Pixels across the largest common minimum coded unit (chroma at half size)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker and what belongs to it.

    Attributes:
        marker: Its second byte.
        at: Where its first byte lies.
        length: As it stands behind the marker, with its own two bytes; 0 for EOI.
    """

    marker: int
    at: int
    length: int

    @property
    def start(self) -> int:
        """Where the body begins."""
        return self.at + 4

    @property
    def end(self) -> int:
        """Where the next marker must be; lengths below 2 are none and count as 2."""
        return self.at + 2 + (max(self.length, 2) if self.marker != EOI else 0)


def segments(data: bytes, at: int = 2) -> Iterator[Segment]:
    """Yields the segments of a stream up to its first scan or its end; fill bytes and markers without segment are passed over.

    It stops without a word where something else than a marker stands, or the data end: the last segment says how far it came.

    Args:
        data: A stream; lengths are not held against its own.
        at: Where the first marker is looked for; 2 is behind SOI.
    """
    while at + 1 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == EOI:
            yield Segment(marker, at, 0)
            return
        if at + 4 > len(data):
            return
        segment = Segment(marker, at, int.from_bytes(data[at + 2 : at + 4], "big"))
        yield segment
        if marker == SOS:
            return
        at = segment.end


def is_filled_up(piece: npt.NDArray[Any], bits: int = 8) -> bool:
    """Whether the last coded unit of a picture is the grey that stands for coefficients that never came.

    Args:
        piece: (H, W, C) or (H, W), decoded.
        bits: Of a sample.
    """
    filler = 1 << (bits - 1)
    return bool((piece[-8:, -8:] == filler).all()) and bool((piece[-_MCU:, -_MCU:] == filler).all())
