"""Whether a scan of lossless JPEG has as many bits as its pixels took: decoders make up what is missing, and tell nobody."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.jpeg_markers import DHT, DRI, FRAMES, SOS, Segment, segments

_MARKER = re.compile(rb"\xff[^\x00]")
_CATEGORIES = 17
"""Of differences: 0 to 16 (ITU-T T.81 H.1.2.2, table H.2)."""


def bits_left(data: bytes, pixels: npt.NDArray[Any]) -> int:
    """Counts the bits of a scan that its pixels did not take; below 0 it was too short for them.

    Each pixel takes the code of its difference's category, and as many bits as the category says (none for 16); so the decoded
    pixels say how long the scan was. Whole scans are filled up to a byte, so 0 to 7 are left; bytes of zeros behind them do not
    count, as some writers pad with them. A code that no table has leaves more, since nobody can say how long it was. Streams with
    restart markers or several scans are not judged: 0.

    Args:
        data: A stream of process 14.
        pixels: (Y, X) or (Y, X, C) integers decoded from it.
    """
    parts = list(segments(data))
    scan, frame = parts[-1], next(part for part in parts if part.marker in FRAMES)
    body = data[scan.start : scan.end]
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    restarts = any(part.marker == DRI and any(data[part.start : part.end]) for part in parts)
    if scan.marker != SOS or restarts or not body or body[0] != planes.shape[2]:
        return 0
    tables = _code_lengths(data, parts)
    predictor, shift = body[1 + 2 * body[0]], body[3 + 2 * body[0]] & 15
    if not 1 <= predictor <= 7:
        return 0
    bits = 0
    for number in range(planes.shape[2]):
        lengths = tables.get(body[2 + 2 * number] >> 4)
        if lengths is None:
            return 0
        categories = _categories(planes[..., number], predictor, shift, data[frame.start])
        counts = np.bincount(categories.ravel(), minlength=_CATEGORIES)
        bits += int(counts @ (lengths + np.minimum(np.arange(_CATEGORIES), 16) % 16))
    end = _MARKER.search(data, scan.end)
    stop = end.start() if end else len(data)
    padded = len(data[scan.end : stop].rstrip(b"\0"))
    left = 8 * (stop - scan.end - data.count(b"\xff\x00", scan.end, stop)) - bits
    # A stuffed zero belongs to the byte before it.
    zeros = max(stop - scan.end - padded - int(data[scan.end + padded - 1 : scan.end + padded] == b"\xff"), 0)
    return left if left < 8 else max(left - 8 * zeros, 0)


def _code_lengths(data: bytes, parts: list[Segment]) -> dict[int, npt.NDArray[np.int64]]:
    """Returns for each table how many bits the code of each category has (T.81 B.2.4.2)."""
    tables = {}
    for part in parts:
        at = part.start
        while part.marker == DHT and at + 17 <= part.end:
            counts = data[at + 1 : at + 17]
            lengths = np.zeros(_CATEGORIES, np.int64)
            codes = [size + 1 for size, count in enumerate(counts) for _ in range(count)]
            for category, size in zip(data[at + 17 : at + 17 + len(codes)], codes, strict=False):
                if category < _CATEGORIES:
                    lengths[category] = size
            tables[data[at] & 15] = lengths
            at += 17 + len(codes)
    return tables


def _categories(plane: npt.NDArray[Any], predictor: int, shift: int, precision: int) -> npt.NDArray[np.uint8]:
    """The category of each pixel's difference from its prediction (T.81 H.1.2.1, table H.1)."""
    x = plane.astype(np.int32) >> shift
    expected = np.empty_like(x)
    expected[0, 0] = 1 << max(precision - shift - 1, 0)
    expected[0, 1:], expected[1:, 0] = x[0, :-1], x[:-1, 0]
    left, above, corner = x[1:, :-1], x[:-1, 1:], x[:-1, :-1]
    expected[1:, 1:] = (
        left if predictor == 1
        else above if predictor == 2
        else corner if predictor == 3
        else left + above - corner if predictor == 4
        else left + ((above - corner) >> 1) if predictor == 5
        else above + ((left - corner) >> 1) if predictor == 6
        else (left + above) >> 1
    )  # fmt: skip
    found: npt.NDArray[np.uint8] = _CATEGORY[(x - expected) & 0xFFFF]
    return found


_DIFFERENCES = np.arange(2**16)
# Modulo 65,536 a difference lies between -32,767 and 32,768; its category is the number of bits of its size.
_CATEGORY = np.ceil(np.log2(np.where(_DIFFERENCES <= 2**15, _DIFFERENCES, 2**16 - _DIFFERENCES) + 1)).astype(np.uint8)
