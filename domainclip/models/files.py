"""Files that are there whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from domainclip.errors import UsageError

_UMASK = os.umask(0o077)
os.umask(_UMASK)
_FILE_MODE = 0o666 & ~_UMASK  # safetensors makes its files readable by the owner alone, whatever the umask says


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill ``<path>.part`` and renames it once it is on the disk.

    Raises:
        UsageError: The disk is full or the folder cannot be written; the part is removed.
    """
    from safetensors import SafetensorError

    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.chmod(_FILE_MODE)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"{path} was to be written.", f"Writing failed: {reason}.", "Free space or choose another folder with --output."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""

    def write(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    write_whole(path, write)


def sha256_of(path: Path) -> str:
    """Returns the hexadecimal SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
