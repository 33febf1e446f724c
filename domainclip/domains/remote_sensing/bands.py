"""Which band is which: the owner's word, a named sensor order, the file's own names; never the position alone."""

from __future__ import annotations

from dataclasses import dataclass

from domainclip.domains.remote_sensing.raster import RasterHeader, unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.sensors import canonical, family_of, sensor, sensors_with
from domainclip.errors import UnreadableFileError


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands to read.

    Attributes:
        channels: Names in the order asked for.
        indexes: 1-based positions in the file, in the same order.
        family: Sensor family where known.
        source: What named them, e.g. ``"file"``, ``"reading.sensor"``.
    """

    channels: tuple[str, ...]
    indexes: tuple[int, ...]
    family: str | None
    source: str


def resolve_bands(header: RasterHeader, reading: RemoteSensingReading) -> Bands:
    """Names the bands and picks those asked for. Order of the chain: ``band_names``, ``sensor``, the file, its colours.

    Raises:
        UnreadableFileError: The file does not say which band is which, or lacks one that was asked for.
        UsageError: The sensor is unknown.
    """
    names, indexes, family, source = _named(header, reading)
    if len(set(names)) != len(names):
        raise unreadable(f"Two of its bands have the same name ({', '.join(names)}).", "Name them with reading.band_names.")
    if reading.bands is None:
        return Bands(names, indexes, family, source)
    wanted = canonical(reading.bands, family)
    absent = [name for name in wanted if name not in names]
    if absent:
        raise unreadable(
            f"It has no band {', '.join(absent)}; its bands: {', '.join(names)}.",
            "Ask for bands that it has (reading.bands), or correct reading.sensor or reading.band_names.",
        )
    return Bands(wanted, tuple(indexes[names.index(name)] for name in wanted), family, source)


def _named(header: RasterHeader, reading: RemoteSensingReading) -> tuple[tuple[str, ...], tuple[int, ...], str | None, str]:
    indexes = tuple(position + 1 for position, colour in enumerate(header.colours) if colour != "alpha")
    own = tuple(header.band_names[index - 1] for index in indexes)
    told = sensor(reading.sensor) if reading.sensor is not None else None
    if reading.band_names is not None:
        if len(reading.band_names) != len(indexes):
            raise _wrong_count(len(indexes), f"reading.band_names has {len(reading.band_names)} names")
        family = told.family if told else family_of(reading.band_names)
        return canonical(reading.band_names, family), indexes, family, "reading.band_names"
    named = tuple(name for name in own if name)
    if told is not None and len(named) < len(own):
        if len(told.bands) != len(indexes):
            raise _wrong_count(len(indexes), f"reading.sensor {told.name} has {len(told.bands)}")
        return told.bands, indexes, told.family, "reading.sensor"
    if len(named) == len(own):
        family = told.family if told else family_of(named)
        return canonical(named, family), indexes, family, "file"
    colours = tuple(header.colours[index - 1] for index in indexes)
    if set(colours) == {"red", "green", "blue"} and len(colours) == 3:
        return colours, indexes, None, "colour interpretation"
    if len(indexes) == 1 and colours[0] == "gray":
        return ("gray",), indexes, None, "colour interpretation"
    raise _unnamed(header, len(indexes), colours)


def _wrong_count(count: int, told: str) -> UnreadableFileError:
    return unreadable(f"It has {count} bands, but {told}.", f"Of {count} bands: {_fitting(count)}; or reading.band_names.")


def _fitting(count: int) -> str:
    listed = [f"sensor: {entry.name} ({entry.title})" for entry in sensors_with(count)]
    return "; ".join(listed) if listed else "no sensor order in the tables has as many"


def _unnamed(header: RasterHeader, count: int, colours: tuple[str, ...]) -> UnreadableFileError:
    if colours == ("palette",):
        return unreadable(
            "It holds indexes into a palette: colours or classes, which it does not say.",
            "Convert a picture to red, green and blue: gdal_translate -expand rgb.",
        )
    return unreadable(
        f"Its {count} bands have no names, and a position alone does not say which band it is.",
        f"Say which order they have (reading.sensor or reading.band_names). Fitting: {_fitting(count)}.",
    )
