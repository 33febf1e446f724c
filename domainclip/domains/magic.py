"""First bytes by which files of the common kinds are told, and where DICOM has its own."""

from __future__ import annotations

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Classic TIFF and BigTIFF, in either byte order."""
DICOM_HEAD_BYTES = 132


def is_dicom(head: bytes) -> bool:
    """Says whether a file begins as DICOM: DICM after a preamble of 128 bytes (PS3.10 7.1), which may be the start of a TIFF.

    Args:
        head: Its first ``DICOM_HEAD_BYTES`` bytes or more.
    """
    return head[128:DICOM_HEAD_BYTES] == b"DICM"
