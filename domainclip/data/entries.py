"""What the spools of a preparation hold, in little memory: a few hundred bytes an image, whatever the set's size."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from domainclip.data.index_table import index_columns
from domainclip.data.owner_map import members_line
from domainclip.data.spool import read_account, read_spool, spool_paths
from domainclip.domains import magic
from domainclip.errors import UsageError
from domainclip.identifiers import keyed_hash
from domainclip.sample import Caption, SourceItem

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_OF_TABLE = 512
NO_IMAGES = "the reader found no image in it that its options keep"


@dataclass(slots=True)
class Entry:
    """One image: what splits, captions and shards ask of it. Values that many images share are held once.

    Attributes:
        key: Keyed hash.
        item: Number of its source file.
        at: Where its bytes begin in the spool.
        sizes: Bytes of the image, of each mask, and of its JSON member.
        masks: Names of the masks.
        storage: Kind of the image's member.
        sha256: Of the image's bytes.
        group: Keyed hash.
        order: Of the group, for the split.
        pixel_sha256: Tells duplicates; of a blank image, one value everywhere, like no other.
        split: Of the source, or None.
        published: The source's own word for it, or None.
        labels: Named labels.
        captions: The image's own.
        shown: It can be seen as a picture as it is: colour, or display values of one channel.
    """

    key: str
    item: int
    at: int
    sizes: tuple[int, ...]
    masks: tuple[str, ...]
    storage: str
    sha256: str
    group: str
    order: str
    pixel_sha256: str
    split: str | None
    published: str | None
    labels: Mapping[str, str]
    captions: tuple[Caption, ...]
    shown: bool

    def __getitem__(self, name: str) -> Any:
        """Returns a field, so that ``split_records`` takes entries as it takes dictionaries."""
        return getattr(self, name)


@dataclass
class Gathered:
    """All spools together.

    Attributes:
        entries: The images, in the order of the set.
        rejected: Key and reason of what cannot be used: of the source files first, then of what the source rejected itself.
        rejected_paths: The owner's path of each.
        tables: Columns of the index, in the order of the entries; some hundred images to a table.
        channels: The different lists of channel names.
        account: What the reader counted, over all files: windows, those kept, and those left out by reason.
    """

    entries: list[Entry] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    rejected_paths: list[str] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    channels: set[tuple[str, ...]] = field(default_factory=set)
    account: Counter[str] = field(default_factory=Counter)


class Gatherer:
    """Collects what the spools hold while other files are still being read: file by file, in the order of the source.

    Args:
        work: Folder of the spools.
        items: The source files.
        key: The owner's.
    """

    def __init__(self, work: Path, items: Sequence[SourceItem], key: bytes) -> None:
        self._work, self._items, self._key = work, items, key
        self._found, self._seen = Gathered(), set[str]()
        self._shared: dict[Any, Any] = {}
        self._waiting: set[int] = set()
        self._next = 0
        self._lines: list[Mapping[str, Any]] = []

    def finish(self, number: int) -> None:
        """Says that the spool of a file is whole; it is read as soon as all before it are."""
        self._waiting.add(number)
        while self._next in self._waiting:
            self._waiting.remove(self._next)
            self._read(self._next)
            self._next += 1

    def whole(self, rejections: Sequence[tuple[str, str]]) -> Gathered:
        """Returns what all files gave.

        Args:
            rejections: Name and reason of what the source itself rejected.
        """
        assert self._next == len(self._items), "a spool is missing"
        self._tabulate()
        self._found.rejected += [{"key": keyed_hash(name, self._key), "reason": reason} for name, reason in rejections]
        self._found.rejected_paths += [name for name, _ in rejections]
        return self._found

    def _read(self, number: int) -> None:
        item, found = self._items[number], self._found
        lines = list(read_spool(self._work, number)) or [{"key": keyed_hash(item.name, self._key), "reason": NO_IMAGES}]
        kept = []
        for line in lines:
            if line["key"] in self._seen and "reason" not in line:
                line["reason"] = "another image has the same key"
            if "reason" in line:
                found.rejected.append({"key": line["key"], "reason": line["reason"]})
                found.rejected_paths.append(item.place)
                continue
            self._seen.add(line["key"])
            kept.append(line)
            found.entries.append(_entry(line, number, self._shared))
            found.channels.add(tuple(line["channels"]))
        self._lines += kept
        found.account.update(read_account(self._work, number))
        if len(self._lines) >= _ROWS_OF_TABLE:
            self._tabulate()

    def _tabulate(self) -> None:
        """Turns lines into columns, of several files where files have few images: a table of one row takes 60 KB."""
        if self._lines:
            self._found.tables.append(index_columns(self._lines))
            self._lines = []


class _InSeveral:
    """Tells which member of an archive an image is; one file's answers are held."""

    def __init__(self, work: Path) -> None:
        self._work, self._number, self._known = work, -1, dict[str, str]()

    def members(self, number: int) -> dict[str, str]:
        """Returns key to member."""
        if number != self._number:
            self._number = number
            self._known = {line["key"]: line["member"] for line in read_spool(self._work, number) if "member" in line}
        return self._known


