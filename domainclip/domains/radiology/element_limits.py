"""How many elements a DICOM header has, counted before pydicom keeps them: 64 MiB of zeros are eight million of them."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from domainclip.domains.radiology.reading import unreadable

MOST_READS = 1_000_000
"""A header's element takes one read or two, an item one; pydicom needs 2 s for so many. A frame of an enhanced object takes about
100 of them."""
SMALL = 4 * 2**20
"""Bytes that hold fewer than half so many of the shortest elements, which have 8 bytes: smaller files are not looked at."""
MOST_META = 1000
"""Reads of the file meta information, which has about a dozen elements."""
_DEFER = 4096
_IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


class _Counted:
    """A file whose reads are counted, as far as pydicom uses one."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self.left, self.seek, self.tell = file, left, file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Reads, while there are reads left.

        Raises:
            UnreadableFileError: There are none.
        """
        self.left -= 1
        if self.left < 0:
            raise unreadable("Its header has more elements than any image needs.", "Leave it out; if you know it, export it again.")
        return self._file.read(size)


def meta_of(file: BinaryIO) -> tuple[str, int]:
    """Reads the file meta information as pydicom does, which does not believe its group length.

    Args:
        file: With preamble.

    Returns:
        Transfer syntax UID ("" without one), and where the first element behind the group begins.

    Raises:
        UnreadableFileError: It has too many elements.
    """
    from pydicom.filereader import read_dataset

    counted: Any = _Counted(file, MOST_META)

    def over(tag: Any, *_: Any) -> bool:
        return bool(tag >> 16 != 2)

    for implicit in (False, True):
        counted.seek(132)
        meta = read_dataset(counted, implicit, True, stop_when=over)
        try:
            if len(meta):
                meta[next(iter(meta.keys()))]
        except NotImplementedError:  # pydicom's own sign of a group that some writers leave without VRs
            continue
        break
    return str(meta.get("TransferSyntaxUID") or ""), counted.tell()


def check_elements(file: BinaryIO, syntax: str) -> None:
    """Refuses headers that pydicom would read for minutes; values are skipped, sequences are walked to their ends.

    Args:
        file: From the first element behind the file meta information.
        syntax: Transfer syntax UID; a deflated body is given inflated.

    Raises:
        UnreadableFileError: It takes more than ``MOST_READS`` to read the header.
    """
    implicit, little = syntax == _IMPLICIT, syntax != _BIG_ENDIAN
    counted = _Counted(file, MOST_READS)
    # Sequences of a known length are parsed by pydicom when they are asked for: they are left for last here.
    waiting = _walk(counted, implicit, little)
    while waiting:
        place, length = waiting.pop()
        counted.seek(place)
        waiting += _items(counted, length, implicit, little)


def _walk(file: Any, implicit: bool, little: bool, end: int | None = None) -> list[tuple[int, int]]:
    """Reads elements to ``end`` or the file's; returns place and length of the long sequences among them."""
    from pydicom.filereader import data_element_generator

    def beyond(*_: Any) -> bool:
        return end is not None and file.tell() > end

    found = []
    for element in data_element_generator(file, implicit, little, stop_when=beyond, defer_size=_DEFER):
        length = getattr(element, "length", 0)
        # Words of another kind, or none, may be a sequence all the same (PS3.5 6.2.2); pixel data never are.
        sequence = element.VR in {None, "SQ", "UN"} and element.tag >> 16 != 0x7FE0
        if sequence and SMALL < length < 2**32 - 1:
            found.append((element.value_tell, length))
    return found


def _items(file: Any, length: int, implicit: bool, little: bool) -> list[tuple[int, int]]:
    """Walks the items of a sequence of a known length."""
    end, found = file.tell() + length, []
    while file.tell() + 8 <= end:
        head = file.read(8)
        if len(head) < 8:
            break
        group, number, size = struct.unpack("<HHI" if little else ">HHI", head)
        if (group, number) != (0xFFFE, 0xE000):
            break
        begin = file.tell()
        stop = end if size == 2**32 - 1 else min(begin + size, end)
        found += _walk(file, implicit, little, stop)
        if size != 2**32 - 1:
            file.seek(begin + size)
    return found
