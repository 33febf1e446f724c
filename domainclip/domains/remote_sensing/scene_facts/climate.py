"""In which climate a scene lies: a coarse map of Koeppen-Geiger zones beside this file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from domainclip.domains.remote_sensing.scene_facts.coarse_map import WATER, Map, cell_of
from domainclip.domains.remote_sensing.scene_facts.fact import NO_PLACE, Fact, nothing

ZONES = (
    *("Af", "Am", "Aw", "BWh", "BWk", "BSh", "BSk", "Csa", "Csb", "Csc", "Cwa", "Cwb", "Cwc", "Cfa", "Cfb", "Cfc"),
    *("Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "Dfa", "Dfb", "Dfc", "Dfd", "ET", "EF"),
)
"""The zones in the numbering of the map (Beck et al. 2018, table 2), from 1; their names in words stand in ``facts.yaml``."""

ATTRIBUTION = "Climate zones: Beck et al. 2018, doi:10.1038/sdata.2018.214, CC BY 4.0, coarsened to 0.1 degrees"


def climate_fact(place: tuple[float, float] | None) -> Fact:
    """Says in which climate zone (1980 to 2016) a place lies.

    Args:
        place: Longitude and latitude (WGS 84) of the scene's middle.

    Returns:
        The word ``climate``, a zone such as ``"Cfb"``; none on water, nor in a cell of 0.1 degrees of which no zone has 60 %.
    """
    if place is None:
        return nothing(NO_PLACE)
    number = cell_of(_grid(), *place)
    if number == WATER:
        return nothing("no land in the map there")
    if number > len(ZONES):
        return nothing("several climate zones meet there")
    return Fact({"climate": ZONES[number - 1]}, attribution=ATTRIBUTION)


@cache
def _grid() -> Map:
    """0 water, 1 to 30 a zone, 31 several."""
    from PIL import Image

    with Image.open(Path(__file__).resolve().parent / "climate.png") as image:
        return np.asarray(image, np.uint8)
