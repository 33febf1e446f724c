"""Radiology reports to sections to captions: plain text in the ways of MIMIC-CXR and Indiana University, and Open-i's XML."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

from domainclip.captions.names import line_names, name_in_line, sentences_without
from domainclip.captions.scrub import scrub
from domainclip.captions.sentences import split_sentences
from domainclip.errors import UnreadableFileError, missing_dependency
from domainclip.sample import Caption

# Section to the headings that open it, longest first within the expression made of them.
_HEADINGS: dict[str, tuple[str, ...]] = {
    "combined": (
        "FINDINGS AND IMPRESSION", "FINDINGS/IMPRESSION", "FINDINGS / IMPRESSION", "FINDINGS & IMPRESSION",
        "IMPRESSION AND FINDINGS", "IMPRESSION/FINDINGS", "FINDINGS AND IMPRESSIONS",
    ),
    "findings": ("FINDINGS", "FINDING", "FINDINGS AND TECHNIQUE", "OBSERVATIONS"),
    "impression": (
        "IMPRESSION", "IMPRESSIONS", "IMPRESSION AND RECOMMENDATION", "IMPRESSION AND RECOMMENDATIONS", "CONCLUSION",
        "CONCLUSIONS", "OPINION",
    ),
    "indication": (
        "INDICATION", "INDICATIONS", "CLINICAL INDICATION", "CLINICAL INFORMATION", "INDICATION FOR STUDY", "REASON",
        "REASON FOR EXAM", "REASON FOR EXAMINATION", "REASON FOR STUDY", "REASON FOR THIS EXAMINATION",
    ),
    "history": ("HISTORY", "CLINICAL HISTORY", "PATIENT HISTORY", "MEDICAL HISTORY"),
    "comparison": ("COMPARISON", "COMPARISONS", "COMPARISON STUDY", "COMPARISON FILMS", "COMPARED TO", "PRIORS"),
    "technique": ("TECHNIQUE", "TECHNIQUES", "PROCEDURE COMMENTS", "VIEWS"),
    "examination": ("EXAMINATION", "EXAM", "STUDY", "PROCEDURE", "TYPE OF EXAM", "TYPE OF EXAMINATION", "EXAM TYPE"),
    "recommendation": ("RECOMMENDATION", "RECOMMENDATIONS", "RECOMMENDATION(S)"),
    "notification": ("NOTIFICATION", "NOTIFICATIONS", "COMMUNICATION"),
    "addendum": ("ADDENDUM", "ADDENDA"),
    "wet_read": ("WET READ",),
    "administrative": (
        "PATIENT", "PATIENT NAME", "NAME", "PATIENT ID", "MRN", "DOB", "DATE OF BIRTH", "SEX", "ACCESSION", "ACCESSION NUMBER",
        "DATE", "EXAM DATE", "STUDY DATE", "REFERRING PHYSICIAN", "ORDERING PHYSICIAN", "ATTENDING", "ATTENDING PHYSICIAN",
        "RADIOLOGIST", "DICTATED BY", "SIGNED BY", "ELECTRONICALLY SIGNED BY", "READ BY", "TRANSCRIBED BY", "INSTITUTION",
    ),
}  # fmt: skip
# Whose value is a person's name.
_PERSONS = frozenset((
    "PATIENT", "PATIENT NAME", "NAME", "REFERRING PHYSICIAN", "ORDERING PHYSICIAN", "ATTENDING", "ATTENDING PHYSICIAN",
    "RADIOLOGIST", "DICTATED BY", "SIGNED BY", "ELECTRONICALLY SIGNED BY", "READ BY", "TRANSCRIBED BY",
))  # fmt: skip
_SECTION_OF = {heading: section for section, headings in _HEADINGS.items() for heading in headings}
_ANY = "|".join(re.escape(h).replace(r"\ ", r"[ \t]+") for h in sorted(_SECTION_OF, key=len, reverse=True))
# With a colon: in any case at the start of a line, in capitals anywhere. Without: alone on its line, in capitals or Titlecase.
_HEADING = re.compile(
    rf"^[ \t]*(?P<line>(?i:{_ANY}))[ \t]*:"
    rf"|(?<![\w/])(?P<inline>{_ANY})[ \t]*:"
    rf"|^[ \t]*(?=[A-Z])(?P<alone>(?i:{_ANY}))[ \t]*$",
    re.MULTILINE,
)
_RULE = re.compile(r"^[ \t]*[-=_*]{4,}[ \t]*$", re.MULTILINE)
_DESCRIBING = ("findings", "impression", "combined")
_MAX_XML_BYTES = 4 * 2**20

_X_RAY = re.compile(r"\b([Xx])[- ]X{3,}\b")
# "In comparison with the study of ___," says nothing about this picture and is the most frequent place of a redaction.
_MARK = r"(?:_{2,}|\bX{3,}\b)"
_COMPARISON = re.compile(
    rf"\b(?:in comparison (?:with|to)|(?:as |when )?compared (?:with|to))\b[^.,;]{{0,200}}{_MARK}[^.,;]{{0,200}}[,;]?\s*"
    r"|\b(?:since|from|dated|on|of) (?:the (?:prior|previous) (?:study|exam|examination|radiograph)s? )?"
    r"(?:(?:of|from|dated|on) )?_{2,}",
    re.IGNORECASE,
)
_BREAKING = frozenset(("name", "phone", "email", "id", "accession", "redaction"))


def parse_report(text: str) -> dict[str, str]:
    """Splits a report into its sections.

    Args:
        text: The whole report, any line ends.

    Returns:
        Section name to its text with whitespace closed up (paragraphs keep their blank line). Names: findings, impression,
        combined ("FINDINGS AND IMPRESSION"), indication, history, comparison, technique, examination, recommendation,
        notification, addendum, wet_read, administrative (names, numbers, signatures), names (the first lines behind headings
        of persons, one a line, for ``report_captions``), preamble (text before the first heading), and last_paragraph where no
        section describes the picture. A heading that comes twice joins its texts in order.
        Headings that are not known stay part of the text.
    """
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _RULE.sub("", text)
    found = list(_HEADING.finditer(text))
    parts: list[tuple[str, str]] = [("preamble", text[: found[0].start()] if found else text)]
    names: list[str] = []
    for position, match in enumerate(found):
        heading = re.sub(r"\s+", " ", next(group for group in match.groups() if group)).upper()
        end = found[position + 1].start() if position + 1 < len(found) else len(text)
        parts.append((_SECTION_OF[heading], text[match.end() : end]))
        if heading in _PERSONS and (lines := text[match.end() : end].strip().splitlines()):
            names.append(name_in_line(heading, lines[0].strip()))
    sections: dict[str, str] = {}
    for name, body in parts:
        closed = "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", body) if paragraph.strip())
        if closed:
            sections[name] = f"{sections[name]}\n\n{closed}" if name in sections else closed
    if names:
        sections["names"] = "\n".join(names)
    if not any(name in sections for name in _DESCRIBING) and (last := _last_paragraph(parts)):
        sections["last_paragraph"] = last
    return sections


def _last_paragraph(parts: list[tuple[str, str]]) -> str:
    """Finds the description in a report without a heading for it: the last paragraph, if it is not a heading's own."""
    name, body = parts[-1]
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", body) if paragraph.strip()]
    own = name != "preamble" and body.lstrip(" \t")[:1] != "\n" if len(paragraphs) == 1 else False
    return paragraphs[-1] if paragraphs and not own and name != "administrative" else ""


