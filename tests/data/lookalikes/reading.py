"""Reads a look-alike as a user does, by the card of its set."""

from __future__ import annotations

import importlib
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from lookalikes.kit import makers

from domainclip.config import DataConfig
from domainclip.data.cards import card_names, load_card
from domainclip.data.inside import samples_of
from domainclip.data.sources import open_source
from domainclip.domains.base import checked_reading, domains

for _part in sorted(Path(__file__).parent.glob("*_*.py")):
    importlib.import_module(f"lookalikes.{_part.stem}")


def card_of(name: str) -> str:
    """The card of a second published form is one of its own, where the first one's cannot read it."""
    plain_name, _, variant = name.partition("+")
    return f"{plain_name}-{variant}" if variant and f"{plain_name}-{variant}" in card_names() else plain_name


READ = [name for name in sorted(makers) if load_card(card_of(name)).layout is not None]


def read_all(name: str, root: Path, scratch: Path, options: dict[str, Any]) -> tuple[Any, list[Any], Counter[str], list[str]]:
    """Opens the set as a user does and reads every image, as a worker does."""
    card = load_card(card_of(name))
    domain = domains.get(card.domain)
    reading = checked_reading(domain, {**card.reading, **options.get("reading", {})})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        source = open_source(DataConfig(source=card.name, root=str(root)), domain, reading)
        items = list(source.items())
    account: Counter[str] = Counter()
    samples = []
    for item in items:
        for cut in samples_of(item, domain, reading, scratch, account):
            assert (cut.published is None) == (cut.sample.split is None), "the source's own word goes with every split"
            samples.append(cut.sample)
    return source, samples, account, [str(one.message) for one in told]


def levels(array: Any) -> np.ndarray:
    """Returns the mean of each channel of (C, Y, X): digital numbers of bands, else 0 to 255."""
    pixels = np.asarray(array, float)
    if len(pixels) <= 3:
        if pixels.max() > 255:
            pixels = pixels / 257
        elif pixels.max() <= 1:  # display values of DICOM
            pixels = pixels * 255
    return pixels.reshape(len(pixels), -1).mean(1)
