"""A trained model with all that is needed to use it: files, arrays or texts in, unit vectors out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.batch import TextTokenizer
from domainclip.config import MissingChannels
from domainclip.data.missing_channels import checked_rule, fit_channels
from domainclip.errors import UsageError, unknown_name
from domainclip.heads.inputs import Image, as_list, open_image, scale_difference
from domainclip.heads.model_input import ModelInput, mostly_missing
from domainclip.model_record import ModelRecord

if TYPE_CHECKING:
    import torch

    from domainclip.models.pooling import Pooling
    from domainclip.models.towers import ClipModel

Features = npt.NDArray[np.float32]
_TEXTS_AT_ONCE = 256


def load_model(name_or_folder: str | Path, device: str = "auto", missing_channels: MissingChannels = "refuse") -> DomainModel:
    """Loads a model for use.

    Args:
        name_or_folder: A run folder, a model folder (with ``domainclip.json``), or a name that ``domainclip models`` lists.
        device: ``"auto"`` takes CUDA where there is one, else the CPU; or a torch device name.
        missing_channels: What becomes of an image that lacks channels of the model: ``refuse``; ``mean`` fills them with the
            model's mean; ``drop`` leaves them out (models of ``channel_embedding`` wavelength).

    Raises:
        UsageError: There is no such model or device, or the folder holds none.
    """
    from domainclip.models.checkpoint import load_checkpoint
    from domainclip.models.zoo import find_model

    clip, record, tokenizer = load_checkpoint(find_model(name_or_folder))
    return DomainModel(clip, record, tokenizer, device=device, source=str(name_or_folder), missing_channels=missing_channels)


class DomainModel:
    """A model of one domain. Features are float32 of unit norm, so that products are cosines.

    Args:
        clip: The towers.
        record: What the model is.
        tokenizer: Its tokenizer.
        device: ``"auto"`` or a torch device name.
        source: What it was loaded from, for indexes that name their model.
        missing_channels: See ``load_model``.

    Raises:
        UsageError: There is no such device, or the model cannot leave channels out.
    """

    def __init__(
        self,
        clip: ClipModel,
        record: ModelRecord,
        tokenizer: TextTokenizer,
        device: str = "auto",
        source: str | None = None,
        missing_channels: MissingChannels = "refuse",
    ) -> None:
        self.device = _device(device)
        self.clip = clip.to(self.device).eval()
        self.record = record
        self.tokenizer = tokenizer
        self.source = source
        self.missing_channels = checked_rule(missing_channels, record.channel_embedding)
        self._scale_said = self._filling_said = False

    @property
    def width(self) -> int:
        """Numbers of a feature vector, D."""
        return int(self.record.model_cfg["embed_dim"])

    @property
    def logit_scale(self) -> float:
        """The factor from cosines to logits."""
        import torch

        with torch.inference_mode():
            # Asked of one text rather than of a parameter: it is then what forward uses, whatever the tower does to it.
            return float(self.clip(tokens=self.tokenizer([""]).to(self.device), mode="text").logit_scale)

    def encode_image(
        self, inputs: Any, batch_size: int = 64, reading: Mapping[str, Any] | None = None, pooling: Pooling = "mean"
    ) -> Features:
        """Encodes images; of volumes and time series, all slices or frames, whose features are pooled.

        Args:
            inputs: One of the following, or an iterable of them, or a prepared set. A path to a file that the domain's reader
                takes as one image; a PIL image (mode RGB or L as the model wants); a numpy array or torch tensor (H, W, C) or
                (C, H, W), or with images first, whose channels are ``record.preprocessing.channels`` in that order: uint8
                pictures, or floats in physical units; a ``Sample``.
            batch_size: Images at a time.
            reading: Options of the domain's reader, for paths. With ``{"axes": "CZYX"}`` a path of radiology may be the folder of a
                series.
            pooling: How features of slices and frames become one: their ``mean``, or the ``max`` of each number.

        Returns:
            (N, D) float32, unit norm, in the order given; one image gives (1, D).

        Raises:
            UsageError: Nothing was given, an input is ambiguous, lacks channels, or is a file of many windows.
            UnreadableFileError: A file is broken.
        """
        images = (open_image(one, self.record, reading) for one in as_list(inputs))
        parts = list(self.encode_images(images, batch_size, pooling))
        if not parts:
            raise UsageError("Images were to be encoded.", "There is none.", "Give at least one image.")
        return np.concatenate(parts)

    def encode_images(self, images: Iterable[Image], batch_size: int = 64, pooling: Pooling = "mean") -> Iterator[Features]:
        """Encodes opened images batch by batch, reading only as far as it has come."""
        if batch_size < 1:
            raise UsageError(f"A batch of {batch_size} images was asked for.", "That holds none.", "Ask for one or more.")
        from domainclip.heads.model_input import input_groups

        for group in input_groups((self.to_input(image) for image in images), batch_size):
            yield self.pooled(group, batch_size, pooling)[0]

    def pooled(
        self, inputs: Sequence[ModelInput], batch_size: int = 64, pooling: Pooling = "mean"
    ) -> tuple[Features, list[Features]]:
        """Encodes the planes of images and pools them.

        Args:
            inputs: From ``to_input``.
            batch_size: Planes at a time.
            pooling: See ``encode_image``.

        Returns:
            (N, D) of the images and (K, D) of the planes of each, float32, unit norm.
        """
        from domainclip.heads.model_input import pooled_inputs

        return pooled_inputs(self.encode_normalised, inputs, batch_size, pooling)

    def to_tensor(self, image: Image) -> torch.Tensor:
        """Returns the tower's input for an image: (K, C, S, S) float32, resized and normalised; K is 1 for pictures.

        Raises:
            UsageError: The image lacks channels, or its values are of another kind.
        """
        return self.to_input(image).tensor

    def to_input(self, image: Image) -> ModelInput:
        """Returns the tower's input for an image, and which of the model's channels the image lacks.

        Raises:
            UsageError: The image lacks channels and ``missing_channels`` refuses that, or its values are of another kind.

        Warns:
            UserWarning: Once a model: more than half of the channels are missing, or the image is of another scale.
        """
        from domainclip.data.transforms import transform_planes

        # Said once a model: features of another scale mean other things.
        if not self._scale_said and (difference := scale_difference(image, self.record.preprocessing)):
            self._scale_said = True
            warnings.warn(f"{difference}; its answers may be wrong. Read at the model's scale (reading options).", stacklevel=2)
        fit = fit_channels(image.channels, self.record.preprocessing, self.missing_channels)
        tensor = transform_planes(
            image.pixels, image.axes, image.values, image.channels, self.record.preprocessing, self.missing_channels
        )
        if fit.mostly_missing and not self._filling_said:
            self._filling_said = True
            warnings.warn(mostly_missing(fit), stacklevel=2)
        return ModelInput(tensor, fit.channels, fit.missing)

    def encode_normalised(self, images: torch.Tensor, channels: tuple[str, ...] | None = None) -> Features:
        """Encodes tensors that ``domainclip.data.transforms.transform`` made for this model.

        Args:
            images: (N, C, H, W) float32.
            channels: Names of the C channels where they are not the model's (wavelength towers).

        Returns:
            (N, D) float32, unit norm.
        """
        import torch

        from domainclip.models.views import features_of_views

        size = self.record.preprocessing.image_size
        if images.ndim != 4 or not images.is_floating_point() or tuple(images.shape[2:]) != (size, size):
            raise UsageError(
                f"A tensor of shape {tuple(images.shape)} and type {images.dtype} was to be encoded.",
                f"The model takes floats of shape (N, {len(channels or self.record.preprocessing.channels)}, {size}, {size}), "
                "normalised.",
                "Give pixels to encode_image, which does resizing and normalising.",
            )
        with torch.inference_mode():

            def encode(view: torch.Tensor) -> torch.Tensor:
                features: torch.Tensor = self.clip(images=view, mode="image", channels=channels).image_features
                return features

            return _unit(features_of_views(encode, images.to(self.device), self.record.preprocessing.views))

    def encode_text(self, texts: str | Sequence[str], language: str | None = None, batch_size: int = _TEXTS_AT_ONCE) -> Features:
        """Encodes texts.

        Args:
            texts: One text or several, none of them blank.
            language: BCP-47 tag, checked against the languages of the model's captions and prompts; None does not ask.
            batch_size: Texts at a time.

        Returns:
            (N, D) float32, unit norm; one text gives (1, D).

        Raises:
            UsageError: Nothing was given, a text is blank, or the model does not know the language.

        Warns:
            UserWarning: Texts are longer than the model reads; their ends are cut off.
        """
        import torch

        rows = [texts] if isinstance(texts, str) else list(texts)
        if not rows or any(not isinstance(row, str) or not row.strip() for row in rows):
            found = "There is none." if not rows else "One of them is blank or no text."
            raise UsageError("Texts were to be encoded.", found, "Give at least one text, each with words.")
        # A model whose captions' language nobody stated has no languages; it then takes any.
        known = {*self.record.languages, *self.record.prompts.templates} if self.record.languages else None
        if language is not None and known is not None and language not in known:
            raise unknown_name("language of this model", language, known)
        cut = self.tokenizer.count_truncated(rows)
        if cut:
            warnings.warn(
                f"{cut} of {len(rows)} texts are longer than the {self.record.context_length} tokens that the model reads; "
                "their ends are lost.",
                stacklevel=2,
            )
        parts = []
        with torch.inference_mode():
            for start in range(0, len(rows), batch_size):
                tokens = self.tokenizer(rows[start : start + batch_size]).to(self.device)
                parts.append(_unit(self.clip(tokens=tokens, mode="text").text_features))
        return np.concatenate(parts)


def _unit(features: torch.Tensor | None) -> Features:
    assert features is not None
    rows = features.float().cpu().numpy()
    unit: Features = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)
    return unit


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise unknown_name("device", name, ("auto", "cpu", "cuda")) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"The device {name} was asked for.", "This machine has no CUDA device that torch can use.", "Use auto or cpu."
        )
    return device
