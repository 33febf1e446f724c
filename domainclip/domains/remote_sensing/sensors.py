"""Tables of sensors: which band stands where, and which names mean the same band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from domainclip.errors import unknown_name

_FOLDER = Path(__file__).resolve().parent
_COLOURS = {"red": "red", "green": "green", "blue": "blue", "nir": "nir", "gray": "gray", "grey": "gray"}


@dataclass(frozen=True, slots=True)
class Sensor:
    """One order of bands in files.

    Attributes:
        name: E.g. ``"sentinel-2-l2a"``.
        family: Sensors whose bands mean the same.
        title: In words.
        bands: Names in the file's order.
        reflectance: The scaled numbers are reflectance.
    """

    name: str
    family: str
    title: str
    bands: tuple[str, ...]
    reflectance: bool


@cache
def sensors() -> dict[str, Sensor]:
    """Returns the orders of ``sensors.yaml`` by name."""
    table = yaml.safe_load((_FOLDER / "sensors.yaml").read_text(encoding="utf-8"))
    return {
        name: Sensor(name, facts["family"], facts["title"], tuple(facts["bands"]), facts["reflectance"])
        for name, facts in table.items()
    }


def sensor(name: str) -> Sensor:
    """Returns one order of bands.

    Raises:
        UsageError: There is no such sensor.
    """
    table = sensors()
    if name not in table:
        raise unknown_name("sensor", name, table)
    return table[name]


def sensors_with(count: int) -> list[Sensor]:
    """Lists the orders that have ``count`` bands."""
    return [entry for entry in sensors().values() if len(entry.bands) == count]


@cache
def _aliases(family: str) -> dict[str, str]:
    facts = yaml.safe_load((_FOLDER / "families.yaml").read_text(encoding="utf-8"))[family]
    table = {band.lower(): band for band in facts["aliases"]}
    return table | {alias.lower(): band for band, names in facts["aliases"].items() for alias in names}


@cache
def _signatures() -> dict[str, str]:
    families = yaml.safe_load((_FOLDER / "families.yaml").read_text(encoding="utf-8"))
    return {name.lower(): family for family, facts in families.items() for name in facts["signature"]}


def family_of(names: Sequence[str]) -> str | None:
    """Says of which family a file's own band names are, by a name that only one family has; None when they do not tell."""
    found = {_signatures()[name.lower()] for name in names if name.lower() in _signatures()}
    return found.pop() if len(found) == 1 else None


def canonical(names: Sequence[str], family: str | None) -> tuple[str, ...]:
    """Returns a file's band names in the family's spelling (``B1`` to ``B01``); names it does not know stay as they are.

    Without a family only the colours' case is mended, since ``B1`` means different bands to different sensors.
    """
    table = _aliases(family) if family else _COLOURS
    return tuple(table.get(name.lower(), name) for name in names)


def is_reflectance(family: str | None) -> bool:
    """Says whether the scaled numbers of a family's files are reflectance."""
    return family is not None and any(entry.reflectance for entry in sensors().values() if entry.family == family)
