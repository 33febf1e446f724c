"""Stock open_clip opens our folder in a process of its own, offline, from a moved folder; and we open open_clip's."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from domainclip.config import ModelConfig
from domainclip.errors import UsageError
from domainclip.models.checkpoint import load_checkpoint, save_model
from domainclip.models.initial_weights import load_initial_weights
from domainclip.models.tokenizer import load_tokenizer
from domainclip.models.towers import build_model

STOCK = """
import json, socket, sys
def refuse(*a, **k): raise RuntimeError("network")
socket.socket.connect = refuse
import numpy as np, open_clip, torch
from pathlib import Path
from PIL import Image
for work in map(Path, sys.argv[1:]):
    folder = "local-dir:" + str(work / "moved")
    model, _, preprocess = open_clip.create_model_and_transforms(folder)
    tokens = open_clip.get_tokenizer(folder)(json.loads((work / "texts.json").read_text()))
    with torch.inference_mode():
        image, text, scale = model.eval()(torch.from_numpy(np.load(work / "images.npy")), tokens)
    picture = preprocess(Image.open(work / "picture.png"))
    np.savez(work / "stock.npz", image=image, text=text, scale=scale, tokens=tokens, picture=picture)
assert not any(name.partition(".")[0] == "domainclip" for name in sys.modules)
"""

CASES = {
    "starter-resnet": ("own", "ours", "float32"),
    "starter-vit": ("own", "ours", "float16"),
    "tiny-resnet": ("replicated", "clip", "float32"),
}


def save_moved(work, architecture, make_model, make_record, tokenizer, texts):
    """Saves a model with inputs beside it, and moves the folder."""
    one_channel, words, dtype = CASES[architecture]
    if words == "ours":
        model = make_model(architecture)
    else:
        tokenizer = load_tokenizer("clip", 16)
        config = ModelConfig(architecture=architecture, one_channel=one_channel)
        model = build_model(config, ("MONOCHROME2",), vocabulary_size=tokenizer.vocabulary_size).eval()
    with torch.no_grad():
        model.clip.logit_scale.fill_(3.1)
    record = make_record(model, preprocessing={"values_kind": "display", "interpolation": "bilinear"})
    assert save_model(work / "made", model, record, tokenizer, dtype=dtype, open_clip_copy=dtype == "float32").open_clip
    (work / "made").rename(work / "moved")
    size = model.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).numpy()
    if one_channel == "replicated":
        images[:] = images[:, :1]
    np.save(work / "images.npy", images)
    (work / "texts.json").write_text(json.dumps(texts))
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert("L" if one_channel == "replicated" else "RGB").save(work / "picture.png")


@pytest.fixture(scope="module")
def moved(tmp_path_factory, make_model, make_record, tokenizer, texts):
    """Folders by architecture, after stock open_clip has opened them all in one process that knows nothing of us."""
    folders = {name: tmp_path_factory.mktemp(name) for name in CASES}
    for name, work in folders.items():
        save_moved(work, name, make_model, make_record, tokenizer, texts)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-c", STOCK, *map(str, folders.values())]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**environment, "OMP_NUM_THREADS": "1"}, cwd=folders["tiny-resnet"]
    )
    assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.parametrize("architecture", CASES)
def test_stock_open_clip_reproduces_the_outputs(moved, texts, architecture):
    work = moved[architecture]
    stock = np.load(work / "stock.npz")
    ours, loaded, words = load_checkpoint(work / "moved")
    with torch.inference_mode():
        output = ours(torch.from_numpy(np.load(work / "images.npy")), words(texts))
    assert np.array_equal(stock["tokens"], words(texts).numpy())
    assert np.abs(stock["image"] - output.image_features.numpy()).max() < 1e-5
    assert np.abs(stock["text"] - output.text_features.numpy()).max() < 1e-5
    assert float(stock["scale"]) == pytest.approx(output.logit_scale.item(), rel=1e-6)
    # The picture has the model's size already, so preprocessing is (pixel / 255 - mean) / std by hand.
    planes = np.asarray(Image.open(work / "picture.png").convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 255
    mean, std = (np.resize(values, 3).reshape(3, 1, 1) for values in (loaded.preprocessing.mean, loaded.preprocessing.std))
    assert np.abs(stock["picture"] - (planes - mean) / std).max() < 1e-5
    config = json.loads((work / "moved" / "open_clip_config.json").read_text())["preprocess_cfg"]
    assert len(config["mean"]) == len(config["std"]) == 3
    assert (config["resize_mode"], config["interpolation"], config["size"]) == ("squash", "bilinear", ours.image_size)


@pytest.mark.parametrize(
    ("channels", "kind", "stock"),
    [
        (("red", "green", "blue"), "srgb", True),
        (("B04", "B03", "B02"), "srgb", True),
        (("B04", "B03", "B02"), "reflectance", False),
        (("blue", "green", "red"), "srgb", False),
        (("MONOCHROME2",), "display", False),
    ],
)
def test_the_record_says_where_stock_open_clip_reproduces_it(tmp_path, make_model, make_record, tokenizer, channels, kind, stock):
    model = make_model("tiny-vit", channels)
    record = save_model(tmp_path, model, make_record(model, preprocessing={"values_kind": kind}), tokenizer)
    assert record.open_clip is stock and (tmp_path / "open_clip_config.json").exists() is stock


def open_clip_folder(folder, suffix="safetensors"):
    """A folder as open_clip's push_to_hub lays it out."""
    cfg = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "mlp_ratio": 2.0},
    }
    folder.mkdir()
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3], "interpolation": "bilinear", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": preprocess}))
    stock = open_clip.CLIP(16, open_clip.CLIPVisionCfg(**cfg["vision_cfg"]), open_clip.CLIPTextCfg(**cfg["text_cfg"])).eval()
    if suffix == "safetensors":
        save_file(stock.state_dict(), folder / "open_clip_model.safetensors")
    else:
        torch.save(stock.state_dict(), folder / "open_clip_pytorch_model.bin")
    return stock


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_folder_of_open_clip_opens_with_the_same_outputs(tmp_path, suffix):
    stock = open_clip_folder(tmp_path / "hub", suffix)
    model, record, tokenizer = load_checkpoint(tmp_path / "hub")
    images, words = torch.randn(2, 3, 16, 16), ["a photo of a cat", "x"]
    with torch.inference_mode():
        output = model(images, tokenizer(words))
        image, text, _ = stock(images, open_clip.SimpleTokenizer(context_length=16)(words))
    assert (output.image_features - image).abs().max() < 1e-5 and (output.text_features - text).abs().max() < 1e-5
    assert record.preprocessing.mean == (0.4, 0.5, 0.6) and record.preprocessing.resize == "shortest"
    assert record.open_clip and record.tokenizer == "clip" and record.domain == "general"


