"""Tiles in JPEG, decoded without forgiveness, and what tells a whole stream from one that a decoder filled up.

libjpeg never fails at a stream that ends early or loses its way: it warns, which most of its callers do not see, and fills up what
it lacks with grey (every coefficient 0), or with whatever its last DC value became (ITU-T T.81 leaves recovery to the decoder).
simplejpeg can be told to fail at each warning, as OpenSlide does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainclip.domains.jpeg_markers import FRAMES, SOS, segments
from domainclip.errors import missing_dependency

_END, _TRAILING = b"\xff\xd9", 16
_HUFFMAN = frozenset((0xC0, 0xC1, 0xC2))
"""Baseline, extended and progressive: what libjpeg decodes to 8 bits."""
_APP0, _APP14 = 0xE0, 0xEE


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What stands before the first scan of a stream.

    Attributes:
        process: Second byte of the frame's marker, e.g. 0xC0 for baseline.
        bits: Of a sample.
        width: Columns.
        height: Rows.
        components: Their numbers.
        jfif: Whether it is marked as JFIF, so YCbCr.
        adobe: Adobe's colour transform: 0 none, 1 YCbCr; None without its mark.
        scan: Where the first scan begins in the stream.
    """

    process: int
    bits: int
    width: int
    height: int
    components: tuple[int, ...]
    jfif: bool
    adobe: int | None
    scan: int

    @property
    def ycbcr(self) -> bool:
        """Whether libjpeg takes three components for YCbCr, told nothing else (its ``default_decompress_parms``)."""
        if self.jfif or self.adobe is not None:
            return self.jfif or self.adobe != 0
        return bytes(self.components) != b"RGB"


def jpeg_header(data: bytes) -> JpegHeader | None:
    """Reads the markers before the first scan; None where they are none of a JPEG, or there is no frame among them.

    Args:
        data: A stream with its tables.
    """
    jfif, adobe = False, None
    frame: tuple[int, int, int, int, tuple[int, ...]] | None = None
    for part in segments(data):
        marker, body = part.marker, data[part.start : part.start + 14]
        if marker == SOS:
            return None if frame is None else JpegHeader(*frame, jfif, adobe, part.at)
        if marker in FRAMES and len(body) >= 6:
            tall, wide = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            places = (part.start + 6 + 3 * number for number in range(body[5]))
            frame = marker, body[0], wide, tall, tuple(data[at] for at in places if at < len(data))
        elif marker == _APP0 and body.startswith(b"JFIF\0"):
            jfif = True
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
    return None


def check_stream(data: bytes, header: JpegHeader | None, tile: tuple[int, int], needed: tuple[int, int]) -> None:
    """Looks at the frame header and the end of a stream before it is decoded.

    Args:
        data: One JPEG stream.
        header: Its markers; None where they cannot be read, which is the decoder's to refuse.
        tile: (width, height) of the tile, by the directory.
        needed: (width, height) of the part of it that lies in the picture.

    Raises:
        EOFError: It has no end.
        ValueError: It would decode to more than its tile (its own header decides how much is allocated), or to less than is needed.
    """
    if _END not in data[-_TRAILING:]:
        raise EOFError("a JPEG tile without its end")
    check_size(header, tile, needed)


def check_size(header: JpegHeader | None, tile: tuple[int, int], needed: tuple[int, int]) -> None:
    """Looks at the frame header alone; for the arguments see ``check_stream``.

    Raises:
        ValueError: It would decode to more than its tile, or to less than is needed.
    """
    if header is None:
        return
    if header.width > max(tile[0], 8) or header.height > max(tile[1], 8):
        raise ValueError("a JPEG tile larger than the directory says")
    if header.width < needed[0] or header.height < needed[1]:
        raise ValueError("a JPEG tile smaller than the directory says")


def decoded_strictly(data: bytes, header: JpegHeader | None, ycbcr: bool | None = None) -> npt.NDArray[np.uint8] | None:
    """Decodes a stream, failing where libjpeg would warn; the pixels are those of libjpeg-turbo's defaults.

    Args:
        data: One JPEG stream with its tables.
        header: From ``jpeg_header`` of it.
        ycbcr: Whether three components are YCbCr; None: as libjpeg takes them.

    Returns:
        (H, W, 3) RGB or (H, W, 1) grey; None where it is a kind of stream that this does not decode (12 bits, lossless, arithmetic
        coding, four components, JFIF that is said to hold RGB).

    Raises:
        ValueError: The stream is damaged.
        MissingDependencyError: simplejpeg is not installed.
    """
    if header is None or header.process not in _HUFFMAN or header.bits != 8 or len(header.components) not in {1, 3}:
        return None
    try:
        import simplejpeg
    except ImportError as error:
        raise missing_dependency("simplejpeg", "Reading JPEG tiles", "simplejpeg") from error
    if len(header.components) == 1:
        return np.asarray(simplejpeg.decode_jpeg(data, "GRAY"))
    if ycbcr is not None and ycbcr != header.ycbcr:
        if header.jfif:
            return None  # libjpeg takes JFIF for YCbCr, whatever else is said
        # Adobe's mark, the last of which counts, is how a stream says it (libjpeg-turbo, jdmarker.c).
        mark = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([int(ycbcr)])
        data = data[: header.scan] + mark + data[header.scan :]
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
