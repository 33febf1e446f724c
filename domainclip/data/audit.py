"""Searches what is to be handed on for what identifies people in its source: headers, names of files and folders, reports."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from domainclip.captions.scrub import scrub
from domainclip.data.audit_report import AuditReport
from domainclip.data.audit_source import FOLDER_NAME, Progress, collect, collect_members, common_words, names_of, source_files
from domainclip.data.audited import Audited, audited
from domainclip.data.cards import about, find_card, load_card
from domainclip.data.needles import LONGEST, Needle, Needles
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.set_texts import SetText, leaves, pieces_of, texts_of
from domainclip.domains.identifying import identifying_values
from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError, UsageError
from domainclip.identifiers import keyed_hash, owner_key

_BATCH = 2**20
CARD = "dataset.json"
_PATTERNS = ("date", "id", "accession", "phone", "email", "name")
_MOST_WORDS = 100_000


def audit(prepared: PreparedSet | Path | str, source: Path | str | None = None, *, progress: Progress | None = None) -> AuditReport:
    """Searches a prepared set, features, an index or predictions for identifiers of the source.

    Looked for are the values of all attributes of PS3.15 Table E.1-1, of private attributes and of whatever stands in listed
    sequences, persons' names, texts in pictures' metadata, names of files and folders below the source's common folder, groups and
    ids of its ``manifest.csv``, and names, numbers and dates in reports (texts, XML, tables) beside the images. Memory grows with
    the number of different values, not with the set.

    Args:
        prepared: The set, or a folder that ``prepare``, ``embed``, ``index`` or ``zero-shot`` wrote.
        source: Folder of the source files; None takes the paths from the owner's map.
        progress: Called with (done, total, text).

    Returns:
        What was looked for, where, and what was found. A search with holes: nothing found is no guarantee.

    Raises:
        UsageError: It is no such folder; there is no source, or none of its files can be read.
    """
    folder = audited(prepared)
    report, show = AuditReport(kind=folder.kind), progress or (lambda done, total, text: None)
    needles = Needles(common_words(folder), owner_key())
    paths, home = source_files(folder, source)
    read = collect(paths, home, needles, report, show)
    collect_members(folder, needles, report)
    if not read:
        found = f"None of its {len(paths)} source files can be read."
        raise UsageError(f"{folder.folder} was to be audited.", found, "Give the folder where they are now: --source FOLDER.")
    report.source |= {"from": "owner's map" if source is None else "folder", "files": len(paths), "read": read}
    report.values = {"different": len(needles), "spellings": needles.spellings}
    for (reason, attribute), count in sorted(needles.skipped.items()):
        report.not_searched.setdefault(reason, {})[attribute] = count
    files = sorted(path for path in folder.folder.rglob("*") if path.is_symlink() or not path.is_dir())
    words: list[tuple[SetText, Needle]] = []
    names = (SetText("names of files", f"file {n}", str(p.relative_to(folder.folder))) for n, p in enumerate(files, start=1))
    _search(names, needles, report, words)
    for number, path in enumerate(files):
        show(number, len(files), "searching")
        _search_file(path, path.relative_to(folder.folder).as_posix(), needles, report, words)
    show(len(files), len(files), "searching")
    _judge(words, folder, paths if source is not None else None, home, report)
    return report


def _search_file(path: Path, name: str, needles: Needles, report: AuditReport, words: list[tuple[SetText, Needle]]) -> None:
    if path.is_symlink() or not path.is_file():
        report.warn("links and special files, which are not followed", name)
        return
    seen: set[tuple[int, str]] = set()
    for at, piece in pieces_of(path, 2 * LONGEST):
        for offset, needle, number in needles.in_bytes(piece):
            if number and path.suffix == ".parquet":
                continue  # statistics hold sizes and positions as text; the cells are searched one by one
            if name == CARD and needle.attribute == FOLDER_NAME:
                continue  # a published card describes its folders; what is not its own is searched text by text
            if (place := (at + offset, needle.mark)) not in seen:
                seen.add(place)
                report.add(needle, "bytes of files", f"{name}, byte {at + offset}")
    report.places["bytes of files"] += path.stat().st_size
    try:
        texts = texts_of(path, name)
        _search(_not_published(texts, report) if name == CARD else texts, needles, report, words)
    except (*FOREIGN_ERRORS, tarfile.TarError) as error:
        report.warn("files that are damaged, of which only the bytes were searched", f"{name} ({type(error).__name__})")


def _not_published(texts: Iterable[SetText], report: AuditReport) -> Iterator[SetText]:
    """Leaves out the texts that one of our published cards holds word for word: they come from no source file."""
    held = list(texts)
    name = next((text.text for text in held if text.where == f"{CARD}, name"), "")
    card = find_card(name)
    ours = {leaf for _, leaf in leaves(about(load_card(card)))} if card is not None else set()
    for text in held:
        if text.text in ours:
            report.places[f"{CARD} (words of our published card, not compared)"] += 1
        else:
            yield text


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


def _judge(words: list[tuple[SetText, Needle]], folder: Audited, paths: list[Path] | None, home: Path, report: AuditReport) -> None:
    """Decides on single words of names: found, if the image's own file has the name; else perhaps an ordinary word, a warning.

    Words of file names are warnings always: files are named after what they show as often as after whom.
    """
    wanted = {text.key for text, _ in words if text.key}
    key, of_key = owner_key(), dict[str, Path]()
    if paths is None:
        lines: Iterable[tuple[str, str]] = ((line["key"], line["path"]) for line in folder.mapped() if "key" in line)
        of_key = {name: Path(path) for name, path in lines if name in wanted}
    else:
        named = ((keyed_hash(path.relative_to(home).as_posix(), key), path) for path in paths)
        of_key = {name: path for name, path in named if name in wanted}
    marks: dict[Path, frozenset[str]] = {}
    for text, needle in words:
        path = of_key.get(text.key or "")
        if needle.attribute.startswith(FOLDER_NAME):
            report.warn("a word of a file or folder name, perhaps an ordinary word", text.where)
        elif path is None or needle.mark in _own_marks(path, home, key, marks):
            report.add(needle, text.place, text.where)
        else:
            report.warn("a word of a name, in an image of somebody else: perhaps an ordinary word", text.where)


def _own_marks(path: Path, home: Path, key: bytes, known: dict[Path, frozenset[str]]) -> frozenset[str]:
    """Returns the marks of all words of names that one source file gives."""
    if path not in known:
        own = Needles(frozenset(), key)
        for found in names_of(path, home):
            own.add(found)
        try:
            for found in identifying_values(path):
                own.add(found)
        except UnreadableFileError:
            pass  # counted when the source was read; its names are those of the path alone
        known[path] = own.marks_of_words()
    return known[path]
