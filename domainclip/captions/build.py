"""Builds captions from labels: the domain's templates with the names of the sample's labels, many wordings a sample."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domainclip.captions.templates import Template, parse_template
from domainclip.domains.base import DomainFacts
from domainclip.errors import UsageError, unknown_name
from domainclip.sample import Caption

if TYPE_CHECKING:
    import pandas as pd  # loads late: sets without captions are written without it

CAPTION_COLUMNS = [
    "key",
    "caption_id",
    "text",
    "language",
    "origin",
    "parent",
    "region",
    "generator",
    "licence",
    "section",
    "polarity",
    "scores",
]
GENERATOR = "domainclip.captions.build/1"
_CHUNK_ROWS = 50_000
_Options = list[tuple[Template, list[tuple[str, ...]]]]


def caption_id(key: str, text: str, language: str, origin: str) -> str:
    """Returns the identifier of a caption: the first 24 hex digits of SHA-256 over key, NFC text, language and origin."""
    joined = "\x1f".join((key, unicodedata.normalize("NFC", text), language, origin))
    return hashlib.sha256(joined.encode()).hexdigest()[:24]


def caption_table(pairs: Iterable[tuple[str, Caption]]) -> pd.DataFrame:
    """Turns captions into rows of ``CAPTION_COLUMNS``.

    Args:
        pairs: Sample key and caption.

    Returns:
        One row per pair, text in NFC; ``scores`` is a JSON object as text, so that Parquet takes empty ones too.
    """
    import pandas as pd

    columns: dict[str, list[Any]] = {name: [] for name in CAPTION_COLUMNS}
    for key, caption in pairs:
        text = unicodedata.normalize("NFC", caption.text)
        row = (
            key,
            caption_id(key, text, caption.language, caption.origin),
            text,
            caption.language,
            caption.origin,
            caption.parent,
            caption.region,
            caption.generator,
            caption.licence,
            caption.section,
            caption.polarity,
            json.dumps(dict(caption.scores), sort_keys=True),
        )
        for name, value in zip(CAPTION_COLUMNS, row, strict=True):
            columns[name].append(value)
    table = pd.DataFrame(columns, columns=CAPTION_COLUMNS)
    text_columns = [name for name in CAPTION_COLUMNS if name != "polarity"]
    return table.astype(dict.fromkeys(text_columns, "str") | {"polarity": "int64"})


def build_captions(
    samples: pd.DataFrame, facts: DomainFacts, *, seed: int = 0, per_sample: int = 3, language: str = "en"
) -> pd.DataFrame:
    """Composes captions from the labels of samples.

    Each sample gets up to ``per_sample`` different texts, drawn over the templates all of whose fields it has and over the
    synonyms of its labels' names. The draw depends on (seed, key) alone: not on the order or number of rows.

    Args:
        samples: Columns ``key`` (unique) and ``labels`` (label name to value).
        facts: The domain's names and templates. A value that they do not list stands for itself, which is warned about.
        seed: Seed of the draw.
        per_sample: Most captions a sample; fewer where its labels allow fewer wordings.
        language: BCP-47 tag of templates and names.

    Returns:
        Rows of ``CAPTION_COLUMNS``, samples in the order given, ``origin`` "template".

    Raises:
        UsageError: Columns are missing, a key comes twice, the language has no templates, or no sample fits any template.

    Warns:
        UserWarning: Some samples fit no template (they get no caption), or some values have no name in the facts.
    """
    import pandas as pd

    tables = list(caption_chunks(samples, facts, seed=seed, per_sample=per_sample, language=language))
    return pd.concat(tables, ignore_index=True) if tables else caption_table(())


def caption_chunks(
    samples: pd.DataFrame,
    facts: DomainFacts,
    *,
    seed: int = 0,
    per_sample: int = 3,
    language: str = "en",
    chunk_rows: int = _CHUNK_ROWS,
) -> Iterator[pd.DataFrame]:
    """Does what ``build_captions`` does, a table for every ``chunk_rows`` samples, so that memory stays flat."""
    _check(samples, facts, per_sample, language)
    composer = _Composer(facts, language)
    made = 0
    for start in range(0, len(samples), chunk_rows):
        part = samples.iloc[start : start + chunk_rows]
        pairs: list[tuple[str, Caption]] = []
        for key, labels in zip(part["key"], part["labels"], strict=True):
            draw = random.Random(hashlib.sha256(f"{seed}\x1f{key}".encode()).digest())  # noqa: S311 - no secret
            for text in composer.draw(labels, per_sample, draw):
                pairs.append((key, Caption(text, language, "template", generator=GENERATOR)))
        made += len(pairs)
        if pairs:
            yield caption_table(pairs)
    composer.report(len(samples), made)


class _Composer:
    """Draws texts for label sets; keeps the fitting templates of each set, since few sets stand for many samples."""

    def __init__(self, facts: DomainFacts, language: str) -> None:
        self._facts = facts
        self._language = language
        self._templates = [parse_template(text, language) for text in facts.caption_templates[language]]
        self._used = {label for template in self._templates for label in template.labels}
        self._listed = set(facts.labels) - set(facts.open_labels)
        self._options: dict[tuple[tuple[str, str], ...], _Options] = {}
        self._absent: Counter[str] = Counter()
        self._unnamed: Counter[str] = Counter()
        self._without = 0

    def draw(self, labels: Mapping[str, str], count: int, draw: random.Random) -> list[str]:
        """Returns up to ``count`` different texts for a sample."""
        if not isinstance(labels, Mapping):
            raise UsageError(
                "Captions were to be built from labels.",
                f"The labels of a sample are a {type(labels).__name__}, not a mapping of label name to value.",
                "Give dictionaries in the column 'labels', e.g. {'tissue': 'adipose'}.",
            )
        known = tuple(
            sorted((name, str(value)) for name, value in labels.items() if name in self._used and value not in (None, ""))
        )
        if known not in self._options:
            self._options[known] = self._fitting(dict(known))
        options = self._options[known]
        for name, value in known:
            if name in self._listed and value not in self._facts.labels[name]:
                self._unnamed[f"{name}={value}"] += 1
        if not options:
            self._without += 1
            self._absent.update(self._used - set(self._facts.open_labels) - {name for name, _ in known})
            return []
        return _distinct(options, count, draw)

    def _fitting(self, labels: dict[str, str]) -> _Options:
        options: _Options = []
        for template in self._templates:
            names = [self._names(label, labels[label]) for label in template.labels if label in labels]
            if len(names) == len(template.labels) and all(names):
                options.append((template, names))
        return options

    def _names(self, label: str, value: str) -> tuple[str, ...]:
        classes = self._facts.labels.get(label, {})
        return classes[value].names.get(self._language, ()) if value in classes else (value,)

    def report(self, samples: int, captions: int) -> None:
        """Says what had to be left out; nothing made at all is an error."""
        missing = ", ".join(f"{name} ({count})" for name, count in self._absent.most_common(5)) or "names in this language"
        if samples and not captions:
            raise UsageError(
                f"Captions were to be built for {samples} samples of {self._facts.domain} in {self._language!r}.",
                f"No sample has all fields of any template. Missing most often: {missing}.",
                "Add these labels (columns 'label:<name>' of a manifest), or give captions of your own (column 'caption').",
            )
        if self._without:
            warnings.warn(
                f"{self._without} of {samples} samples fit no caption template and have no caption; missing: {missing}.",
                stacklevel=3,
            )
        if self._unnamed:
            listed = ", ".join(f"{name} ({count})" for name, count in self._unnamed.most_common(5))
            warnings.warn(
                f"Values without a name in the facts of {self._facts.domain} stand for themselves: {listed}.", stacklevel=3
            )


def _distinct(options: _Options, count: int, draw: random.Random) -> list[str]:
    """Draws different texts, the templates in turn; where chance repeats itself too often, counts the rest out in order."""
    texts: dict[str, None] = {}
    order = list(range(len(options)))
    draw.shuffle(order)
    for turn in range(4 * count):
        template, names = options[order[turn % len(order)]]
        chosen = {label: several[draw.randrange(len(several))] for label, several in zip(template.labels, names, strict=True)}
        texts[unicodedata.normalize("NFC", template.render(chosen))] = None
        if len(texts) == count:
            return list(texts)
    for position in order:
        template, names = options[position]
        for combination in itertools.product(*names):
            text = template.render(dict(zip(template.labels, combination, strict=True)))
            texts[unicodedata.normalize("NFC", text)] = None
            if len(texts) == count:
                return list(texts)
    return list(texts)


def _check(samples: pd.DataFrame, facts: DomainFacts, per_sample: int, language: str) -> None:
    missing: Sequence[str] = [name for name in ("key", "labels") if name not in samples.columns]
    if missing:
        raise UsageError(
            "Captions were to be built from a table of samples.",
            f"It has no column {' and '.join(missing)}; its columns: {', '.join(map(str, samples.columns))}.",
            "Give the columns key (text, unique) and labels (a dictionary a row).",
        )
    if per_sample < 1:
        raise UsageError(f"{per_sample} captions a sample were asked for.", "That makes none.", "Ask for one or more.")
    if not facts.caption_templates.get(language):
        raise unknown_name("language of caption templates", language, facts.caption_templates)
    repeated = int(samples["key"].duplicated().sum())
    if repeated:
        raise UsageError(
            "Captions were to be built from a table of samples.",
            f"{repeated} rows repeat the key of an earlier row.",
            "Make keys unique: captions are joined to samples by key.",
        )
