"""Random changes of training images: albumentations by name from a closed list, drawn from (seed, epoch, image) alone."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.errors import UsageError, missing_dependency, unknown_name

GEOMETRIC = frozenset({
    "Affine", "CenterCrop", "CoarseDropout", "D4", "ElasticTransform", "GridDistortion", "HorizontalFlip", "RandomResizedCrop",
    "RandomRotate90", "Rotate", "SquareSymmetry", "Transpose", "VerticalFlip",
})  # fmt: skip
COLOUR = frozenset({"ColorJitter", "HueSaturationValue", "RGBShift", "ToGray"})
UNIT_RANGE = COLOUR | {
    "CLAHE", "GaussNoise", "GaussianBlur", "MultiplicativeNoise", "RandomBrightnessContrast", "RandomGamma", "Sharpen",
}  # fmt: skip
STAIN = frozenset({"StainAugment"})
OWN = STAIN | {"BandGain"}
_INTER_AREA = 3  # cv2.INTER_AREA: shrinking without aliasing; it equals linear when enlarging.
_PCG_INCREMENT = 0xDA3E39CB94B95BDB


class Augmentation:
    """A sequence of random changes, applied to an image and its mask alike.

    Not safe for several threads at once: each takes a ``copy``.

    Attributes:
        smallest_crop: Share of the side that the smallest random crop keeps (1.0 without crops), so that a loader can keep
            images large enough for crops to show what is really there.

    Args:
        steps: ``{name: ..., p: ..., arguments}`` each, as in a domain's facts.
        seed: Of all draws.

    Raises:
        UsageError: A name is not in the closed list, or arguments do not fit.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]], seed: int) -> None:
        self._steps, self._seed, self._size = tuple(steps), seed, 0
        self._python = random.Random()  # noqa: S311 - no secret
        self._bits = np.random.PCG64(0)
        self._numpy = np.random.Generator(self._bits)
        self._names = [str(step.get("name")) for step in steps]
        for name in self._names:
            if name not in GEOMETRIC | UNIT_RANGE | OWN:
                raise unknown_name("augmentation step", name, GEOMETRIC | UNIT_RANGE | OWN)
        self._built: list[Any] = []
        self._resize_to(64)
        crops = [step.get("scale", (0.08, 1.0)) for step in steps if step.get("name") == "RandomResizedCrop"]
        self.smallest_crop = float(min((min(scale) for scale in crops), default=1.0)) ** 0.5

    def copy(self) -> Augmentation:
        """Returns an augmentation that draws the same, for another thread."""
        return Augmentation(self._steps, self._seed)

    def check(self, channels: int, kind: str) -> None:
        """Refuses steps that the images cannot take.

        Args:
            channels: Number of channels.
            kind: ``Values.kind`` of the images.

        Raises:
            UsageError: Colour steps on other than three channels, steps that clip to 0..1 on numbers of another range, or stain
                steps on other than sRGB.
        """
        for name in self._names:
            asked = f"The augmentation step {name} was asked for."
            if name in COLOUR | STAIN and channels != 3:
                raise UsageError(asked, f"The images have {channels} channels; it knows colour only.", "Use BandGain for bands.")
            if name in UNIT_RANGE and kind not in {"srgb", "display"}:
                found = f"The images hold {kind} values, and it clips everything to 0..1."
                raise UsageError(asked, found, "Use BandGain, which clips nothing.")
            if name in STAIN and kind != "srgb":
                found = f"The images hold {kind} values, in which there is no light that a stain could take."
                raise UsageError(asked, found, "Keep it to stained slides in sRGB.")

    def __call__(
        self, image: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None, size: int, epoch: int, row: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """Changes one image.

        Args:
            image: (H, W, C) uint8 or float32.
            valid: (H, W) True where there is data, or None.
            size: Side of the result.
            epoch: Pass over the data.
            row: Position of the image in its split.

        Returns:
            (size, size, C) of the same type, and its mask.
        """
        if size != self._size:
            self._resize_to(size)
        digest = hashlib.blake2b(f"{self._seed}\x1f{epoch}\x1f{row}".encode(), digest_size=32).digest()
        self._python.seed(int.from_bytes(digest[:8], "big"))
        state: Any = {"state": int.from_bytes(digest[8:24], "big"), "inc": _PCG_INCREMENT}
        self._bits.state = {"bit_generator": "PCG64", "state": state, "has_uint32": 0, "uinteger": 0}
        data = {"image": image} if valid is None else {"image": image, "mask": valid.astype(np.uint8)}
        for step in self._built:
            data = step(**data)
        changed, mask = data["image"], data.get("mask")
        if changed.shape[:2] != (size, size):
            changed, mask = _shrunk(changed, mask, size)
        return changed, None if mask is None else mask.astype(bool)

    def _resize_to(self, size: int) -> None:
        self._size = size
        self._built = [self._step(dict(step), size) for step in self._steps]
        for step in self._built:
            step.set_random_state(self._numpy, self._python)

    def _step(self, arguments: dict[str, Any], size: int) -> Any:
        name = arguments.pop("name")
        if name == "BandGain":
            return _checked(BandGain, name, arguments)
        if name == "StainAugment":
            from domainclip.domains.pathology.stain_augment import StainAugment

            return _checked(StainAugment, name, arguments)
        try:
            import albumentations
        except ImportError as error:
            raise missing_dependency("albumentations", "Augmentation", "albumentations==2.0.8") from error
        if name == "RandomResizedCrop":
            arguments = {"interpolation": _INTER_AREA, **arguments, "size": (size, size)}
        return _checked(getattr(albumentations, name), name, arguments)


class BandGain:
    """Multiplies each band by a factor and adds an amount, both drawn for each band: sun, haze, sensor.

    Args:
        gain: Smallest and largest factor.
        offset: Smallest and largest amount, in physical units (for uint8 images: of 0..1).
        shared: Share of the deviation that all bands have in common, 0 to 1.
        p: Probability.
    """

    def __init__(
        self, gain: Sequence[float] = (0.9, 1.1), offset: Sequence[float] = (0.0, 0.0), shared: float = 0.5, p: float = 0.5
    ) -> None:
        self._gain, self._offset = (float(gain[0]), float(gain[1])), (float(offset[0]), float(offset[1]))
        self._shared, self._p = float(shared), float(p)
        if not (
            0 <= self._shared <= 1 and 0 <= self._p <= 1 and self._gain[0] <= self._gain[1] and self._offset[0] <= self._offset[1]
        ):
            raise ValueError("shared and p lie in 0..1, and ranges rise")

    def set_random_state(self, generator: np.random.Generator, python: random.Random) -> None:
        """Takes the generators to draw from."""
        self._generator, self._python = generator, python

    def __call__(self, image: npt.NDArray[Any], **others: Any) -> dict[str, Any]:
        """Changes the image; masks stay."""
        if self._python.random() >= self._p:
            return {"image": image, **others}
        bands = image.shape[2]
        gain, offset = self._draw(self._gain, bands), self._draw(self._offset, bands)
        if image.dtype == np.uint8:
            changed = np.rint(np.clip(image * gain + offset * np.float32(255), 0, 255)).astype(np.uint8)
        else:
            changed = image * gain + offset
        return {"image": changed, **others}

    def _draw(self, span: tuple[float, float], bands: int) -> npt.NDArray[np.float32]:
        own, common = self._generator.random(bands, dtype=np.float32), self._generator.random(dtype=np.float32)
        place = self._shared * common + (1 - self._shared) * own
        return np.asarray(span[0] + (span[1] - span[0]) * place, dtype=np.float32)


def _checked(kind: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Builds one step; albumentations only warns of arguments that it does not know."""
    fitting = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return kind(**fitting)
    except (ValueError, TypeError, UserWarning) as error:
        found = " ".join(str(error).split())[:300]
        raise UsageError(f"The augmentation step {name} was to be built.", found, "Correct its arguments in the facts.") from error


def _shrunk(image: npt.NDArray[Any], mask: npt.NDArray[Any] | None, size: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    import cv2

    changed = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    small = None if mask is None else cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)
    return changed.reshape(size, size, image.shape[2]), small
