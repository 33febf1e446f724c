"""Published mean and spread of bands, by name, with their source; brought to the quantity that a set holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from domainclip.domains.remote_sensing.sensors import canonical
from domainclip.errors import UsageError, unknown_name

_TO_REFLECTANCE = 1e-4
"""Of Sentinel-2's numbers, whose quantification value is 10,000; the offset of newer baselines is not in published sets."""


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """What a published set has for its bands.

    Attributes:
        name: E.g. ``"ssl4eo-s2-l2a"``.
        title: In words.
        values: ``dn`` or ``srgb``.
        bands: Names in their sensor's spelling.
        mean: One a band.
        std: One a band; None where only means are published.
        source: Where the numbers stand.
    """

    name: str
    title: str
    values: str
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...] | None
    source: str


@cache
def published_statistics() -> dict[str, BandStatistics]:
    """Reads ``statistics.yaml``."""
    table = yaml.safe_load(Path(__file__).with_name("statistics.yaml").read_text(encoding="utf-8"))
    return {
        name: BandStatistics(
            name,
            facts["title"],
            facts["values"],
            canonical(facts["bands"], facts["family"]),
            tuple(map(float, facts["mean"])),
            None if facts["std"] is None else tuple(map(float, facts["std"])),
            facts["source"],
        )
        for name, facts in table.items()
    }


def statistics_of(name: str, channels: Sequence[str], values_kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of channels in the quantity that a set holds.

    Args:
        name: Of a published set.
        channels: Names, in any order.
        values_kind: ``reflectance`` takes numbers of ``dn`` divided by 10,000.

    Raises:
        UsageError: There is no such set, it lacks a channel or the spread, or is of another quantity.
    """
    table = published_statistics()
    if name not in table:
        raise unknown_name("table of band statistics", name, table)
    found, asked = table[name], f"The statistics {name} were to be used."
    if found.std is None:
        raise UsageError(asked, "It has means and no standard deviations.", "Measure them on your set: leave data.statistics out.")
    if lacking := [channel for channel in channels if channel not in found.bands]:
        have = ", ".join(found.bands)
        raise UsageError(asked, f"It has no band {', '.join(lacking)}; it has {have}.", "Choose among these: model.channels.")
    factor = {("dn", "reflectance"): _TO_REFLECTANCE}.get((found.values, values_kind), 1.0 if found.values == values_kind else None)
    if factor is None:
        told = f"Its numbers are {found.values}, those of the set {values_kind}."
        raise UsageError(asked, told, "Read the files as that quantity (reading.values), or leave data.statistics out.")
    places = [found.bands.index(channel) for channel in channels]
    return tuple(found.mean[p] * factor for p in places), tuple(found.std[p] * factor for p in places)
