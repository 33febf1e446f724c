"""What a compressed frame says of itself, before anything is decoded: size, components, bits."""

from __future__ import annotations

from dataclasses import dataclass

_SOI, _SOC_SIZ = b"\xff\xd8", b"\xff\x4f\xff\x51"
_NO_SEGMENT = frozenset((0x01, *range(0xD0, 0xD9)))
_SOS, _EOI = 0xDA, 0xD9
_SOF = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}


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
    """Reads the SIZ marker (ITU-T T.800 A.5.1), in a raw codestream or in a JP2 file."""
    at = data.find(_SOC_SIZ)
    if at < 0 or len(data) < at + 43:
        raise ValueError("no SIZ marker")
    at += 4
    x, y, x0, y0 = (int.from_bytes(data[at + o : at + o + 4], "big") for o in (4, 8, 12, 16))
    components = int.from_bytes(data[at + 36 : at + 38], "big")
    sizes = data[at + 38 : at + 38 + 3 * components]
    if len(sizes) != 3 * components or not components:
        raise ValueError("SIZ marker cut short")
    return Codestream(y - y0, x - x0, components, max((b & 0x7F) + 1 for b in sizes[::3]), -1)


def _jpeg(data: bytes) -> Codestream:
    """Walks the segments to the first scan (ITU-T T.81 B.1.1); a second frame header before it is refused."""
    at, found = 2, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError("no marker where one must be")
        code = data[at + 1]
        if code == 0xFF or code in _NO_SEGMENT:
            at += 1 if code == 0xFF else 2
            continue
        if code in {_SOS, _EOI}:
            break
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            raise ValueError("segment without length")
        if code in _SOF:
            if found is not None or len(data) < at + 10:
                raise ValueError("two frame headers, or one cut short")
            rows, columns = (int.from_bytes(data[at + o : at + o + 2], "big") for o in (5, 7))
            found = Codestream(rows, columns, data[at + 9], data[at + 4], code - 0xC0)
        at += 2 + length
    if found is None:
        raise ValueError("no frame header")
    # Within a scan 0xFF is never followed by 0xD9 (T.81 B.1.1.5), so only the marker itself is found. Decoders of lossy JPEG make
    # up what is missing behind a cut.
    if data.find(b"\xff\xd9", at) < 0:
        raise ValueError("no end of image")
    return found
