"""Text to sentences."""

from __future__ import annotations

import re

_ABBREVIATION = re.compile(
    r"(?:\b(?:Drs?|Prof|Mrs?|Ms|Jr|Sr|St|vs|approx|ca|cf|e\.g|i\.e|etc|no|nos|fig|resp|lat|ant|post|min|max|incl|a\.m|p\.m)|\b[A-Z])\.$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?。！？]+[\"')\]]*(?=\s+|$)|(?<=[。！？])|\n\s*\n")
_LIST_NUMBER = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+")


def split_sentences(text: str) -> list[str]:
    """Splits a text into sentences.

    A full stop ends a sentence when white space follows and neither an abbreviation ("Dr.", "vs."), a single capital ("E. coli",
    "Dr. X. Smith") nor a list number stands before it; "2.5 mm" has no white space. A blank line always ends one.
    """
    sentences, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        piece = text[start : end.end()]
        if end.group().startswith(".") and end.end() < len(text) and _goes_on(piece):
            continue
        if sentence := _LIST_NUMBER.sub("", " ".join(piece.split())):
            sentences.append(sentence)
        start = end.end()
    if rest := _LIST_NUMBER.sub("", " ".join(text[start:].split())):
        sentences.append(rest)
    return sentences


def _goes_on(piece: str) -> bool:
    """Says whether a full stop at the end of a piece belongs to an abbreviation or a list number; looks at its end alone."""
    return bool(_ABBREVIATION.search(piece[-16:].rstrip("\"')]")) or re.fullmatch(r"\s*\d{1,2}\.", piece[:16]))
