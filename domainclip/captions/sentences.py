"""Text to sentences."""

from __future__ import annotations

import re

_ABBREVIATION = re.compile(
    r"(?:\b(?:Dra?s?|Prof|Mrs?|Ms|Jr|Sr|Sra|St|vs|approx|aprox|ca|cf|e\.g|i\.e|etc|no|nos|fig|resp|lat|ant|post|min|max|incl|a\.m|p\.m"
    r"|z\.\s?B|z\.\s?T|z\.\s?N|V\.\s?a|v\.\s?a|d\.\s?h|u\.\s?a|bzw|ggf|evtl|re|li|bds|Z|St|p\.\s?ej|izq|dcha|der|p\.\s?ex|esq|dir|env"
    r"|gche|dte|med|univ|habil|c\.-à-d)|\b[A-Z])\.$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?。！？]+[\"')\]]*(?=\s+|$)|(?<=[。！？])|\n\s*\n")
_LIST_NUMBER = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+")
# What is denied comes behind these words, so no paragraph or page break ends a sentence here.
_DENYING = re.compile(
    r"\b(?:no|not|without|nor|neither|never|denies|absent|negative for|free of|(?:no|without) evidence of|sin|ni|sem|nem|não|kein"
    r"|keine|keinen|keiner|ohne|nicht|weder|sans|pas|pas de|pas d['’]|ni|aucune?)[,:]?\s*$",
    re.IGNORECASE,
)
_GERMAN_ORDINAL = re.compile(r"[^\W\d_]\s+\d{1,2}\.$")


def split_sentences(text: str, language: str = "en") -> list[str]:
    """Splits a text into sentences.

    A full stop ends a sentence when white space follows and neither an abbreviation ("Dr.", "vs."), a single capital ("E. coli",
    "Dr. X. Smith") nor a list number stands before it; "2.5 mm" has no white space. A blank line ends one, unless a denying word
    ("no", "sin", "ohne") stands before it, whose object it would cut off.

    Args:
        text: The text.
        language: BCP-47 tag; in German a number with a full stop goes on ("der 5. Rippe").
    """
    sentences, start = [], 0
    german = language.split("-")[0].lower() == "de"
    for end in _SENTENCE_END.finditer(text):
        tail = text[max(start, end.end() - 32) : end.end()]  # a whole piece each time would cost the square of its length
        if end.group().startswith(".") and end.end() < len(text) and _goes_on(tail, end.end() - start, german):
            continue
        if not end.group().strip() and _DENYING.search(tail):
            continue
        if sentence := _LIST_NUMBER.sub("", " ".join(text[start : end.end()].split())):
            sentences.append(sentence)
        start = end.end()
    if rest := _LIST_NUMBER.sub("", " ".join(text[start:].split())):
        sentences.append(rest)
    return sentences


def _goes_on(tail: str, length: int, german: bool) -> bool:
    """Says whether a full stop belongs to an abbreviation or a list number, by the end of the piece that it may end."""
    end = tail[-16:].rstrip("\"')]")
    if german and _GERMAN_ORDINAL.search(end):
        return True
    return bool(_ABBREVIATION.search(end) or (length == len(tail) and re.fullmatch(r"\s*\d{1,2}\.", tail)))