def parse_openi_xml(path: Path) -> dict[str, Any]:
    """Reads a report of the Indiana University collection (Open-i) with a parser that expands no entities.

    Args:
        path: An XML file of at most 4 MiB.

    Returns:
        ``id`` (uId), ``sections`` (as ``parse_report``), ``mesh`` (major terms) and ``images``: identifier to caption.

    Raises:
        UnreadableFileError: It is no such XML, is too large, or declares entities.
    """
    try:
        from defusedxml import DefusedXmlException, ElementTree
    except ImportError as error:
        raise missing_dependency("defusedxml", "Reading XML reports", "defusedxml") from error

    asked, remedy = "A report in Open-i's XML was to be read.", "Check that it is a file of ecgen-radiology, and fetch it again."
    try:
        if path.stat().st_size > _MAX_XML_BYTES:
            raise UnreadableFileError(asked, "It is larger than 4 MiB.", remedy)
        root = ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    except (DefusedXmlException, ElementTree.ParseError, ValueError, OSError) as error:
        raise UnreadableFileError(asked, f"It cannot be parsed ({type(error).__name__}).", remedy) from error
    if root.tag != "eCitation":
        raise UnreadableFileError(asked, "Its root element is not eCitation.", remedy)
    identifier = root.find("uId")
    sections: dict[str, str] = {}
    for part in root.iter("AbstractText"):
        body = " ".join("".join(part.itertext()).split())
        name = _SECTION_OF.get(str(part.get("Label") or "").upper(), str(part.get("Label") or "").lower())
        if body and name:
            sections[name] = f"{sections[name]}\n\n{body}" if name in sections else body
    return {
        "id": "" if identifier is None else str(identifier.get("id") or ""),
        "sections": sections,
        "mesh": [str(term.text).strip() for term in root.iterfind("MeSH/major") if term.text],
        "images": {str(image.get("id")): " ".join((image.findtext("caption") or "").split()) for image in root.iter("parentImage")},
    }


