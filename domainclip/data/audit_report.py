"""What an audit says: what was looked for, where, what was found and what a person should look at; never a value itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from domainclip.data.needles import Needle

_MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """A value of the source that stands in the set; never the value itself.

    Attributes:
        attribute: Where it stands in the source.
        hash: The owner's keyed hash of it.
        place: Kind of place in the set.
        where: The exact place.
    """

    attribute: str
    hash: str
    place: str
    where: str


@dataclass
class AuditReport:
    """What ``audit`` returns; ``clean`` says that nothing was found, which is no proof that nothing is there.

    Attributes:
        kind: What was searched: "a prepared set", "features", "an index", "predictions".
        source: How many files were read, could not be read, and where from.
        values: Number of different values looked for, and of their spellings.
        not_searched: Reason to attribute to how many values were not looked for.
        places: Kind of place to how many texts (of files: how many bytes) were searched.
        found: The first 200 findings.
        found_counts: How often, by attribute and place.
        warnings: What a person should look at: kind to how often.
        warned: The first 200 places of warnings.
    """

    kind: str = "a prepared set"
    source: dict[str, Any] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    not_searched: dict[str, dict[str, int]] = field(default_factory=dict)
    places: Counter[str] = field(default_factory=Counter)
    found: list[Finding] = field(default_factory=list)
    found_counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    warned: list[tuple[str, str]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing of the source was found."""
        return not self.found_counts

    def add(self, needle: Needle, place: str, where: str) -> None:
        """Counts a finding and lists it while the list is short."""
        self.found_counts[needle.attribute, place] += 1
        if len(self.found) < _MOST_LISTED:
            self.found.append(Finding(needle.attribute, needle.mark, place, where))

    def warn(self, kind: str, where: str) -> None:
        """Counts a warning and lists it while the list is short."""
        self.warnings[kind] += 1
        if len(self.warned) < _MOST_LISTED:
            self.warned.append((kind, where))
