"""Spectral indices of a scene: NDVI, NDWI, NBR, from bands by name, on reflectance, without clouds and gaps.

Sources: NDVI, Rouse et al. 1974; NDWI of open water, McFeeters 1996 (green and near infrared; Gao's NDWI of 1996 is another, of
near and shortwave infrared, and is not here); NBR, Key and Benson 2006. Words: for NDVI the ranges of USGS ("NDVI, the Foundation
for Remote Sensing Phenology": 0.1 or less barren, about 0.2 to 0.5 sparse, about 0.6 to 0.9 dense; nothing is said between them),
for NDWI McFeeters' zero. NBR of one date has no published words (those of Key and Benson are of differences of two dates).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.scene_facts.fact import Fact, nothing
from domainclip.domains.remote_sensing.sensors import canonical
from domainclip.errors import UnreadableFileError
from domainclip.sample import Pixels, Sample

_HALF = 0.5
# What no light from the ground comes through; any mask of the sample whose name holds one of these.
_HIDDEN = ("nodata", "cloud", "shadow", "cirrus", "saturated")


@dataclass(frozen=True, slots=True)
class Index:
    """A normalised difference ``(first - second) / (first + second)``.

    Attributes:
        first: Common names of the band to take, the preferred first.
        second: Likewise.
        label: The label that its words fill, or None.
        words: (low, high, words): said when most pixels lie in low <= index < high.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    label: str | None = None
    words: tuple[tuple[float, float, str], ...] = ()


_NIR = ("nir", "nir08")
INDICES: Mapping[str, Index] = {
    "ndvi": Index(
        _NIR,
        ("red",),
        "vegetation",
        ((-1.0, 0.1, "hardly any vegetation"), (0.2, 0.5, "sparse vegetation"), (0.6, 1.01, "dense vegetation")),
    ),
    "ndwi": Index(("green",), _NIR, "water", ((1e-9, 1.01, "mostly open water"),)),
    "nbr": Index(_NIR, ("swir22",)),
}


def index_fact(name: str, sample: Sample, pixels: Pixels) -> Fact:
    """Measures one index over a sample.

    Args:
        name: Of ``INDICES``.
        sample: With ``channels``, ``values`` (reflectance) and ``sensor``.
        pixels: What its ``read`` returns.

    Returns:
        Numbers ``{name: {"mean", "median", "valid"}}``, valid being the share of pixels that counted; words where at least half
        of the pixels counted and more than half of those lie in one published range. Nothing of a series.

    Raises:
        UnreadableFileError: A band is not there, or the numbers are no reflectance.
    """
    index = INDICES[name]
    found = values_of(name, sample, pixels)
    if "T" in sample.axes:
        return nothing("a series has one at each of its dates")
    share = float(np.isfinite(found).mean()) if found.size else 0.0
    counted = found[np.isfinite(found)]
    if not counted.size:
        return nothing("no pixel is free of clouds, shadows and gaps", **{name: {"valid": 0.0}})
    numbers = {"mean": round(float(counted.mean()), 4), "median": round(float(np.median(counted)), 4), "valid": round(share, 4)}
    words = ""
    if share >= _HALF:
        for low, high, text in index.words:
            if ((counted >= low) & (counted < high)).mean() > _HALF:
                words = text
    return Fact({index.label: words} if index.label and words else {}, {name: numbers})


def values_of(name: str, sample: Sample, pixels: Pixels) -> npt.NDArray[np.float64]:
    """Returns an index pixel by pixel: (Y, X) or (T, Y, X) in -1 to 1, NaN where hidden or where both bands are zero.

    Reflectance below zero, which atmospheric correction leaves over dark water, counts as zero.

    Raises:
        UnreadableFileError: As for ``index_fact``.
    """
    if sample.values.kind != "reflectance":
        raise UnreadableFileError(
            f"{name.upper()} was to be measured (reading.facts).",
            f"The numbers are {sample.values.kind}, and the ratio of two offset numbers is no {name.upper()}.",
            "Tell reading.values reflectance with reading.scale and reading.offset, or leave the index out.",
        )
    first, second = (_band(names, name, sample) for names in (INDICES[name].first, INDICES[name].second))
    axis = sample.axes.index("C")
    stored = [np.take(pixels.array, band, axis=axis).astype(np.float64) for band in (first, second)]
    hidden = np.zeros(stored[0].shape, bool)
    for mask, where in pixels.masks.items():
        if any(word in mask.lower() for word in _HIDDEN):
            hidden |= where
    for numbers in stored:
        hidden |= np.isnan(numbers)
        if sample.values.nodata is not None:
            hidden |= numbers == sample.values.nodata
    a, b = (np.maximum(numbers * sample.values.scale + sample.values.offset, 0.0) for numbers in stored)
    hidden |= a + b <= 0
    return np.where(hidden, np.nan, (a - b) / np.where(hidden, 1.0, a + b))


def _band(names: tuple[str, ...], index: str, sample: Sample) -> int:
    """Finds a band by its common name in the sample's sensor family; never by position."""
    for name in canonical(names, sample.sensor):
        if name in sample.channels:
            return sample.channels.index(name)
    raise UnreadableFileError(
        f"{index.upper()} was to be measured (reading.facts).",
        f"It needs the band {' or '.join(names)}, which is not among those read: {', '.join(sample.channels)}.",
        "Read that band too (reading.bands), name the bands (reading.sensor, reading.band_names), or leave the index out.",
    )
