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
END_OF_NAME = re.compile(r"\d|[(\[<]|\s(?:on|at)\s", re.IGNORECASE)
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


_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_LONG_ENOUGH = 7
"""Letters from which a name is looked for without regard to spaces, hyphens and apostrophes."""


def header_names(values: Iterable[str]) -> frozenset[str]:
    """Returns the words of names in DICOM headers (``SMITH^JOHN^^DR``, several scripts with ``=`` between), folded.

    Words of two letters or more; parts of several words also in one (``O'Shea``: oshea); German umlauts also spelt out.
    """
    parts: list[str] = []
    for script in (part for whole in values for part in whole.split("=")):
        parts += script.split("^")
        if all(map(_unspaced, _WORD.findall(script))):
            parts.append(script.replace("^", ""))  # scripts without spaces write the whole name in one
    return _words(parts)


def line_names(lines: Iterable[str]) -> frozenset[str]:
    """Returns the words of names that stand in lines of a report's head ("Smith, John", "Anna Ostrowski, MD on 03/02/2021").

    A line counts up to the first digit, bracket, "on" or "at".
    """
    return _words(part for line in lines for part in END_OF_NAME.split(line, maxsplit=1)[0].split(","))


def name_in_line(heading: str, line: str) -> str:
    """Returns what of a line behind a heading may be a name.

    Behind PATIENT anything may stand ("has cough"): there only words with a capital count, unless a comma follows the first word.
    """
    if heading != "PATIENT" or re.match(r"\s*[^\W\d_]+\s*,", line):
        return line
    cut = END_OF_NAME.split(line, maxsplit=1)[0]
    return " ".join(word for word in _WORD.findall(cut) if word[0].isupper() or _unspaced(word))


def _words(values: Iterable[str]) -> frozenset[str]:
    words: set[str] = set()
    for value in values:
        for spelt in {value, _spelt_out(value)}:
            found = [folded(word) for word in _WORD.findall(unicodedata.normalize("NFC", spelt))]
            named = [word for word in found if word not in _NO_NAMES]
            words.update(word for word in named if len(word) > 1)
            if named and len(found) > 1:
                words.add("".join(found))
    return frozenset(words)


def _spelt_out(text: str) -> str:
    return unicodedata.normalize("NFC", text).translate(_UMLAUTS)


def sentences_without(text: str, names: frozenset[str], numbers: frozenset[str] = frozenset()) -> tuple[str, int]:
    """Leaves out the sentences in which a word of a name or a number of a person stands, in any case and with or without accents.

    Args:
        text: Of several sentences.
        names: Folded words, of ``header_names`` or ``line_names``.
        numbers: Numbers of persons and examinations, folded.

    Returns:
        The other sentences joined by spaces (the text as it was where none is left out), and how many were left out.
    """
    if not _holds(text, names, numbers):
        return text, 0
    sentences = split_sentences(text)
    kept = [sentence for sentence in sentences if not _holds(sentence, names, numbers)]
    return " ".join(kept), len(sentences) - len(kept)


def captions_without(
    captions: Iterable[Caption], names: frozenset[str], numbers: frozenset[str] = frozenset()
) -> tuple[tuple[Caption, ...], int]:
    """Does so for captions; one of which nothing is left goes. Returns the captions and the number of sentences left out."""
    kept, dropped = [], 0
    for caption in captions:
        text, count = sentences_without(caption.text, names, numbers)
        dropped += count
        if text:
            kept.append(replace(caption, text=text) if count else caption)
    return tuple(kept), dropped


def _holds(text: str, names: frozenset[str], numbers: frozenset[str]) -> bool:
    if not names and not numbers:
        return False
    plain = folded(text)
    if any(re.search(rf"(?<![^\W_]){re.escape(number)}(?![^\W_])", plain) for number in numbers):
        return True
    words = _WORD.findall(plain)
    if names & set(words):
        return True
    squeezed = "".join(words)
    return any(name in squeezed for name in names if len(name) >= _LONG_ENOUGH or _unspaced(name))


def _unspaced(word: str) -> bool:
    """Says whether a word is of a script that is written without spaces (Chinese, Japanese), or with endings (Korean)."""
    return any(ord(character) >= 0x1100 and unicodedata.category(character) == "Lo" for character in word)


def folded(word: str) -> str:
    """Returns a text in small letters without accents, so that spellings of a name are one."""
    plain = "".join(character for character in unicodedata.normalize("NFKD", word) if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", plain).casefold()  # composed again: Hangul would stay in pieces
