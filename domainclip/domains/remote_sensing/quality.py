"""Quality bands (SCL, QA60, QA_PIXEL, Fmask, UDM2, cloud probability) into masks: ``cloud``, ``shadow``, ``snow`` ..."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.sensors import QualityRule

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class QualityBand:
    """A quality band of a scene.

    Attributes:
        rule: What its numbers say.
        names: Names of the planes that are read of it: one, or those of a file of flags.
    """

    rule: QualityRule
    names: tuple[str, ...]


def quality_masks(band: QualityBand, codes: npt.NDArray[Any], unknown: Mask) -> dict[str, Mask]:
    """Turns numbers into masks.

    Args:
        band: What they say.
        codes: (planes, Y, X).
        unknown: (Y, X) where the quality band itself has no data; no mask holds there, and the pixels are not without data for it.

    Returns:
        Masks (Y, X) by name, all of the rule's names.
    """
    rule = band.rule
    masks: dict[str, Mask] = {name: np.zeros(codes.shape[1:], bool) for name in rule.masks}
    if rule.flags:
        flagged = {name.lower(): plane != 0 for name, plane in zip(band.names, codes, strict=True)}
        for name, flags in rule.flags.items():
            for flag in flags:
                masks[name] |= flagged.get(flag, np.zeros_like(masks[name]))
        return {name: mask & ~unknown for name, mask in masks.items()}
    plane = np.where(unknown, 0, codes[0])
    for name, threshold in rule.percent.items():
        masks[name] |= plane >= threshold
    whole = plane.astype(np.int64) if plane.dtype.kind in "iu" else np.rint(plane).astype(np.int64)
    for name, numbers in rule.classes.items():
        masks[name] |= np.isin(whole, numbers)
    for name, bits in rule.bits.items():
        masks[name] |= (whole & sum(1 << bit for bit in bits)) != 0
    for name, parts in rule.fields.items():
        for first, width, number in parts:
            masks[name] |= ((whole >> first) & ((1 << width) - 1)) == number
    # What is written as fill says nothing else, though its bits are set.
    filled = whole == rule.fill if rule.fill is not None else np.zeros_like(unknown)
    masks = {name: mask & ~unknown & ~filled for name, mask in masks.items()}
    if rule.fill is not None:
        masks["nodata"] = masks["nodata"] | (filled & ~unknown)
    return masks
