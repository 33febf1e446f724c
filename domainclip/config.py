"""The typed configuration of a run: one YAML file, flat sections, unknown keys refused, the resolved copy saved with the run."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domainclip.errors import UsageError, unknown_name

ChannelEmbedding = Literal["inflated", "zero-inflated", "by-name", "wavelength"]
"""What an image tower's first layer makes of bands that its initial weights do not name; see ``models.channel_embedding``."""

MissingChannels = Literal["refuse", "mean", "drop"]
"""What becomes of a model's channels that an image lacks; see ``data.missing_channels``."""


class Section(BaseModel):
    """Base of all sections: frozen, and keys that nobody reads are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """Where the images and captions come from, and how they are split."""

    source: str | None = Field(None, description="Card name, folder, file, prepared set or manifest; None makes the starter set.")
    root: str | None = Field(None, description="Folder of a card's files.")
    prepared: str | None = Field(None, description="Where the prepared set is written; default beside the run folder.")
    held_out_fraction: float = Field(0.2, gt=0, lt=0.9, description="Share of groups held out where the source gives no split.")
    val_fraction: float = Field(0.1, ge=0, lt=0.9, description="Share of training groups set aside to choose the checkpoint.")
    class_label: str | None = Field(None, description="Label whose values are the zero-shot classes; default: the domain's.")
    report_language: str | None = Field(
        None,
        description="Language (BCP-47) of reports whose row gives none; None: that of their headings, else refused.",
    )
    report_encoding: Literal["utf-8", "latin-1", "cp1252"] = Field(
        "utf-8", description="Of report files; what does not fit is refused."
    )
    report_sections: tuple[Literal["impression", "findings"], ...] = Field(
        ("impression", "findings"),
        min_length=1,
        description="Sections that captions are made of; others only where these are missing.",
    )
    duplicates: Literal["exact", "near"] | None = Field(
        None,
        description="Images that count as one group: of equal pixels (exact), or (near) that show the same though turned, "
        "mirrored, resized, zoomed or stained anew; some 20 ms an image and core more, and more where most have a twin. Default: "
        "the card's, else exact.",
    )
    split: Literal["published", "by_group"] = Field(
        "published", description="by_group: split anew by group; the source's own words stay in the index as 'published'."
    )
    stratify: str | None = Field(
        None, description="Label whose values get their share in every part, as far as whole groups allow; where the split is ours."
    )
    shots: int | None = Field(
        None,
        ge=1,
        description="Train on as many images of each value of the class label, from different groups where there are any.",
    )
    purpose: Literal["research", "commercial"] = Field(
        "research", description="What the set and its models are for; licences that forbid commercial use stop the other."
    )
    permitted: tuple[Literal["commercial", "derivatives", "redistribution"], ...] = Field(
        (), description="Uses that the licence forbids and that you hold a permission for; kept in the set."
    )
    jpeg_quality: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Store 8-bit colour as JPEG of this quality (with loss); default: PNG.",
    )
    missing_channels: MissingChannels = Field(
        "refuse",
        description="Images that lack channels of the model: refused; mean fills them with the model's mean; drop leaves them out "
        "(wavelength towers; a batch then holds images of the same channels).",
    )
    statistics: str | None = Field(
        None, description="Mean and spread of a published set by name (domainclip domains lists them); default: the set's own."
    )
    planes: int = Field(8, ge=1, description="Slices or frames of each volume or time series that a step of training shows.")
    workers: int = Field(0, ge=0, description="Threads that make batches ahead; 0 makes each when it is asked for.")
    cache: bool = Field(True, description="Keep decoded images in memory when they fit into cache_gib.")
    cache_gib: float = Field(2.0, gt=0)


class ModelConfig(Section):
    """Which towers to build; an architecture is an open_clip name or a name in ``domainclip/models/architectures.yaml``."""

    architecture: str = "starter-resnet"
    channels: tuple[str, ...] | None = Field(None, description="Channel names of the image tower; default: the domain's.")
    channel_embedding: ChannelEmbedding = Field(
        "inflated",
        description="First layer for other bands than those of the initial weights: mean of theirs, zeros, drawn anew, or kernels "
        "made from wavelengths.",
    )
    wavelengths_um: dict[str, float] | None = Field(
        None, description="wavelength: channel to its centre wavelength in micrometres; over those that the domain knows."
    )
    sar_wavelength: float | None = Field(
        None, gt=0, description="wavelength: what stands for VV, VH, HH, HV in the weights (DOFA v1 3.75, DOFA v2 5.405)."
    )
    one_channel: Literal["own", "replicated"] = Field("own", description="One channel: a tower of its own, or three copies.")
    image_size: int | None = Field(None, ge=8, description="Pixels; default: the architecture's.")
    context_length: int | None = Field(None, ge=4, description="Tokens; default: the architecture's.")
    initial_weights: str | None = Field(None, description="Folder, or open_clip pretrained tag in the local cache.")
    tokenizer: str = Field("corpus-bpe", description="'corpus-bpe' is trained on the captions; 'clip' is CLIP's own; or a folder.")
    vocabulary_size: int = Field(1000, ge=259, description="Upper bound for corpus-bpe.")
    views: Literal["one", "d4"] = Field(
        "one", description="Features after training: of the image, or the mean of its 8 orientations (8 times the work)."
    )
    batch_norm: Literal["auto", "frozen", "local", "sync"] = "auto"


class LossTerm(Section):
    """One summand of the loss."""

    name: str
    weight: float = 1.0
    options: dict[str, Any] = Field(default_factory=dict)


class OptimizerConfig(Section):
    """AdamW and its schedule."""

    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(1e-6, gt=0)
    warmup_steps: int = Field(40, ge=0)
    final_lr_fraction: float = Field(0.0, ge=0, le=1)
    clip_norm: float | None = Field(1.0, gt=0)


class TrainingConfig(Section):
    """How long and with what engine to train. The schedule follows whichever of the limits is nearer."""

    batch_size: int = Field(64, ge=2, description="Per process.")
    max_steps: int = Field(500, ge=1)
    max_seconds: float | None = Field(None, gt=0, description="Training time; the schedule then follows the clock too.")
    seed: int = 0
    engine: Literal["deepspeed", "torch"] = Field(
        default_factory=lambda: "deepspeed" if sys.platform == "linux" else "torch",
        description="Default: deepspeed on Linux; torch on macOS and Windows, where DeepSpeed does not install.",
    )
    zero_stage: Literal[0, 1, 2, 3] = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: bool = False
    threads: int | None = Field(None, ge=1, description="CPU threads a process; default: all cores over the processes.")
    save_every_steps: int = Field(100, ge=1)
    evaluate_every_steps: int | None = Field(None, ge=1, description="Choose the best checkpoint on val; None keeps the last.")
    average_last: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of training at whose end weights are averaged (SWA), 0 for none; keep final_lr_fraction up. Batch-norm "
        "statistics for the mean come on top of max_seconds.",
    )
    average_every_steps: int = Field(10, ge=1, description="Steps between the weights that are averaged.")
    log_every_steps: int = Field(10, ge=1)
    augmentation: str | None = Field(
        "default",
        description="Name of a pipeline in the domain's facts (default: that for the set's axes and values); None for none.",
    )


class StarterConfig(Section):
    """How the starter set is made where no data are named."""

    groups: int | None = Field(None, ge=1, description="Slides, patients or scenes; default: the domain's.")
    seed: int = 0
    workers: int = Field(2, ge=1, description="Processes that make it.")


class EvaluationConfig(Section):
    """How the held-out part is measured."""

    bootstrap: int = Field(1000, ge=100)
    recall_at: tuple[int, ...] = (1, 5, 10)
    control: bool = Field(True, description="Measure the control without structure beside the model.")


class RunConfig(Section):
    """A whole run of ``pretrain``."""

    domain: str
    output: str | None = None
    data: DataConfig = DataConfig()
    reading: dict[str, Any] = Field(default_factory=dict, description="The domain's own reading options, checked by the domain.")
    starter: StarterConfig = StarterConfig()
    model: ModelConfig = ModelConfig()
    loss: tuple[LossTerm, ...] = (LossTerm(name="clip"),)
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def to_yaml(self) -> str:
        """Returns the resolved configuration as YAML that ``load_config`` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def validated(model: type[BaseModel], values: Any, what: str) -> Any:
    """Builds a pydantic model, turning its errors into ours with the nearest known key.

    Args:
        model: The pydantic class.
        values: Its fields.
        what: What is being read, for the message, e.g. ``"The configuration run.yaml"``.

    Raises:
        UsageError: A key is unknown or a value does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines, remedies = [], []
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                lines.append(f"{where}: there is no such field")
                known = _fields_at(model, problem["loc"][:-1])
                close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.4)
                remedies.append(f"Did you mean {close[0]!r}?" if close else f"Known fields: {', '.join(known)}.")
            elif problem["type"] == "union_tag_invalid":
                kind, tag, known = (problem["ctx"][name] for name in ("discriminator", "tag", "expected_tags"))
                error_of_name = unknown_name(str(kind).strip("'"), str(tag)[:60], (one.strip(" '") for one in known.split(",")))
                lines.append(f"{where}: {error_of_name.found.rstrip('.')}")
                remedies.append(error_of_name.remedy)
            else:
                place = f"{where}: " if where else ""  # of several fields together no one is named
                given = repr(problem.get("input"))
                given = f"{given[:100]}..." if len(given) > 100 else given
                lines.append(f"{place}{problem['msg'].removeprefix('Value error, ')} (given: {given})")
        remedy = " ".join(remedies) or "Correct the fields named above."
        raise UsageError(f"{what} was to be read.", "; ".join(lines), remedy) from error


def _fields_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Lists the fields of the section at a path, as far as it is a section."""
    for part in path:
        field = model.model_fields.get(str(part))
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        sections = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if isinstance(part, int) or not sections:
            continue
        model = sections[0]
    return list(model.model_fields)


