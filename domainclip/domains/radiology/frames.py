"""Decodes one frame of DICOM pixel data: pydicom's decoder interface, with one plug-in chosen for each transfer syntax.

pydicom tries whatever happens to be installed, one after another, so that the same file may give other numbers on another machine
(the decoders of lossy JPEG differ by one). Here the plug-in is fixed, and none is GPL.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NoReturn

from domainclip.domains.radiology.reading import unreadable

_OWN = "domainclip.domains.radiology.frames"
# Transfer syntax to module and function; pydicom's own plug-ins where a dependency of ours backs them.
_PLUGINS = {
    "1.2.840.10008.1.2.5": (_OWN, "decode_rle"),
    "1.2.840.10008.1.2.4.50": ("pydicom.pixels.decoders.pillow", "_decode_frame"),
    "1.2.840.10008.1.2.4.51": (_OWN, "decode_jpeg"),
    "1.2.840.10008.1.2.4.57": (_OWN, "decode_jpeg"),
    "1.2.840.10008.1.2.4.70": (_OWN, "decode_jpeg"),
    "1.2.840.10008.1.2.4.80": (_OWN, "decode_jpeg"),
    "1.2.840.10008.1.2.4.81": (_OWN, "decode_jpeg"),
    **dict.fromkeys(
        [f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)], ("pydicom.pixels.decoders.pylibjpeg", "_decode_frame")
    ),
}
_PACKAGES = {"pillow": "pillow", "pylibjpeg": "pylibjpeg pylibjpeg-openjpeg", "frames": "imagecodecs"}
DECODER_DEPENDENCIES = dict.fromkeys([uid for uid, (module, _) in _PLUGINS.items() if module == _OWN], ("imagecodecs",))
"""Read by pydicom when the plug-in is not available."""
_LITTLE_ENDIAN = frozenset(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"))
"""Transfer syntaxes of uncompressed pixels: implicit, explicit, deflated."""
_LOSSLESS, _JPEG_LS = 3, 55
_MISFIT, _SHORT = "Its compressed pixels do not fit its header.", "Its compressed pixels end early."
_OUT_OF_STEP = "Its compressed pixels are damaged: the decoder lost its way in them."
_GREY = 128
_AGAIN = "Fetch it again; if it is the same, export it anew."
_told: ContextVar[str] = ContextVar("told", default="")


def is_available(uid: str) -> bool:
    """Says whether this module decodes a transfer syntax here (asked by pydicom)."""
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return uid in DECODER_DEPENDENCIES


@contextlib.contextmanager
def told_reasons() -> Iterator[None]:
    """Refuses a file for the reason that a plug-in here gave; pydicom makes one RuntimeError of all that its plug-ins raise."""
    token = _told.set("")
    try:
        yield
    except RuntimeError as error:
        if found := _told.get():
            raise unreadable(found, _AGAIN) from error
        raise
    finally:
        _told.reset(token)


def _damaged(found: str) -> NoReturn:
    _told.set(found)
    raise ValueError(found)


@lru_cache(maxsize=32)
def frame_decoder(syntax: str) -> Any:
    """Returns a ``pydicom.pixels.decoders.base.Decoder`` of our own with one plug-in, or None for a syntax that nobody decodes.

    Args:
        syntax: Transfer syntax UID.
    """
    from pydicom.pixels import get_decoder
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import UID

    try:
        get_decoder(syntax)
    except NotImplementedError:
        return None
    decoder = Decoder(UID(syntax))
    if syntax in _PLUGINS:
        decoder.add_plugin("chosen", _PLUGINS[syntax])
    return decoder


def package_of(syntax: str) -> str:
    """Names the package that decodes a compressed transfer syntax of ``frame_decoder``."""
    return _PACKAGES[_PLUGINS[syntax][0].rsplit(".", 1)[-1]]


def plain_frame(dataset: Any, frame: int) -> Any:
    """Takes a frame out of uncompressed pixel data, as pydicom does, without its copies.

    Args:
        dataset: Read with pixels, which are as long as the header says.
        frame: From 0.

    Returns:
        (Y, X) integers of the header's sign; the bits above the stored ones do not count. None where this is not the plain case:
        one sample per pixel in bytes of their own, little-endian, the lowest bit at the lower end. It may lie in ``PixelData``.
    """
    import numpy as np

    names = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
    rows, columns, allocated, bits, signed = (dataset.get(name) for name in names)
    grey = dataset.get("PhotometricInterpretation") in {"MONOCHROME1", "MONOCHROME2"} and dataset.get("SamplesPerPixel") == 1
    plain = grey and allocated in {8, 16, 32} and signed in {0, 1} and isinstance(bits, int) and 0 < bits <= allocated
    if not plain or str(dataset.file_meta.TransferSyntaxUID) not in _LITTLE_ENDIAN or not dataset.get("PixelData"):
        return None
    kind = np.dtype(f"<{'ui'[signed]}{allocated // 8}")
    count = rows * columns
    array = np.frombuffer(dataset.PixelData, kind, count, frame * count * kind.itemsize).reshape(rows, columns)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if bits < allocated and (array.max() > high or array.min() < low):
        array = (array << (allocated - bits)) >> (allocated - bits)
    return array


def decode_jpeg(source: bytes, runner: Any) -> bytes:
    """Decodes a frame of JPEG (8 or 12 bit), lossless JPEG or JPEG-LS with imagecodecs; pydicom's plug-in interface.

    Colours stay as they are in the codestream: pydicom converts what the photometric interpretation asks for.

    Args:
        source: One frame.
        runner: pydicom's ``DecodeRunner``; told how the bytes lie.

    Returns:
        The samples, colour by pixel, little-endian.

    Raises:
        ValueError: The codestream's process is none that its transfer syntax may hold, or a lossless scan is damaged.
    """
    import imagecodecs
    import numpy as np

    from domainclip.domains.radiology.codestream import read_codestream
    from domainclip.domains.radiology.lossless_jpeg import bits_left

    header = read_codestream(source)
    if header.process == _LOSSLESS:
        try:
            array = imagecodecs.jpeg8_decode(source)
        except imagecodecs.Jpeg8Error:
            _damaged(_OUT_OF_STEP)
        if left := bits_left(source, array) // 8:
            _damaged(_SHORT if left < 0 else _OUT_OF_STEP)
    elif header.process == _JPEG_LS:
        array = imagecodecs.jpegls_decode(source)
    elif header.process in {0, 1, 2}:
        keep = "ycbcr" if header.components == 3 else None
        array = imagecodecs.jpeg8_decode(source, colorspace=keep, outcolorspace=keep)
    else:
        raise ValueError("unknown process")
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def check_filled(source: bytes, array: Any) -> None:
    """Refuses a frame of lossy JPEG that ends in the grey with which libjpeg fills up what is missing.

    Where 8 bits end in that grey, libjpeg is asked whether it warns; those of 12 bits are refused, since nobody can be asked.

    Raises:
        UnreadableFileError: It was filled up.
    """
    import simplejpeg

    from domainclip.domains.jpeg_markers import is_filled_up
    from domainclip.domains.radiology.codestream import read_codestream

    bits = read_codestream(source).bits
    if not ((array[-8:, -8:] == _GREY).all() if bits == 8 else is_filled_up(array, bits)):
        return
    try:
        if bits == 8:
            simplejpeg.decode_jpeg(source, "GRAY")
            return
    except ValueError:
        pass
    raise unreadable(_SHORT, _AGAIN)


def decode_rle(source: bytes, runner: Any) -> bytes:
    """Decodes a frame of RLE Lossless (PS3.5 Annex G); pydicom's plug-in interface.

    pydicom's own grows with what the segments inflate to, 64 times the file at worst; here each has room for the frame only.

    Args:
        source: One frame: 64 bytes of offsets, then a PackBits segment for each byte of each sample, the highest byte first.
        runner: pydicom's ``DecodeRunner``; told that samples lie by plane.

    Returns:
        The samples, by plane, little-endian.

    Raises:
        ValueError: The segments do not fit the header, or one of them is too short or too long.
    """
    import imagecodecs
    import numpy as np

    pixels, samples, width = runner.rows * runner.columns, runner.samples_per_pixel, runner.bits_allocated // 8
    table = np.frombuffer(source[:64], "<u4")
    if table.size != 16 or runner.bits_allocated % 8 or int(table[0]) != samples * width:
        _damaged(_MISFIT)
    ends = [*(int(at) for at in table[1 : samples * width + 1]), len(source)]
    planes = np.empty((samples, pixels, width), np.uint8)
    # Some encoders end a segment with a run that overshoots; a run has 128 bytes at most.
    room = bytearray(pixels + 128)
    for number in range(samples * width):
        if not 64 <= ends[number] <= ends[number + 1]:
            _damaged(_MISFIT)
        try:
            got = imagecodecs.packbits_decode(source[ends[number] : ends[number + 1]], out=room)
        except imagecodecs.PackbitsError:  # it has more than the frame
            _damaged(_MISFIT)
        if len(got) < pixels:
            _damaged(_SHORT)
        planes[number // width, :, width - 1 - number % width] = np.frombuffer(got, np.uint8, pixels)
    runner.set_option("planar_configuration", 1)
    return planes.tobytes()