def report_captions(sections: dict[str, str], counts: Counter[str] | None = None, language: str = "en") -> list[Caption]:
    """Makes captions of what describes the picture: never of indication, history, comparison or administration.

    Impression and findings give one caption each; without both, the combined section; without that, the last paragraph.
    Open-i's "x-XXXX" is read as "x-ray", comparisons with a redacted study go, and so does each sentence in which a name, a number
    or the mark of a redaction was found, or a word of a name that the report gives in a line of its own ("PATIENT NAME: ...");
    dates and times are taken out of their sentence.

    Args:
        sections: From ``parse_report``, or ``parse_openi_xml(...)["sections"]``.
        counts: Gets added: ``reports``, ``reports_without_caption``, ``sentences_dropped``, and ``removed_<kind>`` of scrubbing.
        language: BCP-47 tag of the report.

    Returns:
        Captions with ``section`` and origin "report"; an empty list when nothing is left.
    """
    counts = counts if counts is not None else Counter()
    counts["reports"] += 1
    captions: list[Caption] = []
    persons = line_names(sections.get("names", "").splitlines())
    for names in (("impression", "findings"), ("combined",), ("last_paragraph",)):
        for name in names:
            if text := clean_section(sections.get(name, ""), counts, persons):
                captions.append(Caption(text, language, "report", section=name))
        if captions:
            return captions
    counts["reports_without_caption"] += 1
    return []


def clean_section(text: str, counts: Counter[str], persons: frozenset[str] = frozenset()) -> str:
    """Returns a section's sentences without identifiers, redactions and names, joined by spaces; see ``report_captions``."""
    kept = []
    text = _COMPARISON.sub("", _X_RAY.sub(lambda match: f"{match[1]}-ray", text))
    for sentence in split_sentences(text):
        result = scrub(sentence)
        for kind, count in result.removed.items():
            counts[f"removed_{kind}"] += count
        _, named = sentences_without(sentence, persons)
        words = re.findall(r"\w+", result.text)
        if named or _BREAKING & set(result.removed) or not any(len(word) > 1 and not word.isdigit() for word in words):
            counts["sentences_dropped"] += 1
            continue
        kept.append(result.text[:1].upper() + result.text[1:])
    return " ".join(kept)