def test_an_exported_folder_without_our_files_still_opens(tmp_path, saved, texts):
    folder, model = saved
    (folder / "domainclip.json").unlink()
    again, record, tokenizer = load_checkpoint(folder)
    assert record.tokenizer == "folder"
    with torch.inference_mode():
        ids = tokenizer(texts)
        assert torch.equal(again(tokens=ids, mode="text").text_features, model(tokens=ids, mode="text").text_features)


def test_training_starts_from_a_folder_of_open_clip_at_another_size(tmp_path):
    stock = open_clip_folder(tmp_path / "hub")
    architecture = {"architecture": "tiny-vit", "initial_weights": str(tmp_path / "hub"), "tokenizer": "clip"}
    model = build_model(ModelConfig(**architecture), ("red", "green", "blue"), vocabulary_size=49408)
    assert torch.equal(model.clip.visual.proj, stock.visual.proj)
    with pytest.raises(UsageError, match="do not fit the architecture"):
        build_model(ModelConfig(**architecture), ("red", "green", "blue"), vocabulary_size=500)
    larger = build_model(ModelConfig(**architecture, image_size=32, context_length=20), ("VV",), vocabulary_size=49408)
    assert larger.clip.visual.positional_embedding.shape[0] == 17 and larger.inflated_from == {"VV": "mean of red, green, blue"}


