"""Sections of a report to captions: what describes the picture, cleaned, and each step counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from domainclip.captions.headings import headings
from domainclip.captions.masks import MARK, without_hidden_comparisons
from domainclip.captions.names import line_names, sentences_without
from domainclip.captions.scrub import scrub
from domainclip.captions.sentences import split_sentences
from domainclip.sample import Caption

SECTIONS = ("impression", "findings")
"""The sections that captions are made of, in this order, where nobody configures others."""
_FALLBACKS = ("impression", "findings", "combined", "last_paragraph")
# Titles of other languages than English, of which ``scrub`` knows.
_TITLED = re.compile(
    r"\b(?:Dra?|Profa?|Herrn?|Frau|Sra?|Mme|Mlle|Priv\.?-?Doz|Dipl)\b\.?\s+(?:(?:med|univ|habil|Dra?|Prof|rer|nat)\b\.?\s*){0,4}"
    r"[^\W\d_a-zß-ÿ][\w'’-]+"
)
_BREAKING = frozenset(("name", "phone", "email", "id", "accession", "redaction"))


def report_captions(
    sections: Mapping[str, str],
    counts: Counter[str] | None = None,
    language: str = "en",
    *,
    wanted: Sequence[str] = SECTIONS,
) -> list[Caption]:
    """Makes captions of what describes the picture: never of indication, history, comparison or administration.

    Each of the wanted sections gives one caption. Where none of them says anything, the first that does of impression, findings,
    the combined section and the last paragraph of a report without headings. Sentences with a mark of a redaction, a name or a
    number go (see ``masks`` and ``scrub``), and so does each with a word of a name that the report gives in a line of its own
    ("PATIENT NAME: ..."); dates and times are taken out of their sentence.

    Args:
        sections: From ``parse_report``, or ``parse_openi_xml(...)["sections"]``.
        counts: Gets added: ``reports``; for each exactly one of ``used_<sections>`` ("used_impression_and_findings"),
            ``fallback_<section>``, ``empty`` (nothing describes the picture) and ``emptied`` (no sentence of it could be kept);
            ``reports_without_caption`` (the last two), ``sentences_dropped`` and of these ``sentences_dropped_for_marks``,
            ``x_ray_restored``, ``comparisons_removed``, ``placeholders`` ("Not given."), and ``removed_<kind>`` of scrubbing.
        language: BCP-47 tag of the report.
        wanted: ``impression``, ``findings`` or both, in the order of the captions.

    Returns:
        Captions with ``section`` and origin "report"; an empty list when nothing is left.
    """
    counts = counts if counts is not None else Counter()
    counts["reports"] += 1
    persons = line_names(sections.get("names", "").splitlines())
    chain = [tuple(wanted), *((name,) for name in _FALLBACKS if name not in wanted)]
    for step, names in enumerate(chain):
        made = [(name, clean_section(sections.get(name, ""), counts, persons, language)) for name in names]
        captions = [Caption(text, language, "report", section=name) for name, text in made if text]
        if captions:
            used = "_and_".join(str(caption.section) for caption in captions)
            counts[f"{'fallback' if step else 'used'}_{used}"] += 1
            return captions
    counts["reports_without_caption"] += 1
    counts["emptied" if any(_says_something(sections.get(name, "")) for name in _FALLBACKS) else "empty"] += 1
    return []


def clean_section(text: str, counts: Counter[str], persons: frozenset[str] = frozenset(), language: str = "en") -> str:
    """Returns a section's sentences without identifiers, redactions and names, joined by spaces; see ``report_captions``."""
    if text and not _says_something(text):
        counts["placeholders"] += 1
        return ""
    kept = []
    text = without_hidden_comparisons(text, counts)
    for sentence in split_sentences(text, language):
        result = scrub(sentence)
        for kind, count in result.removed.items():
            counts[f"removed_{kind}"] += count
        _, named = sentences_without(sentence, persons)
        words = re.findall(r"\w+", result.text)
        marked = MARK.search(sentence) is not None
        if _TITLED.search(sentence) and "name" not in result.removed:
            named, counts["removed_name"] = 1, counts["removed_name"] + 1
        if marked or named or _BREAKING & set(result.removed) or not any(len(word) > 1 and not word.isdigit() for word in words):
            counts["sentences_dropped"] += 1
            counts["sentences_dropped_for_marks"] += marked
            continue
        kept.append(result.text[:1].upper() + result.text[1:])
    # Items of lists often end without a stop; joined bare, "Normal" and "No mass" would read as one.
    ended = [text if text[-1] in ".!?:;。！？" else f"{text}." for text in kept[:-1]]
    return " ".join([*ended, *kept[-1:]])


def _says_something(text: str) -> bool:
    """Says whether a section holds more than what tables write where there is no text."""
    return text.strip().lower() not in headings().nothing and any(map(str.isalnum, text))
