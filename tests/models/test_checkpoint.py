"""Saving and loading: exactness, strictness, broken files, interruption."""

from __future__ import annotations

import errno
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from domainclip.errors import UsageError
from domainclip.models import checkpoint, files
from domainclip.models.checkpoint import load_checkpoint, save_model

S2 = tuple(f"B{i:02}" for i in range(1, 13))


def outputs(model, tokenizer, texts):
    planes = 3 if model.one_channel == "replicated" else len(model.channels)
    images = torch.rand(3, planes, model.image_size, model.image_size, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        output = model(images, tokenizer(texts))
    return torch.cat([output.image_features, output.text_features]), output.logit_scale


@pytest.mark.parametrize("architecture", ["tiny-vit", "tiny-resnet", "starter-resnet"])
@pytest.mark.parametrize(
    ("channels", "one_channel", "kind"),
    [
        (("red", "green", "blue"), "own", "srgb"),
        (S2, "own", "reflectance"),
        (("MONOCHROME2",), "own", "display"),
        (("MONOCHROME2",), "replicated", "display"),
    ],
)
def test_what_is_saved_comes_back(tmp_path, make_model, make_record, tokenizer, texts, architecture, channels, one_channel, kind):
    model = make_model(architecture, channels, one_channel=one_channel)
    with torch.no_grad():
        model.clip.logit_scale.fill_(3.3)
    record = make_record(model, preprocessing={"values_kind": kind}, provenance={"seed": 3})
    written = save_model(tmp_path / "m", model, record, tokenizer)
    again, loaded, words = load_checkpoint(tmp_path / "m")
    for ours, theirs in zip(outputs(model, tokenizer, texts), outputs(again, words, texts), strict=True):
        assert torch.equal(ours, theirs)
    assert loaded == written and loaded.provenance["seed"] == 3 and not again.training
    stock = len(channels) == 3 or one_channel == "replicated"
    assert loaded.open_clip is stock
    assert (tmp_path / "m" / "open_clip_model.safetensors").exists() is stock
    assert not list((tmp_path / "m").glob("*.part"))


def test_files_hold_plain_names_fp32_and_a_scalar_scale(saved):
    folder, model = saved
    for name in ("model.safetensors", "open_clip_model.safetensors"):
        tensors = load_file(folder / name)
        assert tensors["logit_scale"].shape == () and "visual.conv1.weight" in tensors
        assert {t.dtype for t in tensors.values()} <= {torch.float32, torch.int64}
        assert set(tensors) == set(model.clip.state_dict())


def test_half_the_bytes_nearly_the_same_features(tmp_path, make_model, make_record, tokenizer, texts):
    model = make_model("starter-resnet")
    save_model(tmp_path / "full", model, make_record(model), tokenizer)
    save_model(tmp_path / "half", model, make_record(model), tokenizer, dtype="float16", open_clip_copy=False)
    full, half = (tmp_path / name / "model.safetensors" for name in ("full", "half"))
    assert half.stat().st_size < 0.55 * full.stat().st_size and half.stat().st_size < 2e6
    assert sum(file.stat().st_size for file in half.parent.iterdir()) < 2e6
    again, record, words = load_checkpoint(half.parent)
    assert record.provenance["weights"]["dtype"] == "float16" and record.open_clip
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    assert (outputs(model, tokenizer, texts)[0] - outputs(again, words, texts)[0]).abs().max() < 2e-3


def test_saving_again_replaces_the_model_and_spares_other_files(saved, make_model, make_record, tokenizer):
    folder, _ = saved
    (folder / "notes.txt").write_text("mine")
    model = make_model("tiny-vit", ("VV", "VH"))
    save_model(folder, model, make_record(model, preprocessing={"values_kind": "db"}), tokenizer)
    assert load_checkpoint(folder)[1].preprocessing.channels == ("VV", "VH")
    assert not (folder / "open_clip_model.safetensors").exists() and not (folder / "open_clip_config.json").exists()
    assert (folder / "notes.txt").read_text() == "mine"


def test_clips_tokenizer_leaves_no_files(tmp_path, make_record, tokenizer):
    from domainclip.config import ModelConfig
    from domainclip.models.tokenizer import load_tokenizer
    from domainclip.models.towers import build_model

    clip = load_tokenizer("clip", 16)
    model = build_model(ModelConfig(architecture="tiny-vit"), ("red", "green", "blue"), vocabulary_size=clip.vocabulary_size).eval()
    save_model(tmp_path, model, make_record(model), clip)
    assert load_checkpoint(tmp_path)[2].kind == "clip" and not (tmp_path / "tokenizer.json").exists()


def test_torn_or_exchanged_weights_are_noticed(saved):
    folder, _ = saved
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match="SHA-256 differs"):
        load_checkpoint(folder)


