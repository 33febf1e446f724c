"""Parses DICOM files with pydicom: a header once, and what begins with the pixels when it is asked for.

A sample looks at the header, and its pixels are read soon after, as a rule: the header of the last file waits for that, in this
process alone, and is gone then.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, BinaryIO

from domainclip.domains.dicom_kind import DEFLATED
from domainclip.errors import DomainClipError

_PIXEL_TAGS = ((0x7FE0, 0x0008), (0x7FE0, 0x0009), (0x7FE0, 0x0010))
_LARGEST_KEPT = 2**20
"""Bytes before the pixels. Headers of thousands of frames are parsed twice rather than kept."""

_Key = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Header:
    """A parsed header.

    Attributes:
        dataset: A ``pydicom.Dataset`` without pixels.
        end: Where the file goes on with the pixels; None where it must be parsed from the start for them.
        implicit: Whether its elements come without value representations; the transfer syntax does not always say so rightly.
        little: Whether they are little-endian.
    """

    dataset: Any
    end: int | None
    implicit: bool
    little: bool


_KEPT: dict[_Key, _Header] = {}
_REFUSED: dict[tuple[_Key, Hashable], DomainClipError] = {}
"""The last file whose check refused it: to count a flood of elements takes seconds, and inspect, samples and read all ask."""


def parse(file: BinaryIO, check: Callable[[], str], limits: Hashable, *, pixels: bool) -> Any:
    """Parses a DICOM file.

    Args:
        file: Opened from a path; its position does not matter.
        check: Called before anything is parsed; raises where that should not be done, else returns the transfer syntax UID.
        limits: What ``check`` depends on beside the file; a refusal under other limits does not count.
        pixels: Also load the (still compressed) pixel data, and all behind them.

    Returns:
        A ``pydicom.Dataset``; without elements where compressed pixels end without their delimiter. That of a look without pixels
        gets the pixels when they are read next.
    """
    import pydicom

    status = os.fstat(file.fileno())
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    header = _KEPT.pop(key, None)
    if header is None or not pixels:
        syntax = _checked((key, limits), check)
        file.seek(0)
        if pixels and syntax == DEFLATED:
            return pydicom.dcmread(file)  # there is no place in the file to go on from
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        header = _header(dataset, file.tell())
    if not pixels:
        _KEPT.clear()
        if header.end is not None and header.end <= _LARGEST_KEPT:
            _KEPT[key] = header
        return header.dataset
    if header.end is None:
        file.seek(0)
        return pydicom.dcmread(file)
    return _continued(header, file, header.end)


def _checked(key: tuple[_Key, Hashable], check: Callable[[], str]) -> str:
    if key in _REFUSED:
        raise _REFUSED[key]
    try:
        return check()
    except DomainClipError as error:
        _REFUSED.clear()
        _REFUSED[key] = error
        raise


def _header(dataset: Any, end: int) -> _Header:
    """Notes how a header is written: its first element that is still raw tells."""
    first = next((element for element in dataset.values() if hasattr(element, "is_implicit_VR")), None)
    if first is None or dataset.file_meta.get("TransferSyntaxUID") == DEFLATED:
        return _Header(dataset, None, implicit=False, little=True)
    return _Header(dataset, end, first.is_implicit_VR, first.is_little_endian)


def _continued(header: _Header, file: BinaryIO, end: int) -> Any:
    """Adds the pixels and what follows them to a header; nothing where the file does not go on with pixels."""
    import pydicom

    file.seek(end)
    tag = struct.unpack(f"{'<' if header.little else '>'}HH", file.read(4).ljust(4, b"\0"))
    if tag not in _PIXEL_TAGS:
        return header.dataset
    file.seek(end)
    try:
        # Not pydicom's read_dataset: that guesses from the first element how the rest is written, and an implicit length may look
        # like a value representation.
        for element in pydicom.filereader.data_element_generator(file, header.implicit, header.little):
            header.dataset[element.tag] = element
    except EOFError:
        return pydicom.Dataset()
    return header.dataset
