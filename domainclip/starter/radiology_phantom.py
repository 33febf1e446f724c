"""Draws chest radiographs: anatomy of a made-up patient, one finding, and an exposure that gives nothing away. All synthetic.

Coordinates: x from -1 (image left) to 1 (image right), y from -1 (top) to 1 (bottom). As radiographs are hung, the patient's
left lies on the image's right, so the heart points to positive x. Thickness: larger absorbs more and is shown brighter.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
IMAGE_SIDE = {"left": 1.0, "right": -1.0}
WHITE = 4095
"""Largest stored number: 12 bits."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What stays the same over all radiographs of one patient; lengths in half image widths.

    Attributes:
        lung_width: Half width of a lung.
        lung_height: Half height of a lung.
        lung_x: Distance of a lung's centre from the midline.
        lung_y: Height of a lung's centre.
        dome_y: Height of the right diaphragm's top.
        dome_step: How much lower the left one stands.
        heart_ratio: Heart width over chest width, 0.40 to 0.48.
        heart_y: Height of the heart's centre.
        rib_step: Distance between ribs.
        rib_slope: Their fall from the spine outwards.
        rib_strength: How much they absorb.
        body_thickness: How much the soft tissue absorbs.
        texture_seed: Of vessels and soft tissue.
    """

    lung_width: float
    lung_height: float
    lung_x: float
    lung_y: float
    dome_y: float
    dome_step: float
    heart_ratio: float
    heart_y: float
    rib_step: float
    rib_slope: float
    rib_strength: float
    body_thickness: float
    texture_seed: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What a radiograph shows.

    Attributes:
        name: A value of the label ``finding``.
        side: ``left`` or ``right`` of the patient, "" where it has none.
        size: ``small`` or ``large``, "" where it has none.
    """

    name: str
    side: str = ""
    size: str = ""


def draw_anatomy(random: np.random.Generator) -> Anatomy:
    """Draws a patient."""
    u = random.uniform
    return Anatomy(
        lung_width=u(0.27, 0.32),
        lung_height=u(0.58, 0.70),
        lung_x=u(0.37, 0.41),
        lung_y=u(-0.10, 0.0),
        dome_y=u(0.34, 0.46),
        dome_step=u(0.02, 0.08),
        heart_ratio=u(0.40, 0.48),
        heart_y=u(0.17, 0.25),
        rib_step=u(0.13, 0.17),
        rib_slope=u(0.10, 0.30),
        rib_strength=u(0.08, 0.17),
        body_thickness=u(0.75, 1.05),
        texture_seed=int(random.integers(2**31)),
    )


