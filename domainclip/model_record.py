"""What must be known to use a model: written as ``domainclip.json`` beside the weights. Data and models meet here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from domainclip.config import ChannelEmbedding, Section


class Preprocessing(Section):
    """From stored pixels to the tower's input.

    stored * scale + offset (the sample's ``Values``) gives physical numbers of ``values_kind``; these are resized to
    ``image_size`` and normalised as (x - mean) / std per channel. Pixels without data become 0 after normalisation.

    Attributes:
        channels: Names in the order of the input planes.
        values_kind: The physical quantity that the model was trained on.
        image_size: Height and width in pixels.
        resize: ``squash`` ignores the aspect ratio, ``shortest`` scales the shorter side and crops the centre.
        interpolation: Resampling; always with antialiasing when shrinking.
        mean: Per channel, physical units.
        std: Per channel, physical units, positive.
        one_channel: ``replicated`` feeds one channel to three input planes.
        spacing: Spacing (Y, X) that the model was trained at, in ``spacing_unit``, or None where images have no scale.
        spacing_unit: Unit of ``spacing``.
        views: ``d4`` takes the mean of the features of an image's eight orientations; ``one`` those of the image as it is.
    """

    channels: tuple[str, ...]
    values_kind: Literal["srgb", "display", "reflectance", "hu", "db", "dn"]
    image_size: int
    resize: Literal["squash", "shortest"] = "squash"
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    one_channel: Literal["own", "replicated"] = "own"
    spacing: tuple[float, float] | None = None
    spacing_unit: Literal["um", "mm", "m", "degree"] | None = None
    views: Literal["one", "d4"] = "one"


class Prompts(Section):
    """How class names become text features: mean of the unit vectors over synonyms and templates, then unit norm again.

    Attributes:
        templates: Language to templates with one ``{}`` each.
        pooling: ``mean`` averages before normalising, as some published models do.
    """

    templates: dict[str, tuple[str, ...]] = {"en": ("{}",)}
    pooling: Literal["mean-of-normalised", "mean"] = "mean-of-normalised"


class ModelRecord(Section):
    """The authoritative description of a saved model (``domainclip.json``)."""

    format_version: int = 1
    domain: str
    architecture: str
    model_cfg: dict[str, Any] = Field(description="open_clip's model configuration (embed_dim, vision_cfg, text_cfg).")
    preprocessing: Preprocessing
    context_length: int
    tokenizer: str = Field(description="'clip' or 'folder' (tokenizer files beside the weights).")
    prompts: Prompts = Prompts()
    classes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)
    synthetic: bool = Field(False, description="Trained on generated content only.")
    open_clip: bool = Field(False, description="Stock open_clip reproduces the outputs from this folder.")
    inflated_from: dict[str, str] = Field(default_factory=dict, description="Channel to the RGB channel whose weights it got.")
    channel_embedding: ChannelEmbedding = Field("inflated", description="Kind of the image tower's first layer.")
    wavelengths_um: dict[str, float] = Field(
        default_factory=dict, description="Wavelength towers: optical channel to its centre wavelength in micrometres."
    )
    sar_wavelength: float | None = Field(
        None, gt=0, description="Wavelength towers: what stands for radar in these weights (DOFA v1 3.75, DOFA v2 5.405)."
    )
    provenance: dict[str, Any] = Field(default_factory=dict)
