"""Searches a prepared set for what identifies people in its source: headers, names of files and folders, heads of reports."""

from __future__ import annotations

import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from domainclip.captions.names import folded
from domainclip.captions.scrub import scrub
from domainclip.data.needles import LONGEST, Needle, Needles
from domainclip.data.owner_map import owner_map_path, read_owner_map
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.set_texts import SetText, pieces_of, texts_of
from domainclip.domains.base import Domain, domains
from domainclip.domains.folder import list_folder
from domainclip.domains.identifying import Identifying, identifying_values
from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError, UsageError
from domainclip.identifiers import keyed_hash, owner_key

Progress = Callable[[int, int, str], None]
_MOST_LISTED = 200
_BATCH = 2**20
_REPORTS = ".txt"
FOLDER_NAME = "a file or folder name"
_PATTERNS = ("date", "id", "accession", "phone", "email", "name")
# Words of everyday file names, and those that empty fields hold.
_EVERYDAY = frozenset((
    "image", "images", "data", "dataset", "datasets", "folder", "files", "source", "sources", "raw", "train", "training",
    "test", "val", "valid", "validation", "dicom", "study", "studies", "series", "patient", "patients", "report", "reports",
    "scan", "scans", "slide", "slides", "tile", "tiles", "scene", "scenes", "picture", "pictures", "export", "default",
    "other", "others", "original", "primary", "derived", "secondary", "axial", "sagittal", "coronal", "localizer", "none",
    "unknown", "anonymous", "anonymized", "anonymised", "removed", "deidentified", "not", "available", "null", "empty", "yes",
    "no", "true", "false", "left", "right", "both", "frontal", "lateral", "view", "views", "man", "woman", "male", "female",
    "adult", "routine", "normal", "standard", "protocol",
))  # fmt: skip
_MOST_WORDS = 100_000


@dataclass(frozen=True, slots=True)
class Finding:
    """A value of the source that stands in the set; never the value itself.

    Attributes:
        attribute: Where it stands in the source.
        hash: The owner's keyed hash of it.
        place: Kind of place in the set.
        where: The exact place.
    """

    attribute: str
    hash: str
    place: str
    where: str


