"""Files that hold several images, turned into samples one image at a time: archives, containers, patches of slides.

A member of an archive is read through the domain's own reader, as if it were a file: its bytes lie in a private file of ours while
its pixels are wanted, under a name of ours.
"""

from __future__ import annotations

import io
import itertools
import os
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from pydantic import BaseModel, TypeAdapter

from domainclip.captions.report_files import ReportOptions
from domainclip.data.archives import read_members
from domainclip.data.layouts import Container
from domainclip.data.layouts.containers import Entry
from domainclip.data.layouts.zarr_images import BandImage, ZarrImages, band_file, store_images
from domainclip.data.operations import Operation
from domainclip.data.pipeline import manifest_cells, piped
from domainclip.data.row_items import ItemBuilder
from domainclip.domains import magic
from domainclip.domains.base import CutsPatches, Domain, item_account
from domainclip.errors import UnreadableFileError
from domainclip.sample import Piece, Pixels, Sample, SourceItem, Values

_TOGETHER = 64
_NUMBERS = itertools.count()
"""Of private files: samples of one source file may still be held while the next is read."""
_CONTAINER: TypeAdapter[Container] = TypeAdapter(Container)
_OPERATIONS: TypeAdapter[tuple[Operation, ...]] = TypeAdapter(tuple[Operation, ...])
_ENDINGS = ((magic.JPEG, ".jpg"), (magic.PNG, ".png"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"), (b"BM", ".bmp"))


@dataclass(frozen=True, slots=True)
class Cut:
    """A sample and where it comes from.

    Attributes:
        sample: The image.
        file: Its file, whose JPEG stream is kept where it is one.
        member: Of the archive that it lies in.
        published: The source's own word for its split.
    """

    sample: Sample
    file: Path
    member: str | None = None
    published: str | None = None


@dataclass(frozen=True)
class Inside:
    """How a worker turns the rows of a container into items; plain values, since it travels there.

    Attributes:
        root: The set's folder.
        what: For messages.
        layout: The container's layout.
        operations: Of the card.
        class_label: The label that annotations become.
        reports: How reports are read.
    """

    root: Path
    what: str
    layout: Container
    operations: tuple[Operation, ...]
    class_label: str
    reports: ReportOptions

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return {
            "root": str(self.root),
            "what": self.what,
            "layout": self.layout.model_dump(mode="json"),
            "operations": [operation.model_dump(mode="json") for operation in self.operations],
            "class_label": self.class_label,
            "reports": [self.reports.language, self.reports.encoding, list(self.reports.sections)],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Inside:
        """Undoes ``to_json``."""
        language, encoding, sections = value["reports"]
        layout, operations = _CONTAINER.validate_python(value["layout"]), _OPERATIONS.validate_python(value["operations"])
        reports = ReportOptions(language, encoding, tuple(sections))
        return Inside(Path(value["root"]), value["what"], layout, operations, value["class_label"], reports)


def samples_of(item: SourceItem, domain: Domain, reading: BaseModel, scratch: Path, account: Counter[str]) -> Iterator[Cut]:
    """Yields the samples of a file, whatever it holds.

    Args:
        item: The file.
        domain: The reader of each image.
        reading: Its options.
        scratch: A private folder; nothing stays in it once the samples are gone.
        account: Takes what the reader counted, over all images, and rows that a card left out.

    Raises:
        UnreadableFileError: The file cannot be read; an image in it that cannot is a sample that says so when it is read.
    """
    if item.inside is not None and not item.pieces:
        yield from _of_container(item, domain, reading, scratch, account)
    elif item.pieces and item.pieces[0].member is None:
        words = {piece.name: piece.published for piece in item.pieces}
        for sample in _patches(item, domain, reading):
            yield Cut(sample, item.path, published=words.get(sample.key))
    elif item.pieces:
        yield from _of_archive(item, domain, reading, scratch, account)
    else:
        try:
            for sample in domain.samples(item, reading):
                yield Cut(sample, item.path, published=item.published)
        finally:
            account.update(item_account(domain, item))


def _patches(item: SourceItem, domain: Domain, reading: BaseModel) -> Iterator[Sample]:
    if not isinstance(domain, CutsPatches):
        found = f"its table names windows of it, and the domain {domain.name} reads files whole or by its own grid"
        raise UnreadableFileError("Windows of a file were to be read.", found, "Leave the columns window:* out.")
    return domain.patches(item, reading)


def _of_archive(item: SourceItem, domain: Domain, reading: BaseModel, scratch: Path, account: Counter[str]) -> Iterator[Cut]:
    pieces = {piece.member: piece for piece in item.pieces if piece.member is not None}
    for name, content in _contents(item, pieces, account):
        piece = pieces[name]
        told = (piece.captions, piece.labels, (), piece.group, piece.split, piece.spacing, piece.ids)
        one = SourceItem(item.path, piece.name, *told, published=piece.published)
        yield from _of_content(one, name, content, domain, reading, scratch, account)


def _contents(item: SourceItem, pieces: Mapping[str, Piece], account: Counter[str]) -> Iterator[tuple[str, Any]]:
    """Yields the members that are wanted, of an archive or of a Zarr store."""
    if item.inside is None:
        return read_members(item.path, [(member, piece.place) for member, piece in pieces.items()])
    numbers = [(member, piece.place[0]) for member, piece in pieces.items() if piece.place is not None]
    return store_images(item.path, ZarrImages.model_validate(item.inside), numbers, account)


def _of_container(item: SourceItem, domain: Domain, reading: BaseModel, scratch: Path, account: Counter[str]) -> Iterator[Cut]:
    assert item.inside is not None
    inside = Inside.from_json(item.inside)
    builder = ItemBuilder(inside.root, domain, inside.class_label, inside.reports)
    for some in _batches(inside.layout.entries(item.path, inside.root)):
        rows = [
            entry.row | {"path": f"{item.name}/{entry.name}", "member": entry.name, _AT: number}
            for number, entry in enumerate(some)
        ]
        several: dict[int, list[dict[str, str]]] = {}
        for row in piped(inside.operations, rows, inside.what, account):
            several.setdefault(row[_AT], []).append(manifest_cells(row, inside.what))
        for number, cells in several.items():
            entry = some[number]
            named = builder.item(item.path, f"{item.name}/{entry.name}", cells, f"{inside.what}, {item.name}")
            yield from _of_content(named, entry.name, entry.content, domain, reading, scratch, account)


_AT = "\0at"
"""The column by which a row finds back to its entry; no table has it."""


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """A few entries at a time: operations look at rows together, and pictures take memory."""
    following = iter(entries)
    while some := list(itertools.islice(following, _TOGETHER)):
        yield some


def _of_content(
    item: SourceItem, member: str, content: Any, domain: Domain, reading: BaseModel, scratch: Path, account: Counter[str]
) -> Iterator[Cut]:
    """Yields the samples of one picture; one that cannot be read is a sample that says why when its pixels are asked for."""
    if isinstance(content, str):
        error = UnreadableFileError("An image of an archive was to be read.", content, "Get the archive anew.")
        yield Cut(_broken(item, error), item.path, member, item.published)
        return
    file = _scratch_file(scratch, content, member)
    one = replace(item, path=file.path)
    try:
        for sample in domain.samples(one, reading):
            yield Cut(sample.with_(reader=_Held(sample, file)), file.path, member, item.published)
    except UnreadableFileError as error:
        yield Cut(_broken(item, error), item.path, member, item.published)
    finally:
        account.update(item_account(domain, one))


@dataclass(frozen=True, slots=True)
class _Held:
    """A reader that keeps the private file of its sample alive."""

    sample: Sample
    file: _ScratchFile

    def __call__(self) -> Pixels:
        return self.sample.read()


@dataclass(frozen=True, slots=True)
class _Fails:
    error: UnreadableFileError

    def __call__(self) -> Pixels:
        raise self.error


def _broken(item: SourceItem, error: UnreadableFileError) -> Sample:
    return Sample(item.name, "CYX", ("unread",), Values("dn"), _Fails(error), group=item.group or item.name, split=item.split)


class _ScratchFile:
    """A file that is removed once nobody holds this object."""

    def __init__(self, path: Path) -> None:
        self.path = path
        weakref.finalize(self, path.unlink, missing_ok=True)


def _scratch_file(folder: Path, content: Any, member: str) -> _ScratchFile:
    """Writes the bytes of a picture file, an array as a PNG, or bands as a TIFF, under a name of ours."""
    if isinstance(content, BandImage):
        content, ending = band_file(content), ".tif"
    elif isinstance(content, np.ndarray):
        content, ending = _as_png(content), ".png"
    else:
        ending = next((ending for start, ending in _ENDINGS if content.startswith(start)), _ending_of(member))
    path = folder / f"member.{os.getpid()}.{next(_NUMBERS)}{ending}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return _ScratchFile(path)


def _ending_of(member: str) -> str:
    """Returns the ending of a member's name where it is one of plain letters and digits; readers go by it."""
    base = member.rpartition("/")[2].lower()
    if base.endswith(".nii.gz"):
        return ".nii.gz"
    ending = base.rpartition(".")[2]
    return f".{ending}" if ending.isalnum() and ending.isascii() and len(ending) <= 8 and ending != base else ""


def _as_png(array: np.ndarray[Any, Any]) -> bytes:
    """Returns (H, W) or (H, W, 3) of uint8 as PNG, which every domain reads, hardly compressed."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
