"""One table from names to objects, loaded when asked for, so that a name costs no import."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from domainclip.errors import unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to objects of one kind.

    Entries are objects or ``"module:attribute"`` strings; a string is imported at the first ``get``.

    Args:
        kind: The word for an entry in messages, e.g. ``"loss"``.
        entries: Names to objects or import strings.
    """

    def __init__(self, kind: str, entries: dict[str, T | str] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, T | str] = dict(entries or {})

    def register(self, name: str, entry: T | str) -> None:
        """Adds an entry; a name that is taken raises ``ValueError``."""
        if name in self._entries:
            raise ValueError(f"The {self.kind} {name!r} is registered already.")
        self._entries[name] = entry

    def get(self, name: str) -> T:
        """Returns the entry.

        Raises:
            UsageError: No entry has this name; the message gives the nearest.
        """
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = cast(T, getattr(importlib.import_module(module), attribute))
            self._entries[name] = entry
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
