"""The source of a prepared set as an audit sees it: which files, what in them identifies, and which words identify nobody."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from domainclip.captions.names import folded
from domainclip.captions.report_account import REPORT_SOURCES
from domainclip.data.audit_report import AuditReport
from domainclip.data.audited import Audited
from domainclip.data.manifest import read_manifest
from domainclip.data.needles import Needles
from domainclip.data.owner_map import owner_map_path
from domainclip.data.set_texts import leaves
from domainclip.domains.base import Domain, domains
from domainclip.domains.folder import list_folder
from domainclip.domains.identifying import identifying_values
from domainclip.domains.identifying_value import Identifying
from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError, UsageError

Progress = Callable[[int, int, str], None]
FOLDER_NAME = "a file or folder name"
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


def source_files(prepared: Audited, source: Path | str | None) -> tuple[list[Path], Path]:
    """Returns the source files and the folder below which names count."""
    asked = f"{prepared.folder} was to be audited against its source."
    if source is not None:
        home = Path(source)
        if not home.is_dir():
            raise UsageError(asked, f"{home} is no folder.", "Give the folder of the source files: --source FOLDER.")
        domain: Domain = domains.get(prepared.domain)
        listing = list_folder(home, domain)
        paths = [*listing.files, *(path for path, _ in listing.rejected if path.is_file() and not path.is_symlink())]
        beside: Iterable[Path] = listing.beside
    else:
        mapped = {Path(path) for line in prepared.mapped() for path in (line["path"], *line.get("members", ()))}
        paths = sorted(path for path in mapped if path.is_absolute())
        if not paths:
            maps = ", ".join(owner_map_path(set_id).name for set_id in prepared.set_ids) or "it names none"
            found = f"The owner's map is not on this machine ({maps} in its folder of sources)."
            raise UsageError(asked, found, "Give the folder of the source files: --source FOLDER.")
        home = Path(os.path.commonpath([path.parent for path in paths]))
        # What the source itself rejected is named from the source's own folder.
        paths += sorted(home / path for path in mapped if not path.is_absolute() and (home / path).is_file())
        beside = (one for some in _folders(paths) for one in some.iterdir())
    if not paths:
        raise UsageError(asked, f"{home} holds no file that the domain {prepared.domain} reads.", "Check the folder.")
    reports = {path for path in beside if path.suffix.lower() in REPORT_SOURCES and path.is_file() and not path.is_symlink()}
    return [*paths, *sorted(reports - set(paths))], home


def _folders(paths: list[Path]) -> set[Path]:
    return {folder for folder in {path.parent for path in paths} if folder.is_dir()}


def collect(paths: list[Path], home: Path, needles: Needles, report: AuditReport, show: Progress) -> int:
    """Adds all values of the source; returns how many files could be read."""
    seen, unreadable = set[str](), 0
    for number, path in enumerate(paths):
        show(number, len(paths), "reading the source")
        for found in names_of(path, home):
            if str(found.value) not in seen:
                seen.add(str(found.value))
                needles.add(found)
        try:
            for found in identifying_values(path):
                needles.add(found)
        except UnreadableFileError:
            unreadable += 1
    show(len(paths), len(paths), "reading the source")
    try:
        for found in _of_manifest(home / "manifest.csv"):
            needles.add(found)
    except UsageError:
        report.warn("a manifest.csv of the source that cannot be read as one; its groups and ids are not looked for", "the source")
    report.source["unreadable"] = unreadable
    report.source["reports"] = sum(path.suffix.lower() in REPORT_SOURCES for path in paths)
    return len(paths) - unreadable


def _of_manifest(path: Path) -> Iterator[Identifying]:
    """Yields the owner's groups and identifiers of a manifest in the source's folder."""
    if path.is_file():
        for row in read_manifest(path, "label"):
            for column, value in row.items():
                if value and (column == "group" or column.startswith("ids:")):
                    yield Identifying(f"manifest, column {column.partition(':')[0]}", "text", value)


def names_of(path: Path, home: Path) -> Iterator[Identifying]:
    """Yields the names of a file and of the folders above it, down from the source's own folder; numbers count as numbers."""
    parts = path.relative_to(home).parts if path.is_relative_to(home) else path.parts[-2:]
    for part in (home.name, *parts, path.stem):
        yield Identifying(FOLDER_NAME, "number" if re.fullmatch(r"[\d\W_]*", part.partition(".")[0]) else "name", part)


def collect_members(prepared: Audited, needles: Needles, report: AuditReport) -> None:
    """Adds the names of members of archives, as the owner's map tells them; values in their headers are not looked at."""
    seen, archives = set[str](), set[str]()
    for line in prepared.mapped():
        if member := line.get("member"):
            archives.add(line["path"])
            for found in names_of(Path("/", member), Path("/")):
                if str(found.value) not in seen:
                    seen.add(str(found.value))
                    needles.add(found)
    for _ in archives:
        report.warn("an archive of the source: names of its members are looked for, values in their headers are not", "the source")


def common_words(prepared: Audited) -> frozenset[str]:
    """Returns the words of classes, labels and channels of the folder and of its domain, which identify nobody."""
    from domainclip.domains.radiology.header import VOCABULARY

    facts = domains.get(prepared.domain).facts
    texts = [
        name for values in facts.labels.values() for value in values.values() for names in value.names.values() for name in names
    ]
    texts += [word for name, values in facts.labels.items() for word in (name, *values)]
    texts += [*prepared.classes, *_labels_and_channels(prepared.folder / "index.parquet")]
    return _EVERYDAY | {word for text in {*texts, *VOCABULARY} for word in re.findall(r"[^\W\d_]+", folded(text))}


def _labels_and_channels(index: Path) -> set[str]:
    """Returns the different names and values of labels, and names of channels, without loading the index; none of a damaged one."""
    import pyarrow.parquet as pq

    told: set[str] = set()
    try:
        with pq.ParquetFile(index) as file:
            for batch in file.iter_batches(columns=[name for name in ("labels", "channels") if name in file.schema_arrow.names]):
                for column in batch.columns:
                    told |= {text for text in column.unique().to_pylist() if text}
        return {leaf for text in told for _, leaf in leaves(json.loads(text))}
    except FOREIGN_ERRORS:
        return set()  # the search of this file says that it is damaged
