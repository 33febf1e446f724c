"""The owner's map from keys back to paths: outside of every set, readable by the owner alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from domainclip.data.spool import write_lines
from domainclip.resources import owner_folder

_SET_ID = re.compile(r"[0-9a-f]{8,64}")


def owner_map_path(set_id: str) -> Path:
    """Returns where the map of a set lies, ``owner_folder()/sources/<set_id>.jsonl``, whether or not it is there."""
    return owner_folder() / "sources" / f"{set_id}.jsonl"


def owner_paths(set_id: str) -> dict[str, str]:
    """Returns key to source path from the owner's map; empty where that is not on this machine.

    Args:
        set_id: As a set or an index names it. The file may be foreign, so what is no identifier leads nowhere.
    """
    return {line["key"]: line["path"] for line in read_owner_map(set_id)}


def owner_files(set_id: str) -> dict[str, list[str]]:
    """Returns key to all files of an image, in the order by which ``slice_files`` number them; empty as ``owner_paths``."""
    return {line["key"]: [line["path"], *line.get("members", ())] for line in read_owner_map(set_id)}


def members_line(members: Iterable[Path]) -> dict[str, list[str]]:
    """Returns the part of a line that names the further files of an image; empty for images of one file."""
    paths = [str(path.absolute()) for path in members]
    return {"members": paths} if paths else {}


def read_owner_map(set_id: str) -> Iterator[dict[str, Any]]:
    """Yields the lines of the owner's map one by one; none where that is not on this machine, or ``set_id`` is no identifier."""
    path = owner_map_path(set_id)
    if _SET_ID.fullmatch(set_id) and path.is_file():
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def write_owner_map(set_id: str, lines: Iterable[dict[str, Any]]) -> None:
    """Writes ``owner_folder()/sources/<set_id>.jsonl``, mode 0600: key, path and window of every image and rejected file.

    An image of several files has the others as ``members``.
    """
    path = owner_map_path(set_id)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_lines(path, lines)
    if os.name == "posix":
        path.chmod(0o600)
