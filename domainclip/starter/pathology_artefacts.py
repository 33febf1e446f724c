"""Starter slides with what scanners and hands do to them: folds, areas out of focus, pen of four colours, and the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domainclip.spread_work import spread
from domainclip.starter.pathology_slide import (
    DRAWN_UM,
    SPACINGS_UM,
    Painted,
    Piece,
    add_noise,
    draw_ink,
    paint_pieces,
    through_light,
    write_slide,
    write_truth,
)
from domainclip.starter.pathology_stain import INKS, Map
from domainclip.starter.pathology_tissue import TISSUES

PLACES = 6
"""Places for pieces of tissue, two in a row; one of them stays empty glass."""
FOLD_WIDTH_UM = (20.0, 80.0)
FOLD_LENGTH_UM = (150.0, 450.0)
FOLDED_FROM_UM = (60.0, 300.0)
"""How far away the second layer of a fold was before."""
BLURRED_UM = (200.0, 400.0)
"""Diameter of an area out of focus."""
DEFOCUS_UM = (4.0, 12.0)
"""Radius of the disk of confusion; a Gaussian has half of it as its standard deviation, which is that of the disk."""
_SOFT_UM = 8.0

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ArtefactPlan:
    """All that is decided about a slide before it is drawn."""

    name: str
    pieces: tuple[Piece | None, ...]
    inks: tuple[str, ...]
    seed: tuple[int, int, int]


def make_artefact_slides(folder: Path, count: int, seed: int, workers: int = 1) -> list[str]:
    """Writes ``slides/<name>.tif`` and ``truth/<name>.npz`` (``tissue``, ``pen``, ``fold``, ``blurred``, bool; ``step_um``).

    Every slide has all three kinds of artefact, every ink is on every second slide, and tissues come up evenly. In the truth,
    ``tissue`` is what is left without any artefact, and pen lies over folds and blur.

    Args:
        folder: Where to; made where it is absent.
        count: Number of slides.
        seed: Everything follows from it, whatever the number of workers.
        workers: Processes; 1 draws in this one.

    Returns:
        The slides' names.
    """
    plans = _plans(count, seed)
    for name in ("slides", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    spread(partial(_make, folder=folder), plans, workers, "slides", None)
    return [plan.name for plan in plans]


def _plans(count: int, seed: int) -> list[ArtefactPlan]:
    rng = np.random.default_rng((seed, 2**31, 1))
    deck: list[str] = []
    inks = sorted(INKS)
    plans = []
    for number in range(count):
        pieces: list[Piece | None] = []
        for _ in range(PLACES - 1):
            deck = deck or rng.permutation(sorted(TISSUES)).tolist()
            pieces.append(Piece(deck.pop(), str(rng.choice(("sparse", "dense"))), str(rng.choice(("fine", "coarse"))), "seen"))
        pieces.insert(int(rng.integers(PLACES)), None)
        two = (inks[number % 4], inks[(number + 1) % 4])
        plans.append(ArtefactPlan(f"artefacts-{number:03d}", tuple(pieces), two, (seed, number, 1)))
    return plans


def _make(plan: ArtefactPlan, folder: Path) -> None:
    import cv2

    cv2.setNumThreads(1)
    rng = np.random.default_rng(plan.seed)
    painted = paint_pieces(rng, plan.pieces)
    fold = np.zeros_like(painted.tissue)
    for _ in range(int(rng.integers(2, 5))):
        fold |= _fold(rng, painted)
    image = through_light(rng, painted)
    blurred = np.zeros_like(painted.tissue)
    for _ in range(int(rng.integers(1, 3))):
        blurred |= _defocus(rng, image, painted.tissue)
    pen = np.zeros_like(painted.tissue)
    for ink in plan.inks:
        pen |= draw_ink(rng, image, painted.outlines, ink)
    add_noise(rng, image, painted.staining)
    write_slide(folder / "slides" / f"{plan.name}.tif", np.clip(image, 0, 255).astype(np.uint8), float(rng.choice(SPACINGS_UM)))
    stained = painted.tissue & (1 - pen)
    masks = {"tissue": stained & (1 - fold) & (1 - blurred), "pen": pen, "fold": fold & stained, "blurred": blurred & stained}
    write_truth(folder / "truth" / f"{plan.name}.npz", masks)


def _place(rng: np.random.Generator, tissue: Mask) -> tuple[int, int]:
    """A random point (row, column) of the tissue."""
    while True:
        row, column = (int(value) for value in rng.integers(0, len(tissue), 2))
        if tissue[row, column]:
            return row, column


def _fold(rng: np.random.Generator, painted: Painted) -> Mask:
    """Lays a second layer of the same piece, from elsewhere in it, over a bent band; returns where, 0 or 1."""
    import cv2

    density = painted.density
    while True:
        outline = painted.outlines[int(rng.integers(len(painted.outlines)))]
        tissue = np.zeros_like(painted.tissue)
        cv2.fillPoly(tissue, [np.round(outline).astype(np.int32)], 1)
        tissue &= painted.tissue
        line, ring = _band(rng, tissue)
        if _share(tissue, line) < 0.85:
            continue
        for _ in range(12):
            reach, angle = rng.uniform(*FOLDED_FROM_UM) / DRAWN_UM, rng.uniform(0, 2 * math.pi)
            away = np.array([reach * math.cos(angle), reach * math.sin(angle)])
            if _share(tissue, ring - away) < 0.97 or _share(tissue, line - away) < 1:
                continue  # by nothing but glass it would be no second layer
            band = np.zeros(tissue.shape, np.uint8)
            cv2.fillPoly(band, [np.round(ring * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
            band = cv2.GaussianBlur(band, (0, 0), 1.0 / DRAWN_UM)
            move = np.array([[1, 0, away[0]], [0, 1, away[1]]], np.float32)
            second = cv2.warpAffine(density, move, (tissue.shape[1], tissue.shape[0]), flags=cv2.INTER_LINEAR)
            density += second * (band.astype(np.float32) / 255)[..., None] * tissue[..., None]
            inside: Mask = ((band > 127) & (tissue > 0)).astype(np.uint8)
            return inside


def _share(tissue: Mask, points: npt.NDArray[np.float64]) -> float:
    """Share of points (n, 2) x, y that lie in tissue."""
    at = np.round(points).astype(int)
    within = (at >= 0).all(axis=1) & (at < len(tissue)).all(axis=1)
    at = at.clip(0, len(tissue) - 1)
    return float((tissue[at[:, 1], at[:, 0]] * within).mean())


def _band(rng: np.random.Generator, tissue: Mask) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A bent band of uneven width through a point of the tissue: its middle line and its outline, (n, 2) x, y."""
    row, column = _place(rng, tissue)
    length, width = rng.uniform(*FOLD_LENGTH_UM) / DRAWN_UM, rng.uniform(*FOLD_WIDTH_UM) / DRAWN_UM
    along = np.linspace(-0.5, 0.5, 48)
    angle = rng.uniform(0, 2 * math.pi) + rng.uniform(-0.9, 0.9) * along
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) * length / 48
    line = np.array([column, row]) + np.cumsum(steps, axis=0) - steps.sum(axis=0) / 2
    normal = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    half = 0.5 * width * (1 + 0.15 * np.cos(9 * along + rng.uniform(0, 6.3)))[:, None]
    return line, np.concatenate([line + normal * half, (line - normal * half)[::-1]])


