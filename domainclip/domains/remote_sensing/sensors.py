"""Tables of sensors: which bands there are, where each stands in files, which names mean the same band, what quality bands say.

One YAML file a family in ``sensor_tables/``; adding a sensor is adding a file. Names of bands are unique over all families unless
the bands are the same: Landsat 5's third band is red and Landsat 8's is green, so they are TM_SR_B3 and OLI_SR_B3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from domainclip.errors import unknown_name

_FOLDER = Path(__file__).resolve().parent / "sensor_tables"
# Of pictures of no named sensor: DOFA-CLIP's README.
_COLOUR_UM = {"red": 0.665, "green": 0.560, "blue": 0.490}
_LONGEST_OPTICAL_UM = 30.0
_COLOURS = {"red": "red", "green": "green", "blue": "blue", "nir": "nir", "gray": "gray", "grey": "gray"}


@dataclass(frozen=True, slots=True)
class BandFacts:
    """One band of an instrument.

    Attributes:
        name: Unique, e.g. ``"B8A"``, ``"OLI_SR_B4"``.
        wavelength_um: Centre in micrometres, None where cameras of a product differ.
        resolution_m: Native pixel size in metres, None likewise.
        common: STAC's common name (eo extension), e.g. ``"red"``, ``"nir08"``, or None.
        aliases: Other names in files of this family.
    """

    name: str
    wavelength_um: float | None = None
    resolution_m: float | None = None
    common: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QualityRule:
    """What a quality band's numbers say; each entry gives the masks that a pixel belongs to.

    Attributes:
        name: Of the band, e.g. ``"SCL"``.
        classes: Mask to the numbers that mean it.
        bits: Mask to bits, any of which means it.
        fields: Mask to (first bit, width, number), any of which means it.
        percent: Mask to a threshold in percent, from which on it holds.
        flags: Mask to names of bands of a file of flags (PlanetScope's UDM2), any of which means it.
        fill: The number that means "no data" in the quality band itself.
        order: Names of the bands of a file of flags that names none.
    """

    name: str
    classes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    bits: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fields: Mapping[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)
    percent: Mapping[str, float] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fill: int | None = None
    order: tuple[str, ...] = ()

    @property
    def masks(self) -> tuple[str, ...]:
        """Names of the masks that it gives."""
        names = [*self.classes, *self.bits, *self.fields, *self.percent, *self.flags]
        return tuple(dict.fromkeys([*names, *(["nodata"] if self.fill is not None else [])]))

    def means_nodata(self, number: float) -> bool:
        """Says whether a number of the quality band itself says that the pixel has no data."""
        if number == self.fill or number in self.classes.get("nodata", ()):
            return True
        return number.is_integer() and number >= 0 and any(int(number) >> bit & 1 for bit in self.bits.get("nodata", ()))


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


@dataclass(frozen=True)
class Family:
    """What one table says.

    Attributes:
        name: E.g. ``"sentinel-2"``.
        words: For people.
        bands: By name.
        quality: Rules of quality bands by name.
        signature: Names that only this family's files have.
        orders: Band orders by name.
        files: Patterns of file names of products of one band a file, with groups ``scene`` and ``band``.
        scale: Prefix of a band's name in files to (scale, offset), of products whose name says it.
        nodata: The stored number without data of these products.
    """

    name: str
    words: str
    bands: Mapping[str, BandFacts]
    quality: Mapping[str, QualityRule]
    signature: tuple[str, ...]
    orders: Mapping[str, Sensor]
    files: tuple[re.Pattern[str], ...]
    scale: Mapping[str, tuple[float, float]]
    nodata: float | None
    aliases: Mapping[str, str]


@cache
def families() -> dict[str, Family]:
    """Reads all tables."""
    tables = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.yaml")))
    return {table["family"]: _family(table) for table in tables}


def _family(table: Mapping[str, Any]) -> Family:
    bands = {
        name: BandFacts(name, facts.get("um"), facts.get("m"), facts.get("common"), tuple(facts.get("aliases", ())))
        for name, facts in table["bands"].items()
    }
    quality = {name: _rule(name, facts) for name, facts in table.get("quality", {}).items()}
    aliases = {facts.common.lower(): name for name, facts in bands.items() if facts.common}
    aliases |= {alias.lower(): name for name, facts in bands.items() for alias in (name, *facts.aliases)}
    aliases |= {alias.lower(): name for name, facts in table.get("quality", {}).items() for alias in facts.get("aliases", ())}
    aliases |= {name.lower(): name for name in quality}
    orders = {
        name: Sensor(name, table["family"], facts["title"], tuple(facts["bands"]), facts["reflectance"])
        for name, facts in table["orders"].items()
    }
    scale = dict(table.get("scale", {}))
    hole = scale.pop("nodata", None)
    nodata = None if hole is None else float(hole)
    files = tuple(re.compile(pattern, re.IGNORECASE) for pattern in table.get("files", ()))
    told = {prefix: (float(pair[0]), float(pair[1])) for prefix, pair in scale.items()}
    signature = tuple(table["signature"])
    return Family(table["family"], table["words"], bands, quality, signature, orders, files, told, nodata, aliases)


def _rule(name: str, facts: Mapping[str, Any]) -> QualityRule:
    def lists(key: str) -> dict[str, tuple[Any, ...]]:
        return {mask: tuple(values) for mask, values in facts.get(key, {}).items()}

    parts = {mask: tuple((int(a), int(b), int(c)) for a, b, c in some) for mask, some in facts.get("fields", {}).items()}
    percent, order = dict(facts.get("percent", {})), tuple(facts.get("order", ()))
    return QualityRule(name, lists("classes"), lists("bits"), parts, percent, lists("flags"), facts.get("fill"), order)


@cache
def sensors() -> dict[str, Sensor]:
    """Returns all orders of bands by name."""
    return {name: order for family in families().values() for name, order in family.orders.items()}


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
def _signatures() -> dict[str, str]:
    return {name.lower(): family.name for family in families().values() for name in family.signature}


def family_of(names: Sequence[str]) -> str | None:
    """Says of which family a file's own band names are, by a name that only one family has; None when they do not tell."""
    found = {_signatures()[name.lower()] for name in names if name.lower() in _signatures()}
    return found.pop() if len(found) == 1 else None


def sole_family(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Says which family's all names are, where no single one tells.

    Args:
        names: Of all bands of a scene, as written.

    Returns:
        The only family that knows all of them, else None; and, where several know them and mean different bands, what they mean.
    """
    knowing = [table for table in families().values() if all(name.lower() in table.aliases for name in names)]
    if len(knowing) == 1:
        return knowing[0].name, None
    for name in names:
        meant = {table.words: _meaning(name, table) for table in knowing}
        if len(set(meant.values())) > 1:
            return None, f"{name} is " + ", ".join(f"{what} of {words}" for words, what in meant.items())
    return None, None


def _meaning(name: str, table: Family) -> str:
    band = table.bands.get(table.aliases[name.lower()])
    return (band.common or band.name) if band is not None else "a quality band"


def canonical(names: Sequence[str], family: str | None) -> tuple[str, ...]:
    """Returns a file's band names in the family's spelling (``B1`` to ``B01``); names it does not know stay as they are.

    Without a family only the colours' case is mended, since ``B1`` means different bands to different sensors.
    """
    table: Mapping[str, str] = families()[family].aliases if family else _COLOURS
    return tuple(table.get(name.lower(), name) for name in names)


def is_reflectance(family: str | None) -> bool:
    """Says whether the scaled numbers of a family's files are reflectance."""
    return family is not None and any(entry.reflectance for entry in families()[family].orders.values())


def quality_rule(name: str, family: str | None) -> QualityRule | None:
    """Returns what a quality band says, or None when it is none that the tables know.

    Without a family the name must be one that a single rule has: QA_PIXEL's bits differ between Landsats.
    """
    if family is not None:
        table = families()[family]
        return table.quality.get(table.aliases.get(name.lower(), name))
    found = [rule for table in families().values() if (rule := table.quality.get(table.aliases.get(name.lower(), name)))]
    return found[0] if len(found) == 1 else None


def band_facts(name: str, family: str | None) -> BandFacts | None:
    """Returns wavelength, resolution and common name of a band; without a family only where all families agree on the name."""
    if family is not None:
        return families()[family].bands.get(name)
    found = [table.bands[name] for table in families().values() if name in table.bands]
    waves = {facts.wavelength_um for facts in found}
    return found[0] if len(waves) == 1 else None


def known_wavelengths(channels: Sequence[str], family: str | None) -> dict[str, float]:
    """Returns the centre wavelengths of optical bands in micrometres, as far as they are known.

    Radar has a wavelength, and no model takes it for one: which number stands for it belongs to the model's weights.

    Args:
        channels: Names as the reader gives them.
        family: Sensor family, or None for pictures.
    """
    known = {}
    for name in channels:
        facts = band_facts(name, family)
        wave = facts.wavelength_um if facts is not None else None
        if wave is None and family is None:
            wave = _COLOUR_UM.get(name)
        if wave is not None and wave <= _LONGEST_OPTICAL_UM:
            known[name] = wave
    return known
