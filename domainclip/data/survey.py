"""A first look over a folder: what each file is, at what scale, and what it lacks, before anything is prepared."""

from __future__ import annotations

import csv
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from domainclip.data.records import inspection_from_json, item_to_json
from domainclip.data.supervised import Limits, domain_reference
from domainclip.domains.base import Domain, Inspection, domains
from domainclip.domains.folder import FolderListing, list_folder
from domainclip.domains.misfits import of_what
from domainclip.errors import UsageError
from domainclip.piped_process import PipedProcess, started_process
from domainclip.sample import SourceItem

_PROCESSES = 8
"""At most; files on a share are waited for rather than decoded."""
_FILES_EACH = 8
"""A process takes a quarter of a second to start, a file some hundredths."""


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


def survey(
    folder: Path,
    domain: str,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    limits: Limits | None = None,
    listing: FolderListing | None = None,
    reading: BaseModel | None = None,
) -> list[Look]:
    """Inspects every file of a folder that ``prepare`` would read, in processes that may die; what cannot be read is told.

    Args:
        folder: Searched with its subfolders; hidden files are passed over.
        domain: Name of the domain.
        progress: Called with (done, total, text).
        limits: Of time and memory of one file.
        listing: Of the folder, where the caller has walked through it already (with the same ``reading``).
        reading: The domain's options, where they make images of several files (series); None looks at each file.

    Returns:
        The unreadable first (links that lead out of the folder and files of other kinds among them), then those of unknown scale,
        then the rest; each by path.

    Raises:
        UsageError: The domain is unknown, or the folder holds nothing that it reads.
    """
    reader = domains.get(domain)
    listing = listing or list_folder(folder, reader, reading)
    if not listing.files and not listing.links:
        found = f"It holds {len(listing.rejected) + listing.companions} files, none of which the domain {domain} reads."
        told = of_what(listing.misfits) or ("", "Check the path and --domain.")
        raise UsageError(f"The folder {folder} was to be inspected.", f"{found} {told[0]}".strip(), told[1])
    looks = [Look(path, None, reason) for path, reason in listing.rejected]
    items = [SourceItem(path, path.name, members=tuple(listing.members.get(path, ()))) for path in listing.files]
    for done, look in enumerate(_looked(items, reader, limits or Limits(), reading), start=1):
        looks.append(look)
        if progress is not None:
            progress(done, len(listing.files), "inspecting")
    rank = {"unreadable": 0, "unknown": 1}
    return sorted(looks, key=lambda look: (rank.get(look.scale, 2), str(look.path)))


def _looked(items: Sequence[SourceItem], domain: Domain, limits: Limits, reading: BaseModel | None) -> Iterator[Look]:
    """Inspects files in processes of their own, each of which a thread of this one serves."""
    here = threading.local()
    started: list[_Inspector] = []
    setup = {"domain": domain_reference(domain), "memory_bytes": int(limits.memory_gib * 2**30)}

    options = None if reading is None else reading.model_dump(mode="json")

    def look(item: SourceItem) -> Look:
        if not hasattr(here, "inspector"):
            here.inspector = _Inspector(setup, limits)
            started.append(here.inspector)
        inspector: _Inspector = here.inspector
        return inspector.look(item, options)

    count = min(_PROCESSES, 2 * (os.cpu_count() or 1), -(-len(items) // _FILES_EACH)) or 1
    with ThreadPoolExecutor(count) as pool:
        try:
            yield from pool.map(look, items)
        finally:
            for inspector in started:
                inspector.close()


class _Inspector:
    """A process that looks at files; it is started anew after each that it did not survive."""

    def __init__(self, setup: dict[str, Any], limits: Limits) -> None:
        self._setup, self._limits = setup, limits
        self._process: PipedProcess | None = None

    def look(self, item: SourceItem, reading: dict[str, Any] | None) -> Look:
        """Inspects one image."""
        path = item.path
        if self._process is None:
            self._process = started_process("domainclip.data.inspector", self._setup, self._limits.start_seconds)
        answer = self._process.ask({"item": item_to_json(item), "reading": reading}, self._limits.seconds)
        if "seen" in answer:
            return Look(path, inspection_from_json(answer["seen"]))
        if "stop" in answer:
            raise UsageError(*answer["stop"])
        if "lost" in answer or "spent" in answer:
            self.close()
        return Look(path, None, str(answer.get("problem") or answer["lost"]))

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.close()
            self._process = None


def scale_counts(looks: Sequence[Look]) -> dict[str, int]:
    """Returns how many files have their scale from which step."""
    return dict(sorted(Counter(look.scale for look in looks).items()))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_new(path: Path) -> None:
    """Refuses a manifest that exists: its owner may have filled it in.

    Raises:
        UsageError: It does.
    """
    if path.exists():
        raise UsageError(f"A manifest was to be written to {path}.", "There is a file of that name.", "Choose another name.")


def write_manifest(looks: Sequence[Look], path: Path) -> int:
    """Writes a manifest of the readable files, those of unknown scale first, with an empty column ``spacing`` to be filled in.

    Args:
        looks: From ``survey``.
        path: A CSV file; it must not exist.

    Returns:
        Its number of rows.

    Raises:
        UsageError: The file exists, no file can be read, or a name cannot be written.
    """
    check_new(path)
    asked = f"A manifest was to be written to {path}."
    readable = [look for look in looks if look.seen is not None]
    home = path.resolve().parent
    if not readable:
        raise UsageError(asked, "No file of the folder can be read.", "See the reasons: the same command without --table.")
    unnamed = [ascii(look.path.name) for look in readable if not _is_text(str(look.path))]
    if unnamed:
        found = f"{len(unnamed)} file names are no UTF-8, which a table cannot hold, such as {', '.join(unnamed[:3])}."
        raise UsageError(asked, found, "Rename these files.")
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "spacing"))
        for look in readable:
            there = look.path.resolve()
            table.writerow((there.relative_to(home).as_posix() if there.is_relative_to(home) else str(there), ""))
    return len(readable)