def test_our_own_weights_start_at_another_size_too(saved, tokenizer):
    folder, model = saved
    config = ModelConfig(
        architecture="tiny-vit", initial_weights=str(folder), tokenizer=str(folder), image_size=32, context_length=20
    )
    larger = build_model(config, ("red", "green", "blue"), vocabulary_size=tokenizer.vocabulary_size)
    old, new = (m.clip.visual.positional_embedding for m in (model, larger))
    assert new.shape[0] == 17 and torch.equal(new[0], old[0])  # the class token's place stays, 2 x 2 becomes 4 x 4
    assert larger.clip.positional_embedding.shape[0] == 20
    assert torch.equal(larger.clip.token_embedding.weight, model.clip.token_embedding.weight)


def test_weights_do_not_go_with_a_tokenizer_trained_anew(tmp_path):
    open_clip_folder(tmp_path / "hub")
    with pytest.raises(UsageError, match=r"Set model\.tokenizer"):
        build_model(ModelConfig(architecture="tiny-vit", initial_weights=str(tmp_path / "hub")), ("red", "green", "blue"))


def test_no_code_of_a_pickled_file_runs(tmp_path):
    open_clip_folder(tmp_path / "hub")
    (tmp_path / "hub" / "open_clip_model.safetensors").unlink()

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    torch.save({"visual.proj": Evil()}, tmp_path / "hub" / "open_clip_pytorch_model.bin")
    with pytest.raises(UsageError, match="damaged or of another kind"):
        load_checkpoint(tmp_path / "hub")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a configuration"),
        ("{}", "not a configuration"),
        ('{"model_cfg": {"embed_dim": 4}}', "lacks vision_cfg"),
        ('{"model_cfg": {"embed_dim": 4, "vision_cfg": {}, "text_cfg": {"hf_model_name": "org/name"}}}', "Hugging Face hub"),
    ],
)
def test_broken_open_clip_folders_are_refused(tmp_path, content, words):
    (tmp_path / "open_clip_config.json").write_text(content)
    with pytest.raises(UsageError, match=words):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("source", "architecture", "words"),
    [
        ("laion2b", "tiny-vit", "has no published weights"),
        ("laion2b", "RN50", r"Tags of RN50: .*openai"),
        (".", "tiny-vit", "without a model"),
    ],
)
def test_initial_weights_that_are_not_there(tmp_path, monkeypatch, source, architecture, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        load_initial_weights(
            torch.nn.ModuleDict({"visual": torch.nn.Identity()}), source, architecture, {}, ("red", "green", "blue")
        )


def test_a_tag_is_taken_from_the_local_cache_only(tmp_path, monkeypatch):
    import huggingface_hub
    import open_clip.pretrained

    tag = {"hf_hub": "org/weights/", "quick_gelu": False}
    monkeypatch.setattr(open_clip.pretrained, "get_pretrained_cfg", lambda name, tag_name: tag)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    config = ModelConfig(architecture="tiny-vit", initial_weights="some-tag", tokenizer="clip")
    with pytest.raises(UsageError, match="hf download org/weights"):
        build_model(config, ("red", "green", "blue"), vocabulary_size=49408)
    stock = open_clip_folder(tmp_path / "hub")
    repository = tmp_path / "cache" / "models--org--weights"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    (tmp_path / "hub").rename(repository / "snapshots" / ("0" * 40))
    model = build_model(config, ("red", "green", "blue"), vocabulary_size=49408)
    assert torch.equal(model.clip.visual.proj, stock.visual.proj)


def test_weights_of_the_other_activation_are_refused(saved, tokenizer):
    folder, _ = saved
    record = json.loads((folder / "domainclip.json").read_text())
    record["model_cfg"]["quick_gelu"] = True
    (folder / "domainclip.json").write_text(json.dumps(record))
    config = ModelConfig(architecture="tiny-vit", initial_weights=str(folder), tokenizer=str(folder), context_length=32)
    with pytest.raises(UsageError, match="trained with QuickGELU"):
        build_model(config, ("red", "green", "blue"), vocabulary_size=tokenizer.vocabulary_size)