def load_config(path: Path | None = None, overrides: Sequence[str] = (), base: dict[str, Any] | None = None) -> RunConfig:
    """Reads a run configuration.

    Args:
        path: YAML file, or None for the defaults alone.
        overrides: ``section.field=value`` strings, values in YAML; they win over the file.
        base: Values under those of the file (a domain's defaults, say).

    Raises:
        UsageError: The file is missing, is no mapping, or holds unknown fields or values.
    """
    values: dict[str, Any] = dict(base or {})
    what = "The configuration"
    if path is not None:
        what = f"The configuration {path}"
        if not path.is_file():
            raise UsageError(f"{what} was to be read.", "There is no such file.", "Check the path; examples lie in configs/.")
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(f"{what} was to be read.", f"It is not valid YAML in UTF-8: {error}", "Mend the file.") from error
        if not isinstance(loaded, dict):
            raise UsageError(f"{what} was to be read.", "It is not a mapping of sections.", "Start from a file in configs/.")
        values = merged(values, loaded)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise UsageError(
                f"--set {override} was asked for.",
                "It is not of the form section.field=value.",
                "Try --set training.max_steps=100.",
            )
        try:
            nested: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {override} was asked for.", "Its value is not valid YAML.", "Put quotes around it.") from error
        for part in reversed(name.split(".")):
            nested = {part: nested}
        values = merged(values, nested)
    config = validated(RunConfig, values, what)
    assert isinstance(config, RunConfig)
    return config


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merges two nested mappings, the second winning; lists are replaced, not joined."""
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result
