"""Stored pixels to the tower's input: one path for training, evaluation and users, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.channel_names import channel_positions
from domainclip.config import MissingChannels
from domainclip.data.missing_channels import fit_channels
from domainclip.data.planes import plane_count, plane_of
from domainclip.errors import UsageError
from domainclip.model_record import Preprocessing
from domainclip.sample import Pixels, Values

if TYPE_CHECKING:
    import torch

_VALID_SHARE = 0.5  # A resized pixel with less than this share of data under it has no data.
_RGB_PLANES = 3


def transform(
    pixels: Pixels,
    values: Values,
    channels: Sequence[str],
    preprocessing: Preprocessing,
    missing: MissingChannels = "refuse",
) -> torch.Tensor:
    """Turns one image into a tower's input.

    Args:
        pixels: (C, Y, X) stored numbers, with masks.
        values: What the numbers mean.
        channels: Names of the C channels.
        preprocessing: The model's.
        missing: What becomes of channels that the image lacks (``data.missing_channels``).

    Returns:
        (C', image_size, image_size) float32, normalised; 0 where there is no data. C' is the number of the model's channels,
        or 3 where one channel is replicated; with ``drop`` that of the channels that are there.

    Raises:
        UsageError: Channels are missing, or the numbers mean something else than the model was trained on.
    """
    import torch

    fit = fit_channels(channels, preprocessing, missing)
    image = resized(pixels, values, channels, fit.preprocessing)
    masks = None if image.valid is None else torch.from_numpy(image.valid)[None]
    array = image.array if image.array.flags.writeable else image.array.copy()  # torch warns of arrays that it may not write
    return fit.spread(normalise(torch.from_numpy(array)[None], image.values, fit.preprocessing, masks))[0]


def transform_planes(
    pixels: Pixels,
    axes: str,
    values: Values,
    channels: Sequence[str],
    preprocessing: Preprocessing,
    missing: MissingChannels = "refuse",
) -> torch.Tensor:
    """Turns all planes of an image into a tower's inputs.

    Args:
        pixels: As ``axes`` say.
        axes: CYX, CZYX or TCYX; a picture has one plane.
        values: What the numbers mean.
        channels: Names of the C channels.
        preprocessing: The model's.
        missing: See ``transform``.

    Returns:
        (K, C', image_size, image_size) float32, as ``transform``.

    Raises:
        UsageError: See ``transform``.
    """
    import torch

    planes = range(plane_count(pixels.array.shape, axes))
    return torch.stack([transform(plane_of(pixels, axes, number), values, channels, preprocessing, missing) for number in planes])


@dataclass(frozen=True, slots=True)
class ResizedImage:
    """An image of the model's channels and size, not yet normalised.

    Attributes:
        array: (size, size, C) uint8 as stored, or float32 in physical numbers.
        valid: (size, size) True where there is data; None when all of it is.
        values: What the numbers of ``array`` mean.
    """

    array: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_] | None
    values: Values


def resized(
    pixels: Pixels, values: Values, channels: Sequence[str], preprocessing: Preprocessing, size: int | None = None
) -> ResizedImage:
    """Selects the model's channels and resizes.

    uint8 stays uint8 and is resized as Pillow does, rounded and clipped, which is what open_clip's own transform does. All
    other numbers become physical and float32 and are resized without rounding. srgb and display, which lie in 0..1, lose what
    bicubic interpolation shoots beyond that; other kinds are not clipped. Pixels without data do not take part; in the result
    they hold the mean of the others, so that nothing that is done to the image later smears zeros.

    Args:
        pixels: (C, Y, X).
        values: What the numbers mean.
        channels: Names of the C channels.
        preprocessing: The model's.
        size: Another side than ``image_size`` (before augmentation), or None.

    Raises:
        UsageError: See ``transform``.
    """
    side = size or preprocessing.image_size
    array = _selected(pixels.array, channels, preprocessing)
    if values.kind != preprocessing.values_kind:
        raise UsageError(
            "An image was to be made a model's input.",
            f"Its values are {values.kind}, the model was trained on {preprocessing.values_kind}.",
            "Read the files with the options that the model was trained with, or train a model on such values.",
        )
    empty = _empty(array, pixels, values)
    if array.dtype == np.uint8 and empty is None:
        return ResizedImage(_resized_uint8(array, side, preprocessing), None, replace(values, nodata=None))
    physical = Values(values.kind)
    planes = array.astype(np.float32) * np.float32(values.scale) + np.float32(values.offset)
    if empty is None:
        return ResizedImage(_interleaved(_within(_resized_float(planes, side, preprocessing), planes, values)), None, physical)
    weights = _resized_float((~empty).astype(np.float32)[None], side, preprocessing)[0]
    valid = weights >= _VALID_SHARE
    filled = np.where(empty, np.float32(0), planes)
    planes = _resized_float(filled, side, preprocessing)
    planes /= np.where(valid, weights, np.float32(1))
    planes = _within(planes, filled, values)
    means = planes[:, valid].mean(axis=1) if valid.any() else np.zeros(len(planes), np.float32)
    planes[:, ~valid] = means[:, None]
    return ResizedImage(_interleaved(planes), None if valid.all() else valid, physical)


def normalise(
    images: torch.Tensor, values: Values, preprocessing: Preprocessing, masks: torch.Tensor | None = None
) -> torch.Tensor:
    """Makes numbers physical and normalises them.

    Args:
        images: (N, H, W, C) uint8 or float32.
        values: What the numbers mean.
        preprocessing: The model's.
        masks: (N, H, W) True where there is data, or None.

    Returns:
        (N, C', H, W) float32, contiguous: (stored * scale + offset - mean) / std, and 0 where there is no data.
    """
    import torch

    std = torch.tensor(preprocessing.std, dtype=torch.float64)
    gain = (values.scale / std).float()
    shift = ((values.offset - torch.tensor(preprocessing.mean, dtype=torch.float64)) / std).float()
    planes = images.permute(0, 3, 1, 2).contiguous().float()
    planes = planes * gain.view(-1, 1, 1)
    planes += shift.view(-1, 1, 1)
    if masks is not None:
        planes.masked_fill_(~masks[:, None], 0.0)
    if preprocessing.one_channel == "replicated" and planes.shape[1] == 1:
        return planes.expand(-1, _RGB_PLANES, -1, -1).contiguous()
    return planes


def _within(planes: npt.NDArray[np.float32], before: npt.NDArray[np.float32], values: Values) -> npt.NDArray[np.float32]:
    """Clips numbers of a known range to it, or to the range that the image had before where that was wider."""
    if values.kind not in {"srgb", "display"}:
        return planes
    return np.clip(planes, min(0.0, float(before.min())), max(1.0, float(before.max())))


def _interleaved(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(planes.transpose(1, 2, 0), dtype=np.float32)


def _selected(array: npt.NDArray[Any], channels: Sequence[str], preprocessing: Preprocessing) -> npt.NDArray[Any]:
    asked = f"An image was to be made the input of a model of the channels {', '.join(preprocessing.channels)}."
    if array.ndim != 3 or array.shape[0] != len(channels):
        found = f"Its array has the shape {array.shape}, its channels are {', '.join(channels)}."
        raise UsageError(asked, found, "Give images of axes CYX; choose one slice or date first.")
    if tuple(channels) == preprocessing.channels:
        return array
    return array[list(channel_positions(channels, preprocessing.channels))]


def _empty(array: npt.NDArray[Any], pixels: Pixels, values: Values) -> npt.NDArray[np.bool_] | None:
    """Returns (Y, X) True where any chosen channel has no data, or None when there is data everywhere."""
    empty = np.zeros(array.shape[1:], dtype=bool)
    if "nodata" in pixels.masks:
        empty |= pixels.masks["nodata"]
    if array.dtype.kind == "f":
        empty |= np.isnan(array).any(axis=0)
    if values.nodata is not None and not np.isnan(values.nodata):
        empty |= (array == values.nodata).any(axis=0)
    return empty if empty.any() else None


def _target(height: int, width: int, side: int, preprocessing: Preprocessing) -> tuple[int, int, int, int]:
    """Returns the size to resize to and the upper-left corner of the crop, as torchvision's Resize and CenterCrop do."""
    if preprocessing.resize == "squash":
        return side, side, 0, 0
    if height <= width:
        tall, wide = side, int(side * width / height)
    else:
        tall, wide = int(side * height / width), side
    return tall, wide, round((tall - side) / 2.0), round((wide - side) / 2.0)


def _resized_uint8(array: npt.NDArray[np.uint8], side: int, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Resizes (C, Y, X) to (side, side, C); three channels at once, others one by one."""
    from PIL import Image

    tall, wide, top, left = _target(array.shape[1], array.shape[2], side, preprocessing)
    how = Image.Resampling.BICUBIC if preprocessing.interpolation == "bicubic" else Image.Resampling.BILINEAR
    whole = (
        [np.ascontiguousarray(array.transpose(1, 2, 0))]
        if array.shape[0] == _RGB_PLANES
        else [np.ascontiguousarray(plane) for plane in array]
    )
    parts = [np.asarray(Image.fromarray(part).resize((wide, tall), how)) for part in whole]
    joined = parts[0] if parts[0].ndim == 3 else np.stack(parts, axis=-1)
    return np.array(joined[top : top + side, left : left + side], order="C")  # Pillow's own memory is read-only.


def _resized_float(planes: npt.NDArray[np.float32], side: int, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Resizes (C, Y, X) to (C, side, side) with antialiasing."""
    from PIL import Image

    tall, wide, top, left = _target(planes.shape[1], planes.shape[2], side, preprocessing)
    how = Image.Resampling.BICUBIC if preprocessing.interpolation == "bicubic" else Image.Resampling.BILINEAR
    parts = [np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((wide, tall), how)) for plane in planes]
    return np.stack(parts)[:, top : top + side, left : left + side]
