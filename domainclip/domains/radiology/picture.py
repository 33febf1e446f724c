"""PNG and JPEG pictures: one grey channel of 8 or 16 bit, or three of 8."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.dicom import foreign_decoder
from domainclip.domains.radiology.reading import RadiologyReading, check_decoded_size, check_file_size, unreadable
from domainclip.errors import missing_dependency

_GREY16 = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_LUMA = np.array((0.299, 0.587, 0.114))


def open_picture(path: Path, reading: RadiologyReading) -> Any:
    """Opens a picture without decoding it.

    Returns:
        A ``PIL.Image.Image``; close it after use.

    Raises:
        UnreadableFileError: It is no PNG or JPEG, is damaged, too large, or has several frames.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_dependency("pillow", "Reading PNG and JPEG", "pillow") from error

    try:
        check_file_size(path.stat().st_size, reading)
    except OSError as error:
        raise unreadable(f"The file cannot be opened ({error.strerror}).", "Check that it is there and readable.") from error
    with foreign_decoder("Reading its header"):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        picture = Image.open(path, formats=("PNG", "JPEG"))
    if getattr(picture, "n_frames", 1) > 1:
        picture.close()
        raise unreadable("It is an animation.", "Save the one picture that you mean.")
    check_decoded_size(picture.width * picture.height * (2 if picture.mode in _GREY16 else len(picture.getbands())), reading)
    return picture


def read_picture(path: Path, reading: RadiologyReading) -> npt.NDArray[Any]:
    """Reads one grey channel; the JPEG orientation tag is applied, as the side of the body hangs on it.

    Returns:
        (Y, X) uint8 or uint16 as stored. Colour under ``reading.colour = luma`` becomes 0.299 R + 0.587 G + 0.114 B, rounded; under
        ``rgb`` it is (3, Y, X).

    Raises:
        UnreadableFileError: It is damaged, in colour, or partly transparent.
    """
    from PIL import ImageOps

    picture = open_picture(path, reading)
    with picture, foreign_decoder("Decoding its pixels"):
        upright = ImageOps.exif_transpose(picture)
        mode = upright.mode
        if mode in _GREY16:
            array = np.asarray(upright).astype(np.int64)
        elif mode in {"1", "L"}:
            array = np.asarray(upright.convert("L"))
        else:
            array = np.asarray(upright.convert("RGBA" if "A" in mode or "transparency" in upright.info else "RGB"))
    if mode in _GREY16:
        if array.min() < 0 or array.max() > 65535:
            raise unreadable("Its grey values need more than 16 bits.", "Save it with 8 or 16 bits.")
        return array.astype(np.uint16)
    if array.ndim == 2:
        return array
    if array.shape[2] == 4 and array[..., 3].min() < 255:
        raise unreadable("It is partly transparent.", "Save it without an alpha channel.")
    if reading.colour in {"rgb", "rgb_all"}:
        return np.ascontiguousarray(np.moveaxis(array[..., :3], -1, 0))
    return grey_of(array[..., :3], reading)


def has_colours(picture: Any) -> bool:
    """Says whether an opened picture has more than a grey channel."""
    return picture.mode not in {"1", "L", *_GREY16}


def grey_of(colour: npt.NDArray[Any], reading: RadiologyReading) -> npt.NDArray[Any]:
    """Makes one channel of three: the same numbers where all three agree, else as ``reading.colour`` says.

    Args:
        colour: (Y, X, 3) unsigned integers, RGB.
        reading: With ``colour``.

    Raises:
        UnreadableFileError: The channels differ and ``reading.colour`` is ``refuse``.
    """
    if (colour[..., 0] == colour[..., 1]).all() and (colour[..., 0] == colour[..., 2]).all():
        return np.ascontiguousarray(colour[..., 0])
    if reading.colour == "refuse":
        raise unreadable(
            "It is in colour; one grey channel is read.",
            "Set reading.colour to luma, if it is a radiograph with coloured marks, or to rgb for three channels.",
        )
    return np.asarray(np.rint(colour.astype(np.float64) @ _LUMA), dtype=colour.dtype)


def white_level(array: npt.NDArray[Any], reading: RadiologyReading) -> int:
    """Returns the stored number that is white: 255, or ``2**bits_stored - 1`` of a 16-bit picture.

    Raises:
        UnreadableFileError: A pixel lies above it.
    """
    white = 255 if array.dtype == np.uint8 else 2 ** (reading.bits_stored or 16) - 1
    if int(array.max()) > white:
        raise unreadable(
            f"It holds the value {int(array.max())}; reading.bits_stored allows {white}.", "Correct reading.bits_stored."
        )
    return white
