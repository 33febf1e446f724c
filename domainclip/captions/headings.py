"""The headings of reports in five languages, as data; looks one up and tells which languages write it so."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

DESCRIBING = ("impression", "findings", "combined")
"""Sections that describe the picture."""
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_BRACKET = re.compile(r"\s*\([^()]*\)\s*$|\s+\d{1,2}$")
# In a heading that is not known, these words keep it out of captions whatever stands beside them ("CARDIAC HISTORY:").
_NEVER = frozenset({"history", "indication", "reason", "comparison", "clinical", "prior", "priors", "previous", "question"})


@dataclass(frozen=True, slots=True)
class Heading:
    """What a heading means.

    Attributes:
        section: The section that it opens; ``person`` and ``patient`` are lines that hold a name.
        languages: The languages that write it so.
    """

    section: str
    languages: frozenset[str]


@dataclass(frozen=True)
class Headings:
    """The data of ``headings.yaml``, folded.

    Attributes:
        by_text: Folded heading to its section and all languages that write it so, accents aside.
        accented: Lower-case heading with accents to the languages of just this spelling.
        words: Language to words that decide between equally fitting languages.
        parts: Folded words of subheadings that belong to the section around them.
        nothing: Texts of a whole section that say nothing.
        needs_colon: Folded headings that count with a colon behind them only.
        closings: Folded beginnings of lines behind which signatures stand.
        longest: Words of the longest heading.
    """

    by_text: dict[str, Heading]
    accented: dict[str, frozenset[str]]
    words: dict[str, frozenset[str]]
    parts: frozenset[str]
    nothing: frozenset[str]
    needs_colon: frozenset[str]
    closings: tuple[str, ...]
    longest: int

    def look_up(self, text: str) -> Heading | None:
        """Returns what a heading means, or None for one that is not known; a bracket or number at its end does not count."""
        for spelling in (text, _BRACKET.sub("", text)):
            spelt = " ".join(spelling.replace("’", "'").lower().split())
            if (known := self.by_text.get(folded(spelt))) is not None:
                exact = self.accented.get(spelt) if folded(spelt) != spelt else None
                return Heading(known.section, exact) if exact else known
        return None

    def is_part(self, text: str) -> bool:
        """Says whether an unknown heading names a part of the picture ("LUNGS AND PLEURA")."""
        words = {folded(word.lower()) for word in _WORD.findall(text)}
        return bool(words & self.parts) and not words & _NEVER


@cache
def headings() -> Headings:
    """Reads ``headings.yaml``.

    Raises:
        ValueError: Two languages give one heading different sections.
    """
    data = yaml.safe_load(Path(__file__).with_name("headings.yaml").read_text(encoding="utf-8"))
    by_text: dict[str, Heading] = {}
    accented: dict[str, frozenset[str]] = {}
    for language, sections in data["languages"].items():
        for section, spellings in sections.items():
            for spelling in spellings:
                text = folded(spelling)
                before = by_text.get(text, Heading(section, frozenset()))
                if before.section != section:
                    raise ValueError(f"headings.yaml: {spelling!r} opens {section} in {language} and {before.section} elsewhere.")
                by_text[text] = Heading(section, before.languages | {language})
                if text != spelling:
                    accented[spelling] = accented.get(spelling, frozenset()) | {language}
    return Headings(
        by_text,
        accented,
        {language: frozenset(words) for language, words in data["words"].items()},
        frozenset(folded(word) for words in data["parts"].values() for word in words),
        frozenset(data["nothing"]),
        frozenset(folded(text) for text in data["needs_colon"]),
        tuple(folded(text) for text in data["closings"]),
        max(len(text.split()) for text in by_text),
    )


def languages() -> tuple[str, ...]:
    """Returns the languages whose headings are known."""
    return tuple(sorted(headings().words))


def folded(text: str) -> str:
    """Takes accents off, letter by letter, so that positions stay the same; the case stays."""
    return "".join(_bare(character) for character in text)


@cache
def _bare(character: str) -> str:
    parts = unicodedata.normalize("NFD", character)
    return parts[0] if len(parts) > 1 and all(map(unicodedata.combining, parts[1:])) else character


def language_of(found: list[Heading], text: str) -> str | None:
    """Tells a report's language by its headings; where several languages fit equally, by the small words of its text.

    Args:
        found: The headings of the report, names and numbers left aside by the caller.
        text: Its text.

    Returns:
        A language, or None where headings are absent, or neither they nor the words decide.
    """
    votes = {language: sum(language in heading.languages for heading in found) for language in languages()}
    best = max(votes.values())
    if not best:
        return None
    fitting = [language for language, count in votes.items() if count == best]
    if len(fitting) == 1:
        return fitting[0]
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", text)]
    spoken = {language: sum(word in headings().words[language] for word in words) for language in fitting}
    most = max(spoken.values())
    leading = [language for language, count in spoken.items() if count == most]
    return leading[0] if most and len(leading) == 1 else None
