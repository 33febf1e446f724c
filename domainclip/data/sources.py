"""Where images come from: a card's name, a folder or file, a prepared set, or a manifest; all become SourceItems."""

from __future__ import annotations

import itertools
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from domainclip.addresses import is_address, last_part, without_query
from domainclip.captions.report_account import reports_among
from domainclip.captions.report_files import REPORT_NOT_OPENED, ReportOptions
from domainclip.config import DataConfig
from domainclip.data.archives import ArchiveIndex
from domainclip.data.cards import DatasetCard, about, card_names, find_card, load_card, rows_of_card
from domainclip.data.inside import Inside
from domainclip.data.layouts import Container
from domainclip.data.layouts.arrays import Arrays
from domainclip.data.layouts.image_folder import ImageFolder
from domainclip.data.licence_terms import refuse_use
from domainclip.data.manifest import MANIFEST_SUFFIXES, read_manifest
from domainclip.data.pipeline import LEFT_OUT
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.row_items import ABSENT, Read, Row, items_from_rows
from domainclip.domains.base import Domain, checked_reading, domains
from domainclip.domains.folder import list_folder
from domainclip.domains.misfits import misfit_of, of_what
from domainclip.errors import UsageError, unknown_name
from domainclip.sample import SourceItem

_LISTED = 10
"""Missing files that are named; all are counted."""