def without_checksum(folder):
    record = json.loads((folder / "domainclip.json").read_text())
    record["provenance"] = {}
    (folder / "domainclip.json").write_text(json.dumps(record))


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64, "cut"])
def test_damaged_weights_are_refused(saved, content):
    folder, _ = saved
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000] if content == "cut" else content)
    without_checksum(folder)
    with pytest.raises(UsageError, match="no safetensors file, or is damaged"):
        load_checkpoint(folder)


def test_weights_of_another_model_are_named(saved):
    folder, _ = saved
    tensors = load_file(folder / "model.safetensors")
    tensors["stranger"] = tensors.pop("ln_final.bias")
    tensors["text_projection"] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors")
    without_checksum(folder)
    with pytest.raises(UsageError) as caught:
        load_checkpoint(folder)
    for words in ("missing: ln_final.bias", "unexpected: stranger", "text_projection is (3, 3), not (32, 16)"):
        assert words in caught.value.found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda f: (f / "domainclip.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "domainclip.json").write_text("[]"), "domainclip.json"),
        (lambda f: (f / "domainclip.json").write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda f: (f / "domainclip.json").write_text('{"format_version": 9}'), "newer domainclip"),
        (lambda f: shutil.rmtree(f), "no such folder"),
        (lambda f: [p.unlink() for p in f.iterdir()], "no domainclip.json"),
    ],
)
def test_broken_folders_are_refused_with_a_remedy(saved, change, words):
    folder, _ = saved
    change(folder)
    with pytest.raises(UsageError) as caught:
        load_checkpoint(folder)
    assert words in str(caught.value)


def test_unknown_fields_of_the_record_are_named(saved):
    folder, _ = saved
    record = json.loads((folder / "domainclip.json").read_text())
    (folder / "domainclip.json").write_text(json.dumps({**record, "clases": []}))
    with pytest.raises(UsageError, match="Did you mean 'classes'"):
        load_checkpoint(folder)


def test_a_configuration_of_another_open_clip_is_refused(saved):
    folder, _ = saved
    record = json.loads((folder / "domainclip.json").read_text())
    record["model_cfg"]["vision_cfg"]["naflex"] = True
    (folder / "domainclip.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="cannot build its configuration"):
        load_checkpoint(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "open_clip_model.safetensors", "domainclip.json"])
def test_a_full_disk_stops_cleanly_and_never_leaves_a_model_that_loads_wrong(
    saved, make_model, make_record, tokenizer, monkeypatch, file
):
    folder, _ = saved
    whole = checkpoint.write_whole

    def full(path, write):
        def failing(part):
            part.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        whole(path, failing if path.name == file else write)

    monkeypatch.setattr(checkpoint, "write_whole", full)
    monkeypatch.setattr(files, "write_whole", full)
    model = make_model(seed=8)
    with pytest.raises(UsageError, match="No space left on device"):
        save_model(folder, model, make_record(model), tokenizer)
    assert not list(folder.glob("*.part"))
    if file == "domainclip.json":  # all but the record is there: a consistent folder of open_clip with the new weights
        assert torch.equal(load_checkpoint(folder)[0].clip.visual.proj, model.clip.visual.proj)
        return
    with pytest.raises(UsageError):
        load_checkpoint(folder)


def test_a_record_that_contradicts_the_model_is_refused(tmp_path, make_model, make_record, tokenizer):
    model = make_model()
    for preprocessing, words in (
        ({"image_size": 99}, "image_size: 99"),
        ({"channels": ("blue", "green", "red")}, "channels"),
        ({"mean": (0.5,)}, "values in mean"),
    ):
        with pytest.raises(UsageError, match=words):
            save_model(tmp_path / "m", model, make_record(model, preprocessing=preprocessing), tokenizer)
    assert not (tmp_path / "m").exists()
