"""The free texts of a NIfTI header and its extensions, read from its first bytes alone: names and numbers are typed there.

Offsets and sizes: the headers ``nifti1.h`` and ``nifti2.h`` of the NIfTI Data Format Working Group (nifti.nimh.nih.gov).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from domainclip.domains.identifying_value import Identifying, unreadable

MOST_BYTES = 2**21
"""Of header and extensions together, inflated; a file that says it has more is refused."""
_PIECE = 2**16
_SIZES = {1: 348, 2: 540}
_MAGIC = {1: (344, (b"n+1\0", b"ni1\0")), 2: (4, (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"))}
_TEXTS = {
    1: {"data_type": (4, 10), "db_name": (14, 18), "descrip": (148, 80), "aux_file": (228, 24), "intent_name": (328, 16)},
    2: {"descrip": (240, 80), "aux_file": (320, 24), "intent_name": (508, 16)},
}
_VOXELS_AT = {1: (108, "f"), 2: (168, "q")}
_RUN = re.compile(r"[^\x00-\x1f\x7f-\x9f\ufffd]{4,}")


def is_nifti(path: Path, head: bytes) -> bool:
    """Says whether a file is named .nii or .nii.gz; or .hdr, as one of a pair is, and begins as its header does.

    Args:
        path: The file.
        head: Its first 4 bytes or more.
    """
    sizes = {struct.pack(f"{order}i", size) for order in "<>" for size in _SIZES.values()}
    name = path.name.lower()
    return name.endswith((".nii", ".nii.gz")) or (name.endswith(".hdr") and head[:4] in sizes)


def nifti_texts(path: Path) -> Iterator[Identifying]:
    """Yields the free texts of a header, then those of its extensions (runs of four printable characters or more).

    At most 2 MiB are read and inflated, voxels never.

    Args:
        path: NIfTI-1 or NIfTI-2 in either byte order, compressed by gzip or not.

    Raises:
        UnreadableFileError: It is none, is cut short, or its header and extensions are larger than 2 MiB.
    """
    head = _start(path, max(_SIZES.values()) + 4)
    version, order = _kind(head)
    for name, (at, size) in _TEXTS[version].items():
        if text := _text(head[at : at + size].partition(b"\0")[0]):
            yield Identifying(f"NIfTI header {name}", "text", text)
    size = _SIZES[version]
    if len(head) < size:
        raise unreadable("Its NIfTI header is cut short.", "Fetch it again.")
    if head[size : size + 1] in {b"", b"\0"}:
        return
    single = b"+" in head[_MAGIC[version][0] :][:4]
    at, kind = _VOXELS_AT[version]
    end = float(struct.unpack_from(f"{order}{kind}", head, at)[0])
    # The voxels of a pair lie in the other file, and extensions fill the rest of this one.
    if single and not size + 4 <= end <= MOST_BYTES:
        raise unreadable("Its NIfTI extensions are larger than 2 MiB, or end before they begin.", "Leave them out of the file.")
    yield from _of_extensions(_start(path, int(end) if single else MOST_BYTES + 1)[size + 4 :], order)


def _kind(head: bytes) -> tuple[int, str]:
    for version, (at, marks) in _MAGIC.items():
        for order in "<>":
            if head[:4] == struct.pack(f"{order}i", _SIZES[version]) and head.startswith(marks, at):
                return version, order
    raise unreadable("It is no NIfTI file by its first bytes.", "See whether it is damaged.")


def _of_extensions(data: bytes, order: str) -> Iterator[Identifying]:
    if len(data) + _SIZES[1] + 4 > MOST_BYTES:
        raise unreadable("Its NIfTI extensions are larger than 2 MiB.", "Leave them out of the file.")
    at = 0
    while at + 8 <= len(data):
        size, code = struct.unpack_from(f"{order}2i", data, at)
        if size < 8:
            return  # zeros fill the space up to the voxels
        for run in _RUN.findall(data[at + 8 : at + size].decode("utf-8", "replace")):
            if run.strip():
                yield Identifying(f"NIfTI extension of code {code}", "text", run.strip())
        at += size
    if at > len(data):
        raise unreadable("A NIfTI extension is longer than the space for it.", "See whether the file is damaged.")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return data.decode("latin-1").strip()


def _start(path: Path, count: int) -> bytes:
    """Returns the first bytes of a file, inflated where gzip compressed them; never reads or inflates much more than that.

    Raises:
        UnreadableFileError: It is no gzip behind its first two bytes, or inflates to nothing for 2 MiB.
    """
    with path.open("rb") as file:
        piece = file.read(_PIECE)
        if not piece.startswith(b"\x1f\x8b"):
            return piece[:count] + file.read(max(count - len(piece), 0))
        inflater, made, taken = zlib.decompressobj(31), b"", 0
        try:
            while piece and len(made) < count and not inflater.eof:
                taken += len(piece)
                if taken > count + MOST_BYTES:
                    raise unreadable("It is compressed to more than its content.", "Compress it anew.")
                made += inflater.decompress(piece, count - len(made))
                piece = inflater.unconsumed_tail or file.read(_PIECE)
        except zlib.error as error:
            raise unreadable("It is no gzip file, or a damaged one.", "Fetch it again.") from error
    return made
