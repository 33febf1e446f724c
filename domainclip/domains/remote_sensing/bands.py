"""Which band is which: the owner's word, a named sensor order, the files' own names; never the position alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domainclip.domains.remote_sensing.products import NamedFile, Product
from domainclip.domains.remote_sensing.quality import QualityBand
from domainclip.domains.remote_sensing.raster import RasterHeader, unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.sensors import (
    QualityRule,
    canonical,
    families,
    family_of,
    quality_rule,
    sensor,
    sensors,
    sensors_with,
    sole_family,
)
from domainclip.errors import UnreadableFileError


@dataclass(frozen=True, slots=True)
class StoredBand:
    """One band of one file.

    Attributes:
        name: In the family's spelling.
        written: As the file or its name spells it.
        file: Position of the file in its product.
        index: 1-based, in the file.
    """

    name: str
    written: str
    file: int
    index: int


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands of a product.

    Attributes:
        chosen: Those that are read, in the order asked for.
        quality: Those that become masks, each with the file and the bands it is read from.
        family: Sensor family where known.
        source: What named them, e.g. ``"file"``, ``"reading.sensor"``.
        left_out: Names of bands that are there and not read, though nobody left them out.
    """

    chosen: tuple[StoredBand, ...]
    quality: tuple[tuple[QualityBand, int, tuple[int, ...]], ...]
    family: str | None
    source: str
    left_out: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the bands that are read."""
        return tuple(band.name for band in self.chosen)


def resolve_bands(product: Product, headers: Sequence[RasterHeader], reading: RemoteSensingReading) -> Bands:
    """Names all bands and picks those asked for.

    Order of the chain: the product, ``band_names``, ``sensor``, the file, its colours.

    Raises:
        UnreadableFileError: A file does not say which band is which, or the product lacks one that was asked for.
        UsageError: The sensor is unknown.
    """
    stored: list[StoredBand] = []
    quality: list[tuple[QualityBand, int, tuple[int, ...]]] = []
    sources: list[str] = []
    family = product.family
    for number, (file, header) in enumerate(zip(product.files, headers, strict=True)):
        rule = quality_rule(file.band, family) if file.band else None
        if rule is not None and rule.flags:
            names, indexes = _flags(rule, header)
            quality.append((QualityBand(rule, names), number, indexes))
            continue
        names, indexes, found, source = _named(file, header, reading, family)
        family = family or found
        sources.append(source)
        asked = {*(reading.bands or ()), *canonical(reading.bands or (), family)}
        for name, index in zip(names, indexes, strict=True):
            rule = None if asked & {name, *canonical([name], family)} else quality_rule(name, family)
            if rule is not None and not rule.flags:
                quality.append((QualityBand(rule, (name,)), number, (index,)))
            else:
                stored.append(StoredBand(name, name, number, index))
    if family is None:
        family, unclear = sole_family([*(band.written for band in stored), *(name for band, *_ in quality for name in band.names)])
        if unclear:
            raise unreadable(
                f"Its names of bands do not say of which sensor they are: {unclear}.",
                f"Say which: reading.sensor, one of {', '.join(sensors())}.",
            )
    stored = [StoredBand(name, s.written, s.file, s.index) for name, s in zip(_spelt(stored, family), stored, strict=True)]
    names = tuple(band.name for band in stored)
    if len(set(names)) != len(names):
        raise unreadable(f"Two of its bands have the same name ({', '.join(names)}).", "Name them with reading.band_names.")
    if not names:
        raise unreadable("It has quality bands and no other.", "Read it beside the bands that it belongs to.")
    source = sources[0] if len(set(sources)) == 1 else ", ".join(dict.fromkeys(sources))
    if reading.bands is None:
        kept = _reflective(names, product)
        chosen = tuple(band for band in _in_order(stored, product) if band.name in kept)
        return Bands(chosen, tuple(quality), family, source, tuple(name for name in names if name not in kept))
    wanted = canonical(reading.bands, family)
    absent = [name for name in wanted if name not in names]
    if absent:
        raise unreadable(
            f"It has no band {', '.join(absent)}; its bands: {', '.join(names)}.",
            "Ask for bands that it has (reading.bands), or correct reading.sensor or reading.band_names.",
        )
    return Bands(tuple(stored[names.index(name)] for name in wanted), tuple(quality), family, source)


def _flags(rule: QualityRule, header: RasterHeader) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and places of the bands of a file of flags: its own names, else the order that its maker publishes."""
    own = tuple((name or "").lower() for name in header.band_names)
    names = own if any(own) else rule.order if len(own) == len(rule.order) else ()
    lacking = [mask for mask, flags in rule.flags.items() if not set(flags) & set(names)]
    if lacking:
        told = ", ".join(names) or f"{len(own)} bands without names"
        raise unreadable(
            f"Its file of flags ({rule.name}) does not tell {', '.join(lacking)}; it has {told}.",
            "Fetch the file again, or take it out of the folder.",
        )
    return names, tuple(range(1, len(own) + 1))


