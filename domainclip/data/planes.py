"""Volumes and time series as the planes that image towers see: slices along Z, frames along T."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainclip.errors import UsageError
from domainclip.sample import Pixels

if TYPE_CHECKING:
    import torch

_STACKED = {"CYX": "", "CZYX": "Z", "TCYX": "T"}


def stacked_axis(axes: str) -> str:
    """Returns the axis along which an image has planes: ``"Z"``, ``"T"``, or "" for a picture.

    Raises:
        UsageError: The axes are none of CYX, CZYX, TCYX.
    """
    if axes not in _STACKED:
        found = f"Its axes are {axes!r}."
        raise UsageError("An image was to be taken apart into planes.", found, "Give images of axes CYX, CZYX or TCYX.")
    return _STACKED[axes]


def plane_count(shape: Sequence[int], axes: str) -> int:
    """Returns how many planes an image has; a picture has one."""
    axis = stacked_axis(axes)
    return int(shape[axes.index(axis)]) if axis else 1


def plane_of(pixels: Pixels, axes: str, number: int) -> Pixels:
    """Returns one plane.

    Args:
        pixels: As ``axes`` say; masks without C.
        axes: CYX, CZYX or TCYX.
        number: From 0.

    Returns:
        (C, Y, X), and masks (Y, X).
    """
    axis = stacked_axis(axes)
    if not axis:
        return pixels
    masks = {name: mask[number] for name, mask in pixels.masks.items()}
    return Pixels(pixels.array.take(number, axes.index(axis)), masks)


def grouped(images: Iterable[torch.Tensor], planes: int) -> Iterator[list[torch.Tensor]]:
    """Puts images into groups that have at least so many planes together (the last one may have fewer).

    Args:
        images: (K, C, H, W) each.
        planes: How many.
    """
    group: list[torch.Tensor] = []
    for image in images:
        group.append(image)
        if sum(map(len, group)) >= planes:
            yield group
            group = []
    if group:
        yield group


def drawn_planes(count: int, wanted: int, seed: int, epoch: int, row: int) -> npt.NDArray[np.int64]:
    """Draws planes for training: one of each of ``wanted`` equal stretches, so that they are spread over the whole image.

    This is the segment sampling of Temporal Segment Networks (Wang et al., ECCV 2016), along Z as along T. Where there are fewer
    planes than wanted, some come several times.

    Args:
        count: Planes there are.
        wanted: Planes to draw.
        seed: Of the run.
        epoch: Pass over the data.
        row: Position of the image in its split.

    Returns:
        (wanted,) numbers in rising order.
    """
    generator = np.random.Generator(np.random.PCG64([seed, epoch, row, 0x91A7E]))
    places = (np.arange(wanted) + generator.random(wanted)) * count / wanted
    return np.minimum(places.astype(np.int64), count - 1)
