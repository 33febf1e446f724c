"""Stain normalisation after Macenko and Reinhard, fitted for a whole slide; augmentation is in ``stain_augment``.

Own code, because no library in reach held up on images mixed from known stains (about Ruifrok's, a tenth of them glass).
albumentations 2.0.8 misses them by 8 to 23 degrees (Macenko: it takes columns where cv2.eigen gives rows) and by 39 to 51
(Vahadane: H and E change places), and its HEStain switches on at one luminosity, which draws edges, or turns glass by up to 64
of 255. MONAI 1.6 misses them by 32 to 45 degrees. This module: under 2. None of them has a fit for a slide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.stain_space import (
    RGB,
    Float,
    checked_rgb,
    lab_from_rgb,
    mean_density,
    optical_density,
    rgb_from_density,
    rgb_from_lab,
    tissue_changed,
)
from domainclip.errors import UnreadableFileError, UsageError, unknown_name

Triple = tuple[float, float, float]
State = TypeVar("State", "MacenkoStains", "ReinhardColours")

TISSUE_DENSITY = 0.15
"""Mean optical density of red, green and blue from which a pixel counts for a fit: Macenko's beta, on the mean. Asking it of every
channel (torchstain, MONAI) drops pure eosin, which lets red through: up to 5 degrees off on mixed images."""
MIN_TISSUE_PIXELS = 1024
"""A fit wants so many tissue pixels: its percentiles then rest on ten."""
MIN_STAIN_ANGLE = 5.0
"""Degrees between haematoxylin and eosin; stains closer than that are one stain, or none, and their amounts are noise."""
MIN_LAB_STD = 0.5


@dataclass(frozen=True, slots=True)
class MacenkoStains:
    """The stains of an image: unit optical densities of red, green and blue, and how much of each its darkest pixels hold.

    Attributes:
        haematoxylin: Direction, of length 1.
        eosin: Direction, of length 1.
        strongest: 99th percentile of the amounts of haematoxylin and eosin, natural optical density.
    """

    haematoxylin: Triple
    eosin: Triple
    strongest: tuple[float, float]

    def matrix(self) -> npt.NDArray[np.float64]:
        """Returns (3, 2), a stain a column."""
        return np.array([self.haematoxylin, self.eosin], np.float64).T


@dataclass(frozen=True, slots=True)
class ReinhardColours:
    """Mean and standard deviation of tissue pixels in CIELAB (D65): L in 0..100, a and b about -100..100."""

    mean: Triple
    std: Triple


MACENKO_TARGET = MacenkoStains((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581), (1.9705, 1.0308))
"""HERef and maxCRef of github.com/mitkovetta/staining-normalization (normalizeStaining.m), torchstain's too. A pale reference whose
stains are 22 degrees apart: vivid slides turn greyish. Fit a slide of your own for other colours."""
REINHARD_TARGET = ReinhardColours((46.767, 29.119, -12.674), (17.713, 11.387, 8.133))
"""Measured by ``fit`` on OpenSlide's test slide CMU-1-Small-Region.svs, level 0 halved (1.0 um/px); a test measures it again."""


