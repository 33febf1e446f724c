"""The words in which a raster is refused."""

from __future__ import annotations

from domainclip.errors import UnreadableFileError


def unreadable(found: str, remedy: str) -> UnreadableFileError:
    """Builds the error for one file; ``found`` names no path."""
    return UnreadableFileError("A raster was to be read.", found, remedy)
