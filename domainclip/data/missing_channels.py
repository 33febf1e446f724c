"""What a model does with an image that lacks some of its channels: one of three stated rules, chosen by the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domainclip.channel_names import channel_positions, present_channels
from domainclip.config import ChannelEmbedding, MissingChannels
from domainclip.errors import UsageError, unknown_name
from domainclip.model_record import Preprocessing

if TYPE_CHECKING:
    import torch

RULES: dict[str, MissingChannels] = {"refuse": "refuse", "mean": "mean", "drop": "drop"}


@dataclass(frozen=True, slots=True)
class ChannelFit:
    """How an image's channels go into a model.

    Attributes:
        present: The model's channels that the image has, in the model's order.
        missing: The others.
        preprocessing: The model's, of the present channels alone.
        rule: What becomes of the others.
        places: Where the present ones stand among the tower's planes.
        planes: How many planes the tower has.
    """

    present: tuple[str, ...]
    missing: tuple[str, ...]
    preprocessing: Preprocessing
    rule: MissingChannels
    places: tuple[int, ...]
    planes: int

    @property
    def channels(self) -> tuple[str, ...] | None:
        """The channels that the tower is told of, or None for its own."""
        return self.present if self.missing and self.rule == "drop" else None

    @property
    def filled(self) -> tuple[str, ...]:
        """Channels that hold the model's mean instead of an image's values."""
        return self.missing if self.rule == "mean" else ()

    @property
    def mostly_missing(self) -> bool:
        """More than half of the model's channels are missing."""
        return 2 * len(self.missing) > self.planes

    def spread(self, planes: torch.Tensor) -> torch.Tensor:
        """Puts normalised planes of the present channels where the tower has them.

        Args:
            planes: (N, C', H, W).

        Returns:
            (N, C, H, W), 0 in the missing channels, which is the model's mean of them; the planes themselves where none is
            missing, or with ``drop``.
        """
        if not self.filled:
            return planes
        whole = planes.new_zeros(len(planes), self.planes, *planes.shape[2:])
        whole[:, list(self.places)] = planes
        return whole


def checked_rule(name: str, embedding: ChannelEmbedding | None = None) -> MissingChannels:
    """Returns a rule by its name.

    Args:
        name: ``refuse``, ``mean`` or ``drop``.
        embedding: Kind of the model's first layer, where known.

    Raises:
        UsageError: There is none of that name, or the model cannot leave channels out.
    """
    if name not in RULES:
        raise unknown_name("rule for missing channels", name, RULES)
    if name == "drop" and embedding not in (None, "wavelength"):
        raise UsageError(
            "Missing channels were to be dropped (missing_channels=drop).",
            f"The model's first layer ({embedding}) has a plane for each of its channels.",
            "Choose mean or refuse, or a model with model.channel_embedding=wavelength.",
        )
    return RULES[name]


def fit_channels(channels: Sequence[str], preprocessing: Preprocessing, rule: MissingChannels = "refuse") -> ChannelFit:
    """Says how an image's channels go into a model, by name.

    Args:
        channels: The image's.
        preprocessing: The model's.
        rule: ``refuse``; ``mean``: the model's mean stands in for what is missing; ``drop``: the tower is told of the others alone.

    Raises:
        UsageError: A channel is missing and the rule is ``refuse``, none is there, or several answer to one name.
    """
    wanted = preprocessing.channels
    places = present_channels(channels, wanted)
    if len(places) == len(wanted):
        return ChannelFit(wanted, (), preprocessing, rule, places, len(wanted))
    if rule == "refuse" or not places:
        channel_positions(channels, wanted)  # which raises: a channel is missing
    present = tuple(wanted[place] for place in places)
    part = preprocessing.model_copy(
        update={
            "channels": present,
            "mean": tuple(preprocessing.mean[place] for place in places),
            "std": tuple(preprocessing.std[place] for place in places),
        }
    )
    return ChannelFit(present, tuple(name for name in wanted if name not in present), part, rule, places, len(wanted))


def fits_of(channels: Iterable[Sequence[str]], preprocessing: Preprocessing, rule: MissingChannels = "refuse") -> list[ChannelFit]:
    """Returns the fit of each image; images of the same channels share one.

    Raises:
        UsageError: See ``fit_channels``.
    """
    known: dict[tuple[str, ...], ChannelFit] = {}
    fits = []
    for own in channels:
        names = tuple(own)
        if names not in known:
            fit = fit_channels(names, preprocessing, rule)
            # Whatever the order of the bands in the file: the same channels are there.
            known[names] = next((other for other in known.values() if other.present == fit.present), fit)
        fits.append(known[names])
    return fits


def said_of_sets(channels: Iterable[Sequence[str]], sensors: Iterable[str | None]) -> str:
    """Says in words which sets of channels there are, of which sensor, and how many images of each, the most frequent first."""
    counted = Counter((sensor or "no named sensor", tuple(own)) for own, sensor in zip(channels, sensors, strict=True))
    return "; ".join(f"{sensor}: {', '.join(own)} ({count} images)" for (sensor, own), count in counted.most_common())
