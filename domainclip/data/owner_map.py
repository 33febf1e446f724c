"""The owner's map from keys back to paths: outside of every set, readable by the owner alone."""

from __future__ import annotations

import os
from typing import Any

from domainclip.data.spool import write_lines
from domainclip.resources import owner_folder


def write_owner_map(set_id: str, lines: list[dict[str, Any]]) -> None:
    """Writes ``owner_folder()/sources/<set_id>.jsonl``, mode 0600: key, path and window of every image and rejected file."""
    folder = owner_folder() / "sources"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{set_id}.jsonl"
    write_lines(path, lines)
    if os.name == "posix":
        path.chmod(0o600)
