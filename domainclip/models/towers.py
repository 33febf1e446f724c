"""The two towers as one module with one ``forward``, and the parameter groups that the optimiser gets."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import open_clip
import torch
from torch import nn

from domainclip.batch import TowerOutput
from domainclip.config import ChannelEmbedding, ModelConfig
from domainclip.errors import UsageError
from domainclip.models.architectures import architecture_config, check_supported
from domainclip.models.channel_embedding import (
    exempt_names,
    joined,
    known,
    refuse_without_weights,
    untrained_input,
    wavelength_layers,
)
from domainclip.models.channels import RGB, check_channel_names
from domainclip.models.pooling import pool_planes
from domainclip.models.short_texts import ShortTextCLIP, without_padding
from domainclip.models.wavelengths import Wavelengths

Mode = Literal["both", "image", "text"]
_STACKED_RANK = 5


class ClipModel(nn.Module):
    """An open_clip model behind one ``forward``, for named channels.

    ``forward`` calls the forward of the open_clip module, because under ZeRO-3 parameters are present only inside the forward of
    the module that owns them. Scale and bias of the logits are 1-element vectors: DeepSpeed cannot broadcast 0 dimensions.

    Attributes:
        clip: The open_clip module (``CLIP`` or ``CustomTextCLIP``).
        architecture: Name that it was built from.
        model_cfg: open_clip's configuration as built (image size, context length and vocabulary are the actual ones).
        channels: Names of the image's channels in order.
        one_channel: ``replicated``: three planes are fed copies of the one channel.
        inflated_from: Channel to the channel whose trained weights it got (``channels.adapt_channels``).
        stock_input_size: Stock open_clip builds the image tower at the same input size from ``model_cfg`` alone.
        channel_embedding: Kind of the first layer (``models.channel_embedding``).
        wavelengths: What a ``wavelength`` tower is told of each channel; empty for others.
    """

    def __init__(
        self,
        clip: nn.Module,
        architecture: str,
        model_cfg: dict[str, Any],
        channels: Sequence[str],
        one_channel: Literal["own", "replicated"] = "own",
        inflated_from: dict[str, str] | None = None,
        stock_input_size: bool = True,
        channel_embedding: ChannelEmbedding = "inflated",
        wavelengths: Wavelengths | None = None,
    ) -> None:
        super().__init__()
        self.clip = clip
        self.architecture = architecture
        self.model_cfg = model_cfg
        self.channels = tuple(channels)
        self.one_channel: Literal["own", "replicated"] = one_channel
        self.inflated_from = dict(inflated_from or {})
        self.stock_input_size = stock_input_size
        self.channel_embedding: ChannelEmbedding = channel_embedding
        self.wavelengths = known(wavelengths)

    @property
    def image_size(self) -> int:
        """Height and width of the input in pixels."""
        size = self.model_cfg["vision_cfg"].get("image_size", 224)
        return int(size[0] if isinstance(size, list | tuple) else size)

    @property
    def context_length(self) -> int:
        """Tokens of a text, start and end included."""
        return int(self.model_cfg["text_cfg"].get("context_length", 77))

    @property
    def vocabulary_size(self) -> int:
        """Rows of the token embedding."""
        return int(self.model_cfg["text_cfg"].get("vocab_size", 49408))

    @property
    def embed_dim(self) -> int:
        """Width D of the features."""
        return int(self.model_cfg["embed_dim"])

    def shorten(self, tokens: torch.Tensor) -> torch.Tensor:
        """Cuts off the columns of (M, L) tokens that are padding in every row, where the text tower can do without them."""
        return without_padding(tokens) if getattr(self.clip, "takes_short_texts", False) else tokens

    def forward(
        self,
        images: torch.Tensor | None = None,
        tokens: torch.Tensor | None = None,
        mode: Mode = "both",
        channels: Sequence[str] | None = None,
    ) -> TowerOutput:
        """Encodes images, texts or both; the only entry for every encode.

        Args:
            images: (N, C, H, W) float, C = len(channels); a replicated one-channel tower takes (N, 1, H, W) or (N, 3, H, W).
                Volumes and time series are (N, K, C, H, W): K planes, whose features are pooled by their mean.
            tokens: (M, L) int64, L = context_length; or fewer, as ``shorten`` returns them.
            mode: What to encode; inputs of the other kind are refused rather than ignored.
            channels: Names of the images' channels where they are not the model's: wavelength towers alone take them.

        Returns:
            Unit-norm features (N, D) and (M, D), or None; ``logit_scale`` (1,) already exponentiated; ``logit_bias`` (1,) or None.

        Raises:
            ValueError: Inputs do not fit the mode.
            UsageError: The images have another number of channels than the tower, or channels of unknown wavelength.
        """
        if (images is not None) != (mode in ("both", "image")) or (tokens is not None) != (mode in ("both", "text")):
            raise ValueError(f"mode {mode!r} does not fit: images {images is not None}, tokens {tokens is not None}")
        stacked = images.shape[:2] if images is not None and images.ndim == _STACKED_RANK else None
        if images is not None:
            if stacked is not None:
                images = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            images = self._planes(images, self.channels if channels is None else tuple(channels))
        image_features, text_features, scale, *bias = self.clip(images, tokens)
        if stacked is not None and image_features is not None:
            image_features = pool_planes(image_features.unflatten(0, stacked)).to(image_features.dtype)
        # Times one: under ZeRO-3 the bias itself is emptied when forward returns.
        return TowerOutput(image_features, text_features, scale, bias[0] * 1 if bias else None)

    def _planes(self, images: torch.Tensor, channels: tuple[str, ...]) -> torch.Tensor:
        """Checks the planes, and tells wavelength layers which bands come next."""
        if self.one_channel == "replicated" and images.shape[1] == 1:
            return images.expand(-1, 3, -1, -1)
        planes = 3 if self.one_channel == "replicated" else len(channels)
        if images.shape[1] != planes or (channels != self.channels and self.channel_embedding != "wavelength"):
            named = f", {', '.join(channels)}," if channels != self.channels else ""
            raise UsageError(
                f"Images of {images.shape[1]} channels{named} were to be encoded.",
                f"The model takes {len(self.channels)}: {', '.join(self.channels)}.",
                "Select these channels, or use a model that was trained on the images' channels.",
            )
        if self.channel_embedding == "wavelength":
            numbers = self.wavelengths.numbers(channels)
            for _, layer in wavelength_layers(self.clip.get_submodule("visual")):
                layer.wavelengths = numbers
        return images


def build_model(
    config: ModelConfig,
    channels: Sequence[str],
    *,
    vocabulary_size: int | None = None,
    seed: int = 0,
    wavelengths_um: Mapping[str, float] | None = None,
) -> ClipModel:
    """Builds a model for training, from random or initial weights.

    The first weights depend on the seed alone; torch's global generators are left as they were. The tower is open_clip's for
    red, green, blue first; then its input is adapted (``models.channel_embedding``).

    Args:
        config: Architecture, sizes, initial weights, what to do with one channel.
        channels: Names of the image's channels in order.
        vocabulary_size: The tokenizer's number of ids; None keeps the architecture's.
        seed: Of the random weights.
        wavelengths_um: What is known of channels' wavelengths, under ``config.wavelengths_um``; read for wavelength towers alone.

    Raises:
        UsageError: Unknown architecture, channel names, sizes, wavelengths or weights that do not fit.
    """
    names = check_channel_names(channels, config.one_channel)
    if config.initial_weights is not None and config.tokenizer == "corpus-bpe":
        raise UsageError(
            f"The model was to start from {config.initial_weights} with a tokenizer trained anew (corpus-bpe).",
            "The ids of a new tokenizer mean other words than those that the weights were trained with.",
            "Set model.tokenizer to the folder or name of these weights, or to clip for weights with CLIP's own tokenizer.",
        )
    model_cfg = resolved_model_cfg(config, vocabulary_size)
    planes = RGB if config.one_channel == "replicated" else names
    kind = config.channel_embedding
    wavelengths = asked_wavelengths(config, wavelengths_um or {})
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        clip, stock_size = open_clip_module(config.architecture, model_cfg)
        if config.initial_weights is None:
            refuse_without_weights(kind)
            untrained_input(clip.visual, planes, kind, wavelengths)
            inflated: dict[str, str] = {}
        else:
            from domainclip.models.initial_weights import load_initial_weights

            source = config.initial_weights
            inflated, wavelengths = load_initial_weights(clip, source, config.architecture, model_cfg, planes, kind, wavelengths)
    return ClipModel(clip, config.architecture, model_cfg, names, config.one_channel, inflated, stock_size, kind, wavelengths)


def asked_wavelengths(config: ModelConfig, under: Mapping[str, float]) -> Wavelengths | None:
    """Returns the numbers that a wavelength tower is told, the configuration's before those that are known otherwise.

    Raises:
        UsageError: They are given for a tower that does not read them, or to copies of one channel.
    """
    given = [name for name in ("wavelengths_um", "sar_wavelength") if getattr(config, name) is not None]
    if config.channel_embedding != "wavelength":
        if given:
            raise UsageError(
                f"A tower with model.channel_embedding={config.channel_embedding} was asked for, and {' and '.join(given)} given.",
                "Only wavelength towers read them.",
                "Set model.channel_embedding=wavelength, or leave them out.",
            )
        return None
    if config.one_channel == "replicated":
        found = "Three copies of a channel have no wavelengths of their own."
        raise UsageError("A wavelength tower of one replicated channel was asked for.", found, "Set model.one_channel=own.")
    return Wavelengths(joined(config.wavelengths_um or {}, under), config.sar_wavelength)


def resolved_model_cfg(config: ModelConfig, vocabulary_size: int | None = None) -> dict[str, Any]:
    """Returns the architecture's open_clip configuration with the sizes that the run asks for.

    Raises:
        UsageError: The architecture is unknown, or cannot take the image size.
    """
    cfg = architecture_config(config.architecture)
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    smallest = 32 if isinstance(vision.get("layers"), list) else int(vision.get("patch_size", 1))
    if config.image_size is not None and config.image_size < smallest:
        found = f"Its image tower sees nothing below {smallest} pixels."
        raise UsageError(
            f"{config.architecture} at {config.image_size} pixels was asked for.", found, "Choose a larger image_size."
        )
    if config.image_size is not None:
        vision["image_size"] = config.image_size
    if config.context_length is not None:
        text["context_length"] = config.context_length
    if vocabulary_size is not None:
        text["vocab_size"] = vocabulary_size
        if text.get("pool_type") == "eos":
            text["eos_id"] = vocabulary_size - 1  # our tokenizers give the end token the highest id
    return cfg


def open_clip_module(architecture: str, model_cfg: dict[str, Any]) -> tuple[Any, bool]:
    """Builds the open_clip module for red, green, blue with random weights, without a look at the network.

    Args:
        architecture: For messages.
        model_cfg: open_clip's configuration.

    Returns:
        The module, and whether stock open_clip would build it at the same input size.

    Raises:
        UsageError: The configuration is of another open_clip version, or asks for sizes that do not exist.
    """
    check_supported(architecture, model_cfg)
    arguments = copy.deepcopy(model_cfg)
    kind = open_clip.CustomTextCLIP if arguments.pop("custom_text", False) else ShortTextCLIP
    arguments["nonscalar_logit_scale"] = True
    if "timm_model_name" in arguments["vision_cfg"]:
        arguments["vision_cfg"]["timm_model_pretrained"] = False
    try:
        clip = kind(**arguments)
        return clip, _fit_input_size(clip.visual, model_cfg["vision_cfg"].get("image_size", 224))
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError, KeyError) as error:
        raise UsageError(
            f"The architecture {architecture!r} was to be built.",
            f"open_clip {open_clip.__version__} cannot build its configuration ({type(error).__name__}: {error}).",
            "Check image_size, context_length and the sizes of the towers.",
        ) from error


def _fit_input_size(visual: nn.Module, image_size: int | Sequence[int]) -> bool:
    """Sets the size of timm's position table, which open_clip leaves at timm's default; says whether that one fitted."""
    trunk: Any = getattr(visual, "trunk", None)
    if trunk is None or not hasattr(trunk, "set_input_size"):
        return True
    wanted = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if tuple(trunk.pretrained_cfg["input_size"][-2:]) == wanted:
        return True
    trunk.set_input_size(wanted)
    return False


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Sorts the trainable parameters into groups for AdamW.

    ``decay``: matrices and kernels. ``no-decay``: vectors (gains, biases) and what the towers exempt (position and class
    embeddings, tokens of wavelength layers). How they lie in memory is the engine's business (``training.engine.aligned_groups``).

    Args:
        model: A ClipModel, or any module that a loss adds.
        weight_decay: Of the first group.

    Returns:
        Non-empty groups: ``name``, ``params``, ``parameter_names`` (in the order of ``params``) and ``weight_decay``. Names and
        order follow ``named_parameters`` and are the same in every process.
    """
    clip = getattr(model, "clip", None)
    exempt = {f"clip.{name}" for name in clip.no_weight_decay()} if clip is not None else set()
    exempt |= set(exempt_names(model))
    sorted_names: dict[str, list[str]] = {"decay": [], "no-decay": []}
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in trainable.items():
        sorted_names["no-decay" if parameter.ndim < 2 or name in exempt else "decay"].append(name)
    return [
        {
            "name": group,
            "params": [trainable[name] for name in names],
            "parameter_names": names,
            "weight_decay": weight_decay if group == "decay" else 0.0,
        }
        for group, names in sorted_names.items()
        if names
    ]
