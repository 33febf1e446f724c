"""The record of one fact of a scene: words for captions, numbers for filters, and why it is missing where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domainclip.sample import Caption

GENERATOR = "domainclip.scene_facts/1"
NO_PLACE = "it has no place on the ground: no CRS, or outside of where that holds"


@dataclass(frozen=True, slots=True)
class Fact:
    """What one fact says of one sample.

    Attributes:
        words: Label name to value, what caption templates fill in.
        numbers: Small JSON values for ``Sample.meta``.
        captions: Whole captions, where templates over labels cannot say it.
        attribution: Whom the licence of the fact's source asks to name.
        absent: Why there is nothing to say, in words; None where there is.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    captions: tuple[Caption, ...] = ()
    attribution: str | None = None
    absent: str | None = None


def nothing(why: str, **numbers: Any) -> Fact:
    """Returns the fact that nothing can be said, and why."""
    return Fact(numbers=numbers, absent=why)
