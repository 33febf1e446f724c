"""What one source file became, waiting on disk for the shards: encoded images in a row, and a line of JSON for each.

Spools hold keyed hashes in place of keys, groups and identifiers. A file's spool appears at once (rename), so that an
interrupted preparation goes on at the next file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from domainclip.data.ahead import ahead
from domainclip.data.inside import Cut, samples_of
from domainclip.data.records import caption_to_json, sample_to_json, values_to_json
from domainclip.data.shards import sample_facts, write_bytes
from domainclip.data.storage import StoredImage, encode_image, encode_jpeg
from domainclip.domains import magic
from domainclip.domains.base import Domain
from domainclip.errors import UnreadableFileError
from domainclip.identifiers import keyed_hash
from domainclip.sample import SourceItem

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
_JPEG_LIMIT_BYTES = 64 * 2**20
OVERVIEW_QUALITY = 85


@dataclass(frozen=True, slots=True)
class SpoolPlan:
    """What a worker must know beside the file.

    Attributes:
        folder: Where spools lie.
        key: The owner's key for hashes.
        seed: Seed of the splits.
        jpeg_quality: Of 8-bit colour; None stores it without loss.
        threads: Images of one file that are read and encoded at a time.
        overviews: Draw a picture of what was taken of each file, where the domain does.
        note: Stands below each overview.
    """

    folder: Path
    key: bytes
    seed: int
    jpeg_quality: int | None = None
    threads: int = 1
    overviews: bool = False
    note: str = ""


def spool_paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Returns the files (images, lines) of the source file with this number; the lines exist once all is written."""
    return folder / f"{number:08d}.bin", folder / f"{number:08d}.jsonl"


def overview_path(folder: Path, number: int) -> Path:
    """Returns the file of a source file's overview picture; there is none where the domain draws none."""
    return folder / f"{number:08d}.jpg"


def write_spool(
    item: SourceItem, number: int, domain: Domain, reading: BaseModel, plan: SpoolPlan, tick: Callable[[], None]
) -> int:
    """Reads one source file through its domain and writes its spool.

    An image that cannot be read becomes a line with a ``reason``; a file whose reader gives up is one such line and nothing else.

    Args:
        item: The file.
        number: Its number in the source.
        domain: The reader.
        reading: The reader's options.
        plan: Where to and with what key.
        tick: Called after every sample, as a sign of life.

    Returns:
        The number of images written.
    """
    data_path, lines_path = spool_paths(plan.folder, number)
    draft = data_path.with_suffix(f".{os.getpid()}.part")
    lines: list[dict[str, Any]] = []
    account, counted = dict[str, int](), Counter[str]()
    try:
        with draft.open("wb") as file:
            try:
                encode = partial(_encoded, jpeg=_jpeg_of(item), plan=plan)
                cuts = samples_of(item, domain, reading, plan.folder, counted)
                for line, members in ahead(encode, cuts, plan.threads):
                    if members:
                        line["at"] = file.tell()
                    for member in members:
                        file.write(member)
                    lines.append(line)
                    tick()
                account = dict(counted)
            except UnreadableFileError as error:
                file.seek(0)
                file.truncate()
                lines = [{"key": keyed_hash(item.name, plan.key), "reason": error.reason}]
                account = _of_rejected(counted)
            total = file.tell()
        if plan.overviews and item.inside is None and not item.pieces:
            _write_overview(domain, item, reading, plan, number)
        draft.replace(data_path)
        write_lines(lines_path, [*lines, {"end": total, "account": account}])
    finally:
        draft.unlink(missing_ok=True)
    return sum("reason" not in line for line in lines)


def write_rejection(item: SourceItem, number: int, plan: SpoolPlan, reason: str) -> None:
    """Writes the spool of a file whose worker died or hung."""
    data_path, lines_path = spool_paths(plan.folder, number)
    data_path.write_bytes(b"")
    write_lines(lines_path, [{"key": keyed_hash(item.name, plan.key), "reason": reason}, {"end": 0}])


def is_whole(folder: Path, number: int) -> bool:
    """Says whether a source file's spool is there to its last byte (spools are not flushed to disk: a power cut may tear one)."""
    data_path, lines_path = spool_paths(folder, number)
    try:
        end = json.loads(lines_path.read_bytes().rsplit(b"\n", 2)[-2])["end"]
        # Images leave the spool once their shard is on disk; the lines stay.
        return not data_path.exists() or data_path.stat().st_size == end
    except (OSError, ValueError, LookupError, TypeError):
        return False


def read_spool(folder: Path, number: int) -> Iterator[dict[str, Any]]:
    """Yields the lines of a source file's spool: images, and rejections with a ``reason``."""
    with spool_paths(folder, number)[1].open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if "end" not in record:
                yield record


def read_account(folder: Path, number: int) -> dict[str, int]:
    """Returns what the reader counted of a source file's windows or tiles; empty where it counts nothing."""
    last = json.loads(spool_paths(folder, number)[1].read_bytes().rsplit(b"\n", 2)[-2])
    return dict(last.get("account", {}))


