"""The facts of a whole file that cost no look at its pixels: what ``inspect`` shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.place import pixel_spacing, window_geo
from domainclip.domains.remote_sensing.scene_facts import FREE, scene_facts, summary
from domainclip.errors import UnreadableFileError
from domainclip.sample import Pixels, Sample, Values, Window


def free_facts(grid: Grid, family: str | None, times: Sequence[str], biomes: str | None = None) -> dict[str, Any]:
    """Returns ``facts`` (label to words) and ``facts_absent`` (fact to reason) of a scene with a place; nothing of any other.

    Args:
        grid: Of the scene.
        family: Sensor family of its bands.
        times: Of acquisition, ISO 8601; of a series several.
        biomes: The owner's table of biomes (``reading.biomes``).
    """
    shape = (grid.height, grid.width)
    geo = window_geo(grid, Window(0, 0, grid.width, grid.height), None)
    if geo is None:
        return {}
    sample = Sample(
        "",
        "CYX",
        (),
        Values("dn"),
        _no_pixels,
        spacing=pixel_spacing(grid),
        geo=geo,
        time=times[0] if times else None,
        meta={"times": list(times)},
        sensor=family,
    )
    try:
        names = (*FREE, "biome") if biomes else FREE
        told = summary(scene_facts(sample, None, names, shape=shape, biomes=Path(biomes) if biomes else None))
    except UnreadableFileError as error:  # a local system of coordinates: no place on the globe
        return {"facts_absent": {"place": error.reason}}
    keys = {"words": "facts", "absent": "facts_absent", "attribution": "attribution"}
    return {keys[key]: value for key, value in told.items() if key in keys}


def _no_pixels() -> Pixels:
    raise UnreadableFileError("Facts of a file were to be told.", "They need pixels.", "Ask for those that need none.")
