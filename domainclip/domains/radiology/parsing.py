"""Parses DICOM files with pydicom: a header once, and what begins with the pixels when it is asked for.

A sample looks at the header, and its pixels are read soon after, as a rule: the header of the last file waits for that, in this
process alone, and is gone then.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from domainclip.domains.dicom_kind import DEFLATED

_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_LARGEST_KEPT = 2**20
"""Bytes before the pixels. Headers of thousands of frames are parsed twice rather than kept."""

_Key = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Header:
    """A parsed header.

    Attributes:
        dataset: A ``pydicom.Dataset`` without pixels.
        end: Where the file goes on with the pixels; None where it must be parsed from the start for them.
        implicit: How its elements are written, which the transfer syntax does not always say.
    """

    dataset: Any
    end: int | None
    implicit: bool


_KEPT: dict[_Key, _Header] = {}


def parse(file: BinaryIO, check: Callable[[Any], None], *, pixels: bool) -> Any:
    """Parses a DICOM file.

    Args:
        file: Opened from a path; its position does not matter.
        check: Called with the file meta information before anything else is parsed; raises where that should not be done.
        pixels: Also load the (still compressed) pixel data, and all behind them.

    Returns:
        A ``pydicom.Dataset``; without elements where compressed pixels end without their delimiter.
    """
    import pydicom

    status = os.fstat(file.fileno())
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    header = _KEPT.pop(key, None)
    if header is None or not pixels:
        check(pydicom.filereader.read_file_meta_info(file.name))
        file.seek(0)
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
    return _continued(header.dataset, file, header.end, header.implicit)


def _header(dataset: Any, end: int) -> _Header:
    """Notes how a header is written: by its first element that is still raw, and that were not inflated from another place."""
    raw = (element for element in dataset.values() if hasattr(element, "is_implicit_VR"))
    first = next(raw, None)
    plain = first is not None and dataset.file_meta.get("TransferSyntaxUID") != DEFLATED
    return _Header(dataset, end if plain else None, bool(first and first.is_implicit_VR))


def _continued(dataset: Any, file: BinaryIO, end: int, implicit: bool) -> Any:
    """Adds the pixels and what follows them to a header; nothing where the file does not go on with pixels."""
    import pydicom

    little = bool(dataset.original_encoding[1])
    file.seek(end)
    head = file.read(4)
    order: Any = "little" if little else "big"
    tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:], order)
    if tag not in _PIXEL_TAGS:
        return dataset
    file.seek(end)
    try:
        for element in pydicom.filereader.data_element_generator(file, implicit, little):
            dataset[element.tag] = element
    except EOFError:
        return pydicom.Dataset()
    return dataset
