"""Facts of a scene for its captions: place, climate, biome, season, date, sensor, scale, indices, objects, mapped tags.

One file a fact; what each says, from which source and how sure it is: ``docs/scene-facts.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.domains.remote_sensing.scene_facts.biome import biome_fact
from domainclip.domains.remote_sensing.scene_facts.climate import climate_fact
from domainclip.domains.remote_sensing.scene_facts.country import country_fact
from domainclip.domains.remote_sensing.scene_facts.fact import Fact
from domainclip.domains.remote_sensing.scene_facts.ground import centroid
from domainclip.domains.remote_sensing.scene_facts.indices import INDICES, index_fact
from domainclip.domains.remote_sensing.scene_facts.moment import date_fact, of_all_dates, season_fact
from domainclip.domains.remote_sensing.scene_facts.objects import objects_fact, objects_of_regions
from domainclip.domains.remote_sensing.scene_facts.sensor_words import gsd_fact, sensor_fact
from domainclip.errors import UsageError, unknown_name
from domainclip.sample import Pixels, Region, Sample

if TYPE_CHECKING:
    from domainclip.domains.remote_sensing.reading import RemoteSensingReading

FREE = ("place", "climate", "season", "date", "gsd", "sensor")
"""Facts that need no pixels and nothing from the owner."""
FACTS = (*FREE, "biome", *INDICES, "objects", "tags")
OBJECT_LABEL = "land_cover"
"""The label by which the domain names regions (``class_label`` of its facts)."""


def scene_facts(
    sample: Sample,
    pixels: Pixels | None,
    names: Collection[str],
    *,
    shape: tuple[int, int] | None = None,
    tags: Path | None = None,
    biomes: Path | None = None,
    regions: Sequence[Region] = (),
    crs: str | None = None,
) -> dict[str, Fact]:
    """Finds facts of one sample.

    Args:
        sample: With geo, time, sensor, spacing, values, channels, as far as known: what is unknown makes a fact absent.
        pixels: What ``sample.read`` returns; None reads them when a fact needs them.
        names: Of ``FACTS``.
        shape: (rows, columns), where known without the pixels.
        tags: Table of mapped features, for ``tags``.
        biomes: Table of biomes, for ``biome``.
        regions: Annotated objects, for ``objects``.
        crs: CRS of the regions; None for pixels of the file.

    Returns:
        Name to fact, in the order of ``FACTS``; one that has nothing to say tells why.

    Raises:
        UsageError: A fact is unknown, or the table that it needs cannot be used.
        UnreadableFileError: An index was asked for and its bands or reflectance are not there, or the pixels are broken.
    """
    from domainclip.domains.remote_sensing.scene_facts.osm_join import tags_fact
    from domainclip.domains.remote_sensing.scene_facts.osm_table import read_tags

    _check_names(names, tags, biomes)
    if pixels is None and (shape is None or set(names) & set(INDICES)):
        pixels = sample.read()
    if pixels is not None:
        shape = pixels.array.shape[-2:]
    assert shape is not None
    place, times = centroid(sample.geo, shape), sample.meta.get("times") or [sample.time]
    ways: dict[str, Callable[[], Fact]] = {
        "place": lambda: country_fact(place),
        "climate": lambda: climate_fact(place),
        "biome": lambda: biome_fact(place, biomes or Path()),
        "season": lambda: of_all_dates(times, lambda time: season_fact(time, place)),
        "date": lambda: of_all_dates(times, date_fact),
        "gsd": lambda: gsd_fact(sample.spacing, sample.geo, shape),
        "sensor": lambda: sensor_fact(sample.sensor),
        "objects": lambda: objects_fact(objects_of_regions(regions, sample, shape, crs, OBJECT_LABEL), sample.geo, shape),
        "tags": lambda: tags_fact(read_tags(tags or Path()), sample.geo, shape),
    }
    return {
        name: index_fact(name, sample, pixels) if name in INDICES and pixels is not None else ways[name]()
        for name in FACTS
        if name in names
    }


def _check_names(names: Collection[str], tags: Path | None, biomes: Path | None) -> None:
    for name in names:
        if name not in FACTS:
            raise unknown_name("fact of a scene", name, FACTS)
    if "tags" in names and tags is None:
        raise UsageError("Mapped tags were asked for.", "No table of features was given.", "Name one: reading.tags FILE.")
    if "biome" in names and biomes is None:
        raise UsageError("The biome was asked for.", "No table of biomes was given.", "Name one: reading.biomes FILE.")


def with_facts(
    sample: Sample,
    reading: RemoteSensingReading,
    *,
    shape: tuple[int, int],
    pixels: Pixels | None = None,
    regions: Sequence[Region] = (),
    crs: str | None = None,
) -> Sample:
    """Returns a sample with the facts that its owner asked for (``reading.facts``, ``reading.biomes``, ``reading.tags``).

    Words become labels (the owner's own win), numbers ``meta["facts"]``, what could not be said and why ``meta["facts_absent"]``,
    captions follow the owner's, and whom to name stands in ``meta["attribution"]``.

    Args:
        sample: As the reader made it.
        reading: Options.
        shape: (rows, columns) of its pixels.
        pixels: What was read of it already; None reads them when a fact needs them.
        regions: The owner's regions of the whole file.
        crs: CRS of the regions; None for pixels of the file.

    Raises:
        UsageError: As for ``scene_facts``.
        UnreadableFileError: As for ``scene_facts``.
    """
    names = (*reading.facts, *(("biome",) if reading.biomes else ()), *(("tags",) if reading.tags else ()))
    if not names:
        return sample
    tags, biomes = (Path(name) if name else None for name in (reading.tags, reading.biomes))
    found = scene_facts(sample, pixels, names, shape=shape, tags=tags, biomes=biomes, regions=regions, crs=crs)
    told = summary(found)
    words = {label: value for fact in found.values() for label, value in fact.words.items()}
    captions = (caption for fact in found.values() for caption in fact.captions)
    meta = {key: told[name] for key, name in (("facts", "numbers"), ("facts_absent", "absent")) if told.get(name)}
    if told.get("attribution"):
        meta["attribution"] = told["attribution"]
    return sample.with_(labels={**words, **sample.labels}, captions=(*sample.captions, *captions), meta={**sample.meta, **meta})


def summary(found: Mapping[str, Fact]) -> dict[str, Any]:
    """Returns facts as plain values: ``words``, ``numbers``, ``absent`` (fact to reason), ``attribution``; empty ones left out."""
    told = {
        "words": {label: value for fact in found.values() for label, value in fact.words.items()},
        "numbers": {key: value for fact in found.values() for key, value in fact.numbers.items()},
        "absent": {name: fact.absent for name, fact in found.items() if fact.absent},
        "attribution": [fact.attribution for fact in found.values() if fact.attribution],
    }
    return {key: value for key, value in told.items() if value}
