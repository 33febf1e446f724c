"""Tiny saved models and small real files for the heads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from domainclip.model_record import ModelRecord, Preprocessing, Prompts

_HERE = str(Path(__file__).resolve().parent)
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)

TEXTS = [
    f"{a} {b} in a picture of {c}"
    for a in ("red", "green", "blue")
    for b in ("glands", "fat", "stroma")
    for c in ("tissue", "lung")
]


def save_tiny_model(folder: Path, *, domain="pathology", channels=("red", "green", "blue"), kind="srgb", seed=0, **changes) -> Path:
    """Builds, without training, and saves a model of 16 pixels and 16 features."""
    from domainclip.config import ModelConfig
    from domainclip.models.checkpoint import save_model
    from domainclip.models.tokenizer import train_tokenizer
    from domainclip.models.towers import build_model

    tokenizer = train_tokenizer(TEXTS, 300, 16)
    model = build_model(ModelConfig(architecture="tiny-vit"), channels, vocabulary_size=tokenizer.vocabulary_size, seed=seed)
    record = ModelRecord(
        domain=domain,
        architecture="tiny-vit",
        model_cfg=model.model_cfg,
        preprocessing=Preprocessing(
            channels=channels, values_kind=kind, image_size=16, mean=(0.5,) * len(channels), std=(0.25,) * len(channels)
        ),
        context_length=16,
        tokenizer="folder",
        prompts=Prompts(templates={"en": ("{}", "a picture of {}")}),
        classes=("red", "green"),
        **{"synthetic": True, **changes},
    )
    save_model(folder, model, record, tokenizer)
    return folder


@pytest.fixture(scope="session")
def make_model():
    """Saves and loads a further tiny model: ``make_model(folder, seed=1)``."""
    from domainclip.heads.domain_model import load_model

    return lambda folder, **options: load_model(save_tiny_model(folder, **options), device="cpu")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("heads") / "model")


@pytest.fixture(scope="session")
def model(model_folder):
    from domainclip.heads.domain_model import load_model

    return load_model(model_folder, device="cpu")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder of eight PNGs, one of them broken."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("heads") / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(folder / f"Mustermann_{number}.png")
    (folder / "broken.png").write_bytes((folder / "Mustermann_0.png").read_bytes()[:200])
    return folder


@pytest.fixture(scope="session")
def slide(tmp_path_factory) -> Path:
    """A pyramidal tiled TIFF of 1024 pixels at 0.5 um/px, full of something like tissue."""
    import tifffile

    rng = np.random.default_rng(1)
    coarse = rng.integers(100, 220, (64, 64, 3)).astype(np.uint8)
    image = coarse.repeat(16, axis=0).repeat(16, axis=1)
    image[..., 1] //= 2  # pink, so that the tissue mask finds it
    path = tmp_path_factory.mktemp("heads") / "Mustermann_slide.tif"
    with tifffile.TiffWriter(path) as writer:
        options = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "resolutionunit": "CENTIMETER"}
        writer.write(image, resolution=(20000, 20000), **options)
        writer.write(image[::4, ::4], resolution=(5000, 5000), subfiletype=1, **options)
    return path