def write_lines(path: Path, lines: Iterable[dict[str, Any]], mode: int = 0o600) -> None:
    """Writes lines of JSON, all or nothing: a draft beside it, then renamed."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        # File names need not be UTF-8: Python holds such bytes as lone surrogates, and backslashreplace writes JSON's own escape.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            for line in lines:
                file.write(_as_json(line) + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


_keyed = lru_cache(maxsize=64)(keyed_hash)  # a slide has thousands of tiles and one group


def _encoded(cut: Cut, jpeg: Callable[[Path], bytes | None], plan: SpoolPlan) -> tuple[dict[str, Any], list[bytes]]:
    """Reads and encodes one image: its line, and the bytes of its members; none, and a reason, when it cannot be read."""
    sample, inside = cut.sample, {} if cut.member is None else {"member": cut.member}
    key = keyed_hash(sample.key, plan.key)
    try:
        stored = encode_image(sample.read(), sample.axes, sample.values, jpeg(cut.file), plan.jpeg_quality)
    except UnreadableFileError as error:
        return {"key": key, "reason": error.reason, **inside}, []
    group = sample.group or sample.key
    names, digest = sorted(stored.masks), hashlib.sha256(stored.data).hexdigest()
    record = sample_to_json(sample)
    record |= {
        "key": key,
        "group": _keyed(group, plan.key),
        # The order of groups in a split must not depend on whose key it is; this number never enters the set.
        "order": hashlib.sha256(f"{plan.seed}\x1f{group}".encode("utf-8", "surrogatepass")).hexdigest()[:16],
        "ids": {level: _keyed(value, plan.key) for level, value in sample.ids.items()},
        "values": values_to_json(stored.values),
        "storage": stored.storage,
        "shape": list(stored.pixels.shape),
        "dtype": stored.pixels.dtype.name,
        "pixel_sha256": _told_apart_by(stored, digest if plan.jpeg_quality else None, key),
        "sha256": digest,
        "size": len(stored.data),
        "masks": {name: len(stored.masks[name]) for name in names},
        "captions": [caption_to_json(caption) for caption in sample.captions],
        "published": cut.published,
    }
    facts = sample_facts(record)
    return record | inside | {"facts": len(facts)}, [stored.data, *(stored.masks[name] for name in names), facts]


def _of_rejected(account: Mapping[str, int]) -> dict[str, int]:
    """The account of a file that gives nothing: what had been kept is lost with it."""
    counted = dict(account)
    lost = counted.pop("kept", 0)
    return counted | ({"kept": 0, "lost with their file": lost} if lost else {})


def _write_overview(domain: Domain, item: SourceItem, reading: BaseModel, plan: SpoolPlan, number: int) -> None:
    """Writes the picture that shows what was taken of a file, where the domain draws one."""
    draw = getattr(domain, "overview", None)
    try:
        picture = draw(item, reading, plan.note) if draw is not None else None
    except UnreadableFileError:
        picture = None  # a picture for people must not cost the images that were read
    if picture is not None:
        write_bytes(overview_path(plan.folder, number), encode_jpeg(picture, OVERVIEW_QUALITY))


_GREYS_LOST = 8
"""A spread of 8-bit values that JPEG may flatten: glass is white and some noise."""


def _told_apart_by(stored: StoredImage, digest: str | None, key: str) -> str:
    """Returns what equal images have in common. A blank one is like no other: one white tile in each would join all slides.

    Args:
        stored: The image.
        digest: Of its bytes, where 8-bit colour is encoded anew.
        key: Of the image.
    """
    lossy = digest is not None and stored.storage == "jpg"
    if _is_blank(stored.pixels, _GREYS_LOST if lossy else 0):
        return hashlib.sha256(f"blank {key} {_pixel_hash(stored.pixels)}".encode()).hexdigest()
    # Of equal pixels the encoder makes equal bytes: the hash of a lossy image tells duplicates too, at a tenth of the cost.
    return digest if digest is not None and lossy else _pixel_hash(stored.pixels)


def _is_blank(array: np.ndarray[Any, Any], greys: int) -> bool:
    """Whether each plane has one value everywhere, or so few greys that an encoder makes one of them."""
    for some in (array[..., ::16, ::16], array):  # a few pixels tell most images
        spread = some.max((-2, -1)).astype(np.float64) - some.min((-2, -1))
        if not (spread <= greys).all():
            return False
    return True


def _pixel_hash(array: np.ndarray[Any, Any]) -> str:
    """Hashes type, shape and numbers; colour interleaved, as decoders give it, since turning it costs more than the hash."""
    colour = array.ndim == 3 and array.shape[0] == 3 and array.dtype == np.uint8
    plain = np.ascontiguousarray(array.transpose(1, 2, 0) if colour else array)
    digest = hashlib.sha256(f"{plain.dtype.str}{plain.shape}".encode())
    digest.update(plain.data)
    return digest.hexdigest()


def _jpeg_of(item: SourceItem) -> Callable[[Path], bytes | None]:
    """Returns what gives the stream of a file that is a JPEG, which may be kept as it is; a file of many tiles is read once."""
    return (lambda path: None) if item.url is not None else lru_cache(maxsize=1)(_jpeg_bytes)


def _jpeg_bytes(path: Path) -> bytes | None:
    """Reads the file when it is a JPEG of moderate size."""
    try:
        if path.stat().st_size > _JPEG_LIMIT_BYTES:
            return None
        with path.open("rb") as file:
            return file.read() if file.read(len(magic.JPEG)) == magic.JPEG and not file.seek(0) else None
    except OSError as error:
        found = f"the file cannot be opened ({error.strerror})"
        raise UnreadableFileError("A file was to be read.", found, "Check that it exists and may be read.") from error


def _plain(value: Any) -> Any:
    """Numbers of NumPy as numbers of JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in a record")


_as_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=_plain).encode
