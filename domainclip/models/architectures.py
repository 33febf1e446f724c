"""Architectures by name: open_clip's own and our small ones, all as open_clip model configurations."""

from __future__ import annotations

import copy
import difflib
from functools import cache
from importlib import resources
from typing import Any

import yaml

from domainclip.errors import UsageError


@cache
def _own() -> dict[str, dict[str, Any]]:
    text = resources.files("domainclip.models").joinpath("architectures.yaml").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return loaded


def list_architectures() -> list[str]:
    """Returns all names that ``architecture_config`` knows, ours first."""
    import open_clip

    own = list(_own())
    return own + [name for name in open_clip.list_models() if name not in own]


def architecture_config(name: str) -> dict[str, Any]:
    """Returns a fresh open_clip model configuration (``embed_dim``, ``vision_cfg``, ``text_cfg`` and further keys).

    Args:
        name: A name of ``architectures.yaml``, or an open_clip model name; "/" may stand for "-", as in open_clip.

    Raises:
        UsageError: There is no such architecture, or it has a part that is not supported (``check_supported``).
    """
    if name in _own():
        return copy.deepcopy(_own()[name])
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(name.replace("/", "-")) if ":" not in name else None
    if config is None:
        raise _unknown(name)
    check_supported(name, config)
    return config


def check_supported(name: str, config: dict[str, Any]) -> None:
    """Refuses configurations whose towers cannot be built from the configuration alone.

    Args:
        name: For the message.
        config: An open_clip model configuration.

    Raises:
        UsageError: A part is missing, the text tower lives on the Hugging Face hub, or there is a caption decoder (CoCa).
    """
    asked = f"The architecture {name!r} was asked for."
    missing = [part for part in ("embed_dim", "vision_cfg", "text_cfg") if part not in config]
    if missing:
        raise UsageError(asked, f"Its configuration lacks {', '.join(missing)}.", "Use an open_clip model configuration.")
    if config["text_cfg"].get("hf_model_name"):
        found = f"Its text tower ({config['text_cfg']['hf_model_name']}) has to be fetched from the Hugging Face hub."
        raise UsageError(asked, found, "Use an architecture with a text tower of open_clip's own, e.g. ViT-B-32.")
    if "multimodal_cfg" in config:
        raise UsageError(asked, "It is a CoCa model with a caption decoder.", "Use a model with two towers, e.g. ViT-B-32.")


def _unknown(name: str) -> UsageError:
    """Names the nearest few: the whole list has over a hundred entries."""
    names = list_architectures()
    folded = {known.casefold(): known for known in reversed(names)}
    close = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
    remedy = f"Did you mean {' or '.join(repr(match) for match in close)}? " if close else ""
    return UsageError(
        f"The architecture {name!r} was asked for.",
        "There is no architecture of that name.",
        f"{remedy}Ours: {', '.join(_own())}; {len(names) - len(_own())} more are open_clip's (open_clip.list_models()).",
    )
