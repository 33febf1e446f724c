"""What a compressed frame says of itself, before anything is decoded: size, components, bits."""

from __future__ import annotations

from dataclasses import dataclass

from domainclip.domains.jpeg2000_siz import read_siz
from domainclip.domains.jpeg_markers import EOI, FRAMES, SOS, segments

_SOI = b"\xff\xd8"


@dataclass(frozen=True, slots=True)
class Codestream:
    """The frame header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Attributes:
        rows: Lines.
        columns: Samples per line.
        components: 1 for grey, 3 for colour.
        bits: Of a sample.
        process: Number of the start-of-frame marker (ITU-T T.81 B.2.2: 0 baseline, 1 extended, 3 lossless; 55 is JPEG-LS), -1 for
            JPEG 2000.
    """

    rows: int
    columns: int
    components: int
    bits: int
    process: int


def read_codestream(data: bytes) -> Codestream:
    """Reads the frame header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Args:
        data: One frame, whole.

    Raises:
        ValueError: It is none of these, is cut short (JPEG 2000's decoder sees that itself), or has no frame header or two.
    """
    return _jpeg2000(data) if data[:2] != _SOI else _jpeg(data)


def _jpeg2000(data: bytes) -> Codestream:
    siz = read_siz(data)
    return Codestream(siz.rows, siz.columns, siz.components, siz.bits, -1)


def _jpeg(data: bytes) -> Codestream:
    """Walks the segments to the first scan; a second frame header before it is refused."""
    at, found = 2, None
    for part in segments(data):
        at = part.at
        if part.marker in {SOS, EOI}:
            break
        if part.length < 2:
            raise ValueError("segment without length")
        if part.marker in FRAMES:
            if found is not None or len(data) < part.at + 10:
                raise ValueError("two frame headers, or one cut short")
            rows, columns = (int.from_bytes(data[part.at + o : part.at + o + 2], "big") for o in (5, 7))
            found = Codestream(rows, columns, data[part.at + 9], data[part.start], part.marker - 0xC0)
        at = part.end
    else:
        if at + 4 <= len(data):
            raise ValueError("no marker where one must be")
    if found is None:
        raise ValueError("no frame header")
    # Within a scan 0xFF is never followed by 0xD9 (T.81 B.1.1.5), so only the marker itself is found. Decoders of lossy JPEG make
    # up what is missing behind a cut.
    if data.find(b"\xff\xd9", at) < 0:
        raise ValueError("no end of image")
    return found
