"""How an image tower takes its bands: the four kinds of first layer, and putting each into an open_clip tower.

``inflated``, ``zero-inflated`` and ``by-name`` are convolutions over the model's own channels (``models.channels``);
``wavelength`` makes kernels for any bands (``models.wavelength_layer``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from domainclip.channel_names import canonical_channel
from domainclip.config import ChannelEmbedding
from domainclip.errors import UsageError
from domainclip.models.channels import DRAWN, RGB, adapt_channels, input_convolutions, replace_layer
from domainclip.models.wavelength_layer import WavelengthConv2d
from domainclip.models.wavelengths import Wavelengths


def wavelength_layers(visual: nn.Module) -> list[tuple[str, WavelengthConv2d]]:
    """Finds the layers of a tower that are told wavelengths: (dotted name below ``visual``, layer)."""
    return [(name, layer) for name, layer in visual.named_modules() if isinstance(layer, WavelengthConv2d)]


def untrained_input(
    visual: nn.Module, channels: Sequence[str], embedding: ChannelEmbedding, wavelengths: Wavelengths | None
) -> None:
    """Gives a freshly built tower for red, green, blue the first layer that is wanted, with random weights, in place.

    It is also the shape into which saved weights go.
    """
    if embedding == "wavelength":
        _install(visual, known(wavelengths).numbers(channels))
    else:
        adapt_channels(visual, RGB, channels, trained=False)


def refuse_without_weights(embedding: ChannelEmbedding) -> None:
    """Refuses what only says what becomes of trained weights where there are none.

    Raises:
        UsageError: The kind is ``zero-inflated`` or ``by-name``.
    """
    if embedding in ("zero-inflated", "by-name"):
        raise UsageError(
            f"A tower with model.channel_embedding={embedding} was to be trained from random weights.",
            "It says what the planes get that trained weights do not name, and there are no trained weights.",
            "Set model.initial_weights, or leave model.channel_embedding out.",
        )


def trained_input(
    visual: nn.Module,
    from_channels: Sequence[str],
    to_channels: Sequence[str],
    embedding: ChannelEmbedding,
    wavelengths: Wavelengths | None,
) -> dict[str, str]:
    """Gives a tower of trained convolutions the first layer that is wanted, in place.

    A wavelength layer is made to give the source channels, where their wavelengths are known, exactly the kernels that they have
    now, as long as it sees them alone: the tower then answers to them as before. What it gives to other bands follows from how
    alike their wavelengths are.

    Args:
        visual: The tower; its input layers have len(from_channels) planes.
        from_channels: Names of its planes.
        to_channels: Names that are wanted.
        embedding: Kind of the new first layer.
        wavelengths: For the kind ``wavelength``.

    Returns:
        Target channel to where its weights come from; empty when no trained weight changed its meaning.

    Raises:
        UsageError: The weights cannot be used so, or a wavelength is not known.
    """
    if embedding != "wavelength":
        return adapt_channels(visual, from_channels, to_channels, trained=True, rule=embedding)
    numbers = known(wavelengths).numbers(to_channels)
    places = [place for place, name in enumerate(from_channels) if known(wavelengths).number(name) is not None]
    convolutions = input_convolutions(visual)
    _install(visual, numbers)
    if not places:
        return dict.fromkeys(to_channels, DRAWN)
    sources = [from_channels[place] for place in places]
    for (_, conv), (_, layer) in zip(convolutions, wavelength_layers(visual), strict=True):
        layer.fit(known(wavelengths).numbers(sources), conv.weight[:, places], conv.bias)
    named = {canonical_channel(name): name for name in sources}
    return {name: named.get(canonical_channel(name), f"by wavelength from {', '.join(sources)}") for name in to_channels}


def plain_input(visual: nn.Module, wavelengths: tuple[float, ...]) -> None:
    """Turns wavelength layers into the convolutions that they are for these bands, in place; the outputs stay.

    open_clip's ViT has no bias in its first layer: there it goes into the position table, which is added next.

    Raises:
        UsageError: There is no place for the bias that the layer makes.
    """
    for name, layer in wavelength_layers(visual):
        with torch.no_grad():
            kernel, bias = layer.kernels(wavelengths)
        conv = nn.Conv2d(
            len(wavelengths), layer.out_channels, layer.kernel_size, layer.stride, layer.padding, bias=layer.stock_bias
        )
        conv.weight = nn.Parameter(kernel)
        if bias is not None and layer.stock_bias:
            conv.bias = nn.Parameter(bias)
        elif bias is not None:
            positions = getattr(visual, "positional_embedding", None)
            if name != "conv1" or positions is None:
                raise UsageError(
                    "The first layer of a wavelength tower was to become a plain convolution.",
                    "The architecture's own has no bias, and there is no position table that could take it.",
                    "Keep the model as it is, or use a ViT.",
                )
            with torch.no_grad():
                positions[1:] += bias
        replace_layer(visual, name, conv)


def exempt_names(model: nn.Module) -> Iterator[str]:
    """Yields the parameters of wavelength layers that get no weight decay."""
    for prefix, layer in wavelength_layers(model):
        yield from (f"{prefix}.{name}" for name in layer.no_weight_decay())


def known(wavelengths: Wavelengths | None) -> Wavelengths:
    """Returns the wavelengths, or a table that knows none."""
    return wavelengths or Wavelengths()


def joined(over: Mapping[str, float], under: Mapping[str, float]) -> dict[str, float]:
    """Joins two tables of wavelengths, the first winning, also under another name of the same channel."""
    names = {canonical_channel(name) for name in over}
    return {**{name: value for name, value in under.items() if canonical_channel(name) not in names}, **over}


def _install(visual: nn.Module, numbers: tuple[float, ...]) -> None:
    for name, conv in input_convolutions(visual):
        replace_layer(visual, name, WavelengthConv2d(conv, numbers))
