"""A saved model: a folder of safetensors and JSON that needs neither pickle nor network, nor (for RGB) this package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from domainclip.batch import TextTokenizer
from domainclip.config import validated
from domainclip.errors import UsageError
from domainclip.model_record import ModelRecord
from domainclip.models.channel_embedding import untrained_input
from domainclip.models.channels import RGB, check_channel_names
from domainclip.models.files import sha256_of, write_text, write_whole
from domainclip.models.open_clip_folder import CONFIG_FILE, WEIGHTS_FILE, read_open_clip_folder, stock_reproduces, write_config
from domainclip.models.tokenizer import TOKENIZER_FILES, load_tokenizer
from domainclip.models.towers import ClipModel, open_clip_module
from domainclip.models.wavelengths import Wavelengths

RECORD_FILE = "domainclip.json"
MODEL_FILE = "model.safetensors"
FORMAT_VERSION = 1
_REMEDY = "Save the model again, or copy the whole folder again from where it was made."


class SavableTokenizer(TextTokenizer, Protocol):
    """What ``save_model`` asks of a tokenizer; both of ``models.tokenizer`` are."""

    @property
    def kind(self) -> Literal["clip", "folder"]:
        """Where the tokenizer comes from again: open_clip itself, or files in the folder."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Number of ids."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files, if it needs any."""
        ...


def save_model(
    folder: Path,
    model: ClipModel,
    record: ModelRecord,
    tokenizer: SavableTokenizer,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    open_clip_copy: bool = True,
) -> ModelRecord:
    """Writes a model folder; each file is whole or not there.

    The files that mark a folder as a model go first and come back last, so that an interrupted save leaves no model, or the new
    one. The record vouches for the weights by their checksum.

    Fields of the record that the model knows better (architecture, configuration, context length, tokenizer kind, first layer,
    whether stock open_clip reproduces it, checksum of the weights) are set here.

    Args:
        folder: Made when missing; a model that is there already is replaced, other files stay.
        model: On any device; written as fp32 or fp16, logit scale and bias as scalars, names as open_clip's.
        record: What the caller knows: domain, preprocessing, prompts, classes, provenance.
        tokenizer: Its files go into the folder.
        dtype: ``float16`` stores matrices and kernels in half the bytes; vectors and statistics stay fp32, loading gives fp32.
        open_clip_copy: Also write ``open_clip_model.safetensors`` where stock open_clip reproduces the outputs. Without it
            stock open_clip opens ``model.safetensors``, whose content is the same.

    Returns:
        The record as written.

    Raises:
        UsageError: The record contradicts the model, or writing failed.
    """
    _check_agreement(model, record, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    _remove(folder, (RECORD_FILE, CONFIG_FILE))
    tensors = plain_state(model, dtype)
    write_whole(folder / MODEL_FILE, lambda part: save_file(tensors, part, metadata={"format": "pt"}))
    _remove(folder, (*TOKENIZER_FILES, WEIGHTS_FILE))
    tokenizer.save(folder)
    stock = stock_reproduces(model, record.preprocessing)
    if stock and open_clip_copy:
        write_whole(folder / WEIGHTS_FILE, lambda part: save_file(tensors, part, metadata={"format": "pt"}))
    if stock:
        write_config(folder, model.model_cfg, record.preprocessing, own_tokenizer=tokenizer.kind == "folder")
    weights = {"dtype": dtype, "sha256": sha256_of(folder / MODEL_FILE), "parameters": sum(p.numel() for p in model.parameters())}
    written = record.model_copy(
        update={
            "architecture": model.architecture,
            "model_cfg": model.model_cfg,
            "context_length": model.context_length,
            "tokenizer": tokenizer.kind,
            "open_clip": stock,
            **_first_layer(model),
            "provenance": {**record.provenance, "weights": weights},
        }
    )
    write_text(folder / RECORD_FILE, json.dumps(written.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    return written


def _first_layer(model: ClipModel) -> dict[str, Any]:
    """Returns what the record says of the image tower's first layer."""
    return {
        "inflated_from": model.inflated_from,
        "channel_embedding": model.channel_embedding,
        "wavelengths_um": dict(model.wavelengths.um),
        "sar_wavelength": model.wavelengths.sar,
    }


def plain_state(model: ClipModel, dtype: Literal["float32", "float16"] = "float32") -> dict[str, torch.Tensor]:
    """Returns the weights under open_clip's names, on the CPU, logit scale and bias 0-dimensional."""
    tensors: dict[str, torch.Tensor] = {}
    for name, value in model.clip.state_dict().items():
        if value.is_floating_point():
            value = value.to(getattr(torch, dtype) if value.ndim > 1 else torch.float32)
        tensors[name] = value.detach().cpu().contiguous()
    for name in ("logit_scale", "logit_bias"):
        if name in tensors:
            tensors[name] = tensors[name].reshape(())
    return tensors


