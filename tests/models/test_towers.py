"""The one forward, seeded weights, parameter groups."""

from __future__ import annotations

import open_clip
import pytest
import torch

from domainclip.config import ModelConfig
from domainclip.errors import UsageError
from domainclip.models import architectures
from domainclip.models.towers import build_model, parameter_groups

RGB = ("red", "green", "blue")
OURS = ["starter-resnet", "starter-vit", "ucm-resnet18", "tiny-vit", "tiny-resnet"]


# A sigmoid model in small: timm trunk with a table of positions, text tower of its own, a bias. open_clip's SigLIP are like this.
SIGMOID = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear"},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 320,
        "width": 32,
        "heads": 2,
        "layers": 1,
        "pool_type": "last",
        "no_causal_mask": True,
    },
}


@pytest.fixture
def sigmoid(monkeypatch):
    monkeypatch.setattr(architectures, "_own", lambda: {"sigmoid": SIGMOID})
    return lambda **options: build_model(ModelConfig(architecture="sigmoid", **options), RGB, vocabulary_size=304)


def features(model, seed=3):
    generator = torch.Generator().manual_seed(seed)
    planes = 3 if model.one_channel == "replicated" else len(model.channels)
    images = torch.randn(2, planes, model.image_size, model.image_size, generator=generator)
    tokens = torch.randint(2, model.vocabulary_size - 1, (3, model.context_length), generator=generator)
    tokens[:, -1] = model.vocabulary_size - 1
    with torch.inference_mode():
        return images, tokens, model(images, tokens)


@pytest.mark.parametrize("architecture", OURS)
def test_output_is_unit_norm_with_an_exponentiated_scale(architecture):
    model = build_model(ModelConfig(architecture=architecture), RGB).eval()
    _, _, output = features(model)
    for part, rows in ((output.image_features, 2), (output.text_features, 3)):
        assert part.shape == (rows, model.embed_dim)
        assert torch.allclose(part.norm(dim=1), torch.ones(rows), atol=1e-5)
    assert output.logit_scale.shape == (1,)
    assert output.logit_scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    assert output.logit_bias is None


def test_starter_architectures_are_small_enough_to_ship():
    for architecture, most in (("starter-resnet", 1.0e6), ("starter-vit", 1.5e6)):
        model = build_model(ModelConfig(architecture=architecture), RGB)
        assert sum(p.numel() for p in model.parameters()) < most
        assert (model.image_size, model.context_length) == (64, 32)


def test_each_mode_gives_what_both_gives_and_refuses_what_it_ignores(make_model):
    model = make_model()
    images, tokens, both = features(model)
    with torch.inference_mode():
        image, text = model(images=images, mode="image"), model(tokens=tokens, mode="text")
    assert image.text_features is None and text.image_features is None
    assert torch.equal(image.image_features, both.image_features) and torch.equal(text.text_features, both.text_features)
    for arguments in (
        {"images": images},
        {"images": images, "tokens": tokens, "mode": "image"},
        {"images": images, "mode": "text"},
        {},
    ):
        with pytest.raises(ValueError, match="does not fit"):
            model(**arguments)


@pytest.mark.slow
def test_vit_b_32_by_name_equals_open_clip():
    model = build_model(ModelConfig(architecture="ViT-B-32"), RGB, seed=1).eval()
    stock = open_clip.create_model("ViT-B-32").eval()
    weights = {name.removeprefix("clip."): value for name, value in model.state_dict().items()}
    weights["logit_scale"] = weights["logit_scale"].reshape(())
    stock.load_state_dict(weights)
    images, tokens, output = features(model)
    with torch.inference_mode():
        image, text, scale = stock(images, tokens)
    assert (output.image_features - image).abs().max() < 1e-5
    assert (output.text_features - text).abs().max() < 1e-5
    assert output.logit_scale.item() == pytest.approx(scale.item())


def test_weights_depend_on_the_seed_and_leave_global_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    first = build_model(ModelConfig(architecture="tiny-resnet"), ("a", "b"), seed=2).state_dict()
    assert torch.equal(torch.rand(4), expected)
    torch.manual_seed(99)
    second = build_model(ModelConfig(architecture="tiny-resnet"), ("a", "b"), seed=2).state_dict()
    other = build_model(ModelConfig(architecture="tiny-resnet"), ("a", "b"), seed=3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["clip.visual.conv1.weight"], other["clip.visual.conv1.weight"])


