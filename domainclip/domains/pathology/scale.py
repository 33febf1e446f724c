"""The scale of a slide in um per pixel: a chain of sources, each recorded by name, nothing guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from domainclip.errors import UnreadableFileError
from domainclip.sample import Spacing

COARSEST_UM = 100.0
"""No microscope image is coarser; larger numbers are a mistake in the unit."""
COARSEST_TAG_UM = 20.0
"""Resolution tags of plain TIFFs mostly hold print resolutions (72 dpi = 353 um/px, 300 dpi = 85, 600 dpi = 42); a 1x objective
gives about 10 um/px, so what is coarser than 20 is taken for print and not for a scale."""
MOST_UNEQUAL = 2.0
"""Pixels of microscopes are square or nearly so; mpp-x 0.25 beside mpp-y 25 is a slip of the pen."""
POWER_TIMES_UM = 10.0
"""um/px at an objective power of 1, by convention: 20x is 0.5, 40x is 0.25 um/px. Real scanners differ by up to a fifth."""
REMEDY = "Give the scale of level 0 in um per pixel: a column spacing in the manifest, or --set reading.spacing_um=0.5."

_UM_PER_UNIT = {2: 25400.0, 3: 10000.0}
"""TIFF ResolutionUnit to um: 2 inch, 3 centimetre; 1 means none."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the file itself says of its scale.

    Attributes:
        spacing: (Y, X) in um, or None when nothing credible was found.
        passed_over: Sources that were found and not believed, in words.
    """

    spacing: Spacing | None
    passed_over: tuple[str, ...] = ()


def file_scale(
    properties: Mapping[str, str],
    tag: tuple[float, float, int] | None,
    *,
    generic: bool,
    vendor: tuple[float, float, str] | None = None,
) -> Scale:
    """Finds the scale in a file: the vendor's um/px, then TIFF resolution tags with a unit, then 10 / objective power.

    Args:
        properties: OpenSlide's properties, empty for other readers.
        tag: TIFF (XResolution, YResolution, ResolutionUnit), or None.
        generic: The file has no vendor's metadata, so OpenSlide's mpp stems from the resolution tags.
        vendor: (x, y, name of the step) of another vendor's metadata (OME-XML, DICOM), in um.
    """
    passed: list[str] = []
    if vendor is not None:
        x, y, name = vendor
        if min(x, y) > 0 and max(x, y) <= min(COARSEST_UM, MOST_UNEQUAL * min(x, y)):
            return Scale(Spacing((y, x), "um", name))
        passed.append(f"{name} {x:g} x {y:g} um/px is not a microscope's")
    limit = COARSEST_TAG_UM if generic else COARSEST_UM
    found = [(name, _number(properties.get(f"openslide.{name}"))) for name in ("mpp-x", "mpp-y")]
    given = [(name, value) for name, value in found if value is not None]
    if given:
        good = [(name, value) for name, value in given if 0 < value <= limit]
        if len(good) == len(given):
            x, y = good[0][1], good[-1][1]
        if len(good) == len(given) and max(x, y) <= MOST_UNEQUAL * min(x, y):
            note = "" if len(good) == 2 else f" (no {'mpp-y' if good[0][0] == 'mpp-x' else 'mpp-x'})"
            return Scale(Spacing((y, x), "um", f"openslide.{good[0][0]}{note}"))
        passed.append(f"mpp {given[0][1]:g} um/px is not a microscope's")
    if tag is not None and tag[2] in _UM_PER_UNIT and min(tag[0], tag[1]) > 0:
        x, y = _UM_PER_UNIT[tag[2]] / tag[0], _UM_PER_UNIT[tag[2]] / tag[1]
        if max(x, y) <= COARSEST_TAG_UM:
            return Scale(Spacing((y, x), "um", "tiff-resolution"), tuple(passed))
        passed.append(f"the TIFF resolution tag says {x:g} um/px, a print resolution")
    elif tag is not None and min(tag[0], tag[1]) > 1:
        passed.append("the TIFF resolution tags have no unit")
    power = _number(properties.get("openslide.objective-power"))
    if power is not None and 0 < power <= 200:
        um = POWER_TIMES_UM / power
        return Scale(Spacing((um, um), "um", "objective-power"), tuple(passed))
    return Scale(None, tuple(passed))


def chosen_spacing(owner: Spacing | None, override_um: float | None, scale: Scale) -> Spacing | None:
    """Returns the spacing that holds: the manifest's, else ``reading.spacing_um``, else the file's.

    Args:
        owner: Of the manifest, one value or (Y, X).
        override_um: Of the reading section.
        scale: Of the file.

    Raises:
        UnreadableFileError: The owner's number is no scale of a microscope image.
    """
    if owner is not None:
        to_um = {"um": 1.0, "mm": 1e3, "m": 1e6}.get(owner.unit)
        values = tuple(value * to_um for value in owner.values) if to_um else ()
        if len(values) not in {1, 2} or not all(0 < value <= COARSEST_UM and math.isfinite(value) for value in values):
            raise _nonsense(f"{owner.values} {owner.unit}")
        return Spacing((values[0], values[-1]), "um", owner.source)
    if override_um is not None:
        if not 0 < override_um <= COARSEST_UM:
            raise _nonsense(f"{override_um} um")
        return Spacing((override_um, override_um), "um", "reading.spacing_um")
    return scale.spacing


def scale_needed(scale: Scale) -> UnreadableFileError:
    """Builds the error for a slide that must be cut at a physical scale and has none."""
    why = f" ({'; '.join(scale.passed_over)})" if scale.passed_over else ""
    return UnreadableFileError("Tiles of a physical size were to be cut.", f"The file gives no scale in um per pixel{why}.", REMEDY)


def _nonsense(given: str) -> UnreadableFileError:
    return UnreadableFileError(
        "A pixel size was given for a slide.", f"It is {given}; slides have more than 0 and at most 100 um per pixel.", REMEDY
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None
