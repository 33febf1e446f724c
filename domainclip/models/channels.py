"""Image towers for any number of named channels.

Three rules lead from weights W of n channels to N channels. In each, a target channel that names a source channel (by synonym)
gets that channel's weights.

- ``inflated``: every other gets the mean over the source channels, and all are multiplied by n / N. Where all source channels are
  among the targets, or none is, the sum over channels is kept exactly: a picture that is equal in all its channels answers as
  before. From RGB to one channel the rule gives the sum of the three.
- ``zero-inflated``: every other gets zeros, so that the answer is that to the named channels alone, whatever the others hold
  (MS-CLIP, ``msclip/model/factory.py``, there by position and here by name). Gradients do reach the zeros.
- ``by-name``: every other is drawn anew, Xavier-uniform over the whole flattened kernel (terratorch,
  ``select_patch_embed_weights.py``), from torch's CPU generator.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from domainclip.channel_names import canonical_channel
from domainclip.errors import UsageError

RGB = ("red", "green", "blue")

MEAN_OF_SOURCE = "mean of red, green, blue"
ZEROS, DRAWN = "zeros", "drawn anew"

Rule = Literal["inflated", "zero-inflated", "by-name"]


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


def inflate_weight(
    weight: torch.Tensor, from_channels: Sequence[str], to_channels: Sequence[str], rule: Rule = "inflated"
) -> torch.Tensor:
    """Applies a rule of this module's docstring.

    Args:
        weight: (O, n, kH, kW), n = len(from_channels).
        from_channels: Names of the planes that the weights were trained on.
        to_channels: Names of the planes that are wanted.
        rule: What the planes get that no source channel names.

    Returns:
        (O, N, kH, kW) of the same dtype; unchanged numbers where the names only change order.

    Raises:
        UsageError: The rule is ``zero-inflated`` and no plane is named: the tower would see nothing.
    """
    if weight.ndim != 4 or weight.shape[1] != len(from_channels):
        raise ValueError(f"weights of shape {tuple(weight.shape)} do not have {len(from_channels)} input planes")
    plan = inflation_plan(from_channels, to_channels)
    if rule == "inflated":
        mean = weight.mean(dim=1)
        factor = len(from_channels) / len(to_channels)
        stacked = torch.stack([mean if i is None else weight[:, i] for i in plan], dim=1)
        return stacked if factor == 1 else stacked * factor
    changed = weight.new_zeros(weight.shape[0], len(to_channels), *weight.shape[2:])
    if rule == "by-name":
        nn.init.xavier_uniform_(changed.view(len(changed), -1))
    elif all(i is None for i in plan):
        raise UsageError(
            f"A zero-inflated tower for the channels {', '.join(to_channels)} was asked for.",
            f"The weights were trained on {', '.join(from_channels)}: none of these is among them, so all planes would be zeros.",
            "Name a channel that both have, or set model.channel_embedding to inflated, by-name or wavelength.",
        )
    for place, i in enumerate(plan):
        if i is not None:
            changed[:, place] = weight[:, i]
    return changed


def inflate_input(conv: nn.Conv2d, from_channels: Sequence[str], to_channels: Sequence[str], rule: Rule = "inflated") -> nn.Conv2d:
    """Returns a convolution for other input channels, its weights by ``inflate_weight``, its bias unchanged.

    Args:
        conv: The tower's first convolution, ungrouped.
        from_channels: Names of its planes.
        to_channels: Names of the planes that are wanted.
        rule: See ``inflate_weight``.

    Raises:
        UsageError: The convolution is grouped or normalises its own weights, so that they cannot be inflated.
    """
    return _with_weight(conv, inflate_weight(conv.weight.detach(), from_channels, to_channels, rule))


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


def replace_layer(visual: nn.Module, name: str, layer: nn.Module) -> None:
    """Puts a layer in the place of the one of a dotted name."""
    parent, _, leaf = name.rpartition(".")
    setattr(visual.get_submodule(parent), leaf, layer)


def adapt_channels(
    visual: nn.Module, from_channels: Sequence[str], to_channels: Sequence[str], *, trained: bool, rule: Rule = "inflated"
) -> dict[str, str]:
    """Gives an image tower the input planes that are wanted, in place.

    Args:
        visual: The tower; its input layers have len(from_channels) planes.
        from_channels: Names of its planes.
        to_channels: Names that are wanted.
        trained: The weights mean something and are inflated. Otherwise they are random: they stay for an equal number of
            planes and are drawn anew for another.
        rule: What trained weights become.

    Returns:
        Target channel to the source channel whose weights it got, or to ``MEAN_OF_SOURCE``, ``ZEROS`` or ``DRAWN``; empty when no
        trained weight changed its meaning.
    """
    if tuple(from_channels) == tuple(to_channels) or (not trained and len(from_channels) == len(to_channels)):
        return {}
    for name, conv in input_convolutions(visual):
        layer = inflate_input(conv, from_channels, to_channels, rule) if trained else redraw_input(conv, len(to_channels))
        replace_layer(visual, name, layer)
    if not trained:
        return {}
    of_source = MEAN_OF_SOURCE if tuple(from_channels) == RGB else f"mean of {', '.join(from_channels)}"
    other = {"inflated": of_source, "zero-inflated": ZEROS, "by-name": DRAWN}[rule]
    plan = inflation_plan(from_channels, to_channels)
    return {name: other if i is None else from_channels[i] for name, i in zip(to_channels, plan, strict=True)}
