"""Image towers for any number of named channels.

The rule of inflation, from weights W of n channels to N channels: a target channel that names a source channel (by synonym)
gets that channel's weights, every other gets the mean over the source channels, and all are multiplied by n / N. Where all
source channels are among the targets, or none is, the sum over channels is kept exactly: a picture that is equal in all its
channels answers as before. From RGB to one channel the rule gives the sum of the three.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from domainclip.channel_names import canonical_channel
from domainclip.errors import UsageError

RGB = ("red", "green", "blue")

MEAN_OF_SOURCE = "mean of red, green, blue"


def check_channel_names(channels: Sequence[str], one_channel: str = "own") -> tuple[str, ...]:
    """Returns the names as a tuple once they can name the planes of a tower.

    Args:
        channels: Names in the order of the input planes.
        one_channel: ``own`` or ``replicated`` (a 3-plane tower fed three copies; for one channel only).

    Raises:
        UsageError: No name, an empty name, a name twice, or ``replicated`` with more than one channel.
    """
    asked = f"An image tower for the channels {list(channels)} was asked for."
    if isinstance(channels, str) or not channels or not all(isinstance(name, str) and name.strip() for name in channels):
        raise UsageError(asked, "The list is empty or holds something that is no name.", "Give names such as red, green, blue.")
    doubled = sorted({name for name in channels if list(channels).count(name) > 1})
    if doubled:
        raise UsageError(asked, f"Named twice: {', '.join(doubled)}.", "Give every channel a name of its own.")
    if one_channel == "replicated" and len(channels) != 1:
        found = f"one_channel: replicated copies a single channel, and there are {len(channels)}."
        raise UsageError(asked, found, "Set model.one_channel=own.")
    return tuple(channels)


def inflation_plan(from_channels: Sequence[str], to_channels: Sequence[str]) -> list[int | None]:
    """Returns for each target channel the source plane whose weights it gets, or None for the mean."""
    source = [canonical_channel(name) for name in from_channels]
    plan: list[int | None] = []
    for name in to_channels:
        wanted = canonical_channel(name)
        plan.append(source.index(wanted) if wanted in source else None)
    return plan


def inflate_weight(weight: torch.Tensor, from_channels: Sequence[str], to_channels: Sequence[str]) -> torch.Tensor:
    """Applies the rule of this module's docstring.

    Args:
        weight: (O, n, kH, kW), n = len(from_channels).
        from_channels: Names of the planes that the weights were trained on.
        to_channels: Names of the planes that are wanted.

    Returns:
        (O, N, kH, kW) of the same dtype; unchanged numbers where the names only change order.
    """
    if weight.ndim != 4 or weight.shape[1] != len(from_channels):
        raise ValueError(f"weights of shape {tuple(weight.shape)} do not have {len(from_channels)} input planes")
    mean = weight.mean(dim=1)
    planes = [mean if i is None else weight[:, i] for i in inflation_plan(from_channels, to_channels)]
    factor = len(from_channels) / len(to_channels)
    stacked = torch.stack(planes, dim=1)
    return stacked if factor == 1 else stacked * factor


def inflate_input(conv: nn.Conv2d, from_channels: Sequence[str], to_channels: Sequence[str]) -> nn.Conv2d:
    """Returns a convolution for other input channels, its weights by ``inflate_weight``, its bias unchanged.

    Args:
        conv: The tower's first convolution, ungrouped.
        from_channels: Names of its planes.
        to_channels: Names of the planes that are wanted.

    Raises:
        UsageError: The convolution is grouped or normalises its own weights, so that they cannot be inflated.
    """
    return _with_weight(conv, inflate_weight(conv.weight.detach(), from_channels, to_channels))


def redraw_input(conv: nn.Conv2d, planes: int) -> nn.Conv2d:
    """Returns a convolution for another number of planes with weights drawn anew (torch's CPU generator).

    They are normal with the spread of the old ones times sqrt(n / N): the variance of the response to independent planes stays.
    """
    spread = float(conv.weight.detach().std()) * (conv.in_channels / planes) ** 0.5
    return _with_weight(conv, torch.randn(conv.out_channels, planes, *conv.kernel_size) * spread)


def _with_weight(conv: nn.Conv2d, weight: torch.Tensor) -> nn.Conv2d:
    kind = type(conv).__name__
    if conv.groups != 1 or kind not in ("Conv2d", "Conv2dSame"):
        raise UsageError(
            f"An image tower for {weight.shape[1]} channels was asked for.",
            f"Its first layer is a {kind} with {conv.groups} groups, whose weights cannot be spread over channels.",
            "Choose another architecture, e.g. ViT-B-32, RN50 or a timm resnet or convnext.",
        )
    changed = copy.deepcopy(conv)
    changed.in_channels = weight.shape[1]
    changed.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=conv.weight.requires_grad)
    return changed


def input_convolutions(visual: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    """Finds the layers of an open_clip image tower that see the pixels.

    Args:
        visual: open_clip's VisionTransformer or ModifiedResNet (``conv1``), or TimmModel (``first_conv`` of timm's
            configuration, one name or several for stems with parallel branches).

    Returns:
        (dotted name below ``visual``, layer).

    Raises:
        UsageError: The tower does not say where its pixels enter, or they enter something else than a convolution.
    """
    trunk = getattr(visual, "trunk", None)
    if trunk is None:
        names = ["conv1"]
    else:
        declared: Any = trunk.pretrained_cfg.get("first_conv")
        given = [declared] if isinstance(declared, str) else list(declared or [])
        names = [f"trunk.{name}" for name in given]
    layers = [(name, _submodule(visual, name)) for name in names]
    if not layers or not all(isinstance(layer, nn.Conv2d) for _, layer in layers):
        raise UsageError(
            "An image tower for other channels than red, green, blue was asked for.",
            f"In this architecture the pixels do not enter a convolution that has a name ({type(trunk or visual).__name__}).",
            "Choose another architecture, e.g. ViT-B-32, RN50 or a timm resnet or convnext.",
        )
    return [(name, layer) for name, layer in layers if isinstance(layer, nn.Conv2d)]


def _submodule(module: nn.Module, name: str) -> nn.Module | None:
    try:
        return module.get_submodule(name)
    except AttributeError:
        return None


def adapt_channels(visual: nn.Module, from_channels: Sequence[str], to_channels: Sequence[str], *, trained: bool) -> dict[str, str]:
    """Gives an image tower the input planes that are wanted, in place.

    Args:
        visual: The tower; its input layers have len(from_channels) planes.
        from_channels: Names of its planes.
        to_channels: Names that are wanted.
        trained: The weights mean something and are inflated. Otherwise they are random: they stay for an equal number of
            planes and are drawn anew for another.

    Returns:
        Target channel to the source channel whose weights it got, or to ``MEAN_OF_SOURCE``; empty when no trained weight
        changed its meaning.
    """
    if tuple(from_channels) == tuple(to_channels) or (not trained and len(from_channels) == len(to_channels)):
        return {}
    for name, conv in input_convolutions(visual):
        layer = inflate_input(conv, from_channels, to_channels) if trained else redraw_input(conv, len(to_channels))
        parent, _, leaf = name.rpartition(".")
        setattr(visual.get_submodule(parent), leaf, layer)
    if not trained:
        return {}
    of_source = MEAN_OF_SOURCE if tuple(from_channels) == RGB else f"mean of {', '.join(from_channels)}"
    plan = inflation_plan(from_channels, to_channels)
    return {name: of_source if i is None else from_channels[i] for name, i in zip(to_channels, plan, strict=True)}