def _spelt(stored: Sequence[StoredBand], family: str | None) -> tuple[str, ...]:
    return canonical([band.name for band in stored], family)


def _in_order(stored: Sequence[StoredBand], product: Product) -> list[StoredBand]:
    """Bands of a product of many files in their instrument's order: names of files sort B8A behind B12."""
    if product.family is None or len(product.files) == 1:
        return list(stored)
    known = list(families()[product.family].bands)
    return sorted(stored, key=lambda band: known.index(band.name) if band.name in known else len(known))


def _reflective(names: tuple[str, ...], product: Product) -> tuple[str, ...]:
    """Of a product of many files the bands of its sensor's orders: thermal bands have another unit and come when named."""
    if product.family is None or len(product.files) == 1:
        return names
    ordered = {band for order in families()[product.family].orders.values() for band in order.bands}
    return tuple(name for name in names if name in ordered) or names


Named = tuple[tuple[str, ...], tuple[int, ...], str | None, str]


def _named(file: NamedFile, header: RasterHeader, reading: RemoteSensingReading, family: str | None) -> Named:
    told = sensor(reading.sensor) if reading.sensor is not None else None
    masks = mask_positions(file, header, reading)
    indexes = tuple(position + 1 for position in range(len(header.colours)) if position not in masks)
    own = tuple(header.band_names[index - 1] for index in indexes)
    if file.bands:
        if len(file.bands) != len(indexes):
            raise _wrong_count(len(indexes), f"the item beside it names {len(file.bands)}")
        return file.bands, indexes, family, "STAC item"
    if file.band is not None and len(indexes) == 1:
        return (file.band,), indexes, family, "file name"
    if reading.band_names is not None:
        if len(reading.band_names) != len(indexes):
            raise _wrong_count(len(indexes), f"reading.band_names has {len(reading.band_names)} names")
        family = told.family if told else family or family_of(reading.band_names)
        return canonical(reading.band_names, family), indexes, family, "reading.band_names"
    named = tuple(name for name in own if name)
    if told is not None and len(named) < len(own):
        if len(told.bands) != len(indexes):
            raise _wrong_count(len(indexes), f"reading.sensor {told.name} has {len(told.bands)}")
        return told.bands, indexes, told.family, "reading.sensor"
    if len(named) == len(own):
        family = told.family if told else family or family_of(named)
        return canonical(named, family), indexes, family, "file"
    colours = tuple(header.colours[index - 1] for index in indexes)
    if set(colours) == {"red", "green", "blue"} and len(colours) == 3:
        return colours, indexes, family, "colour interpretation"
    # GDAL calls the one band of any file grey: of a picture alone that is a name.
    if len(indexes) == 1 and colours[0] == "gray" and header.dtype == "uint8":
        return ("gray",), indexes, family, "colour interpretation"
    raise _unnamed(len(indexes), colours)


def mask_positions(file: NamedFile, header: RasterHeader, reading: RemoteSensingReading) -> set[int]:
    """Returns positions of alpha bands that are masks; a band that is named, or counted by who names the bands, is data.

    Writers mark the fourth band of any 8-bit file as alpha, the near infrared of aerial photographs too.
    """
    alphas = {position for position, colour in enumerate(header.colours) if colour == "alpha"}
    told = file.bands or reading.band_names or (sensor(reading.sensor).bands if reading.sensor is not None else ())
    if len(told) == len(header.colours):
        return set()
    return {position for position in alphas if (header.band_names[position] or "alpha").lower() in {"alpha", "mask"}}


def _wrong_count(count: int, told: str) -> UnreadableFileError:
    return unreadable(f"It has {count} bands, but {told}.", f"Of {count} bands: {_fitting(count)}; or reading.band_names.")


def _fitting(count: int) -> str:
    listed = [f"sensor: {entry.name} ({entry.title})" for entry in sensors_with(count)]
    return "; ".join(listed) if listed else "no sensor order in the tables has as many"


def _unnamed(count: int, colours: tuple[str, ...]) -> UnreadableFileError:
    if colours == ("palette",):
        return unreadable(
            "It holds indexes into a palette: colours or classes, which it does not say.",
            "Convert a picture to red, green and blue: gdal_translate -expand rgb.",
        )
    return unreadable(
        f"Its {count} bands have no names, and a position alone does not say which band it is.",
        f"Say which order they have (reading.sensor or reading.band_names). Fitting: {_fitting(count)}.",
    )
