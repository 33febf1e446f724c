"""A first look at the directories of a TIFF, in bounded time, before any library walks them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from domainclip.domains.pathology.slides import unreadable
from domainclip.domains.tiff_tags import MOST_DIRECTORIES, WHOLE, chain, entries, numbers, tiff_header, value_bytes

MOST_MISSING = 1000
"""A directory that lists less than one in so many of its image's tiles is taken for damaged."""
_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH, _TILE_BYTE_COUNTS = 256, 257, 322, 323, 325
_SUBFILETYPE, _BITS, _PHOTOMETRIC, _SAMPLES, _FORMAT = 254, 258, 262, 277, 339


def check_directories(path: Path) -> None:
    """Walks the chain of directories.

    Libraries take their time over files that declare millions of them. (Where directories point at each other they stop.)

    Args:
        path: A file that begins as a TIFF.

    Raises:
        ValueError: The chain is longer than any slide's.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        order, big, first = tiff_header(file)
        if sum(1 for _ in islice(chain(file, first, order, big), MOST_DIRECTORIES + 1)) > MOST_DIRECTORIES:
            raise ValueError("it has too many directories")


def first_is_plain_colour(path: Path) -> bool:
    """Whether the first directory says, in tags of the right form, that its pixels are 8-bit RGB or YCbCr of three samples.

    OpenSlide takes any tiled TIFF for that. Further directories that are no reduced copies of it are other images: False too.

    Args:
        path: A file that begins as a TIFF.
    """
    with path.open("rb") as file:
        order, big, first = tiff_header(file)
        for at in islice(chain(file, first, order, big), MOST_DIRECTORIES):
            tags = numbers(file, at, order, big)
            if at == first:
                right = tags.get(_SAMPLES) == (3,) and tags.get(_BITS) == (8, 8, 8) and tags.get(_PHOTOMETRIC) in {(2,), (6,)}
                if not right or tags.get(_FORMAT, (1, 1, 1)) != (1, 1, 1):
                    return False
            elif not (tags.get(_SUBFILETYPE) or (0,))[0] & 1:
                return False
    return True


def check_lengths(path: Path) -> None:
    """Looks whether the tiles that the directories list could lie in the file, and whether the first lists enough of them.

    libtiff takes memory for whatever length is listed, and OpenSlide's process ends where there is not so much. An image of which
    hardly a tile is listed takes it hours to walk.

    Args:
        path: A file that begins as a TIFF, whose tiles OpenSlide is to read.

    Raises:
        UnreadableFileError: A tile would be longer than the file, or hardly one is listed.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        order, big, first = tiff_header(file)
        for at in islice(chain(file, first, order, big), MOST_DIRECTORIES):
            tags = numbers(file, at, order, big)
            sides = [(tags.get(tag) or (0,))[0] for tag in (_WIDTH, _TILE_WIDTH, _LENGTH, _TILE_LENGTH)]
            needed = -(-sides[0] // max(sides[1], 1)) * -(-sides[2] // max(sides[3], 1))
            for tag, kind, values, inside in list(entries(file, at, order, big)):
                if tag != _TILE_BYTE_COUNTS or kind not in WHOLE:
                    continue
                width = WHOLE[kind][1]
                stored = value_bytes(file, inside, values * width, order)[: needed * width]
                lengths = np.frombuffer(stored[: len(stored) // width * width], f"{order}u{width}")
                if at == first and len(lengths) * MOST_MISSING < needed:
                    raise unreadable("It lists hardly a tile of what its size needs.", "The file is damaged; copy it again.")
                if int(lengths.max(initial=0)) > size:
                    raise unreadable("It lists a tile that is longer than the file.", "The file is damaged; copy it again.")