def draw_radiograph(
    anatomy: Anatomy, finding: Finding, view: str, side_px: int, random: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """Draws one radiograph.

    Args:
        anatomy: Of the patient.
        finding: What it shows.
        view: ``PA``, or ``AP``, which magnifies the heart and lifts the diaphragm.
        side_px: Rows and columns.
        random: Draws position, exposure and noise of this examination.

    Returns:
        (side_px, side_px) uint16 in 0..4095, bright where much is absorbed (MONOCHROME2).
    """
    x, y = _grid(side_px, random)
    thickness = _Chest(anatomy, finding, view, x, y, random).draw()
    return _expose(thickness, x, y, random)


def _grid(side_px: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Returns chest coordinates of all pixels for a patient who stands turned, shifted, nearer or farther."""
    line = (np.arange(side_px, dtype=np.float32) + 0.5) / side_px * 2 - 1
    x, y = np.meshgrid(line, line)
    angle, scale_x, scale_y = random.uniform(-0.07, 0.07), random.uniform(0.90, 1.10), random.uniform(0.92, 1.08)
    shift_x, shift_y = random.uniform(-0.05, 0.05), random.uniform(-0.05, 0.05)
    turned_x = (np.cos(angle) * x + np.sin(angle) * y - shift_x) * scale_x
    turned_y = (-np.sin(angle) * x + np.cos(angle) * y - shift_y) * scale_y
    return turned_x.astype(np.float32), turned_y.astype(np.float32)


def smooth_noise(side_px: int, scale_px: float, random: np.random.Generator) -> Array:
    """Returns (side_px, side_px) Gaussian noise of mean 0 and spread 1, correlated over about ``scale_px`` pixels."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(random.standard_normal((side_px, side_px)).astype(np.float32), scale_px, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std(), dtype=np.float32)


def _inside(distance: Array, softness: float) -> Array:
    """Turns a signed distance (negative inside) into a soft mask 0..1."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(distance / softness, -30, 30))), dtype=np.float32)


def _ellipse(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float, power: float = 2.0) -> Array:
    """Returns a signed distance to a superellipse, about right near its border."""
    radius = (np.abs((x - cx) / rx) ** power + np.abs((y - cy) / ry) ** power) ** (1 / power)
    return np.asarray((radius - 1) * min(rx, ry), dtype=np.float32)


class _Chest:
    """One chest, drawn piece by piece on a grid."""

    def __init__(self, anatomy: Anatomy, finding: Finding, view: str, x: Array, y: Array, random: np.random.Generator) -> None:
        self.a, self.finding, self.x, self.y, self.random = anatomy, finding, x, y, random
        self.supine = view == "AP"
        self.side = IMAGE_SIDE.get(finding.side, 0.0)
        self.large = finding.size == "large"
        self.breath = random.uniform(-0.03, 0.03) - (0.05 if self.supine else 0.0)
        textures = np.random.default_rng(anatomy.texture_seed)
        self.vessels = smooth_noise(x.shape[0], 2.2, textures) + 0.7 * smooth_noise(x.shape[0], 4.5, textures)
        self.mottle = smooth_noise(x.shape[0], 9.0, textures)
        self.lungs = {side: self._lung(side) for side in (-1.0, 1.0)}

    def draw(self) -> Array:
        """Returns the thickness map."""
        lungs = np.maximum(self.lungs[-1.0], self.lungs[1.0])
        body = self._body()
        hilum = np.exp(-(((np.abs(self.x) - 0.14) / 0.20) ** 2) - ((self.y - 0.02) / 0.34) ** 2)
        air = lungs * (0.62 - 0.10 * hilum - 0.055 * np.clip(self.vessels, 0, 3) * (0.35 + hilum))
        thickness = body * (1.0 + 0.05 * self.mottle) - air
        thickness = self._add_finding_below_bones(thickness)
        thickness = np.maximum(thickness, self._heart() * (0.86 + 0.05 * self.mottle))
        thickness = thickness + self._bones(body)
        return np.asarray(self._add_hardware(thickness), dtype=np.float32)

    def _body(self) -> Array:
        trunk = _ellipse(self.x, self.y, 0.0, 0.35, 0.86, 1.25, 3.5)
        neck = _ellipse(self.x, self.y, 0.0, -1.0, 0.26, 0.45)
        return np.asarray(np.maximum(_inside(trunk, 0.02), _inside(neck, 0.04)) * self.a.body_thickness, dtype=np.float32)

    def _lung_distance(self, side: float, shrink: float = 1.0) -> Array:
        """Returns the signed distance to a lung's outer border; ``shrink`` pulls it towards the hilum."""
        a = self.a
        hilum_x, hilum_y = side * 0.16, 0.10
        x = hilum_x + (self.x - hilum_x) / shrink
        y = hilum_y + (self.y - hilum_y) / shrink
        across = np.abs(x - side * a.lung_x) / a.lung_width
        narrow = 1.0 - 0.22 * np.clip(-(y - a.lung_y) / a.lung_height, 0, 1)
        radius = ((across / narrow) ** 2.4 + np.abs((y - a.lung_y) / a.lung_height) ** 2.4) ** (1 / 2.4)
        return np.asarray((radius - 1) * a.lung_width * shrink, dtype=np.float32)

    def _dome(self, side: float) -> Array:
        """Returns the height of the diaphragm over each column."""
        top = self.a.dome_y + self.breath + (self.a.dome_step if side > 0 else 0.0)
        return np.asarray(
            top + 0.20 * np.clip(np.abs(self.x - side * (self.a.lung_x - 0.06)) / self.a.lung_width, 0, 1.3) ** 2.2,
            dtype=np.float32,
        )

    def _lung(self, side: float) -> Array:
        above_dome = _inside(self.y - self._dome(side), 0.012)
        return np.asarray(_inside(self._lung_distance(side), 0.014) * above_dome, dtype=np.float32)

    def _heart(self) -> Array:
        chest = 2 * (self.a.lung_x + self.a.lung_width)
        ratio = self.a.heart_ratio * (1.05 if self.supine else 1.0)
        if self.finding.name == "cardiomegaly":
            ratio = self.random.uniform(0.64, 0.74)
        half = ratio * chest / 2
        x = self.x - 0.22 * half - 0.02
        y = self.y - self.a.heart_y - self.breath
        tilted = y - 0.30 * x
        heart = _ellipse(x, tilted, 0.0, 0.0, half, 0.26 + 0.35 * max(0.0, half - 0.30))
        great = _ellipse(self.x, self.y, 0.015, -0.35, 0.105, 0.62, 4.0)
        knob = _ellipse(self.x, self.y, 0.09, -0.26, 0.075, 0.09)
        return np.asarray(_inside(np.minimum(np.minimum(heart, great), knob), 0.014), dtype=np.float32)

    def _bones(self, body: Array) -> Array:
        a = self.a
        spine = _inside(np.abs(self.x) - 0.065, 0.012) * (0.13 + 0.05 * np.cos(self.y * 2 * np.pi / 0.13))
        fall = np.abs(self.x)
        ribs = np.zeros_like(self.x)
        for k in range(9):
            center = -0.78 + k * a.rib_step + a.rib_slope * fall**1.5 + 0.35 * np.clip(fall - 0.45, 0, 1) ** 1.5 - 0.06 * (1 - fall)
            ribs = np.maximum(ribs, _inside(np.abs(self.y - center) - 0.021, 0.008))
        cage = _inside(_ellipse(self.x, self.y, 0.0, -0.02, a.lung_x + a.lung_width + 0.05, 0.86, 2.6), 0.02)
        line = self.y + 0.66 - 0.16 * fall + 0.05 * np.sin(fall * 6)
        clavicles = _inside(np.abs(line) - 0.026, 0.008) * _inside(np.abs(fall - 0.40) - 0.32, 0.02)
        return np.asarray(
            (spine + ribs * cage * a.rib_strength + clavicles * a.rib_strength * 1.3) * (body > 0.2), dtype=np.float32
        )

    def _add_finding_below_bones(self, thickness: Array) -> Array:
        name = self.finding.name
        if name == "pleural_effusion":
            return self._effusion(thickness)
        if name == "pneumothorax":
            return self._pneumothorax(thickness)
        if name == "consolidation":
            return self._consolidation(thickness)
        if name == "lung_nodule":
            return self._nodule(thickness)
        return thickness

    def _effusion(self, thickness: Array) -> Array:
        """Fluid with a meniscus that climbs along the chest wall."""
        outward = self.side * self.x
        edge = self.a.lung_x + self.a.lung_width
        height = self.random.uniform(0.54, 0.68) if self.large else self.random.uniform(0.30, 0.37)
        level = self.a.dome_y + self.breath + 0.10 - height - 0.55 * height * np.clip((outward - 0.30) / (edge - 0.30), 0, 1.2) ** 2
        pleura = _inside(self._lung_distance(self.side) - 0.035, 0.010) * (outward > 0)
        fluid = pleura * _inside(level - self.y, 0.014) * _inside(self.y - 0.85, 0.05)
        return np.asarray(np.maximum(thickness, fluid * self.a.body_thickness * self.random.uniform(0.88, 1.0)), dtype=np.float32)

    def _pneumothorax(self, thickness: Array) -> Array:
        """Air without vessels outside a thin pleural line; the lung shrinks towards its hilum and grows denser."""
        shrink = self.random.uniform(0.38, 0.48) if self.large else self.random.uniform(0.58, 0.66)
        lung = self.lungs[self.side]
        distance = self._lung_distance(self.side, shrink)
        collapsed = _inside(distance, 0.010)
        empty = lung * (1 - collapsed)
        line = lung * _inside(np.abs(distance) - 0.008, 0.004)
        black = self.a.body_thickness - 0.66
        thickness = thickness * (1 - empty) + np.minimum(thickness, black) * empty
        return np.asarray(thickness + lung * collapsed * (0.26 if self.large else 0.16) + 0.30 * line, dtype=np.float32)

    def _place(self, inset: float) -> tuple[float, float]:
        """Draws a point inside the lung of the finding's side, away from its border and from the heart that would hide it."""
        a = self.a
        for _ in range(50):
            cx = self.side * (a.lung_x + self.random.uniform(-0.6, 0.6) * a.lung_width)
            cy = self.random.uniform(a.lung_y - 0.75 * a.lung_height, a.dome_y + self.breath - inset * 0.8)
            beside_heart = self.side < 0 or cy + inset < a.heart_y - 0.22 or cx - inset * 0.8 > 0.30
            if beside_heart and abs(cx) > 0.20 + inset * 0.5 and abs(cx) + inset * 0.6 < a.lung_x + a.lung_width:
                return cx, cy
        return self.side * a.lung_x, a.lung_y - 0.35 * a.lung_height

    def _consolidation(self, thickness: Array) -> Array:
        """A patchy, ill-defined cloud of filled airspace, streaked by air-filled bronchi."""
        radius = self.random.uniform(0.31, 0.36) if self.large else self.random.uniform(0.22, 0.26)
        cx, cy = self._place(radius)
        cloud = smooth_noise(self.x.shape[0], 4.0, self.random)
        distance = np.hypot(self.x - cx, (self.y - cy) * 0.85) - radius * (1 + 0.22 * cloud)
        filled = _inside(distance, 0.035) * (0.80 + 0.20 * np.tanh(2 * smooth_noise(self.x.shape[0], 1.8, self.random)))
        return np.asarray(
            thickness + self.lungs[self.side] * np.clip(filled, 0, 1) * self.random.uniform(0.60, 0.72), dtype=np.float32
        )

    def _nodule(self, thickness: Array) -> Array:
        """A round, well-defined ball."""
        radius = self.random.uniform(0.145, 0.170) if self.large else self.random.uniform(0.095, 0.110)
        cx, cy = self._place(radius)
        distance = np.hypot(self.x - cx, self.y - cy)
        ball = np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1)) * 0.5 + 0.5 * _inside(distance - radius, 0.006)
        return np.asarray(thickness + ball * self.random.uniform(0.60, 0.75), dtype=np.float32)

    def _add_hardware(self, thickness: Array) -> Array:
        """Adds a pacemaker where it is the finding, and wires on the skin that mean nothing on a third of all radiographs."""
        if self.random.random() < 0.35:
            phase, height, slope = self.random.uniform(0, 6), self.random.uniform(-0.6, 0.7), self.random.uniform(-0.7, 0.7)
            path = self.y - height - slope * self.x - 0.08 * np.sin(5 * self.x + phase)
            thickness = thickness + 0.22 * _inside(np.abs(path) - 0.008, 0.005)
        if self.finding.name == "pacemaker":
            cx, cy = self.side * self.random.uniform(0.42, 0.60), self.random.uniform(-0.56, -0.44)
            case = _inside(
                _ellipse(self.x, self.y, cx, cy, self.random.uniform(0.095, 0.125), self.random.uniform(0.10, 0.13), 3.2), 0.008
            )
            thickness = np.maximum(thickness, case * 1.75)
            thickness = np.maximum(thickness, 1.5 * self._lead(cx, cy))
        return np.asarray(thickness, dtype=np.float32)

    def _lead(self, cx: float, cy: float) -> Array:
        """A wire from the case over the great veins into the heart."""
        t = np.linspace(0, 1, 40)[:, None]
        points = np.array([(cx, cy), (cx * 0.5, cy - 0.20), (-0.10, -0.40), (-0.12, 0.15), (0.16, self.a.heart_y + 0.12)])
        weights = [1, 4, 6, 4, 1]
        curve: Any = sum(w * (1 - t) ** (4 - i) * t**i * points[i] for i, w in enumerate(weights))
        distance = np.full_like(self.x, 9.0)
        for (x0, y0), (x1, y1) in itertools.pairwise(curve):
            dx, dy = x1 - x0, y1 - y0
            along = np.clip(((self.x - x0) * dx + (self.y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
            distance = np.minimum(distance, np.hypot(self.x - x0 - along * dx, self.y - y0 - along * dy))
        return _inside(distance - 0.013, 0.005)


def _expose(thickness: Array, x: Array, y: Array, random: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Turns thickness into 12-bit numbers by an exposure drawn wide: grey-level statistics follow it, not the finding."""
    from scipy.ndimage import gaussian_filter

    side_px = thickness.shape[0]
    blurred = gaussian_filter(thickness, random.uniform(0.3, 1.1))
    scatter = gaussian_filter(thickness, side_px * 0.09) * random.uniform(0.0, 0.25)
    uneven = random.uniform(-0.15, 0.15) * x + random.uniform(-0.15, 0.15) * y
    signal = blurred + scatter + uneven
    low, high = np.percentile(signal, (1, 99))
    unit = np.clip((signal - low) / (high - low) * random.uniform(0.75, 1.0) + random.uniform(0.0, 0.15), 0.0, None)
    toned = unit ** float(np.exp(random.normal(0, 0.22))) * random.uniform(0.55, 0.95) + random.uniform(0.0, 0.12)
    toned = toned + smooth_noise(side_px, random.uniform(0.4, 0.9), random) * random.uniform(0.004, 0.016)
    if random.random() < 0.5:
        left, right, top, bottom = (random.uniform(0.86, 1.05) for _ in range(4))
        line = (np.arange(side_px) + 0.5) / side_px * 2 - 1
        open_x, open_y = (line > -left) & (line < right), (line > -top) & (line < bottom)
        toned = np.where(open_y[:, None] & open_x[None, :], toned, random.choice((0.0, 1.0)))
    return np.asarray(np.rint(np.clip(toned, 0, 1) * WHITE), dtype=np.uint16)
