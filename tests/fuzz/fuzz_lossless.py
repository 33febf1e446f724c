"""A plug-in of pydicom's for lossless JPEG by liblj92; the readers use libjpeg-turbo. pydicom has none without GPL."""

from __future__ import annotations

from typing import Any

import numpy as np

DECODER_DEPENDENCIES = {"1.2.840.10008.1.2.4.70": ("imagecodecs",)}
"""Read by pydicom."""


def is_available(uid: str) -> bool:
    """Says whether a transfer syntax is decoded (asked by pydicom)."""
    return uid in DECODER_DEPENDENCIES


def decode(source: bytes, runner: Any) -> bytes:
    """Decodes one frame; pydicom's plug-in interface."""
    import imagecodecs

    array = np.ascontiguousarray(imagecodecs.ljpeg_decode(source))
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
