"""A wavelength tower for settled bands: a plain model, which stock open_clip opens where they are red, green, blue."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from domainclip.errors import UsageError
from domainclip.model_record import ModelRecord
from domainclip.models.channel_embedding import plain_input
from domainclip.models.towers import ClipModel


def frozen_bands(model: ClipModel, record: ModelRecord, channels: Sequence[str]) -> tuple[ClipModel, ModelRecord]:
    """Makes the kernels for some bands once and keeps them as an ordinary convolution; features stay.

    Args:
        model: A wavelength tower on the CPU; it is not changed.
        record: Its record.
        channels: Names among the record's channels, in the order in which the new model takes them.

    Returns:
        The model and its record, for ``save_model``.

    Raises:
        UsageError: The model is no wavelength tower, or was not trained on one of the bands.
    """
    preprocessing = record.preprocessing
    asked = f"A wavelength tower was to be frozen for the bands {', '.join(channels)}."
    if model.channel_embedding != "wavelength":
        raise UsageError(asked, f"The model's first layer is of the kind {model.channel_embedding}.", "Use the model as it is.")
    foreign = [name for name in channels if name not in preprocessing.channels]
    if foreign or len(set(channels)) != len(channels) or not channels:
        found = f"It was trained on {', '.join(preprocessing.channels)}."
        raise UsageError(asked, found, "Name some of these, each once: other bands have no mean and spread.")
    clip = copy.deepcopy(model.clip)
    plain_input(clip.get_submodule("visual"), model.wavelengths.numbers(channels))
    origin = dict.fromkeys(channels, "frozen from wavelengths")
    frozen = ClipModel(
        clip,
        model.architecture,
        model.model_cfg,
        channels,
        model.one_channel,
        origin,
        model.stock_input_size,
    )
    places = [preprocessing.channels.index(name) for name in channels]
    changed = preprocessing.model_copy(
        update={
            "channels": tuple(channels),
            "mean": tuple(preprocessing.mean[place] for place in places),
            "std": tuple(preprocessing.std[place] for place in places),
        }
    )
    return frozen.eval(), record.model_copy(update={"preprocessing": changed})
