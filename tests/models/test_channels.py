"""Towers for 1, 3, 12 channels against stock open_clip and timm."""

from __future__ import annotations

import open_clip
import pytest
import timm
import torch

from domainclip.channel_names import channel_positions
from domainclip.config import ModelConfig
from domainclip.errors import UsageError
from domainclip.models.channels import adapt_channels, check_channel_names, inflate_input, inflate_weight
from domainclip.models.checkpoint import load_checkpoint, save_model
from domainclip.models.towers import build_model

RGB = ("red", "green", "blue")
S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


def stock_of(model):
    """Stock open_clip with the model's weights."""
    cfg = open_clip.model.CLIPVisionCfg(**model.model_cfg["vision_cfg"])
    stock = open_clip.CLIP(model.embed_dim, cfg, open_clip.model.CLIPTextCfg(**model.model_cfg["text_cfg"])).eval()
    weights = {name: value.reshape(()) if name == "logit_scale" else value for name, value in model.clip.state_dict().items()}
    stock.load_state_dict(weights)
    return stock


def images_of(count, size, seed=0):
    return torch.randn(2, count, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def trained(tmp_path, make_model, make_record, tokenizer):
    """Saves an RGB model and returns (config that starts from it, stock open_clip in the same weights)."""

    def make(architecture):
        model = make_model(architecture)
        folder = tmp_path / architecture
        save_model(folder, model, make_record(model), tokenizer)
        config = ModelConfig(
            architecture=architecture, initial_weights=str(folder), tokenizer=str(folder), context_length=tokenizer.context_length
        )
        return config, stock_of(model), tokenizer.vocabulary_size

    return make


TOWERS = ["tiny-vit", "tiny-resnet", "starter-resnet"]


@pytest.mark.parametrize("architecture", TOWERS)
def test_rgb_in_any_order_answers_as_open_clip(trained, architecture):
    config, stock, vocabulary = trained(architecture)
    # Names of the planes, and where red, green and blue are among them.
    cases = {RGB: [0, 1, 2], ("blue", "green", "red"): [2, 1, 0], ("B02", "B03", "B04"): [2, 1, 0], ("G", "R", "B"): [1, 0, 2]}
    for channels, places in cases.items():
        model = build_model(config, channels, vocabulary_size=vocabulary).eval()
        images = images_of(3, model.image_size)
        with torch.inference_mode():
            ours = model(images, mode="image").image_features
            theirs = stock.encode_image(images[:, places], normalize=True)
        assert (ours - theirs).abs().max() < 1e-5, channels
        assert list(model.inflated_from) == ([] if channels == RGB else list(channels))


@pytest.mark.parametrize("architecture", TOWERS)
def test_a_picture_equal_in_all_channels_answers_as_grey_rgb(trained, architecture):
    config, stock, vocabulary = trained(architecture)
    for channels in (S2, ("VV", "VH"), ("MONOCHROME2",), ("B02", "B03", "B04", "B08")):
        model = build_model(config, channels, vocabulary_size=vocabulary).eval()
        grey = images_of(1, model.image_size)
        with torch.inference_mode():
            ours = model(grey.expand(-1, len(channels), -1, -1), mode="image").image_features
            theirs = stock.encode_image(grey.expand(-1, 3, -1, -1), normalize=True)
        assert (ours - theirs).abs().max() < 1e-5, channels


def test_one_channel_of_its_own_with_summed_weights_equals_the_replicated_tower(trained):
    for architecture in TOWERS:
        config, _, vocabulary = trained(architecture)
        own = build_model(config, ("MONOCHROME2",), vocabulary_size=vocabulary).eval()
        replicated = build_model(
            config.model_copy(update={"one_channel": "replicated"}), ("MONOCHROME2",), vocabulary_size=vocabulary
        )
        replicated.eval()
        image = images_of(1, own.image_size)
        with torch.inference_mode():
            features = own(image, mode="image").image_features
            copied = replicated(image, mode="image").image_features
            given_three = replicated(image.repeat(1, 3, 1, 1), mode="image").image_features
        assert (features - copied).abs().max() < 1e-5
        assert torch.equal(copied, given_three)
        assert own.inflated_from == {"MONOCHROME2": "mean of red, green, blue"} and replicated.inflated_from == {}


def test_the_rule_by_hand():
    weight = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1)
    assert inflate_weight(weight, RGB, ("grey",)).flatten().tolist() == [9.0]
    four = inflate_weight(weight, RGB, ("B02", "B03", "B04", "B08")).flatten()
    assert four.tolist() == pytest.approx([6 * 0.75, 2 * 0.75, 1 * 0.75, 3 * 0.75])
    twelve = inflate_weight(weight, RGB, S2).flatten()
    assert twelve.sum().item() == pytest.approx(9.0)
    assert twelve[S2.index("B04")].item() == pytest.approx(0.25) and twelve[0].item() == pytest.approx(0.75)


