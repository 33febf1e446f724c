"""Weights that a new model starts from: a model folder, a name of the zoo, or an open_clip tag that is in the local cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from domainclip.config import ChannelEmbedding
from domainclip.errors import UsageError
from domainclip.models.channel_embedding import joined, plain_input, trained_input, untrained_input
from domainclip.models.channels import RGB
from domainclip.models.checkpoint import RECORD_FILE, load_state, read_record, read_weights
from domainclip.models.open_clip_folder import find_weights, load_stock_weights, read_config
from domainclip.models.wavelengths import Wavelengths
from domainclip.models.zoo import find_model, is_model_name


def load_initial_weights(
    clip: torch.nn.Module,
    source: str,
    architecture: str,
    model_cfg: dict[str, Any],
    planes: Sequence[str],
    embedding: ChannelEmbedding = "inflated",
    wavelengths: Wavelengths | None = None,
) -> tuple[dict[str, str], Wavelengths | None]:
    """Fills a freshly built open_clip module and adapts its input to the channels that are wanted.

    Position tables are resized to the new image size and context length as open_clip does; all else must fit.

    Args:
        clip: Built for red, green, blue.
        source: Run or model folder, zoo name, or a pretrained tag of the architecture, e.g. ``laion2b_s34b_b79k``.
        architecture: Name of the architecture.
        model_cfg: Its configuration as built.
        planes: Names of the input planes that are wanted.
        embedding: Kind of the first layer that is wanted.
        wavelengths: For a ``wavelength`` one.

    Returns:
        Plane to the channel whose weights it got, empty where nothing had to change; and the wavelengths, where those weights are a
        wavelength tower's with what it knows of them: what stands for radar is the weights' own.

    Raises:
        UsageError: There are no such weights, they are not in the local cache, or they do not fit.
    """
    visual = clip.get_submodule("visual")
    if not (Path(source).is_dir() or is_model_name(source)):
        path = _cached_tag(source, architecture, model_cfg)
        load_stock_weights(clip, path)
        return trained_input(visual, RGB, planes, embedding, wavelengths), wavelengths
    folder = find_model(source)
    if not (folder / RECORD_FILE).is_file():
        _check_activation(read_config(folder)[0], model_cfg, source)
        load_stock_weights(clip, find_weights(folder))
        return trained_input(visual, RGB, planes, embedding, wavelengths), wavelengths
    record = read_record(folder)
    _check_activation(record.model_cfg, model_cfg, source)
    origin = RGB if record.preprocessing.one_channel == "replicated" else record.preprocessing.channels
    theirs = Wavelengths(record.wavelengths_um, record.sar_wavelength)
    untrained_input(visual, origin, record.channel_embedding, theirs)
    tensors = _resized(clip, read_weights(folder, record))
    load_state(clip, tensors, f"The model was to start from {source}.")
    if record.channel_embedding == "wavelength":
        if embedding == "wavelength":
            both = _both(theirs, wavelengths, source)
            both.numbers(planes)
            return {}, both
        plain_input(visual, theirs.numbers(origin))
    inflated = trained_input(visual, origin, planes, embedding, wavelengths)
    # Where the source was inflated itself, say whose weights they were in the beginning.
    earlier = record.inflated_from
    if not inflated and tuple(origin) == tuple(planes):
        return dict(earlier), wavelengths
    return {name: earlier.get(whose, whose) for name, whose in inflated.items()}, wavelengths


def _both(theirs: Wavelengths, ours: Wavelengths | None, source: str) -> Wavelengths:
    """Joins what the weights were told with what is asked for; the number for radar may not change its meaning."""
    if ours is None:
        return theirs
    if None not in (ours.sar, theirs.sar) and ours.sar != theirs.sar:
        raise UsageError(
            f"The model was to start from {source} with model.sar_wavelength={ours.sar:g}.",
            f"In its weights {theirs.sar:g} stands for radar; with another number they give other features.",
            "Leave model.sar_wavelength out.",
        )
    return Wavelengths(joined(ours.um, theirs.um), theirs.sar if ours.sar is None else ours.sar)


def _resized(clip: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Resizes the tables of positions where image size or context length changed (open_clip's own interpolation)."""
    from open_clip.model import resize_pos_embed, resize_text_pos_embed

    wanted = clip.state_dict()
    text = next((name for name in ("positional_embedding", "text.positional_embedding") if name in wanted), None)
    resize_pos_embed(tensors, clip)
    if text is not None and text in tensors and tensors[text].shape[1:] == wanted[text].shape[1:]:
        resize_text_pos_embed(tensors, clip)
    return tensors


def _check_activation(theirs: dict[str, Any], ours: dict[str, Any], source: str) -> None:
    """Weights trained with one activation give wrong features with the other, and nothing else would notice."""
    if bool(theirs.get("quick_gelu")) != bool(ours.get("quick_gelu")):
        used = "QuickGELU" if theirs.get("quick_gelu") else "GELU"
        raise UsageError(
            f"The model was to start from {source}.",
            f"Its weights were trained with {used}, the architecture uses the other.",
            "Choose the architecture with (or without) -quickgelu in its name.",
        )


def _cached_tag(tag: str, architecture: str, model_cfg: dict[str, Any]) -> Path:
    """Finds an open_clip tag's weights in the local Hugging Face cache; nothing is downloaded."""
    import huggingface_hub
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    asked = f"The model was to start from {tag!r}."
    pretrained: dict[str, Any] = get_pretrained_cfg(architecture.replace("/", "-"), tag)
    if not pretrained:
        tags = open_clip.list_pretrained_tags_by_model(architecture.replace("/", "-"))
        known = f"Tags of {architecture}: {', '.join(tags)}." if tags else f"{architecture} has no published weights."
        raise UsageError(asked, "It is neither a folder with a model nor a tag of the architecture.", known)
    _check_activation(pretrained, model_cfg, tag)
    repository, _, file = str(pretrained.get("hf_hub") or "").rpartition("/")
    for name in [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]:
        cached = huggingface_hub.try_to_load_from_cache(repository, name) if repository else None
        if isinstance(cached, str):
            return Path(cached)
    where = f"'hf download {repository}'" if repository else "a machine with network"
    remedy = f"Fetch them with {where} into a folder, and set model.initial_weights to that folder."
    raise UsageError(asked, "Its weights are not in the local cache, and nothing is downloaded in training.", remedy)
