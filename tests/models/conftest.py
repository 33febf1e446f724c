"""Small models, tokenizers and records that the tests of this folder share."""

from __future__ import annotations

import pytest
import torch

from domainclip.config import ModelConfig
from domainclip.model_record import ModelRecord, Preprocessing
from domainclip.models.tokenizer import train_tokenizer
from domainclip.models.towers import build_model

TEXTS = [
    "a tile of adipose tissue, weakly stained",
    "glands with mucin &amp; debris",
    "ein Bild: Größe der Drüsen",
    "肝臓 と 腎臓 の 組織",
    "вид сверху на лес и поле",
    "a very long report that goes on and on over many findings until it has left every context of thirty-two tokens behind, twice",
]


@pytest.fixture(scope="session")
def texts():
    return TEXTS


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(TEXTS * 3, 420, 32)


@pytest.fixture(scope="session")
def make_model(tokenizer):
    """Builds a model in evaluation mode; batch-norm statistics are moved, so that they take part in every comparison."""

    def build(architecture="tiny-vit", channels=("red", "green", "blue"), seed=0, **options):
        config = ModelConfig(architecture=architecture, context_length=tokenizer.context_length, **options)
        model = build_model(config, channels, vocabulary_size=tokenizer.vocabulary_size, seed=seed)
        planes = 3 if model.one_channel == "replicated" else len(channels)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            for _ in range(3):
                model.clip.visual(torch.rand(8, planes, model.image_size, model.image_size, generator=generator))
        return model.eval()

    return build


@pytest.fixture(scope="session")
def make_record():
    def build(model, **changes):
        channels = len(model.channels)
        given = {
            "channels": model.channels,
            "values_kind": "srgb",
            "image_size": model.image_size,
            "mean": (0.7, 0.5, 0.6)[:channels] if channels <= 3 else (0.1,) * channels,
            "std": (0.2, 0.25, 0.15)[:channels] if channels <= 3 else (0.05,) * channels,
            "one_channel": model.one_channel,
            **changes.pop("preprocessing", {}),
        }
        return ModelRecord(
            domain="pathology",
            architecture=model.architecture,
            model_cfg=model.model_cfg,
            preprocessing=Preprocessing(**given),
            context_length=model.context_length,
            tokenizer="folder",
            **changes,
        )

    return build


@pytest.fixture
def saved(tmp_path, make_model, make_record, tokenizer):
    """A saved tiny model: (folder, model)."""
    from domainclip.models.checkpoint import save_model

    model = make_model()
    save_model(tmp_path / "model", model, make_record(model), tokenizer)
    return tmp_path / "model", model
