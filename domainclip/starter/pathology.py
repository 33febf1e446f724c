"""The pathology starter set: pyramidal TIFF slides with synthetic tissue, annotated regions and held-out compositions."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np

from domainclip.errors import UsageError
from domainclip.spread_work import spread
from domainclip.starter import Progress
from domainclip.starter.pathology_slide import Piece, SlidePlan, make_slide
from domainclip.starter.pathology_tissue import TISSUES

DEFAULT_SLIDES = 64
PIECES = 6
HELD_OUT_SHARE, VAL_SHARE = 0.4, 0.09
UNSEEN = frozenset({("gland", "sparse"), ("muscle", "dense"), ("squamous", "sparse"), ("cartilage", "dense")})
"""(tissue, density) that occur on held-out slides only."""


def make(output: Path, *, groups: int | None, seed: int, workers: int, progress: Progress | None) -> None:
    """Writes the set: slides, annotations, truth and ``manifest.csv`` (path, group, split, regions).

    Args:
        output: An empty folder.
        groups: Number of slides, at least 3; None for 64 (26 held out, 6 val).
        seed: Everything follows from it, whatever the number of workers.
        workers: Processes; 1 draws in this one.
        progress: Called with (done, total, text).

    Raises:
        UsageError: Fewer than 3 slides.
    """
    count = DEFAULT_SLIDES if groups is None else groups
    if count < 3:
        raise UsageError(
            f"A starter set of {count} slides was asked for.", "Its three splits need 3 or more.", "Ask for 3 or more groups."
        )
    plans = plan_slides(count, seed)
    for folder in ("slides", "annotations", "truth"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    spread(partial(make_slide, folder=output), plans, workers, "slides", progress)
    with (output / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "group", "split", "regions"))
        table.writerows((f"slides/{p.name}.tif", p.name, p.split, f"annotations/{p.name}.geojson") for p in plans)


def plan_slides(count: int, seed: int) -> list[SlidePlan]:
    """Deals tissues and attributes out to slides: evenly, and unseen compositions to held-out slides only, one on each."""
    rng = np.random.default_rng((seed, 2**31))
    held_out, val = max(1, round(HELD_OUT_SHARE * count)), max(1, round(VAL_SHARE * count))
    splits = ["train"] * (count - held_out - val) + ["val"] * val + ["held_out"] * held_out
    decks: dict[str, list[tuple[str, str, str]]] = {split: [] for split in (*splits, "unseen")}
    plans = []
    for number, split in enumerate(splits):
        pieces = [_dealt(rng, decks[split], split != "unseen") for _ in range(PIECES - (split == "held_out"))]
        if split == "held_out":
            pieces.append(_dealt(rng, decks["unseen"], False))
        order = rng.permutation(len(pieces))
        plans.append(SlidePlan(f"slide-{number:03d}", split, tuple(pieces[i] for i in order), (seed, number)))
    return plans


def _dealt(rng: np.random.Generator, deck: list[tuple[str, str, str]], seen: bool) -> Piece:
    """Takes the next card of a deck, shuffled anew when empty; every tissue comes up equally often."""
    if not deck:
        for _ in range(4):
            names = sorted(TISSUES) if seen else sorted(tissue for tissue, _ in UNSEEN)
            for tissue in rng.permutation(names).tolist():
                densities = [d for d in ("sparse", "dense") if ((tissue, d) not in UNSEEN) == seen]
                deck.append((tissue, str(rng.choice(densities)), str(rng.choice(("fine", "coarse")))))
    tissue, density, texture = deck.pop(0)
    return Piece(tissue, density, texture, "seen" if seen else "unseen")
