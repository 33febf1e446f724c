"""The wavelengths of a set's bands, as the domain knows them for the sensors in it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from domainclip.domains.base import Domain, known_wavelengths
from domainclip.errors import UsageError


def wavelengths_of_set(train: pd.DataFrame, domain: Domain, channels: Sequence[str]) -> dict[str, float]:
    """Collects the wavelengths of a model's channels over the sensors of a set.

    Args:
        train: Rows of the set's index: ``channels`` and ``sensor``.
        domain: Knows them.
        channels: The model's.

    Returns:
        Channel to micrometres, without channels of which nothing is known.

    Raises:
        UsageError: Two sensors have a channel of one name at different wavelengths.
    """
    found: dict[str, tuple[float, str]] = {}
    sensors = train["sensor"] if "sensor" in train else pd.Series([None] * len(train), index=train.index)
    pairs = {(tuple(own), None if pd.isna(sensor) else str(sensor)) for own, sensor in zip(train["channels"], sensors, strict=True)}
    for own, sensor in sorted(pairs, key=repr):
        for name, value in known_wavelengths(domain, [name for name in channels if name in own], sensor).items():
            before = found.setdefault(name, (float(value), sensor or "pictures"))
            if before[0] != value:
                raise UsageError(
                    "The wavelengths of a set's bands were to be looked up.",
                    f"{name} is {before[0]:g} um for {before[1]} and {value:g} um for {sensor or 'pictures'}.",
                    f"Say which to train with: --set 'model.wavelengths_um={{{name}: {value:g}}}'; or train on one sensor.",
                )
    return {name: value for name, (value, _) in found.items()}