@dataclass
class AuditReport:
    """What ``audit`` returns; ``clean`` says that nothing was found, which is no proof that nothing is there.

    Attributes:
        source: How many files were read, could not be read, and where from.
        values: Number of different values looked for, and of their spellings.
        not_searched: Reason to attribute to how many values were not looked for.
        places: Kind of place to how many texts (of files: how many bytes) were searched.
        found: The first 200 findings.
        found_counts: How often, by attribute and place.
        warnings: What a person should look at: kind to how often.
        warned: The first 200 places of warnings.
    """

    source: dict[str, Any] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    not_searched: dict[str, dict[str, int]] = field(default_factory=dict)
    places: Counter[str] = field(default_factory=Counter)
    found: list[Finding] = field(default_factory=list)
    found_counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    warned: list[tuple[str, str]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing of the source was found."""
        return not self.found_counts

    def add(self, needle: Needle, place: str, where: str) -> None:
        """Counts a finding and lists it while the list is short."""
        self.found_counts[needle.attribute, place] += 1
        if len(self.found) < _MOST_LISTED:
            self.found.append(Finding(needle.attribute, needle.mark, place, where))

    def warn(self, kind: str, where: str) -> None:
        """Counts a warning and lists it while the list is short."""
        self.warnings[kind] += 1
        if len(self.warned) < _MOST_LISTED:
            self.warned.append((kind, where))


def audit(prepared: PreparedSet | Path | str, source: Path | str | None = None, *, progress: Progress | None = None) -> AuditReport:
    """Searches a prepared set for identifiers of its source.

    Looked for are the values of all attributes of PS3.15 Table E.1-1, of private attributes and of whatever stands in listed
    sequences, persons' names, texts in pictures' metadata, names of files and folders below the source's common folder, and names
    and numbers in the heads of reports beside the images. Memory grows with the number of different values, not with the set.

    Args:
        prepared: The set, or its folder.
        source: Folder of the source files; None takes the paths from the owner's map.
        progress: Called with (done, total, text).

    Returns:
        What was looked for, where, and what was found. A search with holes: nothing found is no guarantee.

    Raises:
        UsageError: It is no prepared set; there is no source, or none of its files can be read.
    """
    prepared = prepared if isinstance(prepared, PreparedSet) else PreparedSet(prepared)
    report, show = AuditReport(), progress or (lambda done, total, text: None)
    needles = Needles(_common_words(prepared), owner_key())
    paths, home = _source_files(prepared, source)
    read = _collect(paths, home, needles, report, show)
    if not read:
        found = f"None of its {len(paths)} source files can be read."
        raise UsageError(f"{prepared.folder} was to be audited.", found, "Give the folder where they are now: --source FOLDER.")
    report.source |= {"from": "owner's map" if source is None else "folder", "files": len(paths), "read": read}
    report.values = {"different": len(needles), "spellings": needles.spellings}
    for (reason, attribute), count in sorted(needles.skipped.items()):
        report.not_searched.setdefault(reason, {})[attribute] = count
    files = sorted(path for path in prepared.folder.rglob("*") if path.is_symlink() or not path.is_dir())
    words: list[tuple[SetText, Needle]] = []
    names = (SetText("names of files", f"file {n}", str(p.relative_to(prepared.folder))) for n, p in enumerate(files, start=1))
    _search(names, needles, report, words)
    for number, path in enumerate(files):
        show(number, len(files), "searching")
        _search_file(path, path.relative_to(prepared.folder).as_posix(), needles, report, words)
    show(len(files), len(files), "searching")
    _judge(words, prepared, paths if source is not None else None, home, report)
    return report


def _source_files(prepared: PreparedSet, source: Path | str | None) -> tuple[list[Path], Path]:
    """Returns the source files and the folder below which names count."""
    asked = f"{prepared.folder} was to be audited against its source."
    if source is not None:
        home = Path(source)
        if not home.is_dir():
            raise UsageError(asked, f"{home} is no folder.", "Give the folder of the source files: --source FOLDER.")
        domain: Domain = domains.get(prepared.domain)
        listing = list_folder(home, domain)
        paths = [*listing.files, *(path for path, _ in listing.rejected if path.is_file() and not path.is_symlink())]
    else:
        set_id = str(prepared.card.get("set_id", ""))
        paths = sorted({Path(line["path"]) for line in read_owner_map(set_id)})
        if not paths:
            found = f"The owner's map is not on this machine ({owner_map_path(set_id).name} in its folder of sources)."
            raise UsageError(asked, found, "Give the folder of the source files: --source FOLDER.")
        home = Path(os.path.commonpath([path.parent for path in paths]))
    if not paths:
        raise UsageError(asked, f"{home} holds no file that the domain {prepared.domain} reads.", "Check the folder.")
    beside = home.rglob("*") if source is not None else (one for some in _folders(paths) for one in some.iterdir())
    reports = {path for path in beside if path.suffix.lower() == _REPORTS and path.is_file() and not path.is_symlink()}
    return [*paths, *sorted(reports - set(paths))], home


def _folders(paths: list[Path]) -> set[Path]:
    return {folder for folder in {path.parent for path in paths} if folder.is_dir()}


def _collect(paths: list[Path], home: Path, needles: Needles, report: AuditReport, show: Progress) -> int:
    """Adds all values of the source; returns how many files could be read."""
    seen, unreadable = set[str](), 0
    for number, path in enumerate(paths):
        show(number, len(paths), "reading the source")
        for found in _names_of(path, home):
            if str(found.value) not in seen:
                seen.add(str(found.value))
                needles.add(found)
        try:
            for found in identifying_values(path):
                needles.add(found)
        except UnreadableFileError:
            unreadable += 1
    show(len(paths), len(paths), "reading the source")
    report.source["unreadable"] = unreadable
    report.source["reports"] = sum(path.suffix.lower() == _REPORTS for path in paths)
    return len(paths) - unreadable


def _names_of(path: Path, home: Path) -> Iterator[Identifying]:
    """Yields the names of a file and of the folders above it, down from the source's own folder; numbers count as numbers."""
    parts = path.relative_to(home).parts if path.is_relative_to(home) else path.parts[-2:]
    for part in (home.name, *parts, path.stem):
        yield Identifying(FOLDER_NAME, "number" if re.fullmatch(r"[\d.\W_]*", part) else "name", part)


def _common_words(prepared: PreparedSet) -> frozenset[str]:
    """Returns the words of classes, labels and channels of the set and of its domain, which identify nobody."""
    from domainclip.domains.radiology.header import VOCABULARY

    facts = domains.get(prepared.domain).facts
    texts = [
        name for values in facts.labels.values() for value in values.values() for names in value.names.values() for name in names
    ]
    texts += [word for name, values in facts.labels.items() for word in (name, *values)]
    texts += [str(text) for channels in prepared.index["channels"] if channels for text in channels]
    texts += [str(text) for labels in prepared.index["labels"] if labels for pair in labels.items() for text in pair]
    return _EVERYDAY | {word for text in {*texts, *VOCABULARY} for word in re.findall(r"[^\W\d_]+", folded(text))}


def _search_file(path: Path, name: str, needles: Needles, report: AuditReport, words: list[tuple[SetText, Needle]]) -> None:
    if path.is_symlink() or not path.is_file():
        report.warn("links and special files, which are not followed", name)
        return
    seen: set[tuple[int, str]] = set()
    for at, piece in pieces_of(path, 2 * LONGEST):
        for offset, needle, number in needles.in_bytes(piece):
            if number and path.suffix == ".parquet":
                continue  # statistics hold sizes and positions as text; the cells are searched one by one
            if (place := (at + offset, needle.mark)) not in seen:
                seen.add(place)
                report.add(needle, "bytes of files", f"{name}, byte {at + offset}")
    report.places["bytes of files"] += path.stat().st_size
    try:
        _search(texts_of(path, name), needles, report, words)
    except (*FOREIGN_ERRORS, tarfile.TarError) as error:
        report.warn("files that are damaged, of which only the bytes were searched", f"{name} ({type(error).__name__})")


def _search(texts: Iterable[SetText], needles: Needles, report: AuditReport, words: list[tuple[SetText, Needle]]) -> None:
    """Searches texts in batches of about 1 MiB; words of names are kept for ``_judge``."""
    batch: list[SetText] = []
    size = 0

    def flush() -> None:
        for position, needle, number in needles.in_texts([text.text for text in batch]):
            text = batch[position]
            if (text.counts and number) or (text.echo and needle.word):
                continue
            if needle.word and len(words) < _MOST_WORDS:
                words.append((text, needle))
            elif needle.word:
                report.warn(f"single words of names after the first {_MOST_WORDS}: looked at by nobody", text.where)
            else:
                report.add(needle, text.place, text.where)
        batch.clear()

    for text in texts:
        report.places[text.place] += 1
        if text.prose:
            for kind in _strange(text.text):
                report.warn(f"looks like: {kind}", text.where)
        batch.append(text)
        size += len(text.text)
        if size > _BATCH:
            flush()
            size = 0
    flush()


@lru_cache(maxsize=4096)
def _strange(text: str) -> tuple[str, ...]:
    """Returns the kinds of identifiers that a text seems to hold, by the patterns of ``scrub``."""
    return tuple(kind for kind in _PATTERNS if kind in scrub(text).removed)


def _judge(
    words: list[tuple[SetText, Needle]], prepared: PreparedSet, paths: list[Path] | None, home: Path, report: AuditReport
) -> None:
    """Decides on single words of names: found, if the image's own file has the name; else perhaps an ordinary word, a warning."""
    wanted = {text.key for text, _ in words if text.key}
    key, of_key = owner_key(), dict[str, Path]()
    if paths is None:
        lines: Iterable[tuple[str, str]] = (
            (line["key"], line["path"]) for line in read_owner_map(str(prepared.card["set_id"])) if "key" in line
        )
        of_key = {name: Path(path) for name, path in lines if name in wanted}
    else:
        named = ((keyed_hash(path.relative_to(home).as_posix(), key), path) for path in paths)
        of_key = {name: path for name, path in named if name in wanted}
    marks: dict[Path, frozenset[str]] = {}
    for text, needle in words:
        path = of_key.get(text.key or "")
        if path is None and needle.attribute.startswith(FOLDER_NAME):
            report.warn("a word of a file or folder name, perhaps an ordinary word", text.where)
        elif path is None or needle.mark in _own_marks(path, home, key, marks):
            report.add(needle, text.place, text.where)
        else:
            report.warn("a word of a name, in an image of somebody else: perhaps an ordinary word", text.where)


def _own_marks(path: Path, home: Path, key: bytes, known: dict[Path, frozenset[str]]) -> frozenset[str]:
    """Returns the marks of all words of names that one source file gives."""
    if path not in known:
        own = Needles(frozenset(), key)
        for found in _names_of(path, home):
            own.add(found)
        try:
            for found in identifying_values(path):
                own.add(found)
        except UnreadableFileError:
            pass  # counted when the source was read; its names are those of the path alone
        known[path] = own.marks_of_words()
    return known[path]
