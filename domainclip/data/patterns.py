"""Regular expressions of cards, checked when the card is read."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from error
    return pattern


def _names(pattern: str) -> str:
    if not re.compile(pattern).groupindex:
        raise ValueError("it has no named group, (?P<name>...)")
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
NamedPattern = Annotated[str, AfterValidator(_compiles), AfterValidator(_names)]
"""One whose named groups become columns."""


def columns_of(pattern: str, text: str) -> dict[str, str] | None:
    """Returns the named groups of a pattern that the whole text fits, empty where one takes no part; None where it does not fit."""
    match = re.fullmatch(pattern, text)
    return None if match is None else {name: found or "" for name, found in match.groupdict().items()}
