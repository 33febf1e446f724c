"""One image to bytes and back: the members of a shard. Lossless for what the domain's reader returned."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from domainclip.data.jpeg import bare_jpeg
from domainclip.errors import UnreadableFileError, missing_dependency
from domainclip.sample import Pixels, Values

Storage = Literal["jpg", "png", "npy.zst"]
STORAGES: tuple[Storage, ...] = ("jpg", "png", "npy.zst")
_PNG_LEVEL = 1  # Level 6 costs 2.5 times the time and saves a tenth of the bytes on stained tissue.
_ZSTD_LEVEL = 3
_DISPLAY_STEPS = 65535
_JPEG_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as it lies in a shard.

    Attributes:
        storage: Kind, which is the member's extension.
        data: The member's bytes.
        values: What the stored numbers mean (scale changes when display floats become 16-bit).
        masks: Mask name to a PNG of one bit a pixel; of volumes and time series, to zstd-compressed bits.
        pixels: The array that decoding gives, as the axes of the sample say; with ``jpeg_quality``, the array before that loss.
    """

    storage: Storage
    data: bytes
    values: Values
    masks: Mapping[str, bytes]
    pixels: npt.NDArray[Any]


def encode_image(
    pixels: Pixels, axes: str, values: Values, jpeg: bytes | None = None, jpeg_quality: int | None = None
) -> StoredImage:
    """Encodes an image.

    uint8 with three or one channels and uint16 with one become PNG; display floats of one channel that lie within 0..1
    become 16-bit integers in steps of 1/65535, Hounsfield units of volumes that are whole numbers become int16; what is no PNG,
    volumes and time series among it, becomes a zstd-compressed npy without pickle.

    Args:
        pixels: What the sample's ``read`` returned.
        axes: Its axes, e.g. "CYX".
        values: What its numbers mean.
        jpeg: The bytes of the file when it is a JPEG shown whole; its stream is kept if it shows the same pixels.
        jpeg_quality: 1 to 100: 8-bit colour is stored as JPEG of this quality, with loss; None stores it without.

    Raises:
        UnreadableFileError: The array does not fit its axes, or is empty.
    """
    array = np.asarray(pixels.array)
    if array.ndim != len(axes) or 0 in array.shape or array.dtype.kind not in "uifb":
        found = f"the reader returned an array of shape {array.shape} and type {array.dtype} for the axes {axes}"
        raise UnreadableFileError("An image was to be stored.", found, "Report this: the domain's reader is at fault.")
    masks = {name: _encode_mask(mask) for name, mask in pixels.masks.items() if name != "nodata" or mask.any()}
    single = array.shape[axes.index("C")] == 1
    plane = axes == "CYX" and single
    if single and values.kind == "display" and array.dtype.kind == "f":
        stepped = _display_steps(array, axes, values)
        if stepped is not None:
            array, values, masks = stepped[0], stepped[1], {**stepped[2], **masks}
    elif axes != "CYX" and values.kind == "hu" and _is_whole(array):
        array = array.astype(np.int16)
    if axes == "CYX" and array.shape[0] == 3 and array.dtype == np.uint8:
        interleaved = np.ascontiguousarray(array.transpose(1, 2, 0))
        kept = _kept_jpeg(jpeg, interleaved)
        if kept is not None:
            return StoredImage("jpg", kept[0], values, masks, np.ascontiguousarray(kept[1].transpose(2, 0, 1)))
        if jpeg_quality is not None:
            return StoredImage("jpg", encode_jpeg(interleaved, jpeg_quality), values, masks, array)
        return StoredImage("png", _encode_png(interleaved), values, masks, array)
    if plane and array.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        return StoredImage("png", _encode_png(np.ascontiguousarray(array[0])), values, masks, array)
    return StoredImage("npy.zst", _encode_npy(array), values, masks, array)


