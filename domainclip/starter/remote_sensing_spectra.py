"""Colours of synthetic scenes: materials, atmosphere, sensor, clouds; drawn so freely that they say nothing of the class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Plane = npt.NDArray[np.float32]

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
# Central wavelengths in nm and pixel sizes in m: ESA, Sentinel-2 MSI user guide.
WAVELENGTHS_NM = np.array([443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1610, 2190], np.float32)
NATIVE_M = (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 20, 20)
# Reflectances of the right order of magnitude, drawn by hand: no measurement.
MATERIALS = np.array(
    [
        [0.03, 0.03, 0.06, 0.03, 0.10, 0.30, 0.38, 0.40, 0.42, 0.42, 0.20, 0.09],  # green leaves
        [0.04, 0.05, 0.09, 0.06, 0.14, 0.24, 0.27, 0.30, 0.31, 0.31, 0.24, 0.14],  # grass
        [0.07, 0.09, 0.13, 0.18, 0.21, 0.24, 0.26, 0.29, 0.30, 0.31, 0.40, 0.31],  # straw
        [0.07, 0.08, 0.12, 0.16, 0.19, 0.21, 0.23, 0.25, 0.27, 0.28, 0.34, 0.28],  # soil
        [0.04, 0.04, 0.06, 0.08, 0.09, 0.10, 0.11, 0.12, 0.13, 0.13, 0.17, 0.14],  # wet soil
        [0.05, 0.05, 0.05, 0.03, 0.03, 0.02, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01],  # clear water
        [0.08, 0.10, 0.14, 0.15, 0.14, 0.09, 0.08, 0.07, 0.06, 0.04, 0.02, 0.02],  # turbid water
        [0.08, 0.09, 0.10, 0.11, 0.12, 0.12, 0.13, 0.13, 0.14, 0.14, 0.15, 0.14],  # asphalt
        [0.20, 0.24, 0.28, 0.32, 0.33, 0.34, 0.35, 0.36, 0.36, 0.36, 0.38, 0.35],  # concrete
        [0.08, 0.09, 0.12, 0.25, 0.28, 0.29, 0.31, 0.32, 0.33, 0.33, 0.36, 0.32],  # red tiles
        [0.40, 0.44, 0.46, 0.47, 0.47, 0.47, 0.47, 0.47, 0.47, 0.46, 0.40, 0.36],  # white roof
        [0.16, 0.20, 0.27, 0.34, 0.36, 0.38, 0.39, 0.41, 0.42, 0.42, 0.50, 0.45],  # sand
    ],
    np.float32,
)
CLOUD = np.array([0.75, 0.76, 0.76, 0.77, 0.78, 0.78, 0.78, 0.78, 0.78, 0.55, 0.50, 0.38], np.float32)


def parcel_spectra(random: np.random.Generator, layers: int) -> npt.NDArray[np.float32]:
    """Draws spectra for the ground and the layers upon it; any material may play any part.

    The contrast of the last layer with the ground is drawn first, and the spectrum moved along its difference to meet it, so
    that contrast tells as little of the class as colour does.

    Args:
        random: Source of chance.
        layers: Number of layers.

    Returns:
        (layers + 1, 12) reflectance, ground first.
    """
    parts = random.permutation(len(MATERIALS))[: layers + 1]
    others = random.integers(0, len(MATERIALS), layers + 1)
    share = random.uniform(0, 0.4, (layers + 1, 1))
    spectra = MATERIALS[parts] * (1 - share) + MATERIALS[others] * share
    tilt = (WAVELENGTHS_NM - 900) / 1300
    spectra = spectra * np.exp(random.normal(0, 0.25, (layers + 1, 1)) + random.normal(0, 0.25, (layers + 1, 1)) * tilt)
    ground = spectra[0]
    for layer in range(1, layers + 1):
        difference = spectra[layer] - ground
        found = float(np.abs(difference[[1, 2, 3, 7]]).mean())
        # Half of the contrast is plain brightness, up or down: few parcels suffice to learn that colour does not matter.
        brightness = np.sign(difference[[1, 2, 3, 7]].mean()) * ground / ground[[1, 2, 3, 7]].mean()
        wanted = float(np.exp(random.uniform(np.log(0.11), np.log(0.26))))
        # Further layers mostly differ from the ground in the other direction than the first, where there is room below it.
        first = np.sign((spectra[1] - ground)[[1, 2, 3, 7]].mean())
        other = layer > 1 and random.random() < 0.8 and np.sign(difference[[1, 2, 3, 7]].mean()) == first
        if other and (first < 0 or ground[[1, 2, 3, 7]].min() > 0.6 * wanted):
            difference, brightness = -difference, -brightness
        spectra[layer] = ground + wanted * (0.5 * difference / max(found, 0.02) + 0.5 * brightness)
    return np.clip(spectra, 0.005, 1.0).astype(np.float32)


def atmosphere(random: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Draws one scene's light: a gain (sun, season, sensor) and an offset (haze, more of it at short waves) per band.

    Returns:
        Two arrays (12,).
    """
    tilt = (WAVELENGTHS_NM - 900) / 1300
    gain = np.exp(random.normal(0, 0.2) + random.normal(0, 0.15) * tilt + random.normal(0, 0.05, len(BANDS)))
    haze = random.gamma(1.2, 0.02) * (490 / WAVELENGTHS_NM) ** 1.5
    return gain.astype(np.float32), haze.astype(np.float32)


def native_resolution(planes: Plane, noise: float, random: np.random.Generator) -> Plane:
    """Coarsens the 20 m and 60 m bands of (12, H, W) and adds the sensor's noise (reflectance); H and W are even."""
    for band, size_m in enumerate(NATIVE_M):
        if size_m == 20:
            height, width = planes.shape[1:]
            means = planes[band].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
            planes[band] = means.repeat(2, axis=0).repeat(2, axis=1)
        elif size_m == 60:
            planes[band] = gaussian_filter(planes[band], 2.2)
    planes += random.standard_normal(planes.shape, dtype=np.float32) * np.float32(noise)
    return planes


def clouds(random: np.random.Generator, height: int, width: int) -> tuple[Plane, Plane]:
    """Draws one to three clouds.

    Returns:
        Opacity and shadow, (height, width), 0..1.
    """
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    ragged = gaussian_filter(random.standard_normal((height, width), dtype=np.float32), 6)
    ragged /= ragged.std() + 1e-6
    field = np.full((height, width), -np.inf, np.float32)
    for _ in range(random.integers(1, 4)):
        radius = random.uniform(0.05, 0.11) * height
        row, column = random.uniform(0, height), random.uniform(0, width)
        field = np.maximum(field, 1 - np.hypot(rows - row, (columns - column) * random.uniform(0.6, 1)) / radius)
    opacity = np.clip((field + 0.25 * ragged) * 3, 0, 1).astype(np.float32)
    shift = random.integers(12, 28, 2)
    return opacity, (np.roll(opacity, tuple(shift), axis=(0, 1)) * (1 - opacity)).astype(np.float32)
