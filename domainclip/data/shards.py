"""Shards: plain tar files in WebDataset's layout, byte for byte the same whenever they are made from the same images."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from domainclip.errors import UsageError

_BLOCK = 512
_RECORD = 10240
MAX_SAMPLES = 2000
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a shard: its name, its size, and how to get its bytes when they are written."""

    name: str
    size: int
    data: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Which samples go into one shard, and where their members' data will lie.

    Attributes:
        name: E.g. ``"00003.tar"``.
        first: Position of the first sample in the set.
        samples: Members of each sample, adjacent.
        offsets: Offset of each member's data in the file.
    """

    name: str
    first: int
    samples: tuple[tuple[Member, ...], ...]
    offsets: tuple[tuple[int, ...], ...]


def sample_members(record: dict[str, Any], text: str, read: Callable[[int, int], bytes]) -> tuple[Member, ...]:
    """Lists a sample's members: the image, its masks, the original caption, the small facts.

    Args:
        record: The sample's spool record.
        text: Its original caption.
        read: Returns bytes of the sample's spool by offset and size.
    """
    key = record["key"]
    at = record["at"]
    members = [Member(f"{key}.{record['storage']}", record["size"], partial(_checked, read, at, record["size"], record["sha256"]))]
    at += record["size"]
    for name, size in record["masks"].items():
        members.append(Member(f"{key}.{name}.png", size, partial(read, at, size)))
        at += size
    names = ("axes", "channels", "spacing", "values", "geo", "labels", "window", "dtype", "shape")
    facts = {"key": key, **{name: record[name] for name in names if record[name] not in (None, {})}}
    # Made again when it is written: held for every image of a large set, it would fill the memory.
    members.append(Member(f"{key}.txt", len(text.encode()), partial(_text, text)))
    members.append(Member(f"{key}.json", len(_json(facts)), partial(_json, facts)))
    return tuple(members)


def _text(text: str) -> bytes:
    return text.encode()


def _json(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()


def plan_shards(samples: Sequence[tuple[Member, ...]]) -> list[ShardPlan]:
    """Cuts a sequence of samples into shards of at most 2,000 samples and 256 MiB (one sample at least)."""
    cuts, total = [0], 0
    for position, members in enumerate(samples):
        size = sum(_BLOCK + _padded(member.size) for member in members)
        if position > cuts[-1] and (position - cuts[-1] == MAX_SAMPLES or total + size > MAX_BYTES):
            cuts.append(position)
            total = 0
        total += size
    ends = [*cuts[1:], len(samples)]
    return [
        _plan(number, start, samples[start:end]) for number, (start, end) in enumerate(zip(cuts, ends, strict=True)) if end > start
    ]


def _plan(number: int, first: int, samples: Sequence[tuple[Member, ...]]) -> ShardPlan:
    offsets, at = [], 0
    for members in samples:
        mine = []
        for member in members:
            mine.append(at + _BLOCK)
            at += _BLOCK + _padded(member.size)
        offsets.append(tuple(mine))
    return ShardPlan(f"{number:05d}.tar", first, tuple(samples), tuple(offsets))


_TEMPLATE = tarfile.TarInfo("")
_TEMPLATE.mode = 0o644
_TEMPLATE_BYTES = _TEMPLATE.tobuf(format=tarfile.USTAR_FORMAT)
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)
_LONGEST_NAME, _LARGEST = 100, 8**11 - 1


def tar_header(name: str, size: int) -> bytes:
    """Returns the 512 bytes before a member: USTAR (POSIX.1-1988), mode 0644, owner and time zero.

    The standard library makes the same bytes in ten times the time, which would be a tenth of a tile's.

    Raises:
        ValueError: The name has more than 100 bytes, or the member 8 GiB.
    """
    encoded = name.encode()
    if len(encoded) > _LONGEST_NAME or size > _LARGEST:
        raise ValueError(f"{name}: a member's name has at most {_LONGEST_NAME} bytes, and its data less than 8 GiB")
    header = bytearray(_TEMPLATE_BYTES)
    header[: len(encoded)] = encoded
    header[_SIZE] = b"%011o\0" % size
    header[_CHECKSUM] = b" " * 8
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)


def write_shard(folder: Path, plan: ShardPlan) -> None:
    """Writes one shard: owner, group and times are zero; a draft ending in .part, flushed to disk, then renamed.

    Raises:
        OSError: It cannot be written, for want of space say; no half file stays.
    """
    draft = folder / f"{plan.name}.part"
    try:
        with draft.open("wb") as file:
            for members in plan.samples:
                for member in members:
                    data = member.data()
                    if len(data) != member.size:
                        raise OSError(errno.EIO, "a spool changed while it was read")
                    file.write(tar_header(member.name, member.size) + data + bytes(_padded(member.size) - member.size))
            file.write(bytes(2 * _BLOCK))
            file.write(bytes(-file.tell() % _RECORD))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / plan.name)
        sync_folder(folder)
    finally:
        draft.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a small file, all or nothing.

    Raises:
        OSError: It cannot be written, for want of space say; no half file stays.
    """
    draft = path.with_name(f"{path.name}.part")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's entries to disk, so that a rename survives a power cut (not offered on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _checked(read: Callable[[int, int], bytes], at: int, size: int, sha256: str) -> bytes:
    """Reads an image from its spool; one that a power cut tore never gets into a shard."""
    data = read(at, size)
    if hashlib.sha256(data).hexdigest() != sha256:
        found = "An image that waits to be written is damaged, as after a power cut."
        raise UsageError("A shard was to be written.", found, "Prepare the set anew with --overwrite.")
    return data


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
