"""Single frames of DICOM pixel data: found by their offsets, checked against the header, decoded on demand."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.jpeg2000_siz import read_siz
from domainclip.domains.jpeg_markers import is_filled_up
from domainclip.domains.jpeg_tiles import decoded_strictly, jpeg_header
from domainclip.domains.pathology.dicom_header import DAMAGED, Instance, PixelLayout
from domainclip.domains.pathology.slides import RGB, unreadable
from domainclip.errors import FOREIGN_ERRORS, missing_dependency

NATIVE = frozenset(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"))
"""Implicit and explicit VR little endian."""
_IMPLICIT = "1.2.840.10008.1.2"
_JPEG = frozenset(("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"))
_JPEG_LS = frozenset(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"))
_J2K = frozenset(("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"))
_HTJ2K = frozenset(("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"))
_RLE = "1.2.840.10008.1.2.5"
READ = NATIVE | _JPEG | _JPEG_LS | _J2K | _HTJ2K | {_RLE}
"""Transfer syntaxes that this module decodes."""
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_FRAGMENTS_PER_FRAME = 64


class FrameFile:
    """The frames of one file of a level.

    Args:
        instance: The file.
        layout: How its pixels lie.
    """

    def __init__(self, instance: Instance, layout: PixelLayout) -> None:
        self._instance, self._layout = instance, layout
        self._frame_bytes = instance.tile[0] * instance.tile[1] * layout.samples * (-(-layout.bits // 8))
        self._lock = threading.Lock()
        self._table: list[int] | None = None
        self._file: Any = None

    def frame(self, number: int) -> RGB:
        """Decodes one frame.

        Args:
            number: From 0, within this file.

        Returns:
            (rows, columns, 3) uint8 sRGB.

        Raises:
            UnreadableFileError: The file is cut short or the frame is damaged.
        """
        try:
            with self._lock:
                data = self._stored(number)
            pixels = decoded(data, self._instance.tile, self._layout)
        except ImportError as error:
            raise missing_dependency("imagecodecs", "Reading this compressed DICOM slide", "imagecodecs") from error
        except (*FOREIGN_ERRORS, MemoryError) as error:
            raise unreadable(f"A frame of the DICOM slide cannot be decoded ({type(error).__name__}).", DAMAGED) from error
        columns, rows = self._instance.tile
        if pixels.shape != (rows, columns, 3) or pixels.dtype != np.uint8:
            raise unreadable("A frame of the DICOM slide has another size than its header says.", DAMAGED)
        return pixels

    def check_whole(self, needed: int) -> None:
        """Compares the end of the last frame with the end of the file, where a table says without walking through the frames.

        Args:
            needed: How many frames the level takes from this file; more may follow.

        Raises:
            UnreadableFileError: The file is cut short, or is no file of pixels.
        """
        try:
            with self._lock, self._instance.path.open("rb") as file:
                self._file = file
                end = file.seek(0, 2)
                if self._layout.syntax in NATIVE:
                    last = self._native_start() + needed * self._frame_bytes
                elif table := self._tabled():
                    file.seek(table[needed - 1])
                    head = self._exactly(8)  # if it is no item, that frame is damaged, and the others may be read
                    last = table[needed - 1] + 8 + (int.from_bytes(head[4:], "little") if head[:4] == _ITEM else 0)
                else:
                    last = 0
        except FOREIGN_ERRORS as error:
            raise unreadable(f"Its pixels cannot be found ({type(error).__name__}).", DAMAGED) from error
        finally:
            self._file = None
        if last > end:
            raise unreadable("The DICOM slide ends before its last frame.", "The copy is incomplete; copy it again.")

    def _native_start(self) -> int:
        return self._layout.start + (8 if self._layout.syntax == _IMPLICIT else 12)

    def _stored(self, number: int) -> bytes:
        if self._file is None:
            self._file = self._instance.path.open("rb")
        if self._layout.syntax in NATIVE:
            self._file.seek(self._native_start() + number * self._frame_bytes)
            return self._exactly(self._frame_bytes)
        if self._table is None:
            # Without a table the items are walked through, from the first one on.
            self._table = self._tabled() or self._walked(self._file.tell())
        self._file.seek(self._table[number])
        end = self._table[number + 1] if number + 1 < len(self._table) else None
        return self._fragments(end)

    def _fragments(self, end: int | None) -> bytes:
        """Joins the fragments from here to ``end`` or the delimiter; a frame may not be much larger than its pixels."""
        limit, parts = 4 * self._frame_bytes + 65536, []
        while end is None or self._file.tell() < end:
            tag, length = self._item()
            if tag == _END:
                break
            limit -= length
            if limit < 0:
                raise ValueError("frame too large")
            parts.append(self._exactly(length))
        return b"".join(parts)

    def _tabled(self) -> list[int]:
        """Positions of the frames' first items in the file, by the extended or the basic offset table; empty without either."""
        frames = self._instance.frames
        self._file.seek(self._layout.start + 12)
        tag, length = self._item()
        if tag != _ITEM or length > 4 * frames:
            raise ValueError("offset table")
        basic = np.frombuffer(self._exactly(length), "<u4").astype(np.int64)
        first = self._file.tell()
        for table in (np.array(self._layout.offsets, np.int64), basic):
            # Basic offsets have 32 bits and wrap in files above 4 GB.
            if len(table) == frames and table[0] == 0 and bool((np.diff(table) > 0).all()):
                return [int(offset) + first for offset in table]
        return []

    def _walked(self, first: int) -> list[int]:
        frames, starts = self._instance.frames, []
        while True:
            at = self._file.tell()
            tag, length = self._item()
            if tag == _END:
                break
            starts.append(at)
            if len(starts) > frames * _FRAGMENTS_PER_FRAME:
                raise ValueError("too many fragments")
            self._file.seek(length, 1)
        if frames == 1:
            return [first]
        if len(starts) != frames:
            found = f"It has {frames} frames in {len(starts)} fragments and no table that says which belong together."
            raise unreadable(found, "Rewrite it with an offset table, e.g. with dcmtk's dcmconv or wsidicom.")
        return starts

    def _item(self) -> tuple[bytes, int]:
        head = self._exactly(8)
        if head[:4] not in {_ITEM, _END}:
            raise ValueError("no item")
        return head[:4], int.from_bytes(head[4:], "little")

    def _exactly(self, count: int) -> bytes:
        data: bytes = self._file.read(count)
        if len(data) != count:
            raise EOFError
        return data


