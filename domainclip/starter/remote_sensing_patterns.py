"""Draws the structure of land cover: where each material lies, in coverages of 0..1, without any colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

Plane = npt.NDArray[np.float32]
Draw = Callable[["Ground"], list[Plane]]

ATTRIBUTES = {"scale": ("fine", "coarse"), "density": ("sparse", "dense"), "form": ("straight", "curved")}


class Ground:
    """Coordinates of one parcel, turned by a random angle, and bent where its form is curved.

    Args:
        height: Rows in pixels.
        width: Columns in pixels.
        attributes: Values of scale, density and form.
        random: Source of all chance.
        bend: Bend the coordinates where the form is curved.

    Attributes:
        u: (height, width) pixels across the main direction.
        v: (height, width) pixels along it.
        fine: The scale is fine.
        dense: The density is dense.
        curved: The form is curved.
    """

    def __init__(self, height: int, width: int, attributes: Mapping[str, str], random: np.random.Generator, *, bend: bool) -> None:
        self.random = random
        self.fine, self.dense = attributes["scale"] == "fine", attributes["density"] == "dense"
        self.curved = attributes["form"] == "curved"
        angle = random.uniform(0, np.pi)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        self.u = (columns * np.cos(angle) + rows * np.sin(angle)).astype(np.float32)
        self.v = (rows * np.cos(angle) - columns * np.sin(angle)).astype(np.float32)
        if self.curved and bend:
            length = random.uniform(44, 62)
            self.u = self.u + (random.uniform(6, 8) * np.sin(2 * np.pi * (self.v / length + random.uniform()))).astype(np.float32)
        self.u += np.float32(random.uniform(0, 100))
        self.v += np.float32(random.uniform(0, 100))

    def pick(self, fine: tuple[float, float], coarse: tuple[float, float]) -> float:
        """Draws a length that depends on the scale."""
        return float(self.random.uniform(*(fine if self.fine else coarse)))

    def amount(self, sparse: tuple[float, float], dense: tuple[float, float]) -> float:
        """Draws an amount that depends on the density."""
        return float(self.random.uniform(*(dense if self.dense else sparse)))

    def noise(self, sigma: float) -> Plane:
        """Returns smooth noise of mean 0 and spread 1; ``sigma`` in pixels."""
        field = gaussian_filter(self.random.standard_normal(self.u.shape, dtype=np.float32), sigma, mode="wrap")
        scaled: Plane = ((field - field.mean()) / (field.std() + 1e-6)).astype(np.float32)
        return scaled

    def cells(self, period_u: float, period_v: float) -> tuple[Plane, Plane, Callable[[], Plane]]:
        """Divides the ground into a lattice.

        Returns:
            Distances in pixels from the middle of the own cell, across and along, and a function that draws one number of 0..1
            per cell.
        """
        i, j = np.floor(self.u / period_u), np.floor(self.v / period_v)
        across = self.u - (i + 0.5) * period_u
        along = self.v - (j + 0.5) * period_v
        rows, columns = i.astype(np.int64) % 97, j.astype(np.int64) % 97
        return across, along, lambda: self.random.random((97, 97), dtype=np.float32)[rows, columns]


def soft(inside: npt.NDArray[np.floating]) -> Plane:
    """Turns signed distances in pixels (positive inside) into coverages with edges one pixel wide."""
    cover: Plane = np.clip(inside + 0.5, 0, 1).astype(np.float32)
    return cover


def annual_crop(ground: Ground) -> list[Plane]:
    """Parallel rows."""
    period = ground.pick((4.2, 5.5), (8, 11))
    across, _, _ = ground.cells(period, 50)
    return [soft(period * ground.amount((0.15, 0.2), (0.3, 0.38)) - np.abs(across))]


def orchard(ground: Ground) -> list[Plane]:
    """Single crowns on a lattice."""
    period = ground.pick((6, 7.5), (10, 13))
    across, along, value = ground.cells(period, period * ground.random.uniform(0.9, 1.1))
    radius = period * ground.amount((0.24, 0.3), (0.4, 0.47))
    return [soft(radius - np.hypot(across, along)) * (value() < 0.96)]


def forest(ground: Ground) -> list[Plane]:
    """Crowns scattered at random, each with a lit side, and glades with round or angular outlines."""
    radius = ground.pick((2.3, 2.7), (4.2, 5.0))
    height, width = ground.u.shape
    margin = 2 * radius
    count = int(ground.amount((0.8, 1.0), (1.8, 2.2)) * (height + 2 * margin) * (width + 2 * margin) / (np.pi * radius**2))
    points = ground.random.uniform((-margin, -margin), (height + margin, width + margin), (count, 2))
    rows, columns = np.mgrid[0:height, 0:width]
    here = np.column_stack([rows.ravel(), columns.ravel()])
    distance, nearest = cKDTree(points).query(here)
    offset = (here - points[nearest]).reshape(height, width, 2)
    own = ground.random.uniform(0.75, 1.15, count)[nearest].reshape(height, width) * radius
    crowns = soft(own - distance.reshape(height, width))
    lit = soft(own * 0.55 - np.hypot(offset[..., 0] + 0.3 * radius, offset[..., 1] + 0.3 * radius))
    glades = _angular(ground, 13, 0.15) if not ground.curved else soft((ground.noise(6) - 1.1) * 8)
    return [crowns * (1 - glades), crowns * lit * (1 - glades) * 0.8]


def residential(ground: Ground) -> list[Plane]:
    """A net of streets around small blocks of small houses."""
    block = ground.pick((17, 20), (27, 31))
    deep = block * ground.random.uniform(1.0, 1.5)
    across, along, _ = ground.cells(block, deep)
    streets = np.maximum(soft(np.abs(across) - block / 2 + 1.8), soft(np.abs(along) - deep / 2 + 1.8))
    pitch = ground.amount((8.5, 9.5), (5.8, 6.4))
    house_across, house_along, value = ground.cells(block / round(block / pitch), deep / round(deep / pitch))
    present = value() < 0.94
    house = soft(1.7 - np.maximum(np.abs(house_across), np.abs(house_along))) * present * (1 - streets)
    return [house, streets]


def industrial(ground: Ground) -> list[Plane]:
    """Rows of large halls with striped (shed) roofs of two kinds and shadows; curved rows follow a bent railway."""
    period = ground.pick((15, 18), (23, 26))
    across, along, value = ground.cells(period, period * ground.random.uniform(1.0, 1.4))
    present = value() < ground.amount((0.7, 0.78), (0.95, 1.0))
    half_u, half_v = period * (0.34 + 0.08 * value()), period * (0.34 + 0.08 * value())
    hall = soft(np.minimum(half_u - np.abs(across), half_v - np.abs(along))) * present
    shadow = soft(np.minimum(half_u - np.abs(across - 1.7), half_v - np.abs(along - 1.7))) * present
    kind = value() < 0.4
    # Dark valleys between the sheds show the ground's colour, so that they are seen wherever the hall is.
    valleys = soft(np.cos(2 * np.pi * along / ground.random.uniform(4.4, 5.2)) * 1.8 - 0.6)
    hall *= 1 - 0.9 * valleys
    return [shadow * (1 - hall), hall * kind, hall * ~kind]


def river(ground: Ground) -> list[Plane]:
    """Broad channels with wet banks; winding ones change their width and have islands, straight ones are canals."""
    spacing = ground.amount((46, 52), (27, 31))
    across, _, _ = ground.cells(spacing, 1000)
    half: float | Plane = ground.pick((2.2, 2.8), (4.2, 5.2))
    islands = np.zeros_like(across)
    if ground.curved:
        across = across + ground.noise(9) * 1.5
        half = half * (1 + 0.25 * ground.noise(7))
        islands = soft((ground.noise(1.6) - 2.0) * 3)
    banks = 0.4 * soft(half + ground.random.uniform(1.5, 2.5) - np.abs(across))
    return [np.maximum(banks, soft(half - np.abs(across)) * (1 - islands))]


def ponds(ground: Ground) -> list[Plane]:
    """Many still waters, round or angular, each with a shore."""
    share = ground.amount((0.17, 0.22), (0.36, 0.45))
    if ground.curved:
        sigma = ground.pick((2.8, 3.2), (4.2, 5.0))
        field = ground.noise(sigma)
        depth = (field - float(np.quantile(field, 1 - share))) * sigma * 1.3
        return [soft(depth + 1.2), soft(depth)]
    water = _angular(ground, ground.pick((8, 9.5), (13, 15)), share)
    return [soft((gaussian_filter(water, 1.2) - 0.15) * 4), water]


def highway(ground: Ground) -> list[Plane]:
    """Pairs of narrow carriageways with a median and cars."""
    spacing = ground.amount((44, 50), (25, 29))
    across, _, _ = ground.cells(spacing, 1000)
    half, gap = ground.pick((0.9, 1.1), (1.7, 2.1)), ground.random.uniform(1.4, 1.9)
    lanes = soft(half - np.abs(np.abs(across) - half - gap))
    _, car_along, value = ground.cells(spacing / 2, 2.5)
    cars = lanes * (value() < 0.14) * soft(0.9 - np.abs(car_along))
    return [lanes, cars]


def _angular(ground: Ground, size: float, share: float) -> Plane:
    """Returns coverages of irregular polygons: a share of the cells of a Voronoi diagram of points about ``size`` apart."""
    height, width = ground.u.shape
    count = max(4, int((height + 2 * size) * (width + 2 * size) / size**2))
    points = ground.random.uniform((-size, -size), (height + size, width + size), (count, 2))
    chosen = ground.random.random(count) < share
    rows, columns = np.mgrid[0:height, 0:width]
    nearest = cKDTree(points).query(np.column_stack([rows.ravel(), columns.ravel()]))[1]
    cover: Plane = gaussian_filter(chosen[nearest].reshape(height, width).astype(np.float32), 0.4)
    return cover


BENT = frozenset({"annual_crop", "orchard", "residential", "industrial", "river", "highway"})
"""Classes whose lines follow bent coordinates; the others are curved by their outlines."""

PATTERNS: dict[str, Draw] = {
    "annual_crop": annual_crop,
    "orchard": orchard,
    "forest": forest,
    "residential": residential,
    "industrial": industrial,
    "river": river,
    "ponds": ponds,
    "highway": highway,
}
