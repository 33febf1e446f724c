"""Errors written for the person who meets them: what was asked, what was found, what to do."""

from __future__ import annotations

import difflib
import struct
from collections.abc import Iterable

FOREIGN_ERRORS = (OSError, ValueError, RuntimeError, LookupError, TypeError, ArithmeticError, SyntaxError, EOFError, struct.error)
"""What decoders of foreign files raise at broken input; Pillow's and imagecodecs' own errors derive from these."""


class DomainClipError(Exception):
    """Base of every error that a user can meet; the command line turns it into exit code 2.

    Args:
        asked: What the user asked for, one sentence.
        found: What was found instead; never holds patient data.
        remedy: What to do about it.
    """

    def __init__(self, asked: str, found: str, remedy: str) -> None:
        self.asked, self.found, self.remedy = asked, found, remedy
        super().__init__(f"{asked}\n  Found: {found}\n  To do: {remedy}")

    @property
    def reason(self) -> str:
        """What was found and what to do, as one line: what ``rejected.jsonl`` keeps of a file."""
        return f"{self.found.rstrip('.')}. {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call the class with one argument, and worker processes hand errors over by copying.
        return (type(self), (self.asked, self.found, self.remedy))


class UsageError(DomainClipError):
    """Wrong use: an unknown name, a missing path, options that do not fit together."""


class DiskFullError(UsageError):
    """The disk is full; what is finished stays, and the same command goes on with it."""


class UnreadableFileError(DomainClipError):
    """One foreign file cannot be used. In bulk work it lands in ``rejected.jsonl`` and the job goes on.

    ``reason`` is written there, so neither ``found`` nor ``remedy`` names a path or an identifier.
    """


class MissingDependencyError(DomainClipError):
    """An optional library is needed and absent; ``remedy`` is its install line."""


class RunInterruptedError(DomainClipError):
    """Ctrl-C or SIGTERM: work stopped cleanly and can be resumed."""


def missing_dependency(library: str, needed_for: str, install: str) -> MissingDependencyError:
    """Builds the error for an absent optional library, e.g. ``missing_dependency("openslide", "reading slides", ...)``."""
    return MissingDependencyError(
        f"{needed_for} needs the library {library}.", f"{library} is not installed.", f"Install it: pip install {install}"
    )


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Builds the error for a name that is not in a closed list, with the nearest one.

    Args:
        kind: What the name stands for, e.g. ``"domain"``.
        name: The name that was given.
        known: All names that exist.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    remedy = f"Did you mean {close[0]!r}? " if close else ""
    listed = ", ".join(names) if names else "none"
    return UsageError(f"The {kind} {name!r} was asked for.", f"No {kind} is called {name!r}.", f"{remedy}Known: {listed}.")