def _defocus(rng: np.random.Generator, image: Map, tissue: Mask) -> Mask:
    """Puts a round, uneven area out of focus, in place; returns where it is so by more than half, in tissue, 0 or 1."""
    import cv2

    row, column = _place(rng, tissue)
    angle = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    waves = sum(rng.normal(0, 0.06) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4))
    reach = rng.uniform(*BLURRED_UM) / 2 / DRAWN_UM * np.clip(1 + waves, 0.8, 1.2)
    ring = np.stack([column + reach * np.cos(angle), row + reach * np.sin(angle)], axis=1)
    area = np.zeros(tissue.shape, np.uint8)
    cv2.fillPoly(area, [np.round(ring * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    share = cv2.GaussianBlur(area, (0, 0), _SOFT_UM / DRAWN_UM).astype(np.float32) / 255
    radius = rng.uniform(*DEFOCUS_UM) / DRAWN_UM
    if rng.random() < 0.5:
        whole = math.ceil(radius)
        y, x = np.mgrid[-whole : whole + 1, -whole : whole + 1]
        disk = (np.hypot(x, y) <= radius).astype(np.float32)
        soft = cv2.filter2D(image, -1, disk / disk.sum())
    else:
        soft = cv2.GaussianBlur(image, (0, 0), radius / 2)
    image += share[..., None] * (soft - image)
    where: Mask = ((share > 0.5) & (tissue > 0)).astype(np.uint8)
    return where
