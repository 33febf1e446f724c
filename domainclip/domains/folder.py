"""What lies in a folder: one walk for all that look into one, with the domain's own word on what each file is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from domainclip.domains.base import Domain, gathered_files
from domainclip.domains.misfits import Misfit, misfit_of

COMPANIONS = frozenset({".txt", ".md", ".csv", ".json", ".jsonl", ".geojson", ".xml", ".yaml", ".yml", ".parquet", ".pdf", ".html"})
"""What lies beside images by custom; everything else that the domain does not read is reported."""
_OF_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "autorun.inf"})
"""What systems put into folders without being asked; others' names begin with a point (.DS_Store, ._IM0001)."""


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The files of a folder and its subfolders; hidden ones and those of systems are counted and not looked at.

    Attributes:
        files: Those that the domain reads, each an image of its own (of several files, the one that stands for it).
        rejected: What cannot be used, each with a reason that names neither path nor identifier.
        beside: What belongs to an image or lies beside images by custom, reports among it.
        links: How many of ``rejected`` are symbolic links, or folders that cannot be listed.
        members: Of the images of several files, the one in ``files`` to the others.
        misfits: What those of ``rejected`` are of which more is known than that the domain does not read them.
        noise: How many files are hidden, or the system's own (Thumbs.db, desktop.ini).
    """

    files: tuple[Path, ...]
    rejected: tuple[tuple[Path, str], ...]
    beside: tuple[Path, ...]
    links: int
    misfits: tuple[Misfit, ...] = ()
    noise: int = 0
    members: Mapping[Path, tuple[Path, ...]] = field(default_factory=dict)

    @property
    def companions(self) -> int:
        """How many lie beside images."""
        return len(self.beside)


def list_folder(folder: Path, domain: Domain, reading: BaseModel | None = None) -> FolderListing:
    """Lists what a domain can read in a folder.

    Args:
        folder: Searched with its subfolders.
        domain: Whose files count.
        reading: The domain's options, which may say what makes one image; None for its defaults.

    Returns:
        Files and rejections, each in the order of their paths (links and folders that cannot be listed first among the latter).
    """
    home = folder.resolve()
    paths: list[Path] = []
    rejected: list[tuple[Path, str]] = []
    shown: set[Path] = set()
    found, noise = _walked(folder, rejected)
    for path in found:
        if not path.is_symlink():
            if path.is_file():
                paths.append(path)
        elif reason := astray(path, home):
            rejected.append((path, reason))
        elif (target := path.resolve()).is_file():
            # What lies in a hidden folder (git-annex) is shown by its link alone; anything else is read where it lies.
            if target in shown or not _is_hidden(target.relative_to(home)):
                rejected.append((path, "a symbolic link to a file of the folder that is read already"))
            else:
                shown.add(target)
                paths.append(path)
    links = len(rejected)
    gathering = gathered_files(domain, paths, reading)
    absorbed = {path for some in gathering.members.values() for path in some}
    reasons = dict(gathering.rejected)
    files, beside, misfits = [], list[Path](), list[Misfit]()
    for path in paths:
        if path in reasons:
            rejected.append((path, reasons[path]))
        elif path in absorbed:
            beside.append(path)
        elif domain.recognises(path):
            files.append(path)
        elif path.suffix.lower() in COMPANIONS:
            beside.append(path)
        elif misfit := misfit_of(path, domain):
            misfits.append(misfit)
            if misfit.aside:
                beside.append(path)
            else:
                rejected.append((path, misfit.reason))
        elif not path.suffix:
            beside.append(path)
        else:
            rejected.append((path, f"no file that the domain {domain.name} reads"))
    return FolderListing(tuple(files), tuple(rejected), tuple(beside), links, tuple(misfits), noise, gathering.members)


def _walked(folder: Path, rejected: list[tuple[Path, str]]) -> tuple[list[Path], int]:
    """Returns what is worth a look, by path, and how many files are not; folders that cannot be listed are rejected."""
    unlisted: list[OSError] = []
    found: list[Path] = []
    noise = 0
    for place, folders, files in os.walk(folder, onerror=unlisted.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # os.walk counts links to folders as folders, and does not walk through them.
        links = [name for name in folders if Path(place, name).is_symlink()]
        kept = [name for name in (*files, *links) if not name.startswith(".") and name.lower() not in _OF_SYSTEMS]
        noise += len(files) + len(links) - len(kept)
        found += [Path(place, name) for name in kept]
    rejected += [(Path(str(error.filename)), "a folder that cannot be listed; check its permissions") for error in unlisted]
    return sorted(found), noise


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def astray(link: Path, home: Path) -> str | None:
    """Says why a symbolic link is not followed; None when it leads to something inside the folder.

    A folder from elsewhere may hold a link to any file of its reader; what it would bring in was never given. Links to folders are
    not walked through: what they lead to inside is found where it lies.

    Args:
        link: The symbolic link.
        home: The folder, itself resolved.
    """
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, up to Python 3.12
        return "a symbolic link that leads nowhere"
    if not target.is_relative_to(home):
        return "a symbolic link that leads out of the folder; name its target in a manifest, or copy it"
    return None