def owner_lines(found: Gathered, items: Sequence[SourceItem], work: Path, key: bytes) -> Iterator[dict[str, Any]]:
    """Yields the owner's map: key, path and window of every image, of everything rejected, and of files that were cut.

    The last are what overviews are named by.
    """
    told = {entry.key for entry in found.entries} | {line["key"] for line in found.rejected}
    paths = [item.place for item in items]
    for item, path in zip(items, paths, strict=True):
        if (name := keyed_hash(item.name, key)) not in told:
            yield {"key": name, "path": path, "window": None}
    windows = (text for table in found.tables for text in table["window"].to_pylist())
    several = _InSeveral(work)
    for entry, window in zip(found.entries, windows, strict=True):
        where, item = None if window is None else json.loads(window), items[entry.item]
        inside = several.members(entry.item).get(entry.key) if item.inside is not None or item.pieces else None
        beside = {} if inside is None else {"member": inside}
        yield {"key": entry.key, "path": paths[entry.item], "window": where, **beside, **members_line(item.members)}
    for line, path in zip(found.rejected, found.rejected_paths, strict=True):
        yield {"key": line["key"], "path": path, "window": None}


def _entry(line: Mapping[str, Any], number: int, shared: dict[Any, Any]) -> Entry:
    def once(value: Any, name: Any = None) -> Any:
        return shared.setdefault(value if name is None else name, value)

    captions = line["captions"]
    if captions:
        captions = once(tuple(Caption(**caption) for caption in captions), json.dumps(captions, sort_keys=True))
    return Entry(
        key=line["key"],
        item=number,
        at=line["at"],
        sizes=(line["size"], *(line["masks"][name] for name in sorted(line["masks"])), line["facts"]),
        masks=once(tuple(sorted(line["masks"]))),
        storage=once(line["storage"]),
        sha256=line["sha256"],
        group=once(line["group"]),
        order=once(line["order"]),
        # Equal for lossy images: one text then serves both.
        pixel_sha256=line["sha256"] if line["pixel_sha256"] == line["sha256"] else line["pixel_sha256"],
        split=once(line["split"], ("split", line["split"])),
        published=once(line["published"], ("published", line["published"])),
        labels=once(line["labels"], ("labels", *sorted(line["labels"].items()))),
        captions=captions or (),
        shown=_has_picture(line),
    )


def _has_picture(line: Mapping[str, Any]) -> bool:
    channels, kind = line["shape"][0], line["values"]["kind"]
    colour = kind == "srgb" and line["dtype"] == "uint8" and channels == 3
    display = kind == "display" and line["storage"] == "png" and channels == 1
    return bool(line["axes"] == "CYX" and (colour or display))


class Spools:
    """Reads images from spools, which are asked for file by file; one stays open."""

    def __init__(self, work: Path) -> None:
        self._work, self._number = work, -1
        self._file: BinaryIO | None = None

    def __enter__(self) -> Spools:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the spool that is open."""
        if self._file is not None:
            self._file.close()

    def members(self, entry: Entry, text: str) -> Iterator[tuple[str, bytes]]:
        """Yields names and bytes of an image's members: the image, its masks, the original caption, the small facts.

        Raises:
            UsageError: The image's bytes are not those that were written, as after a power cut.
        """
        whole = self._read(entry.item, entry.at, sum(entry.sizes))
        parts, at = [], 0
        for size in entry.sizes:
            parts.append(whole[at : at + size])
            at += size
        if hashlib.sha256(parts[0]).hexdigest() != entry.sha256:
            found = "An image that waits to be written is damaged, as after a power cut."
            raise UsageError("A shard was to be written.", found, "Prepare the set anew with --overwrite.")
        yield f"{entry.key}.{entry.storage}", parts[0]
        for name, data in zip(entry.masks, parts[1:-1], strict=True):
            yield f"{entry.key}.{name}.{'png' if data.startswith(magic.PNG) else 'npy.zst'}", data
        yield f"{entry.key}.txt", text.encode()
        yield f"{entry.key}.json", parts[-1]

    def _read(self, number: int, at: int, size: int) -> bytes:
        if self._number != number or self._file is None:
            self.close()
            self._number, self._file = number, spool_paths(self._work, number)[0].open("rb")
        self._file.seek(at)
        return self._file.read(size)


def member_sizes(entry: Entry, text: str) -> tuple[int, ...]:
    """Returns the sizes of what ``Spools.members`` yields."""
    return (*entry.sizes[:-1], len(text.encode()), entry.sizes[-1])
