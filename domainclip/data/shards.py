"""Shards: plain tar files in WebDataset's layout, byte for byte the same whenever they are made from the same images."""

from __future__ import annotations

import errno
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = 512
_RECORD = 10240
MAX_SAMPLES = 2000
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Which samples go into one shard, and where their members' data will lie.

    Attributes:
        name: E.g. ``"00003.tar"``.
        first: Position of the first sample in the set.
        sizes: Bytes of each member of each sample, adjacent.
        offsets: Offset of each member's data in the file.
    """

    name: str
    first: int
    sizes: tuple[tuple[int, ...], ...]
    offsets: tuple[tuple[int, ...], ...]


_FACTS = ("axes", "channels", "spacing", "values", "geo", "labels", "window", "dtype", "shape")


def sample_facts(record: Mapping[str, Any]) -> bytes:
    """Returns a sample's JSON member: its key and the small facts that make the shard readable without the index."""
    facts = {"key": record["key"], **{name: record[name] for name in _FACTS if record[name] not in (None, {})}}
    return json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()


def plan_shards(samples: Iterable[tuple[int, ...]]) -> list[ShardPlan]:
    """Cuts a sequence of samples into shards of at most 2,000 samples and 256 MiB (one sample at least).

    Args:
        samples: Bytes of each member, sample by sample.
    """
    plans: list[ShardPlan] = []
    waiting: list[tuple[int, ...]] = []
    first = total = 0
    for position, sizes in enumerate(samples):
        size = sum(_BLOCK + _padded(member) for member in sizes)
        if waiting and (len(waiting) == MAX_SAMPLES or total + size > MAX_BYTES):
            plans.append(_plan(len(plans), first, waiting))
            first, total, waiting = position, 0, []
        waiting.append(sizes)
        total += size
    return [*plans, _plan(len(plans), first, waiting)] if waiting else plans


def _plan(number: int, first: int, samples: Sequence[tuple[int, ...]]) -> ShardPlan:
    offsets, at = [], 0
    for sizes in samples:
        mine = []
        for size in sizes:
            mine.append(at + _BLOCK)
            at += _BLOCK + _padded(size)
        offsets.append(tuple(mine))
    return ShardPlan(f"{number:05d}.tar", first, tuple(samples), tuple(offsets))


_TEMPLATE = tarfile.TarInfo("")
_TEMPLATE.mode = 0o644
_TEMPLATE_BYTES = _TEMPLATE.tobuf(format=tarfile.USTAR_FORMAT)
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)
_TEMPLATE_SUM = sum(_TEMPLATE_BYTES) - sum(_TEMPLATE_BYTES[_SIZE]) - sum(_TEMPLATE_BYTES[_CHECKSUM]) + 8 * ord(" ")
"""Of a header's bytes but those of the size, the checksum's own counted as blanks (POSIX.1-1988)."""
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
    header[_CHECKSUM] = b"%06o\0 " % (_TEMPLATE_SUM + sum(encoded) + sum(header[_SIZE]))
    return bytes(header)


def write_shard(folder: Path, plan: ShardPlan, members: Callable[[int], Iterable[tuple[str, bytes]]]) -> None:
    """Writes one shard: owner, group and times are zero; a draft ending in .part, flushed to disk, then renamed.

    Args:
        folder: Of the set.
        plan: What goes into it.
        members: Returns names and bytes of a sample's members, by its position in the set.

    Raises:
        OSError: It cannot be written, for want of space say; no half file stays.
    """
    draft = folder / f"{plan.name}.part"
    try:
        with draft.open("wb") as file:
            for position, sizes in enumerate(plan.sizes, start=plan.first):
                for (name, data), size in zip(members(position), sizes, strict=True):
                    if len(data) != size:
                        raise OSError(errno.EIO, "a spool changed while it was read")
                    file.write(tar_header(name, size) + data + bytes(_padded(size) - size))
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


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
