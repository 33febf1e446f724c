"""From class names to one text feature a class: synonyms times templates, averaged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from domainclip.errors import UsageError, unknown_name
from domainclip.model_record import Prompts

Features = npt.NDArray[np.float32]
EncodeText = Callable[[Sequence[str]], Features]
Classes = Sequence[str] | Mapping[str, Sequence[str]]
_HOLE = "{}"


def checked_classes(classes: Classes) -> dict[str, tuple[str, ...]]:
    """Returns class name to synonyms.

    Args:
        classes: Names, or a mapping of names to the words that stand for them.

    Raises:
        UsageError: Fewer than two classes, a blank name, a name that comes twice, or a class without words.
    """
    asked = "Images were to be classified by class names."
    if isinstance(classes, str):
        raise UsageError(asked, "The classes are one text.", 'Give a list of names: ["a", "b"].')
    if isinstance(classes, Mapping):
        named = {str(name): (words,) if isinstance(words, str) else tuple(words) for name, words in classes.items()}
    else:
        named = {str(name): (str(name),) for name in classes}
        if len(named) < len(classes):
            raise UsageError(asked, "A name comes twice.", "Name each class once.")
    if len(named) < 2:
        found = f"There is {len(named) or 'no'} class{': ' + next(iter(named)) if named else ''}."
        raise UsageError(asked, found, "Name two classes or more: zero-shot compares classes with each other.")
    empty = [name for name, words in named.items() if not name.strip() or not words or any(not word.strip() for word in words)]
    if empty:
        raise UsageError(asked, f"The class {empty[0]!r} has a blank name or no words.", "Give every class a name and words.")
    return named


def templates_for(prompts: Prompts, language: str, templates: Sequence[str] | None = None) -> tuple[str, ...]:
    """Returns the given templates, or the model's for a language.

    Raises:
        UsageError: The model has none for the language, or a template has not exactly one ``{}``.
    """
    if templates is None:
        if not prompts.templates.get(language):
            raise unknown_name("language of prompt templates", language, prompts.templates)
        return prompts.templates[language]
    wrong = [text for text in templates if text.count(_HOLE) != 1]
    if wrong or not templates or isinstance(templates, str):
        found = (
            f"{wrong[0]!r} does not." if wrong and not isinstance(templates, str) else "They are no list of texts, or it is empty."
        )
        raise UsageError("Prompt templates were given; each holds {} once.", found, "Write {} where the class name goes, once.")
    return tuple(templates)


def class_features(
    encode_text: EncodeText,
    classes: Mapping[str, Sequence[str]],
    templates: Sequence[str],
    pooling: Literal["mean-of-normalised", "mean"] = "mean-of-normalised",
) -> Features:
    """Encodes every synonym in every template and averages per class.

    Args:
        encode_text: Texts to (M, D) features; of unit norm for "mean-of-normalised" to mean what it says.
        classes: Name to synonyms.
        templates: Texts with one ``{}`` each; names are put in as they are, never read as templates.
        pooling: ``mean-of-normalised`` brings each vector to unit norm before averaging, ``mean`` averages as they come.

    Returns:
        (classes, D) float32, unit norm.
    """
    texts = [template.replace(_HOLE, word) for words in classes.values() for word in words for template in templates]
    features = np.asarray(encode_text(texts), dtype=np.float64)
    if pooling == "mean-of-normalised":
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    borders = np.cumsum([0, *(len(words) * len(templates) for words in classes.values())])
    means = np.stack([features[first:last].mean(axis=0) for first, last in itertools.pairwise(borders)])
    unit: Features = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return unit
