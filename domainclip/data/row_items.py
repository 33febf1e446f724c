"""Rows of a manifest or of a card, joined into SourceItems: one for each file, archive or slide."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from domainclip.addresses import is_address, last_part, without_query
from domainclip.captions.report_files import ReportOptions
from domainclip.data.archives import ArchiveIndex
from domainclip.data.manifest import SPLIT_NAMES, WINDOW
from domainclip.data.records import item_to_json, piece_from_json, window_to_json
from domainclip.data.reports import ReportReader
from domainclip.data.row_store import ItemStore, RowStore
from domainclip.domains.base import COMPOSITION, Domain
from domainclip.domains.folder import list_folder
from domainclip.domains.misfits import is_named_oddly, misfit_of
from domainclip.errors import UnreadableFileError, UsageError, unknown_name
from domainclip.sample import Caption, Region, SourceItem, Spacing, Unit, Window

PIECES_OF_ARCHIVE = 512
"""Images of one archive that are one item: as many are lost when a worker dies, and as many wait for each other."""
ABSENT = "the row names a file that is not there"
_UNITS: dict[str, Unit] = {"um": "um", "µm": "um", "mm": "mm", "m": "m", "degree": "degree"}
_DOMAIN_UNITS: dict[str, Unit] = {"pathology": "um", "radiology": "mm", "remote-sensing": "m"}
_ROW = "\0row"
"""The number of a row; no table has such a column."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class Read:
    """What rows became.

    Attributes:
        items: The files, in the order of their first rows; those that hold several of the images that rows name come last.
        rejections: Name and reason of rows whose file is not there or cannot be used.
        reports: Counts of report reading.
        named: The paths that rows led to.
    """

    items: ItemStore
    rejections: list[tuple[str, str]]
    reports: Counter[str]
    named: RowStore


def items_from_rows(
    rows: Iterable[Row],
    folder: Path,
    what: str,
    domain: Domain,
    class_label: str,
    reports: ReportOptions | None = None,
    reading: BaseModel | None = None,
    archives: ArchiveIndex | None = None,
) -> Read:
    """Joins rows of one image: their captions add up, everything else must agree. Memory does not grow with the rows.

    Args:
        rows: Columns of ``COLUMNS``, and ``paths`` (other places where the file may lie); relative paths start at ``folder``.
        folder: Base of paths.
        what: For messages, e.g. ``"The manifest x.csv"``.
        domain: Gives the unit of ``spacing`` where no column does: um in pathology, mm in radiology, m in remote sensing.
        class_label: The label that classifications of ``regions`` become.
        reports: How reports are read; None for the defaults.
        reading: The domain's options, by which a row's folder may be one image (a series); None for its defaults.
        archives: Where images lie that are no files.

    Raises:
        UsageError: Rows of one image contradict each other, or a cell has no meaning.
    """
    drafts, plain, named = RowStore(), Counter[str](), RowStore()
    for number, row in enumerate(rows, start=1):
        if "path" not in row:
            raise UsageError(f"{what}, row {number} was to be read.", "Its cell 'path' is empty.", "Name a file in every row.")
        cells = dict(row)
        if others := cells.pop("paths", None):
            cells["path"] = next((one for one in others if _is_there(one, folder, archives)), cells["path"])
        window = [cells.get(f"window:{name}", "") for name in WINDOW]
        key = "\x1f".join([cells["path"], *window]) if any(window) else cells["path"]
        if is_address(cells["path"]) and key not in drafts:
            plain[without_query(cells["path"])] += 1
        drafts.add(key, cells | {_ROW: str(number)})
    builder = ItemBuilder(folder, domain, class_label, reports or ReportOptions())
    joined = _Joined(folder, what, domain, reading, archives, builder, plain)
    for _, several in drafts.groups():
        named.add(several[0]["path"], {})
        joined.add(several)
    return Read(joined.whole(), joined.rejections, builder.reports.counts, named)


def _is_there(path: str, folder: Path, archives: ArchiveIndex | None) -> bool:
    return (folder / path).exists() or (archives is not None and archives.find(path) is not None)


