"""A first look over a folder: what each file is, at what scale, and what it lacks, before anything is prepared."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from domainclip.domains.base import Domain, Inspection, domains, gathered_files
from domainclip.errors import UnreadableFileError, UsageError

_THREADS = 8
"""Files on a share are waited for rather than decoded."""


@dataclass(frozen=True, slots=True)
class Look:
    """One file as its reader sees it.

    Attributes:
        path: The file; of several that are one slide, the one that stands for them.
        seen: What is in it, None where it cannot be read.
        problem: Why it cannot be read, or "".
    """

    path: Path
    seen: Inspection | None
    problem: str = ""

    @property
    def scale(self) -> str:
        """The step of the chain that gave the scale, ``"unknown"``, or ``"unreadable"``."""
        if self.seen is None:
            return "unreadable"
        return str(self.seen.spacing["source"]) if self.seen.spacing else "unknown"


def survey(folder: Path, domain: str, progress: Callable[[int, int, str], None] | None = None) -> list[Look]:
    """Inspects every file of a folder that a domain reads; those that cannot be read are told, not raised.

    Args:
        folder: Searched with its subfolders; hidden files and links are passed over.
        domain: Name of the domain.
        progress: Called with (done, total, text).

    Returns:
        The unreadable first, then those of unknown scale, then the rest; each by path.

    Raises:
        UsageError: The domain is unknown, or the folder holds nothing that it reads.
    """
    reader = domains.get(domain)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    gathering = gathered_files(reader, files)
    absorbed = {path for some in gathering.members.values() for path in some} | {path for path, _ in gathering.rejected}
    own = [path for path in files if path not in absorbed and reader.recognises(path)]
    if not own and not gathering.rejected:
        found = f"It holds {len(files)} files, none of which the domain {domain} reads."
        raise UsageError(f"The folder {folder} was to be inspected.", found, "Check the path and --domain.")
    looks = [Look(path, None, reason) for path, reason in gathering.rejected]
    with ThreadPoolExecutor(min(_THREADS, 4 * (os.cpu_count() or 1))) as pool:
        for done, look in enumerate(pool.map(lambda path: _look(path, reader), own), start=1):
            looks.append(look)
            if progress is not None:
                progress(done, len(own), "inspecting")
    rank = {"unreadable": 0, "unknown": 1}
    return sorted(looks, key=lambda look: (rank.get(look.scale, 2), str(look.path)))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _look(path: Path, domain: Domain) -> Look:
    try:
        return Look(path, domain.inspect(path))
    except UnreadableFileError as error:
        return Look(path, None, f"{error.found.rstrip('.')}. {error.remedy}")


def scale_counts(looks: Sequence[Look]) -> dict[str, int]:
    """Returns how many files have their scale from which step."""
    return dict(sorted(Counter(look.scale for look in looks).items()))


def write_manifest(looks: Sequence[Look], path: Path) -> int:
    """Writes a manifest of the readable files, those of unknown scale first, with an empty column ``spacing`` to be filled in.

    Args:
        looks: From ``survey``.
        path: A CSV file; it must not exist.

    Returns:
        Its number of rows.

    Raises:
        UsageError: The file exists.
    """
    if path.exists():
        raise UsageError(f"A manifest was to be written to {path}.", "There is a file of that name.", "Choose another name.")
    readable = [look for look in looks if look.seen is not None]
    home = path.resolve().parent
    unnamed = sum(not _is_text(str(look.path)) for look in readable)
    if unnamed:
        found = f"{unnamed} file names are no UTF-8, which a table cannot hold."
        raise UsageError(f"A manifest was to be written to {path}.", found, "Rename these files.")
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "spacing"))
        for look in readable:
            there = look.path.resolve()
            table.writerow((there.relative_to(home).as_posix() if there.is_relative_to(home) else str(there), ""))
    return len(readable)
