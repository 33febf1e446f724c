"""Archives read in place: an index of their members by the path that each would have unpacked, and their bytes, one at a time.

Nothing is unpacked by name: a member's name is looked up and never becomes a path on disk, so none can point out of a folder.
Links, devices and folders in an archive are no members.
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from domainclip.data.row_store import safe_key, temporary_database
from domainclip.data.zip_directory import directory
from domainclip.errors import UnreadableFileError, UsageError

MAX_MEMBER_BYTES = 2**30
"""A member that says or turns out to be larger is refused, as compressed bombs are."""
ARCHIVE_ERRORS = (
    OSError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    NotImplementedError,
    ValueError,
)
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_TOO_LARGE = f"the member is larger than {MAX_MEMBER_BYTES // 2**30} GiB"


class Store(Protocol):
    """A file that holds images and is neither zip nor tar of them, as an archive; ``at`` is where its images would lie."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def at(self) -> str:
        """Below the root."""

    def told(self) -> dict[str, Any]:
        """Returns how its images lie, as plain values."""

    def members(self) -> Iterator[tuple[str, int, int]]:
        """Yields name and place of each image; raises UnreadableFileError."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where an image lies: archive, its name there, where its bytes begin and how many there are.

    ``place`` is None in a compressed tar, which is read from its start; in a zip it is that of the local header, in a store what
    the store says. ``store`` is how images lie in it, where the archive is one.
    """

    archive: Path
    name: str
    place: tuple[int, int] | None
    store: Mapping[str, Any] | None = None


class ArchiveIndex:
    """The members of a set's archives, on disk, by the path below the root that each would have unpacked.

    Args:
        archives: Archive and the folder that its members would lie in.
        what: For messages.
        stores: Stores of images.

    Raises:
        UsageError: An archive or store is damaged or none.
    """

    def __init__(self, archives: Iterable[tuple[Path, str]], what: str, stores: Sequence[Store] = ()) -> None:
        self._base = temporary_database()
        self._base.execute(
            "create table members (path text primary key, archive integer, name text, start integer, size integer, number integer)"
        )
        self._archives: list[tuple[Path, str, Store | None]] = [(path, at, None) for path, at in archives]
        self._archives += [(store.path, store.at, store) for store in stores]
        for number, (path, at, store) in enumerate(self._archives):
            try:
                self._base.execute("begin")
                self._base.executemany(
                    "insert or ignore into members values (?, ?, ?, ?, ?, ?)",
                    (
                        (safe_key(f"{at}/{_plain(name)}" if at else _plain(name)), number, name, start, size, order)
                        for order, (name, start, size) in enumerate(_members(path) if store is None else store.members())
                    ),
                )
                self._base.execute("commit")
            except ARCHIVE_ERRORS as error:
                found = f"It is no zip or tar that can be read to its end ({type(error).__name__})."
                raise UsageError(f"{what} was to be read from {path}.", found, "Get the archive anew.") from error
            except UnreadableFileError as error:
                found = f"Its images cannot be read: {error.found}."
                raise UsageError(f"{what} was to be read from {path}.", found, error.remedy) from error

    def find(self, path: str) -> Member | None:
        """Returns the member that would lie at a path below the root, or None."""
        asked = "select archive, name, start, size from members where path = ?"
        row = self._base.execute(asked, (safe_key(_plain(path)),)).fetchone()
        if row is None:
            return None
        number, name, start, size = row
        archive, _, store = self._archives[number]
        return Member(archive, name, (start, size) if start >= 0 else None, None if store is None else store.told())

    def paths(self) -> Iterator[str]:
        """Yields the paths of all members."""
        for (path,) in self._base.execute("select path from members order by archive, number"):
            yield path


def read_members(archive: Path, members: Sequence[tuple[str, tuple[int, int] | None]]) -> Iterator[tuple[str, bytes | str]]:
    """Yields name and bytes of the members that are asked for, or the reason why one cannot be read.

    Those of a zip or a plain tar come in the order asked for, those of a compressed tar in the order of the archive.

    Args:
        archive: The file.
        members: Names, and their places as ``ArchiveIndex`` tells them.

    Raises:
        UnreadableFileError: The archive is gone or damaged.
    """
    try:
        if any(place is None for _, place in members):
            yield from _streamed(archive, [name for name, _ in members])
            return
        read = unzipped if zipfile.is_zipfile(archive) else _plain_bytes
        with archive.open("rb") as file:
            for name, place in members:
                assert place is not None
                yield name, read(file, *place)
    except ARCHIVE_ERRORS as error:
        found = f"the archive cannot be read to its end ({type(error).__name__})"
        raise UnreadableFileError("Images of an archive were to be read.", found, "Get the archive anew.") from error