def decoded(data: bytes, tile: tuple[int, int], layout: PixelLayout) -> RGB:
    """Decodes one frame's bytes; the size that a codestream states is compared with the header's first.

    Args:
        data: As stored.
        tile: (columns, rows) of the header.
        layout: Of the file.

    Returns:
        (rows, columns, 3) uint8 sRGB.

    Raises:
        ValueError: It is damaged or of another size. Codecs raise their own errors, see ``FOREIGN_ERRORS``.
    """
    columns, rows = tile
    if layout.syntax in NATIVE:
        shape = (3, rows, columns) if layout.planar else (rows, columns, 3)
        stored = np.frombuffer(data, np.uint8).reshape(shape)
        return _as_rgb(np.moveaxis(stored, 0, -1) if layout.planar else stored, layout.photometric)
    import imagecodecs

    if layout.syntax == _RLE:
        planes = bytearray(3 * rows * columns)
        if len(imagecodecs.dicomrle_decode(data, np.uint8, out=planes)) != len(planes):
            raise ValueError("another size")
        return _as_rgb(np.moveaxis(np.frombuffer(planes, np.uint8).reshape(3, rows, columns), 0, -1), layout.photometric)
    header = None if layout.syntax in _J2K | _HTJ2K else jpeg_header(data)
    if header is None:
        siz = read_siz(data)
        stated = (siz.columns, siz.rows, siz.components, siz.bits + 128 * siz.signed)
    else:
        stated = (header.width, header.height, len(header.components), header.bits)
    if stated != (columns, rows, 3, 8):
        raise ValueError("another size")
    if layout.syntax in _JPEG:
        # The header says what the three components are; without it libjpeg guesses by the components' numbers.
        with contextlib.suppress(ValueError):  # OpenSlide's reader of DICOM forgives what libjpeg warns about, too
            strict = decoded_strictly(data, header, layout.photometric != "RGB")
            if strict is not None:
                return strict
        space = "RGB" if layout.photometric == "RGB" else "YCBCR"
        pixels = np.asarray(imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace="RGB"))
        if is_filled_up(pixels):
            raise ValueError("a frame that ends early")
        return pixels
    decode: Callable[[bytes], Any] = (
        imagecodecs.jpegls_decode
        if layout.syntax in _JPEG_LS
        else imagecodecs.jpeg2k_decode
        if layout.syntax in _J2K
        else imagecodecs.htj2k_decode
    )
    return _as_rgb(np.asarray(decode(data)), layout.photometric)


def _as_rgb(stored: npt.NDArray[Any], photometric: str) -> RGB:
    """Takes YBR_FULL to RGB (PS3.3 C.7.6.3.1.2); YBR_ICT and YBR_RCT were undone by the JPEG 2000 decoder already."""
    if photometric not in {"YBR_FULL", "YBR_FULL_422"}:
        return np.ascontiguousarray(stored)
    y, blue, red = (stored[..., band].astype(np.float32) - shift for band, shift in enumerate((0, 128, 128)))
    mixed = np.stack((y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue), axis=-1)
    result: RGB = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return result
