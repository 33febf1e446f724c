"""The four kinds of first layer: what they answer, save, load and refuse."""

from __future__ import annotations

import json
import subprocess
import sys

import open_clip
import pytest
import timm
import torch

from domainclip.config import ModelConfig
from domainclip.errors import UsageError
from domainclip.models.channel_embedding import plain_input, trained_input, untrained_input, wavelength_layers
from domainclip.models.channels import inflate_weight
from domainclip.models.checkpoint import load_checkpoint, read_record, save_model
from domainclip.models.frozen_bands import frozen_bands
from domainclip.models.towers import build_model, parameter_groups
from domainclip.models.wavelengths import Wavelengths

RGB = ("red", "green", "blue")
S2 = ("B02", "B03", "B04", "B08", "B11")
UM = {"B02": 0.490, "B03": 0.560, "B04": 0.665, "B08": 0.842, "B11": 1.610}
KINDS = ["inflated", "zero-inflated", "by-name", "wavelength"]


@pytest.fixture
def start(tmp_path, make_model, make_record, tokenizer):
    """Saves an RGB model; returns it and a maker of models that start from it."""

    def make(architecture="tiny-vit"):
        rgb = make_model(architecture)
        folder = tmp_path / architecture
        save_model(folder, rgb, make_record(rgb), tokenizer)

        def build(kind, channels=S2, seed=0, **more):
            config = ModelConfig(
                architecture=architecture, initial_weights=str(folder), tokenizer=str(folder), context_length=32,
                channel_embedding=kind, **more,
            )  # fmt: skip
            return build_model(config, channels, vocabulary_size=tokenizer.vocabulary_size, seed=seed, wavelengths_um=UM).eval()

        return rgb, build

    return make


def images_of(count, size=16, seed=0):
    return torch.randn(2, count, size, size, generator=torch.Generator().manual_seed(seed))


def encoded(model, images, **more):
    with torch.inference_mode():
        return model(images, mode="image", **more).image_features


@pytest.mark.parametrize("architecture", ["tiny-vit", "starter-resnet", "tiny-resnet"])
def test_zero_inflated_answers_to_rgb_as_the_rgb_model_whatever_else_is_there(start, architecture):
    rgb, build = start(architecture)
    model = build("zero-inflated")
    size = rgb.image_size
    images = images_of(5, size) * torch.tensor([1, 1, 1, 9.0, -50.0])[:, None, None]
    assert (encoded(model, images) - encoded(rgb, images[:, [2, 1, 0]])).abs().max() < 1e-5
    assert model.inflated_from == {"B02": "blue", "B03": "green", "B04": "red", "B08": "zeros", "B11": "zeros"}
    inflated = encoded(build("inflated"), images)
    assert (inflated - encoded(rgb, images[:, [2, 1, 0]])).abs().max() > 1e-2


def test_gradients_reach_planes_of_zeros(start):
    model = start()[1]("zero-inflated")
    model(images_of(5), mode="image").image_features[:, 0].sum().backward()
    gradient = model.clip.visual.conv1.weight.grad
    assert float(gradient[:, 3:].abs().amax(dim=(0, 2, 3)).min()) > 1e-4


def test_rules_by_hand():
    weight = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1)
    assert inflate_weight(weight, RGB, S2, "zero-inflated").flatten().tolist() == [6, 2, 1, 0, 0]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        drawn = inflate_weight(weight.repeat(400, 1, 2, 2), RGB, S2, "by-name")
    assert torch.equal(drawn[:, :3], weight.repeat(400, 1, 2, 2)[:, [2, 1, 0]])
    bound = (6 / (5 * 4 + 400)) ** 0.5  # Xavier: 5 planes of 2 x 2 in, 400 out
    assert 0.97 * bound < float(drawn[:, 3:].abs().max()) <= bound and abs(float(drawn[:, 3:].mean())) < 0.1 * bound


def test_by_name_keeps_what_is_named_and_draws_the_rest_from_the_seed(start):
    rgb, build = start()
    first, again, other = build("by-name"), build("by-name"), build("by-name", seed=1)
    new, old = first.clip.visual.conv1.weight, rgb.clip.visual.conv1.weight
    assert torch.equal(new[:, :3], old[:, [2, 1, 0]]) and first.inflated_from["B08"] == "drawn anew"
    assert torch.equal(new, again.clip.visual.conv1.weight) and not torch.equal(new, other.clip.visual.conv1.weight)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ["tiny-vit", "starter-resnet"])
