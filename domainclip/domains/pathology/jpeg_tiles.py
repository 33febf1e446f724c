"""Tiles in JPEG: what tells a whole stream from one that the decoder filled up.

libjpeg never fails at a stream that ends early or loses its way: it warns, which its callers do not see, and fills up what it lacks
with grey (every coefficient 0), or with whatever its last DC value became (ITU-T T.81 leaves recovery to the decoder).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_END, _TRAILING = b"\xff\xd9", 16
_MCU, _BLOCK = 16, 32
"""Pixels across the largest common minimum coded unit (chroma at half size), and across the smallest block that is looked for."""
_HOLE = bytes(16)
"""Zeros as a failed copy leaves them; they decode to one colour."""
_FILLER = 128
"""What libjpeg gives for coefficients that it never got, in every channel."""


def check_stream(data: bytes, width: int, height: int, needed: tuple[int, int]) -> None:
    """Looks at the frame header and the end of a stream before it is decoded.

    Args:
        data: One JPEG stream; its tables may lie elsewhere.
        width: Of the tile, by the directory.
        height: Of the tile.
        needed: (width, height) of the part of it that lies in the picture.

    Raises:
        EOFError: It has no end.
        ValueError: It would decode to more than its tile (its own header decides how much is allocated), or to less than is needed.
    """
    if _END not in data[-_TRAILING:]:
        raise EOFError("a JPEG tile without its end")
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            tall, wide = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            if tall > max(height, 8) or wide > max(width, 8):
                raise ValueError("a JPEG tile larger than the directory says")
            if wide < needed[0] or tall < needed[1]:
                raise ValueError("a JPEG tile smaller than the directory says")
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if marker != 0xFF else 1


def has_constant_block(piece: npt.NDArray[Any]) -> bool:
    """Whether a block of 32 x 32 pixels (whole coded units, on a grid from the upper left) is of one colour.

    Scanners give such blocks only where they saw nothing. The first looks (some microseconds) take few samples.

    Args:
        piece: (H, W, C), decoded.
    """
    down, across, channels = piece.shape[0] // _BLOCK, piece.shape[1] // _BLOCK, piece.shape[2]
    grid = piece[: down * _BLOCK, : across * _BLOCK]
    few = grid[_BLOCK // 2 :: _BLOCK, ::8, channels // 2].reshape(down, across, _BLOCK // 8)
    if not (few[..., 1:] == few[..., :-1]).all(axis=2).any():
        return False
    lines = grid[_BLOCK // 2 :: _BLOCK].reshape(down, across, _BLOCK * channels)
    for row, column in np.argwhere((lines[..., channels:] == lines[..., :-channels]).all(axis=2)):
        block = grid[row * _BLOCK : (row + 1) * _BLOCK, column * _BLOCK : (column + 1) * _BLOCK]
        if (block == block[0, 0]).all():
            return True
    return False


def is_plainly_blank(data: bytes, piece: npt.NDArray[Any]) -> bool:
    """Whether all of a tile is of one colour, by a stream that has no hole: what a scanner writes for bare glass.

    Args:
        data: The stream.
        piece: (H, W, C) uint8, decoded.
    """
    colour, values = piece[0, 0], np.ascontiguousarray(piece).reshape(-1)
    same = bool((values[colour.size :] == values[: -colour.size]).all())
    return same and not bool((colour == _FILLER).all()) and _HOLE not in data


def is_filled_up(piece: npt.NDArray[Any]) -> bool:
    """Whether the last coded unit of a tile is the grey that stands for coefficients that never came.

    Args:
        piece: (H, W, C) uint8, decoded.
    """
    return bool((piece[-8:, -8:] == _FILLER).all()) and bool((piece[-_MCU:, -_MCU:] == _FILLER).all())