def test_names_of_the_weights_are_recorded(trained, tmp_path, make_record, tokenizer):
    config, _, vocabulary = trained("tiny-vit")
    model = build_model(config, S2, vocabulary_size=vocabulary)
    record = save_model(tmp_path / "s2", model, make_record(model), tokenizer).inflated_from
    assert load_checkpoint(tmp_path / "s2")[0].inflated_from == record
    again = config.model_copy(update={"initial_weights": str(tmp_path / "s2")})
    assert build_model(again, S2, vocabulary_size=vocabulary).inflated_from == record
    fewer = build_model(again, ("B08", "green"), vocabulary_size=vocabulary).inflated_from
    assert fewer == {"B08": "mean of red, green, blue", "green": "green"}
    assert {record[name] for name in ("B04", "B03", "B02")} == {"red", "green", "blue"} and record["B04"] == "red"
    assert record["B08"] == "mean of red, green, blue" and list(record) == list(S2)


def test_a_multispectral_model_goes_on_to_other_bands_from_its_own(tmp_path, make_model, make_record, tokenizer):
    first = make_model("tiny-vit", S2)
    save_model(tmp_path / "s2", first, make_record(first, preprocessing={"values_kind": "reflectance"}), tokenizer)
    config = ModelConfig(
        architecture="tiny-vit", initial_weights=str(tmp_path / "s2"), tokenizer=str(tmp_path / "s2"), context_length=32
    )
    again = build_model(config, S2, vocabulary_size=tokenizer.vocabulary_size)
    assert torch.equal(again.clip.visual.conv1.weight, first.clip.visual.conv1.weight) and again.inflated_from == {}
    fewer = build_model(config, ("B08", "red"), vocabulary_size=tokenizer.vocabulary_size)
    old = first.clip.visual.conv1.weight
    assert torch.allclose(fewer.clip.visual.conv1.weight, old[:, [S2.index("B08"), S2.index("B04")]] * 6)
    assert fewer.inflated_from == {"B08": "B08", "red": "B04"}


@pytest.mark.parametrize("architecture", ["starter-resnet", "starter-vit", "tiny-resnet"])
@pytest.mark.parametrize("channels", [("MONOCHROME2",), ("VV", "VH"), S2])
def test_from_scratch_each_channel_gets_weights_of_its_own(architecture, channels):
    model = build_model(ModelConfig(architecture=architecture), channels).eval()
    rgb = build_model(ModelConfig(architecture=architecture), RGB)
    with torch.inference_mode():
        output = model(images_of(len(channels), model.image_size), mode="image")
    assert torch.isfinite(output.image_features).all() and model.inflated_from == {}
    name = "visual.trunk.conv1.0" if architecture == "starter-resnet" else "visual.conv1"
    new, old = (m.clip.get_submodule(name).weight for m in (model, rgb))
    assert new.shape[1] == len(channels) == model.clip.get_submodule(name).in_channels
    # The response to independent planes keeps its variance: spread * sqrt(planes) stays.
    assert new.std().item() * len(channels) ** 0.5 == pytest.approx(old.std().item() * 3**0.5, rel=0.2)
    assert len({tuple(plane.flatten()[:4].tolist()) for plane in new.unbind(1)}) == len(channels)


@pytest.mark.parametrize("name", ["test_convnext", "test_vit", "test_efficientnet", "test_resnet", "test_nfnet", "fastvit_t8"])
def test_timm_trunks_take_four_bands(name):
    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = timm.create_model(name, pretrained=False).eval()

    tower = Tower()
    if name == "test_nfnet":
        with pytest.raises(UsageError, match="cannot be spread"):
            adapt_channels(tower, RGB, ("B02", "B03", "B04", "B08"), trained=True)
        return
    size = tower.trunk.pretrained_cfg["input_size"][-1]
    grey = images_of(1, size)
    with torch.inference_mode():
        before = tower.trunk(grey.expand(-1, 3, -1, -1))
        adapt_channels(tower, RGB, ("B02", "B03", "B04", "B08"), trained=True)
        after = tower.trunk(grey.expand(-1, 4, -1, -1))
    assert (before - after).abs().max() < 1e-4 * max(1.0, before.abs().max().item())


def test_a_bias_stays():
    conv = torch.nn.Conv2d(3, 4, 2)
    wider = inflate_input(conv, RGB, ("B02", "B03", "B04", "B08"))
    assert torch.equal(wider.bias, conv.bias) and wider.in_channels == 4 and conv.in_channels == 3


@pytest.mark.parametrize(
    ("channels", "one_channel", "words"),
    [
        ((), "own", "empty"),
        (("red", ""), "own", "no name"),
        ("rgb", "own", "no name"),
        (("red", "red", "blue"), "own", "Named twice: red"),
        (("red", "green", "blue"), "replicated", "single channel"),
    ],
)
def test_wrong_names_are_refused(channels, one_channel, words):
    with pytest.raises(UsageError, match=words):
        check_channel_names(channels, one_channel)


def test_images_with_other_channels_than_the_tower_are_refused(make_model):
    model = make_model("tiny-vit", ("VV", "VH"))
    with pytest.raises(UsageError, match="The model takes 2: VV, VH"):
        model(torch.zeros(1, 3, 16, 16), mode="image")


def test_planes_are_found_by_name_and_synonym():
    assert channel_positions(S2, RGB) == (3, 2, 1)
    assert channel_positions(("red", "B04"), ("B04",)) == (1,)  # the exact name goes before a synonym
    with pytest.raises(UsageError, match="lacks B08"):
        channel_positions(RGB, ("red", "B08"))
    with pytest.raises(UsageError, match="Several answer"):
        channel_positions(("R", "B04"), ("red",))