def decode_image(data: bytes, storage: str, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Decodes a member; the header must agree with the index before any pixel is decoded.

    Args:
        data: The member's bytes.
        storage: One of ``STORAGES``.
        shape: What the index says, in the order of the axes.
        dtype: What the index says, e.g. "uint8".

    Returns:
        The array of that shape and type.

    Raises:
        UnreadableFileError: The bytes are broken or are another image than the index says.
    """
    try:
        array = _decode_npy(data, shape, dtype) if storage == "npy.zst" else _decode_picture(data, shape)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise _damaged(f"a member of a shard cannot be decoded ({type(error).__name__})") from error
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise _damaged(f"a member holds {array.shape} {array.dtype}, the index says {shape} {dtype}")
    return array


def mask_shape(shape: Sequence[int], axes: str) -> tuple[int, ...]:
    """Returns the shape of an image's masks: the image's without its C axis."""
    return tuple(size for size, axis in zip(shape, axes, strict=True) if axis != "C")


def decode_mask(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Decodes a mask member.

    Args:
        data: The member's bytes.
        shape: (Y, X), or (Z, Y, X) and (T, Y, X) of volumes and time series.

    Returns:
        Booleans of that shape.

    Raises:
        UnreadableFileError: The bytes are broken or are another mask.
    """
    from PIL import Image

    if len(shape) > 2:
        count = math.prod(shape)
        bits = decode_image(data, "npy.zst", (-(-count // 8),), "uint8")
        return np.unpackbits(bits, count=count).reshape(shape).astype(bool)
    height, width = shape
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size == (width, height):
                return np.asarray(image.convert("1"), dtype=bool)
            size = image.size
    except (OSError, ValueError, SyntaxError) as error:
        raise _damaged(f"a mask of a shard cannot be decoded ({type(error).__name__})") from error
    raise _damaged(f"a mask is {size[0]} x {size[1]} pixels, its image {width} x {height}")


def _is_whole(array: npt.NDArray[Any]) -> bool:
    """Says whether int16 holds all numbers as they are."""
    limits = np.iinfo(np.int16)
    return all(
        (plane == np.rint(plane)).all() and limits.min <= plane.min() and plane.max() <= limits.max for plane in _planes(array)
    )


def _planes(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns all (Y, X) planes as one axis: volumes are worked on plane by plane, since copies of them are large."""
    return array.reshape(-1, *array.shape[-2:])


def _display_steps(array: npt.NDArray[Any], axes: str, values: Values) -> tuple[npt.NDArray[Any], Values, dict[str, bytes]] | None:
    """Rounds display floats of one channel to 16 bit; None where that would clip."""
    stepped = np.empty(array.shape, np.uint16)
    empty = np.isnan(array)
    if values.nodata is not None:
        empty |= array == values.nodata
    for plane, blank, result in zip(_planes(array), _planes(empty), _planes(stepped), strict=True):
        physical = plane.astype(np.float64) * values.scale + values.offset
        physical[blank] = 0.0
        if physical.min() < 0.0 or physical.max() > 1.0:
            return None
        result[...] = np.rint(physical * _DISPLAY_STEPS)
    empty = empty.reshape(mask_shape(array.shape, axes))
    masks = {"nodata": _encode_mask(empty)} if empty.any() else {}
    return stepped, replace(values, scale=1.0 / _DISPLAY_STEPS, offset=0.0, nodata=None), masks


def _kept_jpeg(jpeg: bytes | None, interleaved: npt.NDArray[np.uint8]) -> tuple[bytes, npt.NDArray[np.uint8]] | None:
    """Returns the bare stream and its pixels when it shows this image (no turn by EXIF, no colour profile applied).

    Two decoders of one stream may round a few values differently by 1 (GDAL's and Pillow's do, in 3 of 100,000): that much
    is allowed, and the set then holds what Pillow decodes.
    """
    from PIL import Image

    if jpeg is None:
        return None
    try:
        bare = bare_jpeg(jpeg)
        with Image.open(io.BytesIO(bare), formats=["JPEG"]) as image:
            if image.mode != "RGB" or image.size != interleaved.shape[1::-1]:
                return None
            decoded = np.asarray(image)
    except (OSError, UnreadableFileError):
        return None  # The reader got pixels by another way; they are stored as PNG.
    difference = np.abs(decoded.astype(np.int16) - interleaved)
    same = difference.max() <= 1 and np.count_nonzero(difference) <= _JPEG_ROUNDING * difference.size
    return (bare, decoded) if same else None


def encode_jpeg(interleaved: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Returns (H, W, 3) uint8 as a JPEG file of this quality, 4:2:0, as scanners store slides.

    Raises:
        MissingDependencyError: imagecodecs is not installed.
    """
    try:
        import imagecodecs
    except ImportError as error:
        raise missing_dependency("imagecodecs", "Storing JPEG", "imagecodecs") from error
    # The same bytes as Pillow's, in two thirds of its time.
    return bytes(imagecodecs.jpeg8_encode(interleaved, level=quality, subsampling="420"))


def _encode_png(array: npt.NDArray[Any]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _encode_mask(mask: npt.NDArray[np.bool_]) -> bytes:
    from PIL import Image

    if mask.ndim > 2:
        return _encode_npy(np.packbits(np.asarray(mask, dtype=bool)))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(mask, dtype=bool)).save(buffer, "PNG")
    return buffer.getvalue()


def _encode_npy(array: npt.NDArray[Any]) -> bytes:
    import zstandard

    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return bytes(zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(buffer.getvalue()))


def _decode_npy(data: bytes, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    import zstandard

    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize + 4096
    if zstandard.frame_content_size(data) > size:
        raise _damaged("a member is larger than the index says")
    try:
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise _damaged("the checksum or the frame of a compressed member is wrong") from error
    array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(plain), allow_pickle=False, max_header_size=2048)
    return array


def _decode_picture(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
        if len(shape) != 3 or image.size != (shape[2], shape[1]):
            raise _damaged(f"a member is {image.size[0]} x {image.size[1]} pixels, the index says {shape[-1]} x {shape[-2]}")
        array = np.asarray(image)
    if array.dtype == np.int32:  # Older Pillow opens 16-bit PNG as mode I.
        array = array.astype(np.uint16)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _damaged(found: str) -> UnreadableFileError:
    return UnreadableFileError("An image was to be read from a prepared set.", found, "Prepare the set anew; the copy is damaged.")