def _plain_bytes(file: BinaryIO, start: int, size: int) -> bytes | str:
    if size > MAX_MEMBER_BYTES:
        return _TOO_LARGE
    file.seek(start)
    data = file.read(size)
    return data if len(data) == size else "the archive ends within the member"


def unzipped(file: BinaryIO, start: int, size: int, most: int | None = None) -> bytes | str:
    """Reads a member of a zip by its local header (APPNOTE.TXT 4.3.7): the directory of a large zip takes seconds to read.

    Args:
        file: The archive.
        start: Where the local header begins.
        size: Compressed bytes, as the directory says (the local header need not).
        most: Bytes of the largest member that is read; None for ``MAX_MEMBER_BYTES``.

    Returns:
        Its bytes, or the reason why they cannot be read.
    """
    largest, too_large = (MAX_MEMBER_BYTES, _TOO_LARGE) if most is None else (most, f"the member is larger than {most} bytes")
    if size > largest:
        return too_large
    file.seek(start)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        return "the archive holds no member where its directory says"
    flags, method, checksum, name_length, extra_length = (_LOCAL_HEADER.unpack(header)[at] for at in (2, 3, 6, 9, 10))
    if flags & 1:
        return "the member is encrypted"
    file.seek(start + _LOCAL_HEADER.size + name_length + extra_length)
    data = file.read(size)
    if len(data) < size:
        return "the archive ends within the member"
    if method == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, largest + 1)
        except zlib.error:
            return "the member is damaged"
    elif method != zipfile.ZIP_STORED:
        return f"the member is packed by method {method}; deflate (8) and none (0) are read"
    if len(data) > largest:
        return too_large
    # Bit 3: sum and sizes stand behind the data, and the header has none.
    return "the member is damaged (its checksum differs)" if not flags & 8 and zlib.crc32(data) != checksum else data


def _streamed(archive: Path, names: list[str]) -> Iterator[tuple[str, bytes | str]]:
    """Reads a compressed tar once from its start."""
    waiting = set(names)
    with tarfile.open(archive, "r|*") as file:
        for info in file:
            if not info.isfile() or info.name not in waiting:
                continue
            waiting.discard(info.name)
            yield info.name, _member_bytes(file, info)
            if not waiting:
                return
    for name in names:
        if name in waiting:
            yield name, "the archive has no such member"


def _member_bytes(file: tarfile.TarFile, info: tarfile.TarInfo) -> bytes | str:
    """Reads a regular member."""
    if info.size > MAX_MEMBER_BYTES:
        return _TOO_LARGE
    stream = file.extractfile(info)
    data = stream.read() if stream is not None else b""
    return data if len(data) == info.size else "the archive ends within the member"


def tar_members(archive: Path) -> Iterator[tuple[str, bytes | str]]:
    """Yields name and bytes of every regular member of a tar, compressed or not, in its order; bytes as ``read_members``."""
    with tarfile.open(archive, "r|*") as file:
        for info in file:
            if info.isfile():
                yield info.name, _member_bytes(file, info)


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yields name, first byte (-1 where it is not plain) and size of the regular members."""
    if zipfile.is_zipfile(path):
        with path.open("rb") as zipped:
            yield from directory(zipped)
        return
    plain = _is_plain_tar(path)
    with closing(tarfile.open(path, "r:" if plain else "r|*")) as file:
        for info in file:
            if info.isfile() and not info.issparse():
                yield info.name, info.offset_data if plain else -1, info.size
            if plain:
                vars(file)["members"].clear()  # tarfile keeps what it has seen; of a million members that is much


def _is_plain_tar(path: Path) -> bool:
    """Says whether a tar is uncompressed, by the mark of its first header."""
    with path.open("rb") as file:
        return file.read(262)[257:] == b"ustar"


def _plain(name: str) -> str:
    return name.removeprefix("./")