class StainNormalizer(ABC, Generic[State]):
    """What the two methods share. Values are uint8 sRGB, (H, W, 3), in and out.

    The source's stains come from ``fit_source``, for the whole slide; without it each image is fitted for itself, which makes
    neighbouring tiles jump in colour. An image counts pixels, not places: tiles may be laid side by side for a fit.

    **Fit at the scale of the tiles**, on 64 of them or more, not on a thumbnail: averaging light is not linear in density. On
    CMU-1-Small-Region (0.5 um/px) a fit at 8 um/px turns both stains by 12 degrees towards each other and finds half the amount
    (1.6 instead of 3.2), so that tiles come out twice as dense; at 1 um/px it is 3 and 6 degrees and a fifth. A fit on 8 of its
    153 to 613 tiles is off by up to 13 degrees, on 32 or 64 by up to 4.3.

    Not for immunohistochemistry or single stains: the model is haematoxylin and eosin. Picklable, so that it travels to worker
    processes; for files use ``to_dict``.

    Attributes:
        target_: What images are brought to.
        source_: The slide's own, or None.
    """

    method: str

    def __init__(self, target: State) -> None:
        self.target_: State = target
        self.source_: State | None = None

    def fit(self, image: RGB) -> Self:
        """Takes the target from a reference image.

        Args:
            image: (H, W, 3) uint8 sRGB.

        Raises:
            UnreadableFileError: Under 1024 pixels of tissue (mean optical density 0.15 or more), or not two stains.
            UsageError: Not uint8 RGB.
        """
        self.target_ = self._measured(checked_rgb(image))
        return self

    def fit_source(self, image: RGB) -> Self:
        """Takes the source from a sample of a slide's tissue at the scale of its tiles; arguments and errors as in ``fit``."""
        self.source_ = self._measured(checked_rgb(image))
        return self

    def transform(self, image: RGB) -> RGB:
        """Brings an image to the target; glass stays as it is, and amounts beyond the range of uint8 are clipped to it.

        Args:
            image: (H, W, 3) uint8 sRGB; with a source fitted, any amount of tissue, none included.

        Raises:
            UnreadableFileError: No source was fitted, and the image itself cannot be (see ``fit``).
            UsageError: Not uint8 RGB.
        """
        source = self.source_ if self.source_ is not None else self._measured(checked_rgb(image))
        return tissue_changed(checked_rgb(image), lambda block, density: self._moved(block, density, source))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain numbers and names for JSON: ``method``, ``target``, ``source`` (or None)."""
        source = None if self.source_ is None else asdict(self.source_)
        return {"method": self.method, "target": asdict(self.target_), "source": source}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """Restores what ``to_dict`` gave.

        Raises:
            UsageError: It is of another method, or incomplete.
        """
        try:
            if facts["method"] != cls.method:
                raise ValueError(f"method is {str(facts['method'])[:40]!r}")
            made = cls(cls._restored(facts["target"]))
            made.source_ = None if facts["source"] is None else cls._restored(facts["source"])
        except (KeyError, TypeError, ValueError) as error:
            found = f"{type(error).__name__}: {error}"
            raise UsageError(f"A {cls.method} normaliser was to be restored.", found, "Pass what its to_dict returned.") from error
        return made

    @classmethod
    @abstractmethod
    def _restored(cls, facts: Mapping[str, Any]) -> State: ...

    @abstractmethod
    def _measured(self, image: RGB) -> State: ...

    @abstractmethod
    def _moved(self, image: RGB, density: Float, source: State) -> Float:
        """Returns (H, W, 3) in 0..255, not clipped."""


class MacenkoNormalizer(StainNormalizer[MacenkoStains]):
    """Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.

    Stains are the 1st and 99th percentile of the angles in the plane of the two largest principal components of density. What no
    mixture of the two can make gets the nearest amounts by least squares, those below 0 taken as 0: scaled up, negative eosin
    turns dark nuclei white and red (torchstain and MONAI let it).

    Args:
        target: Stains to bring images to; by default the published reference.
    """

    method = "macenko"

    def __init__(self, target: MacenkoStains = MACENKO_TARGET) -> None:
        super().__init__(target)

    @classmethod
    def _restored(cls, facts: Mapping[str, Any]) -> MacenkoStains:
        haematoxylin, eosin = (_triple(_numbers(facts[name], 3)) for name in ("haematoxylin", "eosin"))
        strongest = _numbers(facts["strongest"], 2)
        return MacenkoStains(haematoxylin, eosin, (float(strongest[0]), float(strongest[1])))

    def _measured(self, image: RGB) -> MacenkoStains:
        density = optical_density(image)
        tissue = density[_is_tissue(density)].astype(np.float64)
        plane = np.linalg.eigh(np.cov(tissue.T))[1][:, [2, 1]]
        plane *= np.where(plane.sum(axis=0) < 0, -1.0, 1.0)  # signs are arbitrary, and angles must not wrap round
        angles = np.arctan2(tissue @ plane[:, 1], tissue @ plane[:, 0])
        first, second = (plane @ (np.cos(angle), np.sin(angle)) for angle in np.percentile(angles, (1, 99)))
        between = float(np.degrees(np.arccos(np.clip(first @ second, -1.0, 1.0))))
        if between < MIN_STAIN_ANGLE:
            found = f"Its tissue shows one stain: the two directions found are {between:.1f} degrees apart."
            raise _no_fit(found, "Check that it is stained with haematoxylin and eosin, or leave its colours as they are.")
        if first[0] < second[0]:  # haematoxylin is the one that takes red
            first, second = second, first
        amounts = tissue @ np.linalg.pinv(np.stack([first, second], axis=1)).T
        strongest = np.percentile(amounts, 99, axis=0)
        return MacenkoStains(_triple(first), _triple(second), (float(strongest[0]), float(strongest[1])))

    def _moved(self, image: RGB, density: Float, source: MacenkoStains) -> Float:
        scale = np.divide(self.target_.strongest, source.strongest)
        amounts = density @ np.linalg.pinv(source.matrix()).T.astype(np.float32)
        np.maximum(amounts, 0, out=amounts)
        return rgb_from_density(amounts @ (self.target_.matrix() * scale).T.astype(np.float32))


class ReinhardNormalizer(StainNormalizer[ReinhardColours]):
    """Reinhard et al., "Color transfer between images", IEEE CG&A 2001, in CIELAB and over tissue pixels only.

    It keeps no stains apart; it holds where Macenko's model does not (other stains), if the target is fitted to such a slide.

    Args:
        target: Colours to bring images to; by default those of OpenSlide's CMU-1-Small-Region.
    """

    method = "reinhard"

    def __init__(self, target: ReinhardColours = REINHARD_TARGET) -> None:
        super().__init__(target)

    @classmethod
    def _restored(cls, facts: Mapping[str, Any]) -> ReinhardColours:
        return ReinhardColours(_triple(_numbers(facts["mean"], 3)), _triple(_numbers(facts["std"], 3)))

    def _measured(self, image: RGB) -> ReinhardColours:
        lab = lab_from_rgb(image[_is_tissue(optical_density(image))]).astype(np.float64)
        std = lab.std(axis=0)
        if std.min() < MIN_LAB_STD:
            found = f"Its tissue has hardly more than one colour (standard deviations in LAB from {std.min():.2f})."
            raise _no_fit(found, "Check that it shows stained tissue, or leave its colours as they are.")
        return ReinhardColours(_triple(lab.mean(axis=0)), _triple(std))

    def _moved(self, image: RGB, density: Float, source: ReinhardColours) -> Float:
        return rgb_from_lab(self._lab(image, source))

    def _lab(self, image: RGB, source: ReinhardColours) -> Float:
        gain = np.divide(self.target_.std, source.std)
        shift = np.subtract(self.target_.mean, gain * np.array(source.mean))
        moved: Float = lab_from_rgb(image) * gain.astype(np.float32) + shift.astype(np.float32)
        return moved


NORMALIZERS: dict[str, type[MacenkoNormalizer] | type[ReinhardNormalizer]] = {
    kind.method: kind for kind in (MacenkoNormalizer, ReinhardNormalizer)
}


StainNormalizer = MacenkoNormalizer | ReinhardNormalizer


def stain_normalizer(method: str) -> StainNormalizer:
    """Builds the normaliser ``"macenko"`` or ``"reinhard"`` with its published target.

    Raises:
        UsageError: There is none of that name.
    """
    if method not in NORMALIZERS:
        raise unknown_name("stain normalisation", method, NORMALIZERS)
    return NORMALIZERS[method]()


def _is_tissue(density: Float) -> npt.NDArray[np.bool_]:
    tissue: npt.NDArray[np.bool_] = mean_density(density) >= TISSUE_DENSITY
    if (count := int(np.count_nonzero(tissue))) < MIN_TISSUE_PIXELS:
        found = f"It has {count} pixels of tissue (mean optical density {TISSUE_DENSITY:g} or more)."
        raise _no_fit(found, f"Pass an image with {MIN_TISSUE_PIXELS} or more: several tiles side by side.")
    return tissue


def _no_fit(found: str, remedy: str) -> UnreadableFileError:
    return UnreadableFileError("The stain of a pathology image was to be measured.", found, remedy)


def _triple(values: npt.NDArray[np.float64]) -> Triple:
    return (float(values[0]), float(values[1]), float(values[2]))


def _numbers(values: Any, count: int) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"{count} finite numbers are wanted")
    return numbers
