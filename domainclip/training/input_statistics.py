"""Fits a model's preprocessing to the training split: channels, physical quantity, mean, spread, spacing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from domainclip.data.prepared_set import PreparedSet
from domainclip.domains.base import Domain
from domainclip.errors import UsageError
from domainclip.model_record import Preprocessing

_IMAGES = 400  # enough that the standard error of a channel's mean is far below its spread


def fit_preprocessing(
    prepared: PreparedSet,
    domain: Domain,
    *,
    channels: Sequence[str] | None,
    image_size: int,
    one_channel: Literal["own", "replicated"],
    seed: int,
) -> Preprocessing:
    """Measures mean and spread per channel over images drawn from the training split.

    Args:
        prepared: The set.
        domain: Gives the way of resizing.
        channels: Channels wanted, in order; None takes those that all images of the set have.
        image_size: Height and width of the tower's input.
        one_channel: How a single channel enters the tower.
        seed: Of the draw.

    Returns:
        The preprocessing that is written into the model's record.

    Raises:
        UsageError: The images are of several physical quantities, or lack a wanted channel.
    """
    train = prepared.subset("train")
    kinds = sorted({values["kind"] for values in train["values"]})
    if len(kinds) > 1:
        raise UsageError(
            "One model was to be trained on the whole set.",
            f"Its images hold several physical quantities: {', '.join(kinds)}.",
            "Prepare them as one quantity (reading options), or train on one part.",
        )
    names = _channels(train, channels)
    drawn = train.sample(min(_IMAGES, len(train)), random_state=seed)
    mean, std = _moments(prepared, drawn, names)
    spacing, unit = _spacing(train, image_size)
    facts = domain.facts.preprocessing
    return Preprocessing(
        channels=names,
        values_kind=kinds[0],
        image_size=image_size,
        resize=facts.resize,
        interpolation=facts.interpolation,
        mean=mean,
        std=std,
        one_channel=one_channel,
        spacing=spacing,
        spacing_unit=unit,
    )


def _channels(train: pd.DataFrame, wanted: Sequence[str] | None) -> tuple[str, ...]:
    sets = {tuple(row) for row in train["channels"]}
    common = [name for name in next(iter(sorted(sets))) if all(name in row for row in sets)]
    if wanted is None:
        if len({frozenset(row) for row in sets}) > 1:
            raise UsageError(
                "Channels were to be chosen from the set.",
                f"Its images differ in their channels; all have: {', '.join(common) or 'none in common'}.",
                "Name those to train on: --set model.channels=[...].",
            )
        return tuple(common)
    lacking = [name for name in wanted if name not in common]
    if lacking:
        raise UsageError(
            f"A model of the channels {', '.join(wanted)} was asked for.",
            f"Images of the set lack {', '.join(lacking)}; all have: {', '.join(common)}.",
            "Choose among those with --set model.channels=[...].",
        )
    return tuple(wanted)


def _moments(prepared: PreparedSet, rows: pd.DataFrame, names: Sequence[str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the physical numbers per channel, pixels without data left out."""
    count = 0
    total, squares = np.zeros(len(names)), np.zeros(len(names))
    for _, row in rows.iterrows():
        pixels = prepared.read(row)
        positions = [list(row["channels"]).index(name) for name in names]
        values: dict[str, Any] = row["values"]
        stored = np.moveaxis(pixels.array, row["axes"].index("C"), 0)[positions]
        physical = stored.astype(np.float64) * values["scale"] + values["offset"]
        valid = np.isfinite(physical).all(axis=0)
        if "nodata" in pixels.masks:
            valid &= ~pixels.masks["nodata"]
        inside = physical[:, valid]
        count += inside.shape[1]
        total += inside.sum(axis=1)
        squares += (inside**2).sum(axis=1)
    if count == 0:
        raise UsageError("The pixels' mean was to be measured.", "No drawn image has a valid pixel.", "Check nodata and masks.")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    flat = [name for name, spread in zip(names, std, strict=True) if spread <= 0]
    if flat:
        raise UsageError(
            "The pixels' spread was to be measured.",
            f"Channels are constant: {', '.join(flat)}.",
            "Leave them out: model.channels.",
        )
    return tuple(round(float(x), 6) for x in mean), tuple(round(float(x), 6) for x in std)


def _spacing(train: pd.DataFrame, image_size: int) -> tuple[tuple[float, float] | None, Literal["um", "mm", "m", "degree"] | None]:
    """The median spacing of what the tower sees, None when an image lacks it or units differ."""
    spacings = list(train["spacing"])
    units: set[Any] = {spacing["unit"] if spacing else None for spacing in spacings}
    if len(units) != 1 or None in units:
        return None, None
    y = np.median([s["values"][-2] * height / image_size for s, height in zip(spacings, train["height"], strict=True)])
    x = np.median([s["values"][-1] * width / image_size for s, width in zip(spacings, train["width"], strict=True)])
    return (float(y), float(x)), units.pop()