def load_checkpoint(folder: Path) -> tuple[ClipModel, ModelRecord, SavableTokenizer]:
    """Opens a model folder of ours or of open_clip's.

    Args:
        folder: Holds ``domainclip.json``, or ``open_clip_config.json`` with weights (``models.zoo.find_model`` finds it by name).

    Returns:
        The model (fp32, CPU, evaluation mode), its record, its tokenizer.

    Raises:
        UsageError: The folder holds no model, or a file of it is missing, broken or of another model.
    """
    folder = Path(folder)
    if not (folder / RECORD_FILE).is_file():
        if (folder / CONFIG_FILE).is_file():
            return read_open_clip_folder(folder)
        found = f"There is no {RECORD_FILE} in it." if folder.is_dir() else "There is no such folder."
        remedy = "Give the run folder or model folder of a finished run, or a name that `domainclip models` lists."
        raise UsageError(f"The model {folder} was to be opened.", found, remedy)
    record = read_record(folder)
    replicated = record.preprocessing.one_channel == "replicated"
    names = check_channel_names(record.preprocessing.channels, record.preprocessing.one_channel)
    clip, stock_size = open_clip_module(record.architecture, record.model_cfg)
    wavelengths = Wavelengths(record.wavelengths_um, record.sar_wavelength)
    untrained_input(clip.visual, RGB if replicated else names, record.channel_embedding, wavelengths)
    load_state(clip, read_weights(folder, record), f"The model {folder} was to be opened.")
    model = ClipModel(
        clip,
        record.architecture,
        record.model_cfg,
        names,
        record.preprocessing.one_channel,
        record.inflated_from,
        stock_size,
        record.channel_embedding,
        wavelengths,
    )
    tokenizer = load_tokenizer(folder if record.tokenizer == "folder" else "clip", record.context_length)
    return model.eval(), record, tokenizer


def read_record(folder: Path) -> ModelRecord:
    """Reads ``domainclip.json``.

    Raises:
        UsageError: It is missing, broken, or of a newer format.
    """
    asked = f"The model {folder} was to be opened."
    try:
        content = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(asked, f"{RECORD_FILE} cannot be read ({type(error).__name__}).", _REMEDY) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        found = f"Its format is {version}; this version reads up to {FORMAT_VERSION}."
        raise UsageError(asked, found, "Install a newer domainclip.")
    record = validated(ModelRecord, content, f"The record {folder / RECORD_FILE}")
    assert isinstance(record, ModelRecord)
    return record


def read_weights(folder: Path, record: ModelRecord) -> dict[str, torch.Tensor]:
    """Reads ``model.safetensors`` once its checksum agrees with the record.

    Raises:
        UsageError: It is missing, broken, or not the file that the record was written for.
    """
    path = folder / MODEL_FILE
    asked = f"The model {folder} was to be opened."
    if not path.is_file():
        raise UsageError(asked, f"{MODEL_FILE} is missing.", _REMEDY)
    expected = record.provenance.get("weights", {}).get("sha256")
    if expected is not None and sha256_of(path) != expected:
        found = f"{MODEL_FILE} is not the file that {RECORD_FILE} was written for (SHA-256 differs): damaged or exchanged."
        raise UsageError(asked, found, _REMEDY)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(asked, f"{MODEL_FILE} is no safetensors file, or is damaged.", _REMEDY) from error


def load_state(clip: torch.nn.Module, tensors: dict[str, torch.Tensor], asked: str) -> None:
    """Copies weights into a module, strictly: same names, same shapes (scalars may be 1-element vectors).

    Args:
        clip: The open_clip module.
        tensors: Weights by open_clip's names.
        asked: First part of the message.

    Raises:
        UsageError: Names or shapes differ; the message gives them.
    """
    wanted = clip.state_dict()
    fitted = {
        name: value.reshape(wanted[name].shape) if name in wanted and value.numel() == wanted[name].numel() == 1 else value
        for name, value in tensors.items()
    }
    problems = []
    for label, names in (("missing", wanted.keys() - fitted.keys()), ("unexpected", fitted.keys() - wanted.keys())):
        if names:
            problems.append(f"{label}: {_some(sorted(names))}")
    shapes = [
        f"{name} is {tuple(fitted[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & fitted.keys())
        if fitted[name].shape != wanted[name].shape
    ]
    if shapes:
        problems.append(f"other shapes: {_some(shapes)}")
    if problems:
        found = f"The weights do not fit the architecture; {'; '.join(problems)}."
        raise UsageError(asked, found, "Use weights of the same architecture, image size, vocabulary and channels.")
    clip.load_state_dict(fitted)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def _check_agreement(model: ClipModel, record: ModelRecord, tokenizer: SavableTokenizer) -> None:
    """A record that contradicts its model would mislead every later user of the folder."""
    p = record.preprocessing
    pairs: list[tuple[str, Any, Any]] = [
        ("channels", p.channels, model.channels),
        ("one_channel", p.one_channel, model.one_channel),
        ("image_size", p.image_size, model.image_size),
        ("values in mean", len(p.mean), len(model.channels)),
        ("values in std", len(p.std), len(model.channels)),
        ("context length of the tokenizer", tokenizer.context_length, model.context_length),
        ("vocabulary of the tokenizer", tokenizer.vocabulary_size, model.vocabulary_size),
    ]
    wrong = [f"{what}: {said!r} against {actual!r} of the model" for what, said, actual in pairs if said != actual]
    if wrong:
        remedy = "Build model, tokenizer and preprocessing from one configuration."
        raise UsageError("A model was to be saved.", f"Its parts do not fit together; {'; '.join(wrong)}.", remedy)


def _remove(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
