"""A saved tiny model, loaded and used: against the towers called by hand, and with every input that must be refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from domainclip.errors import UnreadableFileError, UsageError
from domainclip.heads.domain_model import load_model
from domainclip.sample import Pixels, Sample, Values

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 255, (16, 16, 3), dtype=np.uint8)


SRGB = Values("srgb", 1 / 255)


def _sample(planes, channels=("red", "green", "blue"), values=SRGB):
    return Sample("k", "CYX", tuple(channels), values, lambda: Pixels(planes))


def _by_hand(model, picture) -> np.ndarray:
    """The towers of open_clip called directly on a picture of the model's own size, so that nothing is resized."""
    pixels = torch.from_numpy(((picture.astype(np.float64) / 255 - 0.5) / 0.25).astype(np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        features = model.clip.clip.encode_image(pixels)
    return torch.nn.functional.normalize(features, dim=-1).numpy()


def test_all_ways_to_give_a_picture_give_the_towers_features(model, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(PICTURE).save(path)
    expected = _by_hand(model, PICTURE)
    assert expected.shape == (1, 16)
    planes = np.ascontiguousarray(PICTURE.transpose(2, 0, 1))
    ways = {
        "path": path,
        "text path": str(path),
        "pil": Image.fromarray(PICTURE),
        "array, channels last": PICTURE,
        "array, channels first": planes,
        "floats": PICTURE.astype(np.float32) / 255,
        "tensor": torch.from_numpy(planes),
        "float tensor": torch.from_numpy(planes).float() / 255,
        "sample": _sample(planes),
        "sample in other order": _sample(planes[[2, 0, 1]], ("blue", "red", "green")),
        "list of one": [PICTURE],
        "array of images": PICTURE[None],
        "generator": (image for image in [PICTURE]),
    }
    for name, given in ways.items():
        features = model.encode_image(given)
        assert features.dtype == np.float32, name
        np.testing.assert_allclose(features, expected, atol=2e-6, err_msg=name)


def test_order_is_kept_and_batches_do_not_matter(model):
    pictures = RNG.integers(0, 255, (11, 20, 20, 3), dtype=np.uint8)
    whole = model.encode_image(pictures, batch_size=64)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(np.ones(11), abs=1e-6)
    np.testing.assert_allclose(model.encode_image(list(pictures), batch_size=3), whole, atol=1e-6)
    np.testing.assert_array_equal(model.encode_image(pictures[7]), model.encode_image(pictures[7:8]))
    assert not np.allclose(whole[0], whole[1])


def test_texts_are_the_towers(model):
    texts = ["red glands", "a picture of fat"]
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.clip.clip.encode_text(model.tokenizer(texts)), dim=-1).numpy()
    np.testing.assert_allclose(model.encode_text(texts), expected, atol=1e-6)
    np.testing.assert_allclose(model.encode_text(texts[0], language="en"), expected[:1], atol=1e-6)
    np.testing.assert_allclose(model.encode_text(texts * 3, batch_size=2)[4:], expected, atol=1e-6)


def test_logit_scale_is_open_clips_initial_one(model):
    assert model.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)


def test_a_text_that_is_cut_is_told(model):
    with pytest.warns(UserWarning, match="1 of 2 texts are longer"):
        model.encode_text(["red", "red glands " * 40])


def test_runs_and_model_folders_load(model_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(model_folder)
    loaded = load_model(tmp_path / "run", device="cpu")
    assert loaded.record.domain == "pathology"
    assert loaded.width == 16


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], "empty"),
        (np.zeros((0, 16, 16, 3), np.uint8), "empty"),
        (np.zeros((16, 16, 4), np.uint8), "Neither its first nor its last axis has the model's 3 channels"),
        (np.zeros((3, 16, 3), np.uint8), "either may be the channels"),
        (np.zeros((16, 16), np.uint8), "no image"),
        (np.zeros((16, 16, 3), np.uint16), "no scale"),
        (np.full((16, 16, 3), 200.0), "lie in 200..200; srgb values lie in 0..1"),
        (-np.ones((3, 16, 16), np.float32), "lie in -1..-1"),
        (np.array([["a"]]), "no image"),
        (np.full((16, 16, 3), "a"), "no numbers"),
        (Image.fromarray(PICTURE).convert("RGBA"), "mode is RGBA"),
        (Image.fromarray(PICTURE).convert("L"), "mode is L"),
        ([3], "a int"),
        ("nowhere.png", "no such file"),
        (_sample(PICTURE.transpose(2, 0, 1)[:2], ("red", "nir")), "lacks green, blue"),
        (_sample(PICTURE.transpose(2, 0, 1), values=Values("reflectance", 1e-4)), "reflectance"),
    ],
)
def test_what_is_refused(model, given, found):
    with pytest.raises(UsageError) as error:
        model.encode_image(given)
    assert found in error.value.found
    assert error.value.remedy


def test_files_that_are_no_single_image(model, slide, pictures, tmp_path):
    with pytest.raises(UsageError, match="several windows"):
        model.encode_image(slide)
    with pytest.raises(UsageError, match="folder"):
        model.encode_image(pictures)
    with pytest.raises(UnreadableFileError):
        model.encode_image(pictures / "broken.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UnreadableFileError):
        model.encode_image(tmp_path / "text.png")


@pytest.mark.parametrize("texts", [[], [""], ["red", "  "], [None]])
def test_blank_texts_are_refused(model, texts):
    with pytest.raises(UsageError, match="at least one text"):
        model.encode_text(texts)


def test_wrong_languages_devices_models_and_sizes(model, model_folder, tmp_path):
    with pytest.raises(UsageError, match="language"):
        model.encode_text("rouge", language="fr")
    with pytest.raises(UsageError, match="device"):
        load_model(model_folder, device="gpu0")
    with pytest.raises(UsageError):
        load_model(tmp_path)
    with pytest.raises(UsageError):
        load_model("no-such-model")
    with pytest.raises(UsageError, match="none"):
        model.encode_image(PICTURE, batch_size=0)
    with pytest.raises(UsageError, match="normalised"):
        model.encode_normalised(torch.zeros(1, 3, 17, 17))
    with pytest.raises(UsageError, match="takes 3"):
        model.encode_normalised(torch.zeros(1, 4, 16, 16))
