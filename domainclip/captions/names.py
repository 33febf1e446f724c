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
# What stands in name fields where no name is: dropping sentences for these words would empty the reports of every patient.
_NO_NAMES = frozenset((
    "anonymous", "anonymized", "anonymised", "anon", "deidentified", "patient", "unknown", "none", "name", "test", "case", "study",
    "subject", "phantom", "dr", "drs", "mr", "mrs", "ms", "miss", "prof", "md", "do", "phd", "rn", "np", "jr", "sr", "ii", "iii",
    "and", "of", "the", "by", "at", "on", "in", "no", "pa", "ap", "chest",
))  # fmt: skip
_MOST_WORDS = 6


def name_words(values: Iterable[str]) -> frozenset[str]:
    """Returns the words of names, case folded, each of two letters or more.

    Args:
        values: Names as headers and reports write them: ``SMITH^JOHN``, ``Smith, John``, ``Dr. J. Smith``. A value with digits
            or of more than six words is no name ("65 year old male with cough"), and gives nothing.
    """
    words: set[str] = set()
    for value in (part for whole in values for part in whole.split("=")):  # DICOM: the same name in several scripts
        found = [_folded(word) for word in _WORD.findall(value)]
        if re.search(r"\d", value) or len(found) > _MOST_WORDS:
            continue
        words.update(word for word in found if len(word) > 1 and word not in _NO_NAMES)
        if any(map(_unspaced, found)):
            words.add("".join(found))
    return frozenset(words)


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
    plain = unicodedata.normalize("NFKD", word)
    return "".join(character for character in plain if not unicodedata.combining(character)).casefold()
