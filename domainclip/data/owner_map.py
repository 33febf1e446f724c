"""The owner's map from keys back to paths: outside of every set, readable by the owner alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
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
    path = owner_map_path(set_id)
    if not _SET_ID.fullmatch(set_id) or not path.is_file():
        return {}
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {line["key"]: line["path"] for line in lines}


def write_owner_map(set_id: str, lines: Iterable[dict[str, Any]]) -> None:
    """Writes ``owner_folder()/sources/<set_id>.jsonl``, mode 0600: key, path and window of every image and rejected file."""
    path = owner_map_path(set_id)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_lines(path, lines)
    if os.name == "posix":
        path.chmod(0o600)
