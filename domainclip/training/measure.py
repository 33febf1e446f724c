"""Measures the model in training through its engine, on the validation part and on the held-out part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from domainclip.batch import TextTokenizer
from domainclip.benchmarks.held_out import evaluate_held_out
from domainclip.config import RunConfig
from domainclip.data.prepared_set import PreparedSet
from domainclip.model_record import ModelRecord
from domainclip.models.views import features_of_views
from domainclip.training.engine import Engine


class Measure:
    """Encodes through the engine alone, so that partitioned parameters (ZeRO-3) work; every process makes every call.

    Args:
        engine: Holds the model.
        prepared: The set.
        record: Preprocessing and prompts.
        tokenizer: The model's.
        config: ``evaluation`` and ``data`` are read.
        class_names: Zero-shot classes: label value to names.
    """

    def __init__(
        self,
        engine: Engine,
        prepared: PreparedSet,
        record: ModelRecord,
        tokenizer: TextTokenizer,
        config: RunConfig,
        class_names: dict[str, tuple[str, ...]],
    ) -> None:
        self.engine, self.prepared, self.record, self.tokenizer = engine, prepared, record, tokenizer
        self.config, self.class_names = config, class_names
        self.has_validation = bool((prepared.index["split"] == "val").any())

    def on_validation(self, step: int) -> float:
        """Returns what the best checkpoint is chosen by: the mean of zero-shot balanced accuracy and mean recall on ``val``."""
        quick = self.config.evaluation.model_copy(update={"control": False, "bootstrap": 100})
        report = self._report("val", self.config.model_copy(update={"evaluation": quick}))
        parts = []
        if report["zero_shot"]:
            parts.append(report["zero_shot"]["balanced_accuracy"]["value"])
        if report["retrieval"]:
            parts.append(report["retrieval"]["mean_recall"]["equivalent"]["value"])
        return sum(parts) / len(parts) if parts else 0.0

    def held_out(self) -> dict[str, Any]:
        """Returns the report on the held-out part, measured in evaluation behaviour."""
        self.engine.train(False)
        return self._report("held_out", self.config)

    def _report(self, split: str, config: RunConfig) -> dict[str, Any]:
        return evaluate_held_out(
            self._encode_image, self._encode_text, self.prepared, self.record, config, self.class_names or None, split=split
        )

    @torch.no_grad()
    def _encode_image(self, images: torch.Tensor, channels: tuple[str, ...] | None = None) -> torch.Tensor:
        def encode(view: torch.Tensor) -> torch.Tensor:
            features = self.engine.forward(view, mode="image", channels=channels).image_features
            assert features is not None
            return features.float()

        return features_of_views(encode, images.to(self.engine.processes.device), self.record.preprocessing.views)

    @torch.no_grad()
    def _encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        features = self.engine.forward(
            tokens=self.tokenizer(list(texts)).to(self.engine.processes.device), mode="text"
        ).text_features
        assert features is not None
        return features.float()