def test_the_order_of_named_bands_does_not_matter(start, kind, architecture):
    rgb, build = start(architecture)
    order = [3, 0, 4, 2, 1]
    images = images_of(5, rgb.image_size)
    one, other = build(kind), build(kind, tuple(S2[i] for i in order))
    if kind == "by-name":  # its new planes are drawn in the order of the bands: give both the same
        for name in ("conv1",) if architecture == "tiny-vit" else ("trunk.conv1.0",):
            weight = one.clip.visual.get_submodule(name).weight
            other.clip.visual.get_submodule(name).weight = torch.nn.Parameter(weight[:, order])
    assert (encoded(one, images) - encoded(other, images[:, order])).abs().max() < 1e-6
    if kind == "wavelength":
        names = tuple(S2[i] for i in order)
        assert (encoded(one, images) - encoded(one, images[:, order], channels=names)).abs().max() < 1e-6
        assert (encoded(one, images) - encoded(one, images[:, order])).abs().max() > 1e-3, "names matter"


@pytest.mark.parametrize("architecture", ["tiny-vit", "starter-resnet", "tiny-resnet"])
def test_a_wavelength_tower_from_rgb_weights_answers_to_rgb_as_before(start, architecture):
    rgb, build = start(architecture)
    model = build("wavelength")
    images = images_of(3, rgb.image_size)
    before = encoded(rgb, images)
    assert (encoded(model, images, channels=("B04", "B03", "B02")) - before).abs().max() < 1e-4
    assert (encoded(model, images, channels=RGB) - before).abs().max() < 1e-4, "red is B04"
    assert torch.isfinite(encoded(model, images_of(5, rgb.image_size))).all()
    assert model.inflated_from["B04"] == "red" and model.inflated_from["B11"] == "by wavelength from red, green, blue"


