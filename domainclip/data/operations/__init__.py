"""The closed list of operations of data-set cards, version 3: each takes rows and yields rows, one after the other.

Cards are data and never code; what none of these can do becomes a new operation, and the version rises.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domainclip.data.operations.columns import (
    Bands,
    CaptionLanguage,
    CaptionTemplates,
    Columns,
    Map,
    NumberedClass,
    Regex,
    Split,
    Where,
)
from domainclip.data.operations.findings import Findings, Named, Readers
from domainclip.data.operations.lists import Explode, Listed, Numbers, Part
from domainclip.data.operations.texts import Clean, Replace, Text

OPERATIONS_VERSION = 3
"""2: regex. 3: text, replace, clean, listed, explode, part, numbers, findings, named, readers; where with ``not_in``."""

Operation = Annotated[
    Columns
    | Map
    | Regex
    | NumberedClass
    | Bands
    | Where
    | Split
    | CaptionLanguage
    | CaptionTemplates
    | Text
    | Replace
    | Clean
    | Listed
    | Explode
    | Part
    | Numbers
    | Findings
    | Named
    | Readers,
    Field(discriminator="op"),
]

__all__ = [
    "OPERATIONS_VERSION", "Bands", "CaptionLanguage", "CaptionTemplates", "Clean", "Columns", "Explode", "Findings", "Listed",
    "Map", "Named", "NumberedClass", "Numbers", "Operation", "Part", "Readers", "Regex", "Replace", "Split", "Text", "Where",
]  # fmt: skip
