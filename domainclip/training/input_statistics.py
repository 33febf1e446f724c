"""Fits a model's preprocessing to the training split: channels, physical quantity, mean, spread, spacing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from domainclip.channel_names import canonical_channel, channel_positions, present_channels
from domainclip.config import MissingChannels
from domainclip.data.missing_channels import said_of_sets
from domainclip.data.prepared_set import PreparedSet
from domainclip.domains.base import Domain, published_statistics
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
    missing: MissingChannels = "refuse",
    statistics: str | None = None,
) -> Preprocessing:
    """Measures mean and spread per channel over images drawn from the training split, or takes published ones.

    Args:
        prepared: The set.
        domain: Gives the way of resizing.
        channels: Channels wanted, in order; None takes those that the images of the set have.
        image_size: Height and width of the tower's input.
        one_channel: How a single channel enters the tower.
        seed: Of the draw.
        missing: What becomes of channels that an image lacks. Unless they are refused, a channel need be in some images only; each
            channel's mean and spread are those of the images that have it.
        statistics: Name of a published set whose mean and spread are taken instead.

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
    names = _channels(train, channels, missing)
    drawn = _drawn(train, seed)
    mean, std = (
        _moments(prepared, drawn, names) if statistics is None else published_statistics(domain, statistics, names, kinds[0])
    )
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


def _channels(train: pd.DataFrame, wanted: Sequence[str] | None, missing: MissingChannels) -> tuple[str, ...]:
    sets = {tuple(row) for row in train["channels"]}
    common = [name for name in next(iter(sorted(sets))) if all(name in row for row in sets)]
    several = said_of_sets(train["channels"], (None if pd.isna(sensor) else str(sensor) for sensor in train["sensor"]))
    rules = "or say what becomes of missing channels: --set data.missing_channels=mean (drop for wavelength towers)"
    if wanted is None:
        if missing != "refuse":
            return _union(train)
        if len({frozenset(row) for row in sets}) > 1:
            raise UsageError(
                "Channels were to be chosen from the set.",
                f"Its images differ in their channels: {several}. All have: {', '.join(common) or 'none in common'}.",
                f"Name those to train on (--set model.channels=[...]), {rules}.",
            )
        return tuple(common)
    there = common if missing == "refuse" else sorted({name for row in sets for name in row})
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise UsageError(
            f"A model of the channels {', '.join(wanted)} was asked for.",
            f"Images of the set lack {', '.join(lacking)}: {several}. All have: {', '.join(common) or 'none in common'}.",
            f"Choose among those with --set model.channels=[...]{f', {rules}' if missing == 'refuse' else ''}.",
        )
    return tuple(wanted)


def _union(train: pd.DataFrame) -> tuple[str, ...]:
    """Returns all channels of the set, those of the most frequent kind of image first; a second name of one (red, B04) is none."""
    counted = Counter(tuple(row) for row in train["channels"])
    names: dict[str, str] = {}
    for row, _ in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])):
        for name in row:
            names.setdefault(canonical_channel(name), name)
    return tuple(names.values())


def _drawn(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Draws the images to be measured; where images differ in their channels, of each kind."""
    kinds = train["channels"].map(tuple)
    parts = [part for _, part in train.groupby(kinds)] if kinds.nunique() > 1 else [train]
    return pd.concat([part.sample(min(_IMAGES, len(part)), random_state=seed) for part in parts])


def _moments(prepared: PreparedSet, rows: pd.DataFrame, names: Sequence[str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the physical numbers per channel, pixels without data left out."""
    count, total, squares = np.zeros((3, len(names)))
    for _, row in rows.iterrows():
        own = tuple(row["channels"])
        places = list(present_channels(own, names))
        if not places:
            continue
        pixels = prepared.read(row)
        positions = list(channel_positions(own, [names[place] for place in places]))
        values: dict[str, Any] = row["values"]
        stored = np.moveaxis(pixels.array, row["axes"].index("C"), 0)[positions]
        physical = stored.astype(np.float64) * values["scale"] + values["offset"]
        valid = np.isfinite(physical).all(axis=0)
        if "nodata" in pixels.masks:
            valid &= ~pixels.masks["nodata"]
        inside = physical[:, valid]
        count[places] += inside.shape[1]
        total[places] += inside.sum(axis=1)
        squares[places] += (inside**2).sum(axis=1)
    if not count.all():
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
