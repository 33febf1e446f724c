"""The record of a value that identifies; what all readers of such values share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from domainclip.errors import UnreadableFileError

Kind = Literal["person", "name", "date", "number", "uid", "text", "bytes"]
_ASKED = "The identifiers of a source file were to be read."


@dataclass(frozen=True, slots=True)
class Identifying:
    """A value that may not be found outside of its source.

    Attributes:
        attribute: Where it stands, in words that identify nobody, e.g. "(0010,0020) Patient ID".
        kind: How it is written in other places, and how long it must be to be looked for; "name" is that of a file or folder.
        value: As stored.
    """

    attribute: str
    kind: Kind
    value: str | bytes


def unreadable(found: str, remedy: str) -> UnreadableFileError:
    """Builds the error for a file whose identifiers cannot be read."""
    return UnreadableFileError(_ASKED, found, remedy)
