"""Which kind of object a DICOM file holds, from its first bytes: whole-slide images belong to pathology, others to radiology."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from domainclip.domains import magic

SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy Image Storage, PS3.4 B.5."""
SOP_CLASS, TRANSFER_SYNTAX = 0x0002, 0x0010
"""Elements of group 0002: Media Storage SOP Class UID, Transfer Syntax UID."""
DEFLATED = "1.2.840.10008.1.2.1.99"
"""Transfer syntax Deflated Explicit VR Little Endian, PS3.5 A.5."""
_LOOK = 4096
_SILENT = [("ignore", None, Warning, None, 0)]
"""What ``warnings.simplefilter("ignore")`` puts before all other filters."""
_LONG = (b"OB", b"OW", b"UN", b"UT", b"SQ")


def file_meta(path: Path) -> dict[int, str]:
    """Reads the unique identifiers of the file meta information (group 0002, PS3.10 7.1), of at most the first 4096 bytes.

    The group is always explicit little-endian, whatever follows it.

    Args:
        path: Any file.

    Returns:
        Element number to UID; empty when it is no DICOM file, is cut short, or cannot be opened.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_LOOK)
    except OSError:
        return {}
    if not magic.is_dicom(head):
        return {}
    found: dict[int, str] = {}
    at = 132
    while at + 8 <= len(head) and head[at : at + 2] == b"\x02\x00":
        element, kind = int.from_bytes(head[at + 2 : at + 4], "little"), head[at + 4 : at + 6]
        long = kind in _LONG
        length = int.from_bytes(head[at + 8 : at + 12] if long else head[at + 6 : at + 8], "little")
        at += 12 if long else 8
        if kind == b"UI" and at + length <= len(head):
            found[element] = head[at : at + length].rstrip(b"\0 ").decode("ascii", "replace")
        at += length
    return found


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keeps pydicom's warnings and log lines to itself: they quote header values, a person's name among them.

    The level holds for the loggers of pydicom's modules too; ``disabled`` would be the parent's alone.
    """
    logger = logging.getLogger("pydicom")
    before = logger.level
    if before > logging.CRITICAL and warnings.filters[:1] == _SILENT:
        yield  # within itself: to begin anew would cost more than what small files are parsed in
        return
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def is_dicom_slide(path: Path) -> bool:
    """Says whether a file is a DICOM whole-slide image; never raises."""
    return file_meta(path).get(SOP_CLASS) == SLIDE_CLASS
