"""What the stored numbers mean: told by the owner or by the file's tags, else digital numbers; never guessed from their range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.metadata import baseline_scale
from domainclip.domains.remote_sensing.pixels import Plane, read_plane
from domainclip.domains.remote_sensing.raster import unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.sensors import is_reflectance
from domainclip.sample import Values, Window

_COLOURS = frozenset({"red", "green", "blue", "gray"})
_PROBES_PER_SIDE = 3
_PROBE_PX = 256
# Surface reflectance lies in 0..1; bright clouds and snow reach about 1.6, atmospheric correction may give -0.1.
_REFLECTANCE = (-0.3, 2.0)
# Backscatter of land and sea lies in about -40..10 dB; linear power read as dB would lie within 0..1.
_DECIBEL = (-80.0, 40.0)
_SHOWN = (-1e-6, 1 + 1e-6)
_LIMITS = {"reflectance": _REFLECTANCE, "db": _DECIBEL, "srgb": _SHOWN, "display": _SHOWN}
_REMEDIES = {
    "reflectance": (
        "Correct reading.scale and reading.offset (Sentinel-2: 0.0001; -0.1 since baseline 04.00), or set reading.values=dn."
    ),
    "db": "Linear power is told by reading.values=power; else correct reading.scale and reading.offset.",
}
_MAX_OUTSIDE = 0.01
_MIN_MEDIAN = 0.001


@dataclass(frozen=True, slots=True)
class Probe:
    """The stored numbers of a stated subset of a file.

    Attributes:
        numbers: (bands, n) valid stored numbers.
        pixels: Pixels looked at.
        valid_share: Share of them with data, 0..1.
        whole: The subset is the whole file.
        masks: Share of them in each mask, 0..1.
    """

    numbers: npt.NDArray[Any]
    pixels: int
    valid_share: float
    whole: bool
    masks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredNumbers:
    """What files and what lies beside them say of the numbers of the chosen bands.

    Attributes:
        dtype: Of the bands.
        channels: Their names.
        family: Of sensors, or None.
        tags: (scale, offset, unit) of each band in the files.
        told: (scale, offset) of each band by the product's metadata or name; None where nothing is told.
        told_by: Where that stands.
        nodata: Stored number without data that all bands share, or None.
    """

    dtype: str
    channels: tuple[str, ...]
    family: str | None
    tags: tuple[tuple[float, float, str | None], ...]
    told: tuple[tuple[float, float] | None, ...] = ()
    told_by: str | None = None
    nodata: float | None = None

    @property
    def tagged(self) -> tuple[float, float] | None:
        """Scale and offset that the files' tags tell, or None when they tell nothing.

        Raises:
            UnreadableFileError: The bands differ, which one ``Values`` cannot say.
        """
        return _one([(scale, offset) for scale, offset, _ in self.tags], "scale or offset tags", plain=(1.0, 0.0))

    @property
    def beside(self) -> tuple[float, float] | None:
        """Scale and offset to reflectance that the product tells, or None.

        Raises:
            UnreadableFileError: The bands differ.
        """
        return _one(list(self.told), "scales in the product's metadata") if self.told else None


def _one(pairs: list[Any], what: str, plain: Any = None) -> tuple[float, float] | None:
    different = set(pairs)
    if len(different) > 1:
        raise unreadable(f"Its bands have different {what}.", "Read bands of one scale (reading.bands), or tell reading.values.")
    pair: tuple[float, float] | None = different.pop()
    return None if pair == plain else pair


def resolve_values(stored: StoredNumbers, reading: RemoteSensingReading) -> tuple[Values, str]:
    """Says what the stored numbers are, and who says so.

    Chain: ``reading.values``, ``reading.processing_baseline``, the product's metadata or name, the file's scale and offset tags,
    8-bit colours, else ``dn``. Scale tags alone do not say of what quantity: they count for files of a sensor whose scaled numbers
    are reflectance, or whose bands have the unit "reflectance".

    Raises:
        UnreadableFileError: The scales of the bands differ, or the owner's kind does not fit.
    """
    nodata = None if stored.nodata is None or np.isnan(stored.nodata) else stored.nodata
    if reading.values is not None:
        return _told_by_owner(stored, reading, nodata), "reading.values"
    if reading.processing_baseline is not None:
        if stored.family != "sentinel-2":
            raise unreadable(
                f"reading.processing_baseline is Sentinel-2's, and the bands are of {stored.family or 'no known sensor'}.",
                "Tell reading.values, reading.scale and reading.offset instead.",
            )
        return Values("reflectance", *baseline_scale(reading.processing_baseline), nodata), "reading.processing_baseline"
    if (beside := stored.beside) and is_reflectance(stored.family):
        return Values("reflectance", *beside, nodata), str(stored.told_by)
    tagged = stored.tagged
    if tagged and (is_reflectance(stored.family) or _unit_is(stored, "reflectance")):
        return Values("reflectance", *tagged, nodata), "file tags"
    if _unit_is(stored, "db", "decibel"):
        return Values("db", *(tagged or (1.0, 0.0)), nodata), "file tags"
    if stored.dtype == "uint8" and tagged is None and set(stored.channels) <= _COLOURS:
        return Values("srgb", 1 / 255, 0.0, nodata), "8-bit colours"
    return Values("dn", 1.0, 0.0, nodata), "nothing"


def _told_by_owner(stored: StoredNumbers, reading: RemoteSensingReading, nodata: float | None) -> Values:
    assert reading.values is not None
    if reading.values == "dn":
        return Values("dn", 1.0, 0.0, nodata)
    if reading.values == "power":
        if reading.scale is not None or reading.offset is not None:
            raise unreadable(
                "Linear power becomes decibel as it is read, which no scale can follow.",
                "Leave out reading.scale and reading.offset.",
            )
        return Values("db", 1.0, 0.0, None)
    told = stored.beside or stored.tagged
    scale, offset = told or (1.0, 0.0)
    if reading.values in {"srgb", "display"} and stored.dtype == "uint8" and told is None:
        scale = 1 / 255
    elif np.issubdtype(np.dtype(stored.dtype), np.integer) and told is None and reading.scale is None:
        raise unreadable(
            f"Its numbers are {stored.dtype} without a scale tag, so reading.values {reading.values} needs a scale.",
            "Tell it, e.g. reading.scale 0.0001, and reading.offset -0.1 for Sentinel-2 since processing baseline 04.00.",
        )
    scale = reading.scale if reading.scale is not None else scale
    return Values(reading.values, scale, reading.offset if reading.offset is not None else offset, nodata)


def _unit_is(stored: StoredNumbers, *units: str) -> bool:
    return bool(stored.tags) and all((unit or "").strip().lower() in units for _, _, unit in stored.tags)


def probe(plane: Plane) -> Probe:
    """Reads a stated subset: the whole of a small scene, else 3 x 3 windows of 256 pixels spread evenly.

    Raises:
        UnreadableFileError: A file is damaged.
    """
    grid, side = plane.grid, _PROBE_PX * _PROBES_PER_SIDE
    whole = grid.width <= side and grid.height <= side
    windows = [Window(0, 0, grid.width, grid.height)]
    if not whole:
        windows = [Window(x, y, w, h) for y, h in _spread(grid.height) for x, w in _spread(grid.width)]
    parts, pixels, shares = [], 0, dict[str, float]()
    for window in windows:
        read = read_plane(plane, window)
        parts.append(read.array[:, ~read.masks["nodata"]])
        pixels += window.width * window.height
        for name, mask in read.masks.items():
            shares[name] = shares.get(name, 0.0) + float(mask.sum())
    numbers = np.concatenate(parts, axis=1)
    return Probe(numbers, pixels, numbers.shape[1] / pixels, whole, {name: share / pixels for name, share in shares.items()})


def _spread(length: int) -> list[tuple[int, int]]:
    """Starts and lengths of probes along one side."""
    size = min(_PROBE_PX, length)
    return [(start, size) for start in sorted({int(s) for s in np.linspace(0, length - size, _PROBES_PER_SIDE)})]


def check_plausible(values: Values, looked_at: Probe, *, power: bool = False) -> None:
    """Refuses a told scale that the numbers contradict.

    Args:
        values: As told.
        looked_at: A stated subset.
        power: The numbers were stored as linear power and are decibel now.

    Raises:
        UnreadableFileError: Reflectance outside -0.3..2 for more than 1 % of the numbers, or a median (of whole numbers, the
            largest) under 0.001; sRGB or display
            outside 0..1; decibel outside -80..40, or all of 0..1 (which is linear power); power of which most is not above 0.
    """
    if power and looked_at.valid_share < 0.5:
        raise unreadable(
            f"Its numbers do not look like linear power: {1 - looked_at.valid_share:.0%} are not above 0.",
            "Decibel is told by reading.values=db.",
        )
    limits = _LIMITS.get(values.kind)
    if limits is None or not looked_at.numbers.size:
        return
    physical = looked_at.numbers.astype(np.float32) * values.scale + values.offset
    low, high = limits
    outside = float(((physical < low) | (physical > high)).mean())
    median = float(np.median(physical))
    linear = values.kind == "db" and not power and physical.min() >= 0
    # Whole numbers cannot have been scaled before, and dark sea in the infrared is a few of them (BigEarthNet's marine patches).
    typical = median if looked_at.numbers.dtype.kind == "f" else float(np.abs(physical).max())
    twice = values.kind == "reflectance" and abs(typical) < _MIN_MEDIAN
    if outside > _MAX_OUTSIDE or linear or twice:
        raise unreadable(
            f"Its numbers do not look like {values.kind}: with scale {values.scale:g} and offset {values.offset:g} the median is "
            f"{median:.4g} and {outside:.0%} lie outside {low:.1f}..{high:.1f}{', none is negative' if linear else ''}.",
            _REMEDIES.get(values.kind, "Correct reading.scale and reading.offset, or set reading.values=dn."),
        )
