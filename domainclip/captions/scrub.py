"""Takes identifiers out of free text: names after titles and labels, dates, numbers of persons and examinations, telephones.

A net with holes, not a guarantee: a name without a title or a label passes. Nothing replaces reading a sample of the output.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?"
    r"|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_DATE = (
    r"(?:\d{1,4}[/-]\d{1,2}[/-]\d{2,4}|\d{4}-\d{1,2}-\d{1,2}|\d{1,2}\.\d{1,2}\.\d{4}"
    rf"|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? (?:of )?\d{{4}}|\d{{1,2}}(?:st|nd|rd|th)?[ -](?:of )?{_MONTH}\.?,?[ -]\d{{2,4}}"
    rf"|{_MONTH}\.?,? \d{{4}}|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?\b)"
)
_TIME = r"(?:\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]\.?m\b\.?)?|\d{1,2}\s?[ap]\.?m\b\.?)"
_NAME = r"(?:[A-Z][\w'’-]+|[A-Z]\.)"
_NAMES = rf"{_NAME}(?:,? {_NAME}){{0,3}}"
# An identifier is made of letters and digits and has at least one digit.
_ID = r"(?=[\w.\-/]*\d)[\w.\-/]*\w"

# In the order of application: a labelled value goes whole before a part of it could look like something else.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("redaction", re.compile(r"\[\*\*.*?\*\*\]|_{2,}|\bX{3,}\b", re.DOTALL)),
    ("email", re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    ("accession", re.compile(rf"(?i:\baccession)(?i: (?:number|no\.?))?\s*[:#]?\s*#?\s*{_ID}")),
    (
        "id",
        re.compile(
            r"(?i:\b(?:MRN|medical record(?: number)?|(?:patient|case|study|exam|order) (?:id|no\.?|number)"
            rf"|SSN|insurance(?: no\.?| number)?|id))\s*[:#]?\s*#?\s*{_ID}"
        ),
    ),
    (
        "date",
        re.compile(
            rf"(?:\b(?:dated|from|on|since|of|at|in|as of|DOB:?|date of birth:?|born(?: on)?)\s{{1,3}}){{0,3}}\b{_DATE}"
            rf"(?:,?\s*(?:at\s+)?{_TIME})?(?![\w/])",
            re.IGNORECASE,
        ),
    ),
    ("date", re.compile(r"\b(?:from|on|since|dated) \d{1,2}/\d{1,2}(?![\w/])", re.IGNORECASE)),
    ("time", re.compile(rf"(?:\b(?:at|on|around)\s+)?\b{_TIME}(?:\s*(?:hours|hrs|h))?(?!\w)", re.IGNORECASE)),
    ("id", re.compile(r"\b\d{3}-\d{2}-\d{4}\b|\b\d+(?:\.\d+){4,}\b")),
    (
        "phone",
        re.compile(
            r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\)[ .-]?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b|\+\d{1,3}(?:[ .-]?\d{2,4}){3,5}\b"
            r"|(?i:\b(?:pager|phone|tel\.?|telephone|ext\.?|extension|fax|beeper))\s*[:#]?\s*[+(]?\d[\d ()./-]{2,}\d"
        ),
    ),
    # Five digits in a row within one word are no measure: numbers of patients and examinations, with letters around or not.
    ("id", re.compile(r"\b\d{6,}\b|\b(?=[A-Za-z\d-]*\d{5})(?=[\d-]*[A-Za-z])[A-Za-z\d-]{6,}\b")),
    ("age", re.compile(r"\b(?:9\d|1[01]\d)(?=[ -]?(?:years?|yrs?|y/?o)\b)", re.IGNORECASE)),
    ("name", re.compile(rf"\b(?:Drs?|Prof|Mr|Mrs|Ms|Miss)\b\.?\s+(?:Dr\.?\s+)?{_NAMES}(?: and (?:Drs?\.? )?{_NAMES})?")),
    ("name", re.compile(rf"\b{_NAMES},? (?:M\.?D\b\.?|D\.O\.|Ph\.?D\b\.?|RN\b|NP\b|PA-C\b)")),
    (
        "name",
        re.compile(
            r"(?i:\b(?:patient(?: name)?|name|(?:(?:referring|ordering|attending|requesting) )?(?:physician|doctor|provider)"
            r"|radiologist|resident|(?:(?:electronically )?signed|dictated|read|transcribed|interpreted|reviewed) by))"
            rf"\s*:\s*{_NAMES}"
        ),
    ),
    (
        "name",
        re.compile(
            r"(?i:\b(?:(?:signed|dictated|transcribed) by|discussed with|communicated to|reported to|paged|notified|informed))"
            rf" {_NAMES}"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class ScrubResult:
    """What ``scrub`` returns.

    Attributes:
        text: Without the identifiers that were found.
        removed: Kind ("name", "date", "time", "id", "accession", "phone", "email", "age", "redaction") to how many were taken out.
    """

    text: str
    removed: Mapping[str, int]


def scrub(text: str, mark: str = "") -> ScrubResult:
    """Takes identifiers out of a text.

    Measures ("2.5 mm"), vertebrae ("T11/12"), ages below 90 and names of bacteria stay. MIMIC's ``___``, Open-i's ``XXXX`` and
    ``[** **]`` are the marks of earlier redactions and go, too. A date goes together with the preposition before it.

    Args:
        text: Free text in English.
        mark: Put in the place of each identifier; with the default, spaces and commas left behind are closed up.
    """
    removed: Counter[str] = Counter()
    for kind, pattern in _PATTERNS:
        text, count = pattern.subn(mark.replace("\\", "\\\\"), text)
        removed[kind] += count
    if removed.total() and not mark:
        text = re.sub(r"\(\s*[,;:]?\s*\)|\[\s*\]", "", text)
        text = re.sub(r"[ \t]+([,.;:)])", r"\1", text)
        text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
        text = re.sub(r"[,;:]+(?=\.)", "", text)
        text = re.sub(r"[ \t]{2,}", " ", text).strip()
    return ScrubResult(text, {kind: count for kind, count in removed.items() if count})
