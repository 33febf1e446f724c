"""The starter set of remote sensing: synthetic Sentinel-2-like scenes with land cover that differs in structure, not in colour."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from domainclip.errors import UsageError
from domainclip.spread_work import spread
from domainclip.starter.remote_sensing_patterns import ATTRIBUTES, PATTERNS
from domainclip.starter.remote_sensing_scene import SIDE_PX, ScenePlan, make_scene

Progress = Callable[[int, int, str], None]

SCENES = 60
_CELLS_PER_ROW = 4
# UTM zone and a corner on land in it: northern and southern hemisphere.
_PLACES = (
    (32630, 400_000.0, 4_600_000.0),
    (32633, 500_000.0, 5_400_000.0),
    (32645, 350_000.0, 2_800_000.0),
    (32616, 600_000.0, 4_500_000.0),
    (32719, 300_000.0, 6_300_000.0),
    (32736, 450_000.0, 9_500_000.0),
    (32755, 420_000.0, 6_100_000.0),
)
_COMPOSITIONS = tuple(dict(zip(ATTRIBUTES, values, strict=True)) for values in itertools.product(*ATTRIBUTES.values()))


def make(output: Path, *, groups: int | None, seed: int, workers: int, progress: Progress | None) -> None:
    """Makes the set: ``manifest.csv``, ``scenes/``, ``regions/`` and ``truth/``.

    Scenes are 640 x 640 pixels of 10 m, 12 bands, uint16 with scale and offset tags. Regions (GeoJSON in the scene's CRS) carry
    the class, the attributes scale, density and form, and ``composition``: of each class, one pair of scale and form stands in
    held-out scenes only (``unseen``).

    Args:
        output: An existing folder.
        groups: Number of scenes, at least 5; None for 60.
        seed: Everything follows from it, whatever the number of workers.
        workers: Processes.
        progress: Called with (done, total, text).

    Raises:
        UsageError: Fewer than 5 scenes were asked for.
    """
    count = SCENES if groups is None else groups
    if count < 5:
        raise UsageError(
            f"A starter set of {count} scenes was asked for.",
            "It needs 5 or more: some to train, one to choose, some held out.",
            "Ask for more, e.g. starter.groups=5.",
        )
    splits = _splits(count)
    plans = [_plan(position, split, seed) for position, split in enumerate(splits)]
    for name in ("scenes", "regions", "truth"):
        (output / name).mkdir(parents=True, exist_ok=True)
    spread(partial(make_scene, folder=output), plans, workers, "synthetic scenes", progress)
    with (output / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "split", "group", "regions"))
        for plan, split in zip(plans, splits, strict=True):
            writer.writerow((f"scenes/{plan.name}.tif", split, plan.name, f"regions/{plan.name}.geojson"))


def unseen(land_cover: str, attributes: dict[str, str]) -> bool:
    """Says whether a class with these attributes stands in held-out scenes only."""
    pairs = tuple(itertools.product(ATTRIBUTES["scale"], ATTRIBUTES["form"]))
    return pairs[list(PATTERNS).index(land_cover) % len(pairs)] == (attributes["scale"], attributes["form"])


def _splits(count: int) -> list[str]:
    held_out, val = max(1, round(0.4 * count)), max(1, round(0.1 * count))
    return ["train"] * (count - held_out - val) + ["val"] * val + ["held_out"] * held_out


def _plan(position: int, split: str, seed: int) -> ScenePlan:
    random = np.random.default_rng((seed, position, 1))
    epsg, east, north = _PLACES[position % len(_PLACES)]
    day = date(2023, 1, 1) + timedelta(days=int(random.integers(0, 730)))
    return ScenePlan(
        name=f"scene_{position:03d}",
        seed=(seed, position),
        epsg=epsg,
        origin=_origin(east, north, position // len(_PLACES), random),
        date=day.isoformat(),
        wedge=bool(random.random() < 0.3),
        cloudy=bool(random.random() < 0.4),
        overviews=position % 6 == 0,
        parcels=_parcels(split, random),
    )


def _origin(east: float, north: float, visit: int, random: np.random.Generator) -> tuple[float, float]:
    """A corner in a cell of its own: scenes that overlapped on the ground would be one group for any split."""
    side = 10 * SIDE_PX
    column, row = visit % _CELLS_PER_ROW, visit // _CELLS_PER_ROW
    shift = [10 * int(random.integers(0, 5000) % SIDE_PX) for _ in range(2)]
    return east + 2 * side * column + shift[0], north + 2 * side * row + shift[1]


def _parcels(split: str, random: np.random.Generator) -> tuple[tuple[str, dict[str, str]], ...]:
    """Draws the parcels of one scene: each class as often as any other, compositions by chance."""
    parcels = []
    for _ in range(10):
        for land_cover in random.permutation(list(PATTERNS)):
            allowed = [entry for entry in _COMPOSITIONS if split == "held_out" or not unseen(str(land_cover), entry)]
            attributes = allowed[int(random.integers(len(allowed)))]
            composition = "unseen" if unseen(str(land_cover), attributes) else "seen"
            parcels.append((str(land_cover), {**attributes, "composition": composition}))
    return tuple(parcels)
