"""Takes a JPEG file down to what decoding needs, so that its bytes can be kept without what its makers wrote into it."""

from __future__ import annotations

from domainclip.domains.jpeg_markers import EOI, SOS, segments
from domainclip.errors import UnreadableFileError

_IN_SCANS = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers that may stand within entropy-coded data: TEM and RSTn."""
_KEPT_APP = {0xE0: b"JFIF\x00", 0xEE: b"Adobe"}


def bare_jpeg(data: bytes) -> bytes:
    """Returns the stream from SOI to EOI without comments, EXIF, XMP, ICC, thumbnails and whatever follows the picture.

    Only APP0 (JFIF, cut to its fixed 14 bytes) and APP14 (Adobe: the colour transform) stay among the application segments.
    Marker codes: ITU-T T.81, table B.1.

    Args:
        data: A whole file.

    Raises:
        UnreadableFileError: The segments do not follow each other as in a JPEG file.
    """
    if data[:2] != b"\xff\xd8":
        raise _broken("it does not start as a JPEG stream")
    kept = [b"\xff\xd8"]
    at = 2
    while True:
        last = None
        for part in segments(data, at):
            last = part
            if part.marker == EOI:
                return b"".join([*kept, b"\xff\xd9"])
            if part.length < 2 or part.end > len(data):
                raise _broken("a segment of the JPEG stream is cut off")
            kept += _kept(part.marker, data[part.start : part.end])
        if last is None or last.marker != SOS:
            raise _broken("the JPEG stream ends early or is out of step")
        at = _scan_end(data, last.end)
        kept.append(data[last.end : at])


def _kept(marker: int, body: bytes) -> list[bytes]:
    """Returns a segment as it stays, with its marker and length; nothing of those that decoding does not need."""
    if marker in _KEPT_APP and body.startswith(_KEPT_APP[marker]):
        body = body[:12] + b"\x00\x00" if marker == 0xE0 else body[:12]
    elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
        return []
    return [b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2, "big") + body]


def _scan_end(data: bytes, at: int) -> int:
    """Finds the marker that ends the entropy-coded data: not a stuffed zero, not a restart marker."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise _broken("the JPEG stream has no end")
        if data[at + 1] == 0x00 or data[at + 1] in _IN_SCANS:
            at += 2
        elif data[at + 1] == 0xFF:
            at += 1
        else:
            return at


def _broken(found: str) -> UnreadableFileError:
    return UnreadableFileError("A JPEG file was to be kept as it is.", found, "Save the file anew with an image program.")
