"""The template language of captions: closed on purpose, so that labels and names from outside are only ever text.

A template is plain text with fields in braces, ``"a photo of {a tissue} with {stroma}"``:

===================  =====================================================================================
``{tissue}``         the name of the sample's label ``tissue``
``{a tissue}``       the name with the indefinite article, ``a`` or ``an`` (English only)
``{cap tissue}``     the name with its first letter in upper case, for the start of a sentence
``{cap a tissue}``   both
``{{`` and ``}}``    a brace
===================  =====================================================================================

That is all: no attributes, no indexing, no format specifications, no nesting. Names are put in once and never read as templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from domainclip.errors import UsageError

_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_NAME = re.compile(r"[\w][\w .\-]*\Z")
_MODIFIERS = ("cap", "a")
# Written with a vowel, spoken with a consonant, and the reverse; the longest beginnings of English words that matter here.
_CONSONANT_SOUND = re.compile(r"(uni(?![nmd])|us[eau]|ut[ei]|eu|ewe|one\b|once\b|ubiq|ura|uter|ure)", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"(hour|hono|heir|honest|8|11\b|18\b)", re.IGNORECASE)
_SPELLED = re.compile(r"(?:[A-Z]{2,4}|[A-Z]&[A-Z]|[A-Za-z])(?![A-Za-z])")
_VOWEL_LETTERS = frozenset("AEFHILMNORSX")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a template.

    Attributes:
        label: The label whose name is put in.
        article: Put ``a`` or ``an`` before the name.
        capital: Begin with an upper-case letter.
    """

    label: str
    article: bool = False
    capital: bool = False

    def render(self, name: str) -> str:
        """Returns the name as the field wants it."""
        text = f"{indefinite_article(name)} {name}" if self.article else name
        return text[:1].upper() + text[1:] if self.capital else text


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template; ``parse_template`` makes it.

    Attributes:
        pieces: Plain texts and fields in order.
        labels: The labels of all fields, each once, in order of appearance.
    """

    pieces: tuple[str | Field, ...]
    labels: tuple[str, ...]

    def render(self, names: Mapping[str, str]) -> str:
        """Fills the fields.

        Args:
            names: Label to the name that stands for its value; must hold all of ``labels``.

        Raises:
            KeyError: A label has no name.
        """
        return "".join(piece if isinstance(piece, str) else piece.render(names[piece.label]) for piece in self.pieces)


def parse_template(text: str, language: str = "en") -> Template:
    """Parses a template.

    Args:
        text: The template, e.g. ``"histology of {a tissue}"``.
        language: Its BCP-47 tag; the article is English only.

    Raises:
        UsageError: A brace is left alone, a field is empty or holds more than the language allows.
    """
    pieces: list[str | Field] = []
    for found in _PIECES.finditer(text):
        piece = found.group(0)
        if piece in {"{{", "}}"}:
            pieces.append(piece[0])
        elif piece in {"{", "}"}:
            raise _wrong(text, f"A brace stands alone at position {found.start()}.", "Double it ('{{') to write a brace.")
        elif piece[0] == "{":
            pieces.append(_parse_field(found.group(1), text, language))
        else:
            pieces.append(piece)
    labels = dict.fromkeys(piece.label for piece in pieces if isinstance(piece, Field))
    return Template(tuple(pieces), tuple(labels))


def _parse_field(inner: str, text: str, language: str) -> Field:
    rest, seen = inner.strip(), set()
    for modifier in _MODIFIERS:
        if rest.startswith(modifier + " "):
            seen.add(modifier)
            rest = rest[len(modifier) :].strip()
    if not _NAME.match(rest):
        raise _wrong(
            text,
            f"The field {{{inner}}} is no label name.",
            "A field is a label's name, with 'a' or 'cap' before it where wanted: {tissue}, {a tissue}, {cap a tissue}.",
        )
    if "a" in seen and language.split("-")[0].lower() != "en":
        raise _wrong(text, f"The field {{{inner}}} asks for an English article in language {language!r}.", "Write {label} alone.")
    return Field(rest, "a" in seen, "cap" in seen)


def indefinite_article(name: str) -> str:
    """Returns ``"a"`` or ``"an"`` by how an English name sounds: an abscess, a unit, an MRI, an X-ray, an 8-bit image.

    Args:
        name: The words that follow the article.
    """
    if _VOWEL_SOUND.match(name):
        return "an"
    if _SPELLED.match(name):
        return "an" if name[0].upper() in _VOWEL_LETTERS else "a"
    if _CONSONANT_SOUND.match(name):
        return "a"
    return "an" if name[:1].lower() in set("aeiou") else "a"


def _wrong(text: str, found: str, remedy: str) -> UsageError:
    return UsageError(f"The caption template {text!r} was to be read.", found, remedy)
