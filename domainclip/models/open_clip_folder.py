"""The folder layout that stock open_clip opens with ``local-dir:``, written beside our own files and read without them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.channel_names import canonical_channel
from domainclip.errors import UsageError
from domainclip.model_record import ModelRecord, Preprocessing
from domainclip.models.architectures import check_supported
from domainclip.models.channels import RGB
from domainclip.models.files import write_text

if TYPE_CHECKING:
    import torch

    from domainclip.models.tokenizer import CorpusTokenizer, StockTokenizer
    from domainclip.models.towers import ClipModel

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"

# open_clip's own default (OpenAI's CLIP), for folders that leave it out.
_OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
_OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def stock_reproduces(model: ClipModel, preprocessing: Preprocessing) -> bool:
    """Says whether stock open_clip gives our outputs from the folder.

    It does for three planes in the order red, green, blue (or one channel that is replicated), of pictures whose 8-bit values
    mean 0 to 1, when it builds the image tower at the same input size. It has no wavelength layers
    (``models.frozen_bands`` makes a plain model of one).
    """
    if model.channel_embedding == "wavelength":
        return False
    named = tuple(canonical_channel(name) for name in model.channels)
    planes = named == RGB or model.one_channel == "replicated"
    return planes and preprocessing.values_kind in ("srgb", "display") and model.stock_input_size


def write_config(folder: Path, model_cfg: dict[str, Any], preprocessing: Preprocessing, *, own_tokenizer: bool) -> None:
    """Writes ``open_clip_config.json``.

    Args:
        folder: The model folder.
        model_cfg: open_clip's configuration as built.
        preprocessing: Ours; the part that open_clip knows is written as its ``preprocess_cfg``.
        own_tokenizer: The tokenizer's files lie in the folder; otherwise it is CLIP's.
    """
    cfg = copy.deepcopy(model_cfg)
    text = cfg["text_cfg"]
    for key in ("hf_tokenizer_name", "tokenizer_kwargs", "tokenizer_mode"):
        text.pop(key, None)  # those of the architecture's original tokenizer
    if own_tokenizer:
        text["hf_tokenizer_name"] = "."  # any name: for a local folder open_clip takes the tokenizer of the folder
    copies = 3 // len(preprocessing.mean)
    preprocess = {
        "size": preprocessing.image_size,
        "mode": "RGB",
        "mean": list(preprocessing.mean) * copies,
        "std": list(preprocessing.std) * copies,
        "interpolation": preprocessing.interpolation,
        "resize_mode": preprocessing.resize,
        "fill_color": 0,
    }
    write_text(folder / CONFIG_FILE, json.dumps({"model_cfg": cfg, "preprocess_cfg": preprocess}, indent=2) + "\n")


def read_open_clip_folder(folder: Path) -> tuple[ClipModel, ModelRecord, CorpusTokenizer | StockTokenizer]:
    """Opens a folder that open_clip wrote: its configuration, weights and tokenizer.

    Returns:
        Model (evaluation mode), a record of domain ``general`` with what the folder says, tokenizer.

    Raises:
        UsageError: A part is broken or not supported.
    """
    from domainclip.models.tokenizer import load_tokenizer
    from domainclip.models.towers import ClipModel, open_clip_module

    cfg, preprocess = read_config(folder)
    name = cfg["vision_cfg"].get("timm_model_name") or "open_clip folder"
    clip, stock_size = open_clip_module(name, cfg)
    load_stock_weights(clip, find_weights(folder))
    model = ClipModel(clip, name, cfg, RGB, stock_input_size=stock_size)
    own = bool(cfg["text_cfg"].get("hf_tokenizer_name"))
    tokenizer = load_tokenizer(folder if own else "clip", model.context_length)
    record = ModelRecord(
        domain="general",
        architecture=name,
        model_cfg=cfg,
        preprocessing=_preprocessing(folder, preprocess, model.image_size),
        context_length=model.context_length,
        tokenizer=tokenizer.kind,
        open_clip=True,
        provenance={"source": "open_clip folder"},
    )
    return model.eval(), record, tokenizer


def read_config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns ``model_cfg`` and ``preprocess_cfg`` of a folder.

    Raises:
        UsageError: The file is broken or describes a model that is not supported.
    """
    try:
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        cfg: dict[str, Any] = content["model_cfg"]
        preprocess: dict[str, Any] = content.get("preprocess_cfg") or {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"{CONFIG_FILE} is not a configuration of open_clip ({type(error).__name__})."
        raise UsageError(f"The open_clip model {folder} was to be opened.", found, "Copy or download it again.") from error
    check_supported(str(folder), cfg)
    return cfg, preprocess


def find_weights(folder: Path) -> Path:
    """Returns the weights of an open_clip folder, safetensors before torch files.

    Raises:
        UsageError: There are none.
    """
    names = (WEIGHTS_FILE, "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    found = f"None of {', '.join(names)} is in it."
    raise UsageError(f"The open_clip model {folder} was to be opened.", found, "Copy or download the weights too.")


def load_stock_weights(clip: torch.nn.Module, path: Path) -> None:
    """Loads weights as open_clip does (position tables resized, torch files by their weights only: no pickled code runs).

    Raises:
        UsageError: The file is broken or its weights do not fit.
    """
    from open_clip.factory import load_checkpoint as stock_load
    from safetensors import SafetensorError

    asked = f"The weights {path} were to be loaded."
    try:
        stock_load(clip, str(path), strict=True, weights_only=True)
    except (RuntimeError, KeyError, ValueError) as error:
        first = " ".join(str(error).split())[:300]
        raise UsageError(asked, f"They do not fit the architecture: {first}", "Use weights of the same architecture.") from error
    except Exception as error:
        # By name: torch refuses files of more than weights with an error of a module that this package never imports.
        if not isinstance(error, OSError | SafetensorError | EOFError) and type(error).__name__ != "UnpicklingError":
            raise
        found = f"The file is damaged or of another kind ({type(error).__name__})."
        raise UsageError(asked, found, "Copy or download it again.") from error


def _preprocessing(folder: Path, cfg: dict[str, Any], image_size: int) -> Preprocessing:
    resize = cfg.get("resize_mode", "shortest")
    interpolation = cfg.get("interpolation", "bicubic")
    if resize not in ("shortest", "squash") or interpolation not in ("bilinear", "bicubic"):
        found = f"Its pictures are resized by {resize!r} with {interpolation!r}, which is not supported."
        raise UsageError(
            f"The open_clip model {folder} was to be opened.", found, "Use a model with resize_mode shortest or squash."
        )
    return Preprocessing(
        channels=RGB,
        values_kind="srgb",
        image_size=image_size,
        resize=resize,
        interpolation=interpolation,
        mean=tuple(cfg.get("mean", _OPENAI_MEAN)),
        std=tuple(cfg.get("std", _OPENAI_STD)),
    )
