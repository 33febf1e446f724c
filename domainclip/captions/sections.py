"""Reports as plain text to sections, by the headings of five languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from domainclip.captions.headings import DESCRIBING, Heading, folded, headings, language_of
from domainclip.captions.names import name_in_line

_RULE = re.compile(r"^[ \t]*[-=_*]{4,}[ \t]*$", re.MULTILINE)
_BEFORE_HEADING = re.compile(r"[\s*#>•–-]*(?:\(?\d{1,2}[.)]\s*)?\**")
_WORD_START = re.compile(r"(?<![\w/&'’-])\w")
_COLON = re.compile(r"[ \t\u00a0\u202f]*[:：](?:\*{1,2}(?=\s|$))?")
_DASH = re.compile(r"[ \t]+[-–—][ \t]+")
_LONGEST = 60
_LIST_ITEM = re.compile(r"\n[ \t]*(?:(\d{1,2})[.)]|[-*•])[ \t]+(?=\S)")
# Behind whose own paragraph a report without headings of findings may go on with them. Histories and indications may have
# several paragraphs, so nothing behind them is taken.
_MAY_GO_ON = frozenset({"preamble", "comparison", "technique", "examination"})
_AFTERWARDS = frozenset({"administrative", "notification", "recommendation", "addendum"})


@dataclass(frozen=True, slots=True)
class Report:
    """A report taken apart.

    Attributes:
        sections: As ``parse_report`` returns.
        language: The language of its headings, None where they do not tell.
        unknown: How many headings in capitals are not known; the text behind them is under ``unknown``.
    """

    sections: dict[str, str] = field(default_factory=dict)
    language: str | None = None
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    start: int
    end: int
    heading: Heading


def parse_report(text: str) -> dict[str, str]:
    """Splits a report into its sections.

    Args:
        text: The whole report, any line ends.

    Returns:
        Section name to its text with whitespace closed up (paragraphs and list items keep a blank line between). Names: findings,
        impression, combined ("FINDINGS AND IMPRESSION"), indication, history, comparison, technique, examination, recommendation,
        notification, addendum, wet_read, administrative (names, numbers, signatures), names (the first lines behind headings
        of persons, one a line, for ``report_captions``), unknown (text behind headings in capitals that are not known), preamble
        (text before the first heading), and last_paragraph where no section describes the picture. A heading that comes twice joins
        its texts in order. Capital headings of parts of the picture ("LUNGS:") and unknown ones in lower case stay in the text.
    """
    return read_report(text).sections


def read_report(text: str) -> Report:
    """Splits a report into its sections and tells its language; see ``parse_report``."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _RULE.sub("", text)
    found = list(_find(text))
    parts: list[tuple[str, str]] = [("preamble", text[: found[0].start] if found else text)]
    names: list[str] = []
    for position, match in enumerate(found):
        body = text[match.end : found[position + 1].start if position + 1 < len(found) else len(text)]
        section = match.heading.section
        if section in {"person", "patient"}:
            if lines := body.strip().splitlines():
                names.append(name_in_line(section.upper(), lines[0].strip()))
            section = "administrative"
        parts.append((section, body))
    sections: dict[str, str] = {}
    for name, body in parts:
        if closed := _closed(body):
            sections[name] = f"{sections[name]}\n\n{closed}" if name in sections else closed
    if names:
        sections["names"] = "\n".join(names)
    if not any(name in sections for name in DESCRIBING) and (last := _last_paragraph(parts)):
        sections["last_paragraph"] = last
    telling = {
        folded(text[match.start : match.end].lower()): match.heading
        for match in found
        if match.heading.section not in {"administrative", "person", "patient", "unknown"}
    }
    unknown = sum(match.heading.section == "unknown" for match in found)
    return Report(sections, language_of(list(telling.values()), text), unknown)


def _find(text: str) -> Iterator[_Found]:
    """Yields the headings of a text in order."""
    offset = 0
    for line in text.split("\n"):
        for found in _in_line(line):
            yield _Found(offset + found.start, offset + found.end, found.heading)
        offset += len(line) + 1


