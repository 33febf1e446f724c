"""What a JPEG 2000 codestream says of its size before anything is decoded: the SIZ marker, ITU-T T.800 A.5.1."""

from __future__ import annotations

from dataclasses import dataclass

SOC_SIZ = b"\xff\x4f\xff\x51"
"""Start of codestream, and the marker that must follow it."""


@dataclass(frozen=True, slots=True)
class Siz:
    """Size of the image area.

    Attributes:
        rows: Lines.
        columns: Samples per line.
        components: How many.
        bits: Of a sample, the most of all components.
        signed: Whether some component has signed samples.
        tile_rows: Lines of a tile.
        tile_columns: Samples per line of a tile.
    """

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool
    tile_rows: int
    tile_columns: int


def read_siz(data: bytes) -> Siz:
    """Reads the SIZ marker of a codestream, also of one in a JP2 file.

    Args:
        data: The stream or file.

    Raises:
        ValueError: There is none, or it is cut short.
    """
    at = data.find(SOC_SIZ)
    if at < 0 or len(data) < at + 43:
        raise ValueError("no SIZ marker")
    at += 4
    right, bottom, left, top = (int.from_bytes(data[at + o : at + o + 4], "big") for o in (4, 8, 12, 16))
    components = int.from_bytes(data[at + 36 : at + 38], "big")
    sizes = data[at + 38 : at + 38 + 3 * components]
    if len(sizes) != 3 * components or not components:
        raise ValueError("SIZ marker cut short")
    depths = sizes[::3]
    bits, signed = max((b & 0x7F) + 1 for b in depths), any(b & 0x80 for b in depths)
    wide, tall = (int.from_bytes(data[at + o : at + o + 4], "big") for o in (20, 24))
    return Siz(bottom - top, right - left, components, bits, signed, tall, wide)