@dataclass
class _Joined:
    """Images as they come, each with all of its rows, into items."""

    folder: Path
    what: str
    domain: Domain
    reading: BaseModel | None
    archives: ArchiveIndex | None
    builder: ItemBuilder
    plain: Counter[str]
    """How many addresses there are without their query, of each."""
    items: ItemStore = field(default_factory=ItemStore)
    rejections: list[tuple[str, str]] = field(default_factory=list)
    pieces: RowStore = field(default_factory=RowStore)
    counts: Counter[Path] = field(default_factory=Counter)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Adds one image."""
        name, where = rows[0]["path"], f"{self.what}, row {rows[0][_ROW]}"
        path, windowed = self.folder / name, any(cell.startswith("window:") for cell in rows[0])
        try:
            if is_address(name):
                self._add_address(name, rows, where)
            elif path.exists():
                if is_named_oddly(path) and (misfit := misfit_of(path, self.domain)):
                    self.rejections.append((name, misfit.reason))
                elif windowed:
                    window = _window(rows[0], where)
                    named = f"{name}@{window.x},{window.y}"
                    self._add_piece(path, name, self.builder.item(path, named, rows, where), {"window": window_to_json(window)})
                else:
                    first, members = _one_image(path, self.domain, self.reading) if path.is_dir() else (path, ())
                    self.items.append(replace(self.builder.item(first, name, rows, where), members=members))
            elif self.archives is not None and (member := self.archives.find(name)) is not None:
                archive = member.archive
                # Those of a compressed tar stay together, since it is read from its start.
                chunk = 0 if member.place is None else self.counts[archive] // PIECES_OF_ARCHIVE
                self.counts[archive] += 1
                place = {"member": member.name, "place": member.place, "inside": member.store}
                called = f"{archive.relative_to(self.folder).as_posix()}#{chunk}"
                self._add_piece(archive, called, self.builder.item(archive, name, rows, where), place)
            else:
                at = f"@{rows[0].get('window:x')},{rows[0].get('window:y')}" if windowed else ""
                self.rejections.append((f"{name}{at}", ABSENT))
        except UnreadableFileError as error:
            self.rejections.append((name, error.found))

    def _add_address(self, address: str, rows: list[dict[str, Any]], where: str) -> None:
        # A token in an address ends, and the scene with a new one is the same; where it tells scenes apart it stays.
        called = without_query(address) if self.plain[without_query(address)] == 1 else address
        item = self.builder.item(Path(last_part(address)), called, rows, where)
        self.items.append(replace(item, url=_readable_address(address, self.domain, where)))

    def _add_piece(self, path: Path, called: str, item: SourceItem, place: Mapping[str, Any]) -> None:
        self.pieces.add(called, {"file": str(path), **item_to_json(item), **place})

    def whole(self) -> ItemStore:
        """Returns all items, files of several images last."""
        for name, several in self.pieces.groups():
            pieces = tuple(piece_from_json(one) for one in several)
            self.items.append(SourceItem(Path(several[0]["file"]), name, pieces=pieces, inside=several[0].get("inside")))
        return self.items


def _window(row: Mapping[str, str], where: str) -> Window:
    try:
        x, y, width, height = (round(float(row[f"window:{name}"])) for name in WINDOW)
    except (KeyError, ValueError, OverflowError):
        x = y = width = height = -1
    if min(x, y) < 0 or min(width, height) < 1:
        told = ", ".join(f"{name} {row.get(f'window:{name}')!r}" for name in WINDOW)
        found = f"Its window is no place and size in pixels: {told}."
        raise UsageError(f"{where} was to be read.", found, "Give window:x, window:y, window:width and window:height.")
    return Window(x, y, width, height)


def _readable_address(address: str, domain: Domain, where: str) -> str:
    if not getattr(domain, "reads_urls", False):
        found = f"Its path is an address, and the domain {domain.name} reads files in folders."
        raise UsageError(f"{where} was to be read.", found, "Fetch the file first.")
    return address


def _one_image(folder: Path, domain: Domain, reading: BaseModel | None) -> tuple[Path, tuple[Path, ...]]:
    """Returns the files of the one image that a folder holds: the one to open, and the others."""
    listing = list_folder(folder, domain, reading)
    if len(listing.files) != 1:
        count = len(listing.files)
        found = f"the row names a folder of {count} images as they are read; name that of one series, and set reading.axes"
        raise UnreadableFileError("A folder was to be read as one image.", found, "Name the folder of one series, or a file.")
    return listing.files[0], tuple(listing.members.get(listing.files[0], ()))


def _together(rows: Sequence[Row], where: str) -> tuple[list[Caption], dict[str, str]]:
    """Returns the captions of all rows of one image, and what they agree on."""
    captions, once = list[Caption](), dict[str, str]()
    if words := dict.fromkeys(row["published"] for row in rows if "published" in row):
        once["published"] = ", ".join(words)  # two words of the source's for one split of ours are no contradiction
    for row in rows:
        if "caption" in row:
            captions.append(Caption(row["caption"], row.get("language", "und"), row.get("origin", "human")))
        for name, text in row.items():
            if name in {"path", "caption", "origin", "published", _ROW} or (name == "language" and "caption" in row):
                continue
            if once.setdefault(name, text) != text:
                raise UsageError(
                    f"{where} was to be read.",
                    f"Its {name!r} contradicts row {row.get(_ROW)}, which names the same file.",
                    "Rows of one file may differ in caption and language only.",
                )
    return captions, once


class ItemBuilder:
    """Turns the rows of one image into its item.

    Args:
        folder: Base of the paths of reports and regions.
        domain: Its reader.
        class_label: The label that classifications of regions become.
        reports: How reports are read.
    """

    def __init__(self, folder: Path, domain: Domain, class_label: str, reports: ReportOptions) -> None:
        self.folder, self.domain, self.class_label = folder, domain, class_label
        self.reports = ReportReader(folder, reports)

    def item(self, path: Path, name: str, rows: Sequence[Row], where: str) -> SourceItem:
        """Joins the rows.

        Raises:
            UsageError: They contradict each other, or a cell has no meaning.
            UnreadableFileError: The report or the regions cannot be used.
        """
        captions, cells = _together(rows, where)
        captions += self.reports.captions(cells)
        return SourceItem(
            path=path,
            name=name,
            captions=tuple(captions),
            labels={key[6:]: text for key, text in cells.items() if key.startswith("label:")},
            regions=self._regions(cells),
            group=cells.get("group"),
            split=_split(cells.get("split"), where),
            spacing=self._spacing(cells, where),
            ids={key[4:]: text for key, text in cells.items() if key.startswith("ids:")},
            published=cells.get("published", cells.get("split")),
        )

    def _regions(self, cells: Mapping[str, str]) -> tuple[Region, ...]:
        if "regions" not in cells:
            return ()
        from domainclip.domains.regions import read_regions

        path = self.folder / cells["regions"]
        if not path.is_file():
            raise UnreadableFileError("Regions were to be read.", "its file of regions is not there", "Correct the column regions.")
        return read_regions(path, self.class_label, {*self.domain.facts.labels, COMPOSITION})

    def _spacing(self, cells: Mapping[str, str], where: str) -> Spacing | None:
        if "spacing" not in cells:
            return None
        text, unit_text = cells["spacing"], cells.get("spacing_unit")
        unit = (
            _UNITS.get(unit_text)
            if unit_text
            else self.domain.facts.preprocessing.spacing_unit or _DOMAIN_UNITS.get(self.domain.name)
        )
        if unit is None:
            found = (
                f"The unit {unit_text!r} is none of um, mm, m, degree."
                if unit_text
                else "No unit is given, and the domain has none."
            )
            raise UsageError(f"{where} was to be read.", found, "Give a column spacing_unit with um, mm, m or degree.")
        try:
            numbers = tuple(float(part) for part in re.split(r"[\s;x]+", text.strip()))
        except ValueError:
            numbers = ()
        if not numbers or len(numbers) > 3 or not all(math.isfinite(number) and number > 0 for number in numbers):
            found = f"Its spacing {text!r} is no positive number, and no two or three (Z, Y, X) with spaces between."
            raise UsageError(f"{where} was to be read.", found, "Write e.g. 0.5, or 0.5 0.25 for Y and X.")
        return Spacing(numbers * 2 if len(numbers) == 1 else numbers, unit, "manifest")


def _split(text: str | None, where: str) -> str | None:
    if text is None:
        return None
    if text not in SPLIT_NAMES:
        error = unknown_name("split", text, SPLIT_NAMES)
        raise UsageError(f"{where} was to be read.", f"Its split is {text!r}.", error.remedy)
    return SPLIT_NAMES[text]