def test_no_parameter_is_without_dimension_and_no_weight_is_channels_last(sigmoid):
    model = sigmoid()
    for name, parameter in model.named_parameters():
        assert parameter.ndim >= 1, name
        assert parameter.is_contiguous(), name


def test_groups_hold_each_trainable_parameter_once_under_its_name_and_decay_matrices_only():
    model = build_model(ModelConfig(architecture="tiny-vit"), RGB)
    model.get_parameter("clip.visual.proj").requires_grad_(False)
    groups = parameter_groups(model, 0.3)
    by_name = dict(model.named_parameters())
    listed = [name for group in groups for name in group["parameter_names"]]
    assert sorted(listed) == sorted(set(by_name) - {"clip.visual.proj"})
    for group in groups:
        assert all(by_name[name] is p for name, p in zip(group["parameter_names"], group["params"], strict=True))
        assert group["weight_decay"] == (0.3 if group["name"] == "decay" else 0.0)
    decayed = set(groups[0]["parameter_names"])
    assert "clip.visual.conv1.weight" in decayed and "clip.token_embedding.weight" in decayed
    spared = {
        "clip.visual.positional_embedding",
        "clip.positional_embedding",
        "clip.visual.class_embedding",
        "clip.ln_final.weight",
    }
    assert not decayed & spared
    torch.optim.AdamW(groups)  # further keys do not disturb torch


def test_a_sigmoid_model_gives_its_bias_as_no_parameter(sigmoid):
    model = sigmoid().eval()
    output = model(tokens=torch.zeros(1, model.context_length, dtype=torch.int64), mode="text")
    assert output.logit_bias.shape == (1,) and output.logit_bias.item() == -10
    assert not isinstance(output.logit_bias, torch.nn.Parameter) and output.logit_bias.requires_grad


def test_a_position_table_of_timm_is_resized_and_that_is_said(sigmoid):
    assert sigmoid().stock_input_size
    smaller = sigmoid(image_size=64)
    assert not smaller.stock_input_size  # stock open_clip leaves timm's table at 160
    assert features(smaller)[2].image_features.shape == (2, 64)


def test_sizes_of_the_run_win_over_the_architecture():
    config = ModelConfig(architecture="starter-vit", image_size=48, context_length=20)
    model = build_model(config, RGB, vocabulary_size=500)
    assert (model.image_size, model.context_length, model.vocabulary_size) == (48, 20, 500)
    assert model.clip.token_embedding.weight.shape[0] == 500
    assert features(model)[2].image_features.shape == (2, 128)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "vit-b32"}, "Did you mean 'ViT-B-32'"),
        ({"architecture": "starter-resnt"}, "'starter-resnet'"),
        ({"architecture": "roberta-ViT-B-32"}, "Hugging Face hub"),
        ({"architecture": "coca_ViT-B-32"}, "CoCa"),
        ({"architecture": "RN50", "image_size": 16}, "nothing below 32"),
        ({"architecture": "no-such-tower"}, "no architecture"),
        ({"architecture": "local-dir:/tmp"}, "no architecture"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_remedy(options, words):
    with pytest.raises(UsageError) as caught:
        build_model(ModelConfig(**options), RGB)
    assert words in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize("one_channel", ["own", "replicated"])
def test_planes_of_a_volume_are_pooled_by_their_mean(one_channel):
    model = build_model(ModelConfig(architecture="tiny-vit", one_channel=one_channel), ("MONOCHROME2",)).eval()
    volumes = torch.randn(2, 3, 1, model.image_size, model.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = model(volumes, mode="image").image_features
        planes = torch.stack([model(volume, mode="image").image_features for volume in volumes])
    by_hand = planes.mean(dim=1)
    by_hand /= by_hand.norm(dim=1, keepdim=True)
    assert torch.allclose(whole, by_hand, atol=1e-6)


def test_gradients_reach_every_plane():
    model = build_model(ModelConfig(architecture="tiny-vit"), ("MONOCHROME2",))
    volumes = torch.randn(2, 3, 1, model.image_size, model.image_size, requires_grad=True)
    model(volumes, mode="image").image_features[:, 0].sum().backward()
    assert (volumes.grad.abs().amax(dim=(2, 3, 4)) > 0).all()