@dataclass(frozen=True)
class Source:
    """Files of one data set, with what its owner or its card says about them.

    Attributes:
        name: What to call it in messages; not kept in a prepared set.
        card: What is known about the data set as a whole: name, title, licence, citation, classes, ``synthetic`` and more.
        rejections: Name and reason of what cannot be used: rows without a file, files without a row, foreign files.
        reading: Options of the reader that the set needs (its card's); what is asked for wins.
        published: A card reads it: splits are those that its publishers gave, which the caller cannot correct.
        duplicates: What counts as one group where the caller does not say.
    """

    name: str
    card: dict[str, Any]
    rejections: tuple[tuple[str, str], ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    _items: Sequence[SourceItem] = field(default=(), repr=False)
    published: bool = False
    duplicates: Literal["exact", "near"] = "exact"

    def items(self) -> Iterator[SourceItem]:
        """Yields the files, in an order that depends on the source alone."""
        return iter(self._items)

    def numbered(self) -> Sequence[SourceItem]:
        """Returns the files by their numbers; those of a table stay on disk until they are asked for."""
        return self._items

    def __len__(self) -> int:
        return len(self._items)


def open_dataset(
    source: str | Path, *, domain: str, root: str | Path | None = None, reading: BaseModel | Mapping[str, Any] | None = None
) -> Source | PreparedSet:
    """Opens a card's data set, a folder, a file, a manifest or a prepared set.

    Args:
        source: Card name or path.
        domain: Name of the domain whose reader reads the files.
        root: Folder of a card's files.
        reading: The reader's options, where they say what makes one image (``{"axes": "CZYX"}``); None for its defaults.

    Returns:
        A PreparedSet where the source is one, else a Source, which ``prepare`` turns into one.

    Raises:
        UsageError: As ``open_source``.
    """
    return open_source(DataConfig(source=str(source), root=None if root is None else str(root)), domains.get(domain), reading)


def open_source(config: DataConfig, domain: Domain, reading: BaseModel | Mapping[str, Any] | None = None) -> Source | PreparedSet:
    """Opens what the ``data:`` section names.

    A card's name wins when ``root`` is given; otherwise an existing path does.

    Args:
        config: ``source`` and ``root``; ``class_label`` names the label of a manifest's column ``label``.
        domain: The reader of the files.
        reading: Its options, where they say what makes one image; None for its defaults.

    Returns:
        A Source; or a PreparedSet when the source is one.

    Raises:
        UsageError: The path or card does not exist, the folder is empty, a manifest has unknown columns, a card belongs to
            another domain or finds none of its files.
    """
    if config.source is None:
        raise UsageError(
            "A data source was to be opened.", "None was named.", "Give a card's name, a folder, a file or a manifest."
        )
    if is_address(config.source):
        return _from_address(config.source, domain)
    name, path, options = config.source, Path(config.source).expanduser(), checked_reading(domain, reading)
    card_file = find_card(name)
    if config.root is not None or (card_file is not None and (not path.exists() or card_file == path)):
        if card_file is None:
            raise unknown_name("data-set card", name, card_names())
        return _from_card(card_file.stem, card_file, config, domain, options)
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            found = "There is no such file or folder."
            raise UsageError(f"The data source {name} was asked for.", found, "Check the path.")
        error = unknown_name("data-set card", name, card_names())
        raise UsageError(error.asked, f"{error.found} There is no file or folder of that name either.", error.remedy)
    label = config.class_label or domain.facts.class_label
    if path.is_dir():
        if (path / "dataset.json").is_file() and (path / "index.parquet").is_file():
            return PreparedSet(path)
        if (path / ".preparing").is_dir():
            return PreparedSet(path)  # Raises: it is not finished.
        if (path / "manifest.csv").is_file():
            return _from_manifest(path / "manifest.csv", domain, label, report_options(config), options)
        return _from_folder(path, domain, options)
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return _from_manifest(path, domain, label, report_options(config), options)
    if not domain.recognises(path):
        if misfit := misfit_of(path, domain):
            raise UsageError(f"The file {path} was to be read.", *misfit.parts)
        found = f"Its content is of no kind that the domain {domain.name} reads."
        raise UsageError(f"The file {path} was to be read.", found, f"See what is in it: domainclip inspect {path}.")
    return Source(path.stem, _plain_card(domain), (), {}, (SourceItem(path, path.name),))


def _from_address(address: str, domain: Domain) -> Source:
    if not getattr(domain, "reads_urls", False):
        found = f"The domain {domain.name} reads files in folders."
        raise UsageError(f"{without_query(address)[:80]} was to be read.", found, "Fetch the file first.")
    name = last_part(address)
    return Source(Path(name).stem, _plain_card(domain), (), {}, (SourceItem(Path(name), name, url=address),))


def _from_card(name: str, card_file: Path, config: DataConfig, domain: Domain, reading: BaseModel) -> Source:
    card, root = load_card(card_file), config.root
    reading = checked_reading(domain, reading, card.reading)
    if root is None:
        found = "The folder of its files is not given."
        raise UsageError(
            f"The data set {name} was asked for.", found, f"Add --root FOLDER. Its home: {card.homepage or 'unknown'}."
        )
    if card.domain != domain.name:
        found = f"It belongs to the domain {card.domain}."
        raise UsageError(f"The data set {name} was asked for in {domain.name}.", found, f"Use --domain {card.domain}.")
    if config.purpose == "commercial":
        refuse_use(about(card), "commercial", f"The data set {name} was to be used commercially (data.purpose).", config.permitted)
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UsageError(f"The data set {name} was to be read from {root}.", "There is no such folder.", "Check --root.")
    label, what = card.class_label or domain.facts.class_label, f"The data set {name}"
    if isinstance(card.layout, Container):
        inside = Inside(folder, what, card.layout, card.operations, label, report_options(config)).to_json()
        files = card.layout.containers(folder, what)
        items = tuple(SourceItem(path, path.relative_to(folder).as_posix(), inside=inside) for path in files)
        lacking = _tell_lacking("files_absent", card.layout.absent(folder) if isinstance(card.layout, Arrays) else [], what)
        return Source(name, about(card) | lacking, (), card.reading, items, published=True, duplicates=card.duplicates)
    account, archives = Counter[str](), ArchiveIndex(card.archives(folder), what, card.stores(folder))
    seen: dict[str, set[str]] = {}
    rows = _watched(rows_of_card(card, folder, account), seen)
    read = items_from_rows(rows, folder, what, domain, label, report_options(config), reading, archives)
    there = (path.relative_to(folder).as_posix() for path in card.files(folder))
    strays = [(path, "the file has no row") for path in itertools.chain(there, archives.paths()) if path not in read.named]
    _tell_absent(read, name, root)
    told = {"rows_left_out": account[LEFT_OUT]} if account[LEFT_OUT] else {}
    told |= _report_reading(read.reports)
    if isinstance(card.layout, ImageFolder):
        told |= _tell_lacking("classes_without_images", _empty_classes(card, seen), what)
    rejections = (*read.rejections, *strays)
    return Source(name, about(card) | told, rejections, card.reading, read.items, published=True, duplicates=card.duplicates)


def _watched(rows: Iterator[Row], seen: dict[str, set[str]]) -> Iterator[Row]:
    """Passes rows on and adds to ``seen`` the values of each label."""
    for row in rows:
        for name, value in row.items():
            if name.startswith("label:"):
                seen.setdefault(name[6:], set()).add(value)
        yield row


def _empty_classes(card: DatasetCard, seen: Mapping[str, set[str]]) -> list[str]:
    """Returns the classes that a card names and no folder has images of, of labels that some folder has."""
    return [name for label, values in card.classes.items() if label in seen for name in values if name not in seen[label]]


def _tell_lacking(kind: str, lacking: list[str], what: str) -> dict[str, Any]:
    """Warns of a part of a published set that is not there, as in a folder unpacked by half; returns it for the set's card."""
    if not lacking:
        return {}
    listed = ", ".join(lacking[:_LISTED]) + (", ..." if len(lacking) > _LISTED else "")
    found = (
        f"{len(lacking)} of its classes have no image"
        if kind == "classes_without_images"
        else f"{len(lacking)} of its files are absent"
    )
    remedy = "Unpack or fetch the rest, or go on with what there is."
    warnings.warn(f"{what} is not whole: {found}: {listed}. {remedy}", stacklevel=2)
    return {kind: lacking}


def _tell_absent(read: Read, name: str, root: str) -> None:
    """Warns of rows whose files are not there; raises where none of them is. File names of published sets identify nobody."""
    absent = [path for path, reason in read.rejections if reason == ABSENT]
    if not absent and len(read.items):
        return
    listed = ", ".join(absent[:_LISTED]) + (", ..." if len(absent) > _LISTED else "")
    if not len(read.items):
        found = f"None of the {len(read.named)} files that it lists is there or can be used: {listed}."
        raise UsageError(
            f"The data set {name} was to be read from {root}.", found, "Check that --root is the folder the card describes."
        )
    warnings.warn(
        f"{len(absent)} of the {len(read.named)} files that the data set {name} lists are not there and are left out and counted: "
        f"{listed}. Unpack or fetch the rest, or go on with what there is.",
        stacklevel=2,
    )


def _from_manifest(path: Path, domain: Domain, label: str, reports: ReportOptions, reading: BaseModel) -> Source:
    rows = read_manifest(path, label)
    read = items_from_rows(rows, path.parent, f"The manifest {path}", domain, label, reports, reading)
    if not len(read.items):
        raise _nothing_left(path, rows, read.rejections)
    beside = path.parent / "dataset.yaml"
    card = _plain_card(domain)
    if _is_starter_set(path.parent):
        card |= {"name": f"starter-{domain.name}", "synthetic": True, "licence": "Apache-2.0, as domainclip, which generated it"}
    if beside.is_file():
        card |= about(load_card(beside))
    return Source(path.name, card | _report_reading(read.reports), tuple(read.rejections), {}, read.items)


def _nothing_left(path: Path, rows: list[dict[str, str]], rejections: list[tuple[str, str]]) -> UsageError:
    """Builds the error of a manifest of which no file can be used: whose fault it is, that of images or of what goes with them."""
    asked, reasons = f"The manifest {path} was to be read.", Counter(reason for _, reason in rejections)
    if set(reasons) == {ABSENT}:
        reports = {row["report"] for row in rows if "report" in row}
        there = sum((path.parent / name).is_file() for name in reports)
        beside = f" Of the {len(reports)} reports that they name {there} are: the images are missing." if there else ""
        found = f"None of the files in its {len(rows)} rows is there.{beside}"
        return UsageError(asked, found, f"Paths are relative to {path.parent}; correct the column path.")
    told = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
    found = f"None of its {reasons.total()} files can be used: {told}."
    if all(reason.startswith(REPORT_NOT_OPENED) for reason in reasons):
        found += " The images are there: the reports are missing."
    remedy = f"Mend these, or leave the columns report and regions out; their paths are relative to {path.parent}."
    return UsageError(asked, found, remedy)


def _from_folder(folder: Path, domain: Domain, reading: BaseModel) -> Source:
    listing = list_folder(folder, domain, reading)
    if not listing.files:
        count = len(listing.rejected) + listing.companions
        found = f"It holds {count} files, none of which the domain {domain.name} reads."
        remedy = "Check the path and --domain; domainclip inspect FILE tells more."
        if listing.links:
            found = (
                f"It holds {listing.links} symbolic links or folders that are not followed, and no file that {domain.name} reads."
            )
            remedy = "Name the files that they lead to in a manifest (a CSV with the column path), or copy them here."
        elif told := of_what(listing.misfits):
            found, remedy = f"{found} {told[0]}", told[1]
        elif reports := len(reports_among(listing.beside)):
            found += f" {reports} are text or XML, which may be reports."
            remedy = (
                "Reports go with images: name both in a manifest (a CSV with the columns path and report). "
                f"What the reports hold: domainclip inspect FOLDER --domain {domain.name}."
            )
        elif not count:
            found = "It is empty." if not listing.noise else f"It holds {listing.noise} hidden files or files of the system alone."
        raise UsageError(f"The folder {folder} was to be read.", found, remedy)

    def name(path: Path) -> str:
        return path.relative_to(folder).as_posix()

    reports = len(reports_among(listing.beside))
    if reports > 1 and 4 * reports >= len(listing.files):
        warnings.warn(
            f"{reports} text or XML files beside {len(listing.files)} images may be reports, and none is read: a folder does not "
            "say which belongs to which image. Name both in a manifest (a CSV with the columns path and report).",
            stacklevel=2,
        )
    rejections = tuple((name(path), reason) for path, reason in listing.rejected)
    items = tuple(SourceItem(path, name(path), members=tuple(listing.members.get(path, ()))) for path in listing.files)
    return Source(folder.name, {**_plain_card(domain), "companions": listing.companions}, rejections, {}, items)


def report_options(config: DataConfig) -> ReportOptions:
    """Returns what the ``data:`` section says of reports."""
    return ReportOptions(config.report_language, config.report_encoding, config.report_sections)


def _report_reading(counts: Counter[str]) -> dict[str, Any]:
    """What a card tells of its reports: which sections became captions, how often, and what was dropped."""
    found = {name: count for name, count in sorted(counts.items()) if count}
    return {"report_reading": found} if found else {}


def _is_starter_set(folder: Path) -> bool:
    """Says whether the folder is a starter set, by the mark that its maker leaves."""
    try:
        return json.loads((folder / "starter.json").read_text(encoding="utf-8")).get("synthetic") is True
    except (OSError, ValueError, AttributeError):
        return False


def _plain_card(domain: Domain) -> dict[str, Any]:
    """What is known of files without a card; a set keeps it, so the names of their folders, which may name people, stay out."""
    return {"name": "unnamed", "domain": domain.name, "synthetic": False}
