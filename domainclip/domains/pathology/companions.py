"""Slides that are several files: which file stands for the slide, and which ones belong to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from domainclip.domains.base import Gathering
from domainclip.domains.dicom_kind import is_dicom_slide
from domainclip.domains.folder import astray
from domainclip.domains.pathology.dicom_header import Instance, peek
from domainclip.domains.pathology.dicom_slide import STRAY, volumes
from domainclip.domains.pathology.slides import unreadable
from domainclip.errors import UnreadableFileError

_INDEX_BYTES = 2**20
_INDEX_MARKS = ("[virtual microscope specimen]", "[uncompressed virtual microscope specimen]")
_INDEXED = ("imagefile", "mapfile", "macroimage", "optimisationfile")
_SEVERAL = frozenset((".vms", ".vmu", ".mrxs"))
_MIRAX_FILES = ("indexfile", "file_")
NAMED_ELSEWHERE = (
    "Its index names files of it by a path, which is not followed out of the folder.",
    "Put all files of the slide into one folder, as the scanner wrote them.",
)
_NEVER_DICOM = frozenset((".png", ".jpg", ".jpeg", ".svs", ".ndpi", ".scn", ".mrxs", ".dat", ".vms", ".vmu", ".czi"))
ELSEWHERE = "It belongs to a slide (DICOM series) whose finest level lies in another folder; put all of its files in one folder"
NO_LEVEL = "It is the label, overview or thumbnail of a slide (DICOM series) of which no level is there"


def gather_slides(paths: Sequence[Path]) -> Gathering:
    """Finds the slides that consist of several files: DICOM series, Hamamatsu VMS and VMU, MIRAX.

    The file that stands for a DICOM series is the first part of its finest level. Its labels, overviews and thumbnails belong to it
    and are never slides of their own. A series lies in one folder: levels in other folders are rejected, since as slides of
    their own they would be the same tissue twice, on both sides of a split.

    Args:
        paths: All files of a folder and its subfolders.
    """
    members: dict[Path, tuple[Path, ...]] = {}
    rejected: list[tuple[Path, str]] = []
    _gather_series(paths, members, rejected)
    _gather_indexed(paths, members)
    return Gathering(members, tuple(sorted(rejected)))


def refuse_stray_companions(path: Path) -> None:
    """Refuses a Hamamatsu index or a MIRAX file that leads out of its folder, by a link or a path: OpenSlide would follow.

    Args:
        path: Any file; where it is a link that leads out itself, its owner named it so, and links beside it are as good.

    Raises:
        UnreadableFileError: There is such a link, or a name that is a path.
    """
    suffix, home = path.suffix.lower(), path.parent.resolve()
    if suffix not in _SEVERAL:
        return
    data = path.with_suffix("")
    if suffix == ".mrxs":
        names = [value for key, value in _entries(data / "Slidedat.ini") if key.startswith(_MIRAX_FILES)]
        named = [data, *(data.iterdir() if data.is_dir() else ())]
    else:
        names = [value for key, value in _entries(path) if key.startswith(_INDEXED)]
        named = list(_indexed(path))
    if any(name and not _is_bare(name) for name in names):
        raise unreadable(*NAMED_ELSEWHERE)
    linked = path.is_symlink() and astray(path, home)
    if not linked and any(one.is_symlink() and astray(one, home) for one in named):
        raise unreadable(*STRAY)


def _gather_indexed(paths: Sequence[Path], members: dict[Path, tuple[Path, ...]]) -> None:
    """Adds VMS and VMU with the files that they name, and MIRAX with the data in the folder of its name."""
    slides = sorted(path for path in paths if path.suffix.lower() in _SEVERAL)
    if not slides:
        return
    data: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        if path.suffix.lower() in {".dat", ".ini"}:
            data[path.parent].append(path)
    free = set(paths) - set(slides) - {path for some in members.values() for path in some} - set(members)
    for slide in slides:
        named = data[slide.with_suffix("")] if slide.suffix.lower() == ".mrxs" else _indexed(slide)
        members[slide] = tuple(sorted(set(named) & free))
        free -= set(members[slide])


def _gather_series(paths: Sequence[Path], members: dict[Path, tuple[Path, ...]], rejected: list[tuple[Path, str]]) -> None:
    series: dict[str, list[Instance]] = defaultdict(list)
    for path in paths:
        if path.suffix.lower() in _NEVER_DICOM or not is_dicom_slide(path):
            continue
        try:
            instance = peek(path)
        except UnreadableFileError:
            continue  # opened as a file of its own, which says what is wrong with it
        series[instance.series].append(instance)
    for instances in series.values():
        levels = [
            parts
            for folder in sorted({one.path.parent for one in instances})
            for parts in volumes([one for one in instances if one.path.parent == folder])
        ]
        if not levels:
            rejected.extend((one.path, NO_LEVEL) for one in instances)
            continue
        stands = max(levels, key=lambda parts: parts[0].size[0] * parts[0].size[1])[0].path
        apart = {one.path for one in instances if one.kind == "VOLUME" and one.path.parent != stands.parent}
        rejected.extend((path, ELSEWHERE) for path in sorted(apart))
        members[stands] = tuple(sorted({one.path for one in instances} - apart - {stands}))


def _indexed(path: Path) -> Iterator[Path]:
    """The files beside it that a Hamamatsu index names; none where it is no such index."""
    entries = list(_entries(path))
    if not any(key in _INDEX_MARKS for key, _ in entries):
        return
    for key, name in entries:
        if key.startswith(_INDEXED) and name and _is_bare(name):
            yield path.parent / name


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    """Keys, in lower case, and values of a file in the form of an INI; headings as keys without a value."""
    try:
        with path.open("rb") as file:
            lines = file.read(_INDEX_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        key, _, value = line.partition("=")
        yield key.strip().lower(), value.strip()


def _is_bare(name: str) -> bool:
    return name == Path(name).name and not {"/", "\\", "\0"} & set(name) and name not in {".", ".."}
