"""Colour pictures: three channels, or one, from RGB, from a palette, and from grey with a supplemental palette."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.dicom import has_supplemental_palette
from domainclip.domains.radiology.palette import read_palette
from domainclip.domains.radiology.picture import grey_of
from domainclip.domains.radiology.reading import RadiologyReading
from domainclip.sample import Values

Array = npt.NDArray[Any]

_INTEGERS = 16
"""Colours of more bits become float32 between 0 and 1."""


def colour_bits(header: Any) -> int:
    """Returns the bits of a colour: white is ``2**bits - 1``.

    Raises:
        UnreadableFileError: The palette is damaged.
    """
    if header.get("PhotometricInterpretation") == "PALETTE COLOR":
        return read_palette(header).bits
    return int(header.get("BitsStored") or header.get("BitsAllocated"))


def colour_values(header: Any) -> Values:
    """Says what the numbers of ``read_colour`` mean under ``reading.colour = rgb``."""
    bits = colour_bits(header)
    whole = not has_supplemental_palette(header) and bits <= _INTEGERS
    return Values("srgb", scale=1.0 / (2**bits - 1) if whole else 1.0)


def read_colour(stored: Array, grey: Array | None, header: Any, reading: RadiologyReading) -> Array:
    """Makes channels of a decoded frame.

    Args:
        stored: (Y, X, 3) RGB, or (Y, X) indices of a palette.
        grey: (Y, X) display values of a picture with a supplemental palette; None for all others.
        header: Of the frame.
        reading: ``colour`` is ``rgb`` or ``luma``.

    Returns:
        Under ``rgb`` (3, Y, X): uint8 or uint16 as stored, or float32 in 0..1 (``colour_values`` says which); under ``luma``
        (1, Y, X) float32 in 0..1.

    Raises:
        UnreadableFileError: The palette is damaged.
    """
    bits = colour_bits(header)
    if grey is not None:
        palette = read_palette(header)
        coloured = palette.look_up(stored) / (2.0**palette.bits - 1)
        mixed = np.where((stored >= palette.first)[..., None], coloured, grey[..., None])
        colours, white = mixed.astype(np.float32), 1.0
    elif stored.ndim == 2:
        colours, white = read_palette(header).look_up(stored), 2.0**bits - 1
    else:
        colours, white = stored, 2.0**bits - 1
    if reading.colour == "luma":
        single = colours @ np.array((0.299, 0.587, 0.114)) if colours.dtype.kind == "f" else grey_of(colours, reading)
        return np.asarray(single / white, np.float32)[None]
    planes = np.ascontiguousarray(np.moveaxis(colours, -1, 0))
    if planes.dtype.kind == "f":
        return planes
    if bits > _INTEGERS:
        return np.asarray(planes / white, np.float32)
    return planes.astype(np.uint8 if bits <= 8 else np.uint16)
