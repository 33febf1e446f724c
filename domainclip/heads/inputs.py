"""What a user hands in as an image, turned into (pixels, values, channels); what is ambiguous is refused with the remedy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domainclip.domains.base import checked_reading, domains
from domainclip.domains.folder import list_folder
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.model_record import ModelRecord, Preprocessing
from domainclip.sample import Pixels, Sample, SourceItem, Spacing, Values

if TYPE_CHECKING:
    import torch

_IMAGE_RANK = 3
# Physical ranges outside of which numbers are surely something else (reflectance may exceed 1 over clouds and snow).
_RANGES = {"srgb": (0.0, 1.0), "display": (0.0, 1.0), "reflectance": (-0.2, 2.0)}


class Image(NamedTuple):
    """One image, ready for ``domainclip.data.transforms.transform``."""

    pixels: Pixels
    values: Values
    channels: tuple[str, ...]
    spacing: Spacing | None = None
    axes: str = "CYX"


def scale_difference(image: Image, preprocessing: Preprocessing) -> str:
    """Says how the scale that the tower would see differs from that of its training; "" within a factor of 2 or unknown."""
    if preprocessing.spacing is None or image.spacing is None or image.spacing.unit != preprocessing.spacing_unit:
        return ""
    seen = image.spacing.values[-1] * image.pixels.array.shape[-1] / preprocessing.image_size
    trained = preprocessing.spacing[-1]
    if trained / 2 <= seen <= trained * 2:
        return ""
    unit = preprocessing.spacing_unit
    return f"The model was trained at {trained:g} {unit} per pixel and gets images at {seen:g} {unit} per pixel"


def as_list(inputs: Any) -> Iterator[Any]:
    """Yields the single inputs of what ``encode_image`` was given: one image, an array of images, an iterable of inputs.

    Raises:
        UsageError: There is nothing in it.
    """
    if _is_single(inputs):
        return iter((inputs,))
    if hasattr(inputs, "index") and hasattr(inputs, "sample") and not isinstance(inputs, list | tuple):
        return (inputs.sample(row) for _, row in inputs.index.iterrows())
    several = iter(inputs)
    first = next(several, None)
    if first is None:
        raise UsageError("Images were to be encoded.", "The list is empty.", "Give at least one image.")
    return itertools.chain((first,), several)


def _is_single(inputs: Any) -> bool:
    if isinstance(inputs, str | Path | Sample) or hasattr(inputs, "getbands"):
        return True
    return hasattr(inputs, "shape") and len(inputs.shape) <= _IMAGE_RANK


def open_image(one: Any, record: ModelRecord, reading: Mapping[str, Any] | None = None) -> Image:
    """Turns one input into an image.

    Args:
        one: A path, a PIL image, an array or tensor, or a Sample.
        record: The model that it is for: its domain reads files, its channels name the planes of arrays.
        reading: Options of the domain's reader, for paths.

    Raises:
        UsageError: The input is ambiguous, or does not fit the model.
        UnreadableFileError: A file is broken.
    """
    if isinstance(one, Sample):
        return Image(one.read(), one.values, one.channels, one.spacing, one.axes)
    if isinstance(one, str | Path):
        sample = whole_file(Path(one), record, reading)
        return Image(sample.read(), sample.values, sample.channels, sample.spacing, sample.axes)
    if hasattr(one, "getbands"):
        return _from_pil(one, record.preprocessing)
    if hasattr(one, "detach"):
        return _from_array(_from_tensor(one), record.preprocessing)
    if isinstance(one, np.ndarray):
        return _from_array(one, record.preprocessing)
    raise UsageError(
        "Images were to be encoded.",
        f"One of them is a {type(one).__name__}.",
        "Give paths, PIL images, numpy arrays, torch tensors or Samples.",
    )


def whole_file(path: Path, record: ModelRecord, reading: Mapping[str, Any] | None = None) -> Sample:
    """Reads a file, or a folder of one series, that is one image.

    Raises:
        UsageError: There is no such file, the folder holds several images, or the domain cuts the file into several windows.
        UnreadableFileError: It is broken.
    """
    asked = f"{path} was to be encoded as one image."
    if not path.exists():
        raise UsageError(asked, "There is no such file.", "Check the path.")
    domain = domains.get(record.domain)
    options = checked_reading(domain, reading)
    item = SourceItem(path, path.name)
    if path.is_dir():
        listing = list_folder(path, domain, options)
        if len(listing.files) != 1:
            found = f"It is a folder, of {len(listing.files)} images as they are read."
            remedy = "Name a file, or the folder of one series (reading={'axes': 'CZYX'}); embed, index, zero-shot take folders."
            raise UsageError(asked, found, remedy)
        item = SourceItem(listing.files[0], path.name, members=tuple(listing.members.get(listing.files[0], ())))
    try:
        samples = list(itertools.islice(domain.samples(item, options), 2))
    except UnreadableFileError as error:
        raise UnreadableFileError(asked, error.found, error.remedy) from error
    if not samples:
        raise UnreadableFileError(
            asked, f"Its {record.domain} reader finds no image in it.", "Look at it with `domainclip inspect`."
        )
    if len(samples) > 1:
        raise UsageError(
            asked,
            f"Its {record.domain} reader cuts it into several windows.",
            "Use `embed` or `zero-shot`, which give one result a window; or encode the Samples that "
            f"domains.get({record.domain!r}).samples(...) yields.",
        )
    return samples[0]


def _from_pil(image: Any, preprocessing: Preprocessing) -> Image:
    wanted = {3: "RGB", 1: "L"}.get(len(preprocessing.channels))
    if wanted is None or preprocessing.values_kind not in {"srgb", "display"}:
        raise UsageError(
            "A PIL image was to be encoded.",
            f"It has the bands {', '.join(image.getbands())}; the model takes {len(preprocessing.channels)} channels of "
            f"{preprocessing.values_kind} ({', '.join(preprocessing.channels)}), which a PIL image cannot carry.",
            "Give a path, a numpy array (C, H, W) with these channels, or a Sample, whose channels have names.",
        )
    if image.mode != wanted:
        raise UsageError(
            "A PIL image was to be encoded.",
            f"Its mode is {image.mode} (bands {', '.join(image.getbands())}); the model takes {', '.join(preprocessing.channels)}.",
            f"Convert it knowingly: image.convert({wanted!r}).",
        )
    array = np.asarray(image)
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return Image(Pixels(planes), Values(preprocessing.values_kind, 1.0 / 255.0), preprocessing.channels)


def _from_tensor(tensor: torch.Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = tensor.detach().cpu().float().numpy() if tensor.is_floating_point() else tensor.detach().cpu().numpy()
    return array


def _from_array(array: npt.NDArray[Any], preprocessing: Preprocessing) -> Image:
    planes = _channels_first(array, len(preprocessing.channels), ", ".join(preprocessing.channels))
    return Image(Pixels(planes), _array_values(planes, preprocessing), preprocessing.channels)


def _channels_first(array: npt.NDArray[Any], channels: int, names: str) -> npt.NDArray[Any]:
    asked = f"An array of shape {array.shape} was to be encoded."
    if array.ndim == 2 and channels == 1:
        return array[None]
    if array.ndim != _IMAGE_RANK or 0 in array.shape:
        found = f"It is no image: the model takes (H, W, {channels}) or ({channels}, H, W), channels {names}."
        raise UsageError(asked, found, "Give one image, or an array of four dimensions with the images first.")
    first, last = array.shape[0] == channels, array.shape[2] == channels
    if first and last:
        found = f"Its first and its last axis both have the length {channels}, so either may be the channels."
        raise UsageError(asked, found, "Give a Sample, whose axes have names.")
    if not first and not last:
        found = f"Neither its first nor its last axis has the model's {channels} channels ({names})."
        raise UsageError(
            asked, found, "Select these channels, in this order; or use a model that was trained on the array's channels."
        )
    return array if first else array.transpose(2, 0, 1)


def _array_values(array: npt.NDArray[Any], preprocessing: Preprocessing) -> Values:
    kind = preprocessing.values_kind
    asked = f"An array of {array.dtype} was to be encoded by a model of {kind} values."
    remedy = "Give a Sample, whose Values say what the stored numbers mean (kind, scale, offset)."
    if array.dtype.kind not in "uif":
        raise UsageError(asked, "It holds no numbers.", "Give uint8 or float32.")
    if kind in {"srgb", "display"} and array.dtype == np.uint8:
        return Values(kind, 1.0 / 255.0)
    if array.dtype.kind in "ui" and kind in {"srgb", "display", "reflectance", "db"}:
        raise UsageError(asked, "Integers other than 8-bit pictures have no scale of their own.", remedy)
    if array.dtype.kind == "f" and kind in _RANGES:
        known = array[np.isfinite(array)]
        low, high = _RANGES[kind]
        if known.size and (known.min() < low or known.max() > high):
            found = f"Its numbers lie in {known.min():g}..{known.max():g}; {kind} values lie in {low:g}..{high:g}."
            raise UsageError(asked, found, remedy + " Images that are normalised already go to encode_normalised.")
    return Values(kind)
