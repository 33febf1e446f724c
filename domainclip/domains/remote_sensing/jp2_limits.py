"""What a JPEG 2000 file declares, looked at before OpenJPEG takes memory for it (ITU-T T.800 annexes A and I)."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from domainclip.domains.jpeg2000_siz import SOC_SIZ, read_siz
from domainclip.domains.remote_sensing.refusals import unreadable
from domainclip.domains.remote_sensing.tiff_blocks import MOST_PIXELS_PER_BYTE

_MOST_BOXES = 10_000
_SIZ_BYTES = 2 + 38 + 3 * 16384
"""SOC and a SIZ marker of as many components as there may be."""
_SOT, _EOC = b"\xff\x90", b"\xff\xd9"
_TILE_PART_BYTES = 14
"""SOT and SOD, which each tile has at least once."""


def check_jp2(path: Path) -> None:
    """Looks whether the pixels that a file declares could lie in it, and whether each tile does.

    OpenJPEG goes on where a tile-part has another length than it says, and decodes what comes next for something else.

    Args:
        path: A file that begins as JP2 or as a codestream.

    Raises:
        UnreadableFileError: They could not, or there is no codestream.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            start = _codestream_at(file, size)
            file.seek(start)
            siz = read_siz(file.read(_SIZ_BYTES))
            if min(siz.rows, siz.columns, siz.tile_rows, siz.tile_columns) < 1:
                raise ValueError(f"it declares {siz.columns} x {siz.rows} pixels")
            tiles = -(-siz.rows // siz.tile_rows) * -(-siz.columns // siz.tile_columns)
            if siz.rows * siz.columns > MOST_PIXELS_PER_BYTE * size or tiles * _TILE_PART_BYTES > size:
                raise ValueError(f"it declares {siz.columns} x {siz.rows} pixels in {tiles} tiles, more than {size} bytes can hold")
            absent = tiles - sum(number < tiles for number in _tiles(file, start + 2, size))
            if absent:
                raise ValueError(f"{absent} of its {tiles} tiles are not in the file")
        except ValueError as error:
            raise unreadable(
                f"It begins as JPEG 2000, but cannot be read: {error}.", "The file is damaged; fetch it again."
            ) from error


def _tiles(file: BinaryIO, at: int, size: int) -> set[int]:
    """Walks main header and tile-parts (annex A.4.2) to the end of the codestream; returns the tiles that are there.

    Raises:
        ValueError: A marker does not stand where the lengths say.
    """
    tiles: set[int] = set()
    while True:
        file.seek(at)
        head = file.read(12)
        if head[:2] == _EOC or (not head and tiles):
            return tiles
        if len(head) < 4 or head[0] != 0xFF or (tiles and head[:2] != _SOT):
            raise ValueError("its tiles do not follow each other as their lengths say")
        if head[:2] != _SOT:
            at += 2 + max(2, int.from_bytes(head[2:4], "big"))
            continue
        length = int.from_bytes(head[6:10], "big")
        tiles.add(int.from_bytes(head[4:6], "big"))
        if length == 0:  # the last one, to the end
            return tiles
        if length < _TILE_PART_BYTES or at + length > size:
            raise ValueError("a tile of it is cut short")
        at += length


def _codestream_at(file: BinaryIO, size: int) -> int:
    """Walks the boxes (annex I.4) to the codestream.

    Raises:
        ValueError: There is none.
    """
    if file.read(4) == SOC_SIZ:
        return 0
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"jp2c":
            return at + (16 if length == 1 else 8)
        length = int.from_bytes(head[8:16], "big") if length == 1 else length
        if length < 8 or at + length > size:
            break
        at += length
    raise ValueError("it has no codestream")
