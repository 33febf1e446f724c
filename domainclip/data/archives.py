"""Archives read in place: an index of their members by the path that each would have unpacked, and their bytes, one at a time.

Nothing is unpacked by name: a member's name is looked up and never becomes a path on disk, so none can point out of a folder.
Links, devices and folders in an archive are no members.
"""

from __future__ import annotations

import json
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
_INSERT = """
insert into members values (?, ?, ?, ?, ?, 1) on conflict (path) do update
set name = excluded.name, place = excluded.place, number = excluded.number, times = times + 1 where archive = excluded.archive
"""
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

    def members(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yields name and place of each image; raises UnreadableFileError."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where an image lies: archive, its name there, and its place.

    ``place`` is first byte and number of bytes in a plain tar, what ``zip_directory.directory`` tells in a zip, in a store what the
    store says, and None in a compressed tar, which is read from its start. ``store`` is how images lie in it, where the archive is
    one.
    """

    archive: Path
    name: str
    place: tuple[int, ...] | None
    store: Mapping[str, Any] | None = None


class ArchiveIndex:
    """The members of a set's archives, on disk, by the path below the root that each would have unpacked.

    Of two members of one name in one archive the later counts, as where it is unpacked; of two archives the first.

    Args:
        archives: Archive and the folder that its members would lie in.
        what: For messages.
        stores: Stores of images.

    Raises:
        UsageError: An archive or store is damaged or none, or a compressed tar has two members of one name.
    """

    def __init__(self, archives: Iterable[tuple[Path, str]], what: str, stores: Sequence[Store] = ()) -> None:
        self._base = temporary_database()
        self._base.execute(
            "create table members (path text primary key, archive integer, name text, place text, number integer, times integer)"
        )
        self._archives: list[tuple[Path, str, Store | None]] = [(path, at, None) for path, at in archives]
        self._archives += [(store.path, store.at, store) for store in stores]
        for number, (path, at, store) in enumerate(self._archives):
            try:
                self._base.execute("begin")
                self._base.executemany(
                    _INSERT,
                    (
                        (safe_key(f"{at}/{_plain(name)}" if at else _plain(name)), number, safe_key(name), json.dumps(place), order)
                        for order, (name, place) in enumerate(_members(path) if store is None else store.members())
                    ),
                )
                self._base.execute("commit")
                asked = "select name from members where archive = ? and times > 1 and place = 'null' limit 1"
                for (name,) in self._base.execute(asked, (number,)):
                    found = f"It is compressed, and has two members with the name {name!r}, of which the later would count."
                    raise UsageError(f"{what} was to be read from {path}.", found, "Unpack it.")
            except ARCHIVE_ERRORS as error:
                found = f"It is no zip or tar that can be read to its end ({type(error).__name__})."
                raise UsageError(f"{what} was to be read from {path}.", found, "Get the archive anew.") from error
            except UnreadableFileError as error:
                found = f"Its images cannot be read: {error.found}."
                raise UsageError(f"{what} was to be read from {path}.", found, error.remedy) from error

    def find(self, path: str) -> Member | None:
        """Returns the member that would lie at a path below the root, or None."""
        asked = "select archive, name, place from members where path = ?"
        row = self._base.execute(asked, (safe_key(_plain(path)),)).fetchone()
        if row is None:
            return None
        number, name, told = row
        archive, _, store = self._archives[number]
        place = json.loads(told)
        return Member(archive, name, None if place is None else tuple(place), None if store is None else store.told())

    def paths(self) -> Iterator[str]:
        """Yields the paths of all members."""
        for (path,) in self._base.execute("select path from members order by archive, number"):
            yield path


def read_members(archive: Path, members: Sequence[tuple[str, tuple[int, ...] | None]]) -> Iterator[tuple[str, bytes | str]]:
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
                yield name, read(file, place)
    except ARCHIVE_ERRORS as error:
        found = f"the archive cannot be read to its end ({type(error).__name__})"
        raise UnreadableFileError("Images of an archive were to be read.", found, "Get the archive anew.") from error


def _plain_bytes(file: BinaryIO, place: tuple[int, ...]) -> bytes | str:
    start, size = place
    if size > MAX_MEMBER_BYTES:
        return _TOO_LARGE
    file.seek(start)
    data = file.read(size)
    return data if len(data) == size else "the archive ends within the member"


def unzipped(file: BinaryIO, place: tuple[int, ...], most: int | None = None) -> bytes | str:
    """Reads a member of a zip by its local header (APPNOTE.TXT 4.3.7): the directory of a large zip takes seconds to read.

    Args:
        file: The archive.
        place: As the directory tells it; sizes and sum are its, since the local header need not have them.
        most: Bytes of the largest member that is read; None for ``MAX_MEMBER_BYTES``.

    Returns:
        Its bytes, or the reason why they cannot be read.
    """
    largest, too_large = (MAX_MEMBER_BYTES, _TOO_LARGE) if most is None else (most, f"the member is larger than {most} bytes")
    start, size, unpacked, checksum = place
    if max(size, unpacked) > largest:
        return too_large
    file.seek(start)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        return "the archive holds no member where its directory says"
    flags, method, name_length, extra_length = (_LOCAL_HEADER.unpack(header)[at] for at in (2, 3, 9, 10))
    if flags & 1:
        return "the member is encrypted"
    file.seek(start + _LOCAL_HEADER.size + name_length + extra_length)
    data = file.read(size)
    if len(data) < size:
        return "the archive ends within the member"
    if method == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(data, unpacked + 1)
        except zlib.error:
            return "the member is damaged"
        if not inflater.eof:
            return "the member is damaged (it does not end where the directory says)"
    elif method != zipfile.ZIP_STORED:
        return f"the member is packed by method {method}; deflate (8) and none (0) are read"
    if len(data) != unpacked or zlib.crc32(data) != checksum:
        return "the member is damaged (its checksum or size differs)"
    return data


def _streamed(archive: Path, names: list[str]) -> Iterator[tuple[str, bytes | str]]:
    """Reads a compressed tar once from its start."""
    waiting = set(names)
    with tarfile.open(archive, "r|*") as file:
        for info in file:
            name = safe_key(info.name)
            if not info.isfile() or name not in waiting:
                continue
            waiting.discard(name)
            yield name, _member_bytes(file, info)
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


def _members(path: Path) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """Yields name and place of the regular members."""
    if zipfile.is_zipfile(path):
        with path.open("rb") as zipped:
            yield from directory(zipped)
        return
    plain = _is_plain_tar(path)
    with closing(tarfile.open(path, "r:" if plain else "r|*")) as file:
        for info in file:
            if info.isfile() and not info.issparse():
                yield info.name, (info.offset_data, info.size) if plain else None
            if plain:
                vars(file)["members"].clear()  # tarfile keeps what it has seen; of a million members that is much


def _is_plain_tar(path: Path) -> bool:
    """Says whether a tar is uncompressed, by the mark of its first header."""
    with path.open("rb") as file:
        return file.read(262)[257:] == b"ustar"


def _plain(name: str) -> str:
    return name.removeprefix("./")
