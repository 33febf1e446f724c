"""Sensor and ground sampling distance in words."""

from __future__ import annotations

import math

from domainclip.domains.remote_sensing.scene_facts.fact import Fact, nothing
from domainclip.domains.remote_sensing.scene_facts.ground import steps
from domainclip.domains.remote_sensing.sensors import families
from domainclip.sample import Geo, Spacing

_ALIKE = 0.05
_IN_METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6}


def sensor_fact(family: str | None) -> Fact:
    """Says the sensor (word ``sensor``) as its table has it, e.g. "Sentinel-2" of the family ``sentinel-2``.

    Args:
        family: ``Sample.sensor``.
    """
    if family is None:
        return nothing("no sensor is known")
    known = families().get(family)
    if known is None:
        return nothing(f"the sensor family {family!r} has no words")
    return Fact({"sensor": known.words})


def gsd_fact(spacing: Spacing | None, geo: Geo | None, shape: tuple[int, int]) -> Fact:
    """Says the ground sampling distance (word ``gsd``, e.g. "10 m"; numbers ``gsd_m``, rows then columns).

    The owner's spacing counts; else the step of a pixel is measured on the ground, since degrees are no length and a metre of
    Web Mercator is none on the ground.

    Args:
        spacing: ``Sample.spacing``.
        geo: Of the sample's pixels.
        shape: (rows, columns).
    """
    measured = spacing is None or spacing.source.startswith("geotransform") or spacing.unit == "degree"
    vectors = steps(geo, shape) if geo is not None and measured else None
    if vectors is not None:
        size = (math.hypot(*vectors[1]), math.hypot(*vectors[0]))
    elif spacing is not None and spacing.unit != "degree":
        size = (spacing.values[-2] * _IN_METRES[spacing.unit], spacing.values[-1] * _IN_METRES[spacing.unit])
    else:
        return nothing("no size of a pixel on the ground is known")
    alike = abs(size[0] - size[1]) <= _ALIKE * max(size)
    words = length_words(math.sqrt(size[0] * size[1])) if alike else f"{length_words(size[0])} by {length_words(size[1])}"
    return Fact({"gsd": words}, {"gsd_m": [round(size[0], 4), round(size[1], 4)]})


def length_words(metres: float) -> str:
    """Returns a length of two significant digits in the unit in which people say it: "60 cm", "1.5 m", "10 m", "1 km"."""
    rounded = float(f"{metres:.2g}")
    for size, unit in ((1000.0, "km"), (1.0, "m"), (0.01, "cm")):
        if rounded >= size:
            return f"{float(f'{rounded / size:.3g}'):g} {unit}"
    return f"{float(f'{rounded * 1000:.3g}'):g} mm"
