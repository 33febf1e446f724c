"""What the stored numbers mean: told by the owner or by the file's tags, else digital numbers; never guessed from their range."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.bands import Bands
from domainclip.domains.remote_sensing.pixels import read_pixels
from domainclip.domains.remote_sensing.raster import RasterHeader, unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.sensors import is_reflectance
from domainclip.sample import Values, Window

_COLOURS = frozenset({"red", "green", "blue", "gray"})
_PROBES_PER_SIDE = 3
_PROBE_PX = 256
# Surface reflectance lies in 0..1; bright clouds and snow reach about 1.6, atmospheric correction may give -0.1.
_REFLECTANCE = (-0.3, 2.0)
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
    """

    numbers: npt.NDArray[Any]
    pixels: int
    valid_share: float
    whole: bool


def resolve_values(header: RasterHeader, bands: Bands, reading: RemoteSensingReading) -> Values:
    """Says what the stored numbers are. Chain: ``reading.values``, the file's scale and offset tags, 8-bit colours, else ``dn``.

    Scale tags alone do not say of what quantity: they count for files of a sensor whose scaled numbers are reflectance, or
    whose bands have the unit "reflectance".

    Raises:
        UnreadableFileError: The scales of the bands differ, or the owner's kind does not fit.
    """
    nodata = reading.nodata if reading.nodata is not None else header.nodata
    if nodata is not None and np.isnan(nodata):
        nodata = None
    tagged = file_scale(header, bands)
    if reading.values is not None:
        whole = np.issubdtype(np.dtype(header.dtype), np.integer)
        scale, offset = tagged or (1.0, 0.0)
        if reading.values == "dn":
            scale, offset = 1.0, 0.0
        elif reading.values in {"srgb", "display"} and header.dtype == "uint8" and tagged is None:
            scale = 1 / 255
        elif whole and tagged is None and reading.scale is None:
            raise unreadable(
                f"Its numbers are {header.dtype} without a scale tag, so reading.values {reading.values} needs a scale.",
                "Tell it, e.g. reading.scale 0.0001, and reading.offset -0.1 for Sentinel-2 since processing baseline 04.00.",
            )
        scale = reading.scale if reading.scale is not None else scale
        return Values(reading.values, scale, reading.offset if reading.offset is not None else offset, nodata)
    if tagged and (is_reflectance(bands.family) or _unit_is_reflectance(header, bands)):
        return Values("reflectance", *tagged, nodata)
    if header.dtype == "uint8" and tagged is None and set(bands.channels) <= _COLOURS:
        return Values("srgb", 1 / 255, 0.0, nodata)
    return Values("dn", 1.0, 0.0, nodata)


def file_scale(header: RasterHeader, bands: Bands) -> tuple[float, float] | None:
    """Returns scale and offset that the file's tags tell for the bands, or None when they tell nothing.

    Raises:
        UnreadableFileError: The bands differ, which one ``Values`` cannot say.
    """
    told = {(header.scales[index - 1], header.offsets[index - 1]) for index in bands.indexes}
    if len(told) > 1:
        raise unreadable(
            "Its bands have different scale or offset tags.", "Read bands of one scale (reading.bands), or tell reading.values."
        )
    scale, offset = told.pop()
    return None if (scale, offset) == (1.0, 0.0) else (scale, offset)


def _unit_is_reflectance(header: RasterHeader, bands: Bands) -> bool:
    return all((header.units[index - 1] or "").strip().lower() == "reflectance" for index in bands.indexes)


def probe(path: Path, header: RasterHeader, bands: Bands, nodata: float | None) -> Probe:
    """Reads a stated subset: the whole of a small file, else 3 x 3 windows of 256 pixels spread evenly.

    Raises:
        UnreadableFileError: The file is damaged.
    """
    side = _PROBE_PX * _PROBES_PER_SIDE
    whole = header.width <= side and header.height <= side
    windows = [Window(0, 0, header.width, header.height)]
    if not whole:
        windows = [Window(x, y, w, h) for y, h in _spread(header.height) for x, w in _spread(header.width)]
    parts, pixels = [], 0
    for window in windows:
        read = read_pixels(path, bands.indexes, window, nodata, None, header.has_mask)
        parts.append(read.array[:, ~read.masks["nodata"]])
        pixels += window.width * window.height
    numbers = np.concatenate(parts, axis=1)
    return Probe(numbers, pixels, numbers.shape[1] / pixels, whole)


def _spread(length: int) -> list[tuple[int, int]]:
    """Starts and lengths of probes along one side."""
    size = min(_PROBE_PX, length)
    return [(start, size) for start in sorted({int(s) for s in np.linspace(0, length - size, _PROBES_PER_SIDE)})]


def check_plausible(values: Values, looked_at: Probe) -> None:
    """Refuses a told scale that the numbers contradict.

    Raises:
        UnreadableFileError: Reflectance outside -0.3..2 for more than 1 % of the numbers, or a median under 0.001; sRGB or display
            outside 0..1.
    """
    if values.kind not in {"reflectance", "srgb", "display"} or not looked_at.numbers.size:
        return
    physical = looked_at.numbers.astype(np.float32) * values.scale + values.offset
    low, high = _REFLECTANCE if values.kind == "reflectance" else (-1e-6, 1 + 1e-6)
    outside = float(((physical < low) | (physical > high)).mean())
    median = float(np.median(physical))
    if outside > _MAX_OUTSIDE or (values.kind == "reflectance" and abs(median) < _MIN_MEDIAN):
        raise unreadable(
            f"Its numbers do not look like {values.kind}: with scale {values.scale:g} and offset {values.offset:g} the median is "
            f"{median:.4g} and {outside:.0%} lie outside {low:.1f}..{high:.1f}.",
            "Correct reading.scale and reading.offset (Sentinel-2: 0.0001; -0.1 since baseline 04.00), or reading.values dn.",
        )
