"""Mutants: the n-th of a format is a function of (format, n) alone. The first ten are cuts at 0, 10, ... 90 % of the seed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import fuzz_geo
import fuzz_image_lies
import fuzz_markers
import fuzz_tiff
import numpy as np
from fuzz_images import IMAGES
from fuzz_scenes import SCENES
from fuzz_seeds import seed_bytes

Draw = np.random.Generator
CUTS = 10


def mutant(kind: str, number: int) -> tuple[bytes, str, str]:
    """Makes one mutant.

    Args:
        kind: One of ``fuzz_seeds.FORMATS``, ``fuzz_images.IMAGES`` or ``fuzz_scenes.SCENES``.
        number: From 0.

    Returns:
        Its bytes, its suffix, and what was done, in words.
    """
    seed, suffix = seed_bytes(kind, number)
    if number < CUTS:
        return seed[: len(seed) * number // CUTS], suffix, f"cut at {100 * number // CUTS} %"
    draw = np.random.default_rng([zlib.crc32(kind.encode()), number])
    data, said = bytearray(seed), []
    lies = _lies(kind, suffix)
    inflated = kind == "deflated" and draw.random() < 0.75  # else the deflated bytes themselves
    if inflated:
        data, lies = fuzz_image_lies.inflated(seed), fuzz_image_lies.PLAIN_LIES + fuzz_markers.ELEMENT_LIES
    for _ in range(1 if draw.random() < 0.75 else 2):
        ways = lies if draw.random() < 0.6 else BLIND
        way = ways[int(draw.integers(len(ways)))]
        try:
            way(data, draw)
        except (LookupError, ValueError, StopIteration, AssertionError, struct.error, zlib.error):
            BLIND[0](data, draw)  # the first lie left nothing to parse
        said.append(way.__name__)
    if inflated:
        data = bytearray(fuzz_image_lies.deflated(data))
    if bytes(data) == seed:
        data[int(draw.integers(len(data)))] ^= 0xFF
        said.append("one byte")
    return bytes(data), suffix, " + ".join(said)


def flip_bytes(data: bytearray, draw: Draw) -> None:
    """Sets 1, 8 or 64 bytes anywhere to random ones."""
    for _ in range((1, 8, 64)[int(draw.integers(3))]):
        data[int(draw.integers(len(data)))] = int(draw.integers(256))


def flip_head(data: bytearray, draw: Draw) -> None:
    """Sets 1 to 4 bytes of the first 1,024 to random ones."""
    for _ in range(1 + int(draw.integers(4))):
        data[int(draw.integers(min(1024, len(data))))] = int(draw.integers(256))


def zero_run(data: bytearray, draw: Draw) -> None:
    """Zeros a run of 16 to 4,096 bytes."""
    start, length = _run(data, draw)
    data[start : start + length] = bytes(length)


def doubled_run(data: bytearray, draw: Draw) -> None:
    """Repeats a run of 16 to 4,096 bytes: all behind it moves."""
    start, length = _run(data, draw)
    data[start:start] = data[start : start + length]


def swapped_runs(data: bytearray, draw: Draw) -> None:
    """Exchanges two runs of one length."""
    first, length = _run(data, draw)
    second = int(draw.integers(len(data) - length + 1))
    one, other = bytes(data[first : first + length]), bytes(data[second : second + length])
    data[first : first + length], data[second : second + length] = other, one


def lost_run(data: bytearray, draw: Draw) -> None:
    """Takes a run of 16 to 4,096 bytes out."""
    start, length = _run(data, draw)
    del data[start : start + length]


def cut_anywhere(data: bytearray, draw: Draw) -> None:
    """Cuts the file at a random byte."""
    del data[int(draw.integers(1, len(data))) :]


def _run(data: bytearray, draw: Draw) -> tuple[int, int]:
    length = min(16 << int(draw.integers(9)), len(data) // 2)
    return int(draw.integers(len(data) - length + 1)), length


BLIND: tuple[Callable[[bytearray, Draw], None], ...] = (
    flip_bytes, flip_head, zero_run, doubled_run, swapped_runs, lost_run, cut_anywhere,
)  # fmt: skip


def _lies(kind: str, suffix: str) -> tuple[Callable[[bytearray, Draw], None], ...]:
    if kind == "dicom":
        return fuzz_markers.DICOM_LIES
    if kind == "deflated":
        return (fuzz_image_lies.image_bomb,)
    if kind in IMAGES:
        return (fuzz_image_lies.PLAIN_LIES if kind == "ct" else fuzz_image_lies.FRAME_LIES) + fuzz_markers.ELEMENT_LIES
    if kind == "flat":
        return fuzz_markers.JPEG_LIES if suffix == ".jpg" else fuzz_markers.PNG_LIES
    if kind == "jp2":
        return fuzz_geo.J2K_LIES if suffix == ".j2k" else fuzz_geo.JP2_LIES
    if kind in SCENES:
        return fuzz_geo.TIFF_LIES
    return fuzz_tiff.LIES