def _in_line(line: str) -> Iterator[_Found]:
    """Yields the headings of a line.

    With a colon: in any case at the start of the line, with a capital first letter at that of a sentence, in capitals anywhere.
    Without: alone on its line in capitals or with a
    capital first letter, or in capitals at its start with a spaced dash or text in lower case behind it.
    """
    known = headings()
    done, first = 0, True
    for colon in _COLON.finditer(line):
        found = _before_colon(line, done, colon.start())
        if found is None and first and _names_section(line, colon.start()):
            found = _Found(0, 0, Heading("unknown", frozenset()))
        if found is not None:
            yield _Found(found.start, colon.end(), found.heading)
            done = colon.end()
        first = False
    if done or not line.strip() or len(line) > 2000:
        return
    start = _BEFORE_HEADING.match(line)
    begin = start.end() if start else 0
    bare = line[begin:].strip(" \t*#_")
    if folded(bare.lower()).startswith(known.closings):
        yield _Found(0, 0, Heading("administrative", frozenset()))  # what follows is a signature
        return
    if ":" in line or not bare[:1].isupper():
        return
    if len(bare) <= _LONGEST and folded(bare.lower()) not in known.needs_colon and (heading := known.look_up(bare)):
        yield _Found(0, len(line), heading)
        return
    yield from _without_colon(line, begin)


def _before_colon(line: str, done: int, colon: int) -> _Found | None:
    """Finds the longest known heading that ends at a colon."""
    low = max(done, colon - _LONGEST)
    starts = [match.start() for match in _WORD_START.finditer(line, low, colon)][-(headings().longest + 2) :]
    for start in starts:
        text = line[start:colon].strip(" \t*_")
        at_start = start <= 80 and _BEFORE_HEADING.fullmatch(line[:start]) is not None
        if not at_start and text != text.upper() and not (text[:1].isupper() and re.search(r"[.!?]\s+$", line[:start][-8:])):
            continue
        if (heading := headings().look_up(text)) is not None:
            led = line[:start].strip(" \t*#_")  # "CHEST FINDINGS:", "CARDIAC HISTORY:": the words before belong to the heading
            whole = at_start or (done == 0 and _is_title(led) and text == text.upper())
            return _Found(0 if whole else start, colon, heading)
    return None


def _names_section(line: str, colon: int) -> bool:
    """Says whether a line starts with a heading in capitals that is not known and names no part of the picture."""
    text = line[:colon].strip(" \t*#_")
    return _is_title(text) and sum(map(str.isalpha, text)) >= 3 and not headings().is_part(text)


def _is_title(text: str) -> bool:
    """Says whether a text is a few words in capitals without punctuation or marks of redactions."""
    if not 0 < len(text) <= _LONGEST or text != text.upper() or len(text.split()) > 6:
        return False
    return not re.search("[.,;:?!]|X{3,}|_{2,}", text)


def _without_colon(line: str, begin: int) -> Iterator[_Found]:
    """Finds "FINDINGS The lungs are clear." and "IMPRESSION - Normal."."""
    words = list(re.finditer(r"\S+", line[begin : begin + _LONGEST]))
    capital = 0
    while capital < len(words) and words[capital][0] == words[capital][0].upper() and words[capital][0] not in "-–—":
        capital += 1
    for count in range(min(capital, headings().longest), 0, -1):
        end = begin + words[count - 1].end()
        text, rest = line[begin:end], line[end:]
        dash = _DASH.match(rest)
        if len(text) < 4 or not (dash or re.match(r"[ \t]+[^\W\d_][^\W\d_A-Z]*[a-z]", rest)):
            continue
        if folded(text.lower()) not in headings().needs_colon and (heading := headings().look_up(text)) is not None:
            yield _Found(0, end + (dash.end() if dash else 0), heading)
            return


def _closed(body: str) -> str:
    """Closes white space up; paragraphs and items of lists keep a blank line between."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", _items(body)) if paragraph.strip())


def _items(body: str) -> str:
    """Puts a blank line before each item of a list; a number counts as one when it is 1 or follows the one before."""
    last = 0

    def apart(match: re.Match[str]) -> str:
        nonlocal last
        if match[1] is not None:
            number = int(match[1])
            if number not in {1, last + 1}:
                return match[0]
            last = number
        return "\n" + match[0]

    started = re.match(r"\s*1[.)][ \t]", body)
    if started:
        last = 1
    return _LIST_ITEM.sub(apart, body)


def _last_paragraph(parts: list[tuple[str, str]]) -> str:
    """Finds the description in a report without a heading for it: the last paragraph, if it is not a heading's own.

    A heading's own is what stands behind it up to a blank line. What comes behind the description (signatures) is passed over.
    """
    before = [part for part in parts if part[0] not in _AFTERWARDS or part is parts[0]]
    name, body = before[-1]
    if name not in _MAY_GO_ON:
        return ""
    paragraphs = [paragraph for paragraph in re.split(r"\n\s*\n", body) if paragraph.strip()]
    if name != "preamble":
        paragraphs = paragraphs[1:]
    return _closed(paragraphs[-1]) if paragraphs else ""