def test_one_wavelength_tower_takes_three_bands_and_five(start):
    model = start()[1]("wavelength")
    five = images_of(5)
    three = encoded(model, five[:, :3], channels=S2[:3])
    assert three.shape == (2, 16) and not torch.allclose(three, encoded(model, five))
    with pytest.raises(UsageError, match="No wavelength is known of B10"):
        encoded(model, five[:, :2], channels=("B02", "B10"))
    with pytest.raises(UsageError, match="Images of 3 channels were to be encoded"):
        encoded(model, five[:, :3])
    with pytest.raises(UsageError, match=r"Images of 3 channels, B02, B03, B04, were to be encoded"):
        encoded(start("starter-vit")[1]("inflated"), images_of(3, 64), channels=S2[:3])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_in_another_process(start, kind, tmp_path, make_record, tokenizer):
    model = start()[1](kind)
    folder = tmp_path / "saved"
    written = save_model(folder, model, make_record(model, preprocessing={"values_kind": "reflectance"}), tokenizer)
    assert read_record(folder) == written and written.channel_embedding == kind
    assert written.wavelengths_um == (UM if kind == "wavelength" else {}) and not (folder / "open_clip_config.json").exists()
    code = f"""
import torch
from pathlib import Path
from domainclip.models.checkpoint import load_checkpoint
model = load_checkpoint(Path({str(folder)!r}))[0]
images = torch.randn(2, 5, 16, 16, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    print(model(images, mode="image").image_features.tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (torch.tensor(json.loads(done.stdout)) - encoded(model, images_of(5))).abs().max() < 1e-6


def test_what_stands_for_radar_is_in_the_record_and_stays_with_the_weights(tmp_path, make_record, tokenizer):
    both = ("B04", "VV", "VH")
    config = ModelConfig(architecture="tiny-vit", context_length=32, channel_embedding="wavelength", sar_wavelength=3.75)
    made = build_model(config, both, vocabulary_size=tokenizer.vocabulary_size, wavelengths_um=UM).eval()
    record = save_model(tmp_path / "v1", made, make_record(made, preprocessing={"values_kind": "db"}), tokenizer)
    assert record.sar_wavelength == 3.75 and wavelength_layers(made.clip.visual)[0][1].wavelengths == (0.665, 3.75, 3.75)
    loaded = load_checkpoint(tmp_path / "v1")[0]
    assert torch.equal(encoded(loaded, images_of(3)), encoded(made, images_of(3)))
    go_on = config.model_copy(update={"initial_weights": str(tmp_path / "v1"), "tokenizer": "clip", "sar_wavelength": None})
    again = build_model(go_on, both, vocabulary_size=tokenizer.vocabulary_size)
    assert again.wavelengths.sar == 3.75 and again.wavelengths.numbers(both) == (0.665, 3.75, 3.75)
    with pytest.raises(UsageError, match=r"In its weights 3.75 stands for radar; with another number"):
        build_model(go_on.model_copy(update={"sar_wavelength": 5.405}), both, vocabulary_size=tokenizer.vocabulary_size)


def test_weight_decay_spares_tokens_and_biases(start):
    model = start()[1]("wavelength")
    groups = {group["name"]: group["parameter_names"] for group in parameter_groups(model, 0.1)}
    start_of = "clip.visual.conv1."
    decayed, spared = (
        {name.removeprefix(start_of) for name in groups[group] if name.startswith(start_of)} for group in ("decay", "no-decay")
    )
    layers = ("residual_in", "residual_out", "encoder.attention_in", "encoder.attention_out", "encoder.hidden_in")
    assert decayed == {f"{name}.weight" for name in (*layers, "encoder.hidden_out", "to_kernel", "to_bias")}
    assert {"weight_tokens", "bias_token", "to_bias.bias", "encoder.norm_hidden.weight"} <= spared


def test_frozen_to_rgb_stock_open_clip_gives_the_same(start, tmp_path, make_record, tokenizer):
    model = start()[1]("wavelength", channels=(*RGB, "B08"))
    record = save_model(tmp_path / "whole", model, make_record(model), tokenizer)
    assert not record.open_clip and not (tmp_path / "whole" / "open_clip_config.json").exists()
    colours = start()[1]("wavelength", channels=RGB)
    assert not save_model(tmp_path / "colours", colours, make_record(colours), tokenizer).open_clip
    frozen, changed = frozen_bands(model, record, RGB)
    images = images_of(3)
    wanted = encoded(model, images, channels=RGB)
    assert (encoded(frozen, images) - wanted).abs().max() < 1e-5
    assert save_model(tmp_path / "frozen", frozen, changed, tokenizer).open_clip
    stock = open_clip.create_model(f"local-dir:{tmp_path / 'frozen'}").eval()
    with torch.inference_mode():
        assert (stock.encode_image(images, normalize=True) - wanted).abs().max() < 1e-5
    four, _ = frozen_bands(model, record, ("B08", "blue", "red", "green"))
    order = [3, 2, 0, 1]
    assert (encoded(four, images_of(4)[:, order]) - encoded(model, images_of(4))).abs().max() < 1e-5
    with pytest.raises(UsageError, match="It was trained on red, green, blue, B08"):
        frozen_bands(model, record, ("red", "B11"))
    with pytest.raises(UsageError, match="first layer is of the kind inflated"):
        frozen_bands(frozen, changed, RGB)


def test_timm_vit_with_a_bias_of_its_own():
    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = timm.create_model("test_vit", pretrained=False).eval()

    tower, images = Tower(), images_of(3, 160)
    with torch.inference_mode():
        before = tower.trunk(images)
        trained_input(tower, RGB, RGB, "wavelength", Wavelengths({"red": 0.665, "green": 0.56, "blue": 0.49}))
        assert [name for name, _ in wavelength_layers(tower)] == ["trunk.patch_embed.proj"]
        assert (tower.trunk(images) - before).abs().max() < 1e-4
        plain_input(tower, (0.665, 0.56, 0.49))
        assert type(tower.trunk.patch_embed.proj) is torch.nn.Conv2d
        assert (tower.trunk(images) - before).abs().max() < 1e-4


def test_a_plain_model_goes_on_from_a_wavelength_tower(start, tmp_path, make_record, tokenizer):
    first = start()[1]("wavelength")
    save_model(tmp_path / "first", first, make_record(first), tokenizer)
    config = ModelConfig(architecture="tiny-vit", initial_weights=str(tmp_path / "first"), tokenizer="clip", context_length=32)
    plain = build_model(config, S2, vocabulary_size=tokenizer.vocabulary_size).eval()
    assert (encoded(plain, images_of(5)) - encoded(first, images_of(5))).abs().max() < 1e-5
    assert plain.channel_embedding == "inflated" and plain.wavelengths.um == {}


def test_what_is_refused(start):
    _, build = start()
    with pytest.raises(UsageError, match="none of these is among them, so all planes would be zeros"):
        build("zero-inflated", ("VV", "VH"))
    for kind in ("zero-inflated", "by-name"):
        with pytest.raises(UsageError, match="there are no trained weights"):
            build_model(ModelConfig(architecture="tiny-vit", channel_embedding=kind), S2)
    with pytest.raises(UsageError, match="Only wavelength towers read them"):
        build("inflated", sar_wavelength=3.75)
    with pytest.raises(UsageError, match="No wavelength is known of B01"):
        build_model(ModelConfig(architecture="tiny-vit", channel_embedding="wavelength"), ("B01", "B04"), wavelengths_um=UM)
    with pytest.raises(UsageError, match="Three copies of a channel"):
        build_model(
            ModelConfig(architecture="tiny-vit", channel_embedding="wavelength", one_channel="replicated"),
            ("B04",),
            wavelengths_um=UM,
        )
    tower = torch.nn.Module()
    tower.trunk = timm.create_model("test_nfnet", pretrained=False)
    with pytest.raises(UsageError, match="no plain convolution"):
        untrained_input(tower, S2, "wavelength", Wavelengths(UM))
