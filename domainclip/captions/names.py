"""Known names of persons: sentences that hold one leave the captions.

Rules over the words alone cannot tell the surname Long from the word; a report's own name lines and the image's header can.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from domainclip.captions.sentences import split_sentences
from domainclip.sample import Caption

_WORD = re.compile(r"[^\W\d_]+")
# Where a name line of a report goes on with something else: a date, a bracket, "on", "at".
_END_OF_NAME = re.compile(r"\d|[(\[<]|\s(?:on|at)\s", re.IGNORECASE)
# Words in name fields that are no names, or so common that dropping their sentences would empty the reports.
_NO_NAMES = frozenset((
    "anonymous", "anonymized", "anonymised", "anon", "deidentified", "patient", "unknown", "none", "name", "test", "case", "study",
    "subject", "phantom", "dr", "drs", "mr", "mrs", "ms", "miss", "prof", "md", "do", "phd", "rn", "np", "jr", "sr", "ii", "iii",
    "and", "of", "the", "by", "at", "on", "in", "to", "for", "with", "is", "was", "has", "had", "not", "no", "pa", "ap", "or", "as",
    "male", "female", "year", "years", "old", "chest", "available",
    # particles
    "de", "la", "le", "el", "al", "an", "du", "da", "das", "dos", "di", "del", "della", "van", "von", "der", "den", "ter", "ten",
    "bin", "ibn", "bint", "san", "santa", "st", "zu",
))  # fmt: skip


def header_names(values: Iterable[str]) -> frozenset[str]:
    """Returns the words of names in DICOM headers (``SMITH^JOHN^^DR``, several scripts with ``=`` between), case folded.

    Words of two letters or more; in scripts without spaces, of two characters or more and the whole name in one.
    """
    return _words((part for whole in values for part in whole.split("=")), capitals=False)


def line_names(lines: Iterable[str]) -> frozenset[str]:
    """Returns the words of names that stand in lines of a report's head ("Smith, John", "Anna Ostrowski, MD on 03/02/2021").

    A line counts up to the first digit, bracket, "on" or "at"; of it, words that begin with a capital ("has cough" gives none).
    """
    return _words((_END_OF_NAME.split(line, maxsplit=1)[0] for line in lines), capitals=True)


def _words(values: Iterable[str], *, capitals: bool) -> frozenset[str]:
    words: set[str] = set()
    for value in values:
        found = _WORD.findall(unicodedata.normalize("NFC", value))
        named = [_folded(word) for word in found if not capitals or word[0].isupper() or _unspaced(word)]
        words.update(word for word in named if len(word) > 1 and word not in _NO_NAMES)
        if named and all(map(_unspaced, named)):
            words.add("".join(named))
    return frozenset(word for word in words if len(word) > 1)


def sentences_without(text: str, names: frozenset[str]) -> tuple[str, int]:
    """Leaves out the sentences in which a word of a name stands, in any case and with or without accents.

    Returns:
        The other sentences joined by spaces (the text as it was where none is left out), and how many were left out.
    """
    if not names or not _holds(text, names):
        return text, 0
    sentences = split_sentences(text)
    kept = [sentence for sentence in sentences if not _holds(sentence, names)]
    return " ".join(kept), len(sentences) - len(kept)


def captions_without(captions: Iterable[Caption], names: frozenset[str]) -> tuple[tuple[Caption, ...], int]:
    """Does so for captions; one of which nothing is left goes. Returns the captions and the number of sentences left out."""
    kept, dropped = [], 0
    for caption in captions:
        text, count = sentences_without(caption.text, names)
        dropped += count
        if text:
            kept.append(replace(caption, text=text) if count else caption)
    return tuple(kept), dropped


def _holds(text: str, names: frozenset[str]) -> bool:
    folded = _folded(text)
    return bool(names & set(_WORD.findall(folded))) or any(name in folded for name in names if _unspaced(name))


def _unspaced(word: str) -> bool:
    """Says whether a word is of a script that is written without spaces (Chinese, Japanese), or with endings (Korean)."""
    return any(ord(character) >= 0x1100 and unicodedata.category(character) == "Lo" for character in word)


def _folded(word: str) -> str:
    plain = "".join(character for character in unicodedata.normalize("NFKD", word) if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", plain).casefold()  # composed again: Hangul would stay in pieces
