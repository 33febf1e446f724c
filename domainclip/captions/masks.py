"""Marks of earlier redactions in reports: Open-i's ``XXXX``, MIMIC's ``___``, ``[**...**]`` of older sets.

A mark hides a word, and nobody can tell which. Three rules, in this order:

1. ``x-XXXX`` is "x-ray": Open-i's de-identification masked the second half.
2. A clause that only compares with a hidden date or study ("In comparison with the study of ___,", "since ___.") goes, where a
   comma or the sentence's end closes it; the rest says what this picture shows.
3. Every other sentence with a mark goes whole. Nothing smaller is safe: from "No XXXX, effusion or mass." a word or clause taken
   out leaves "effusion or mass", the opposite of what was written.
"""

from __future__ import annotations

import re
from collections import Counter

MARK = re.compile(r"\[\*\*.*?\*\*\]|_{2,}|X{3,}", re.DOTALL)
_X_RAY = re.compile(r"\b([Xx])[- ]X{3,}\b")
_ANY = r"(?:\[\*\*[^\]]{0,80}?\*\*\]|_{2,}|\bX{3,}\b)"
# What may stand between the mark and the comma that closes the clause: parts of dates and names of examinations, never a verb.
_TAIL = (
    rf"(?:[ ]+(?:{_ANY}|at|and|from|of|the|a|same|day|date|time|earlier|am|pm|a\.m|p\.m|hours|study|studies|exam|examination|film"
    r"|films|radiograph|radiographs|x-ray|chest|CT|MR|MRI|PET|scan|image|images|outside|hospital|prior|previous|\d{1,4}(?::\d{2})?)){0,8}"
)
_STUDY = r"(?:stud(?:y|ies)|exam(?:ination)?s?|radiographs?|films?|x-rays?|scans?|images?|CTs?|MRs?|MRIs?|ones?|priors?)"
_HEAD = r"(?:in comparison (?:with|to)|comparison(?: is)? made (?:with|to)|(?:as |when )?compared (?:with|to))"
_COMPARISON = re.compile(
    # At a sentence's start a comma must close it; within one, the sentence's end.
    rf"(?:(?:^|(?<=[.!?]\s)|(?<=\n))(?:{_HEAD}|since)\b[^.,;:]{{0,120}}?{_ANY}{_TAIL},\s*)"
    rf"|(?:(?<![.!?\s,]),?[ ]+{_HEAD}\b[^.,;:]{{0,120}}?{_ANY}{_TAIL}(?=\s*(?:[.,;]|$)))"
    rf"|(?:(?<![.!?\s,]),?[ ]+(?:since|from|dated)(?: the)?(?: (?:prior|previous|earlier|last|most recent))?(?: {_STUDY})?"
    rf"(?: (?:of|from|dated|on))?[ ]+{_ANY}{_TAIL}(?=\s*(?:[.,;]|$)))",
    re.IGNORECASE | re.MULTILINE,
)


def without_hidden_comparisons(text: str, counts: Counter[str]) -> str:
    """Applies rules 1 and 2; a mark that is left is for the caller to drop with its sentence.

    Args:
        text: A section.
        counts: Gets added ``x_ray_restored`` and ``comparisons_removed``.
    """
    text, restored = _X_RAY.subn(lambda match: f"{match[1]}-ray", text)
    text, removed = _COMPARISON.subn("", text)
    counts.update({name: count for name, count in (("x_ray_restored", restored), ("comparisons_removed", removed)) if count})
    return text
