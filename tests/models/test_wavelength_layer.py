"""The layer that makes kernels of wavelengths, against torch's own encoder in DOFA's layout."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from domainclip.errors import UsageError
from domainclip.models.wavelength_layer import WavelengthConv2d, sines_of
from domainclip.models.wavelengths import Wavelengths

S2 = {"B02": 0.490, "B03": 0.560, "B04": 0.665, "B08": 0.842, "B11": 1.610}


class Oracle(nn.Module):
    """The layer of DOFA-CLIP written anew with torch's modules, its parameters named as in DOFA's checkpoints."""

    def __init__(self, kernel: int, width: int) -> None:
        super().__init__()
        self.kernel, self.width = kernel, width
        self.fclayer = nn.ModuleDict({"w1": nn.Linear(128, 128), "w2": nn.Linear(128, 128)})
        self.weight_generator = nn.Module()
        one = nn.TransformerEncoderLayer(128, 4, activation="gelu", dropout=0.0)
        self.weight_generator.transformer_encoder = nn.TransformerEncoder(one, 1, enable_nested_tensor=False)
        self.weight_generator.fc_weight = nn.Linear(128, kernel * kernel * width)
        self.weight_generator.fc_bias = nn.Linear(128, width)
        self.weight_generator.weight_tokens = nn.Parameter(torch.randn(128, 128))
        self.weight_generator.bias_token = nn.Parameter(torch.randn(1, 128))

    def forward(self, images, wavelengths):
        rows = []
        for um in wavelengths:
            angles = [1000 * um / 10000 ** (i / 64) for i in range(64)]
            rows.append([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
        waves = torch.tensor(rows)
        waves = waves + self.fclayer["w2"](self.fclayer["w1"](waves).relu()).relu()
        generator = self.weight_generator
        coded = generator.transformer_encoder(torch.cat([generator.weight_tokens, waves, generator.bias_token]))
        flat = generator.fc_weight(coded[128:-1] + waves)
        kernel = torch.stack([row.reshape(self.kernel, self.kernel, self.width).permute(2, 0, 1) for row in flat], dim=1)
        bias = generator.fc_bias(coded[-1])
        # Patches cut out by hand, so that nothing of conv2d is shared.
        patches = images.unfold(2, self.kernel, self.kernel).unfold(3, self.kernel, self.kernel)
        return torch.einsum("nchwij,dcij->ndhw", patches, kernel * 0.01) + 0.01 * bias[:, None, None]


NAMES = {
    "fclayer.w1": "residual_in",
    "fclayer.w2": "residual_out",
    "weight_generator.transformer_encoder.layers.0.self_attn.in_proj_": "encoder.attention_in.",
    "weight_generator.transformer_encoder.layers.0.self_attn.out_proj": "encoder.attention_out",
    "weight_generator.transformer_encoder.layers.0.linear1": "encoder.hidden_in",
    "weight_generator.transformer_encoder.layers.0.linear2": "encoder.hidden_out",
    "weight_generator.transformer_encoder.layers.0.norm1": "encoder.norm_attention",
    "weight_generator.transformer_encoder.layers.0.norm2": "encoder.norm_hidden",
    "weight_generator.fc_weight": "to_kernel",
    "weight_generator.fc_bias": "to_bias",
    "weight_generator.weight_tokens": "weight_tokens",
    "weight_generator.bias_token": "bias_token",
}


def ours_of(oracle: Oracle) -> WavelengthConv2d:
    layer = WavelengthConv2d(nn.Conv2d(3, oracle.width, oracle.kernel, oracle.kernel), (0.6,))
    renamed = {}
    for name, value in oracle.state_dict().items():
        prefix = next(start for start in NAMES if name.startswith(start))
        renamed[NAMES[prefix] + name[len(prefix) :]] = value
    layer.load_state_dict(renamed)
    return layer


@pytest.mark.parametrize("bands", [("B04",), ("B04", "B03", "B02"), tuple(S2)])
def test_the_layer_is_that_of_dofa_clip(bands):
    torch.manual_seed(0)
    oracle = Oracle(4, 24).eval()
    layer = ours_of(oracle)
    layer.wavelengths = tuple(S2[name] for name in bands)
    images = torch.randn(2, len(bands), 12, 8)
    with torch.no_grad():
        ours, theirs = layer(images), oracle(images, layer.wavelengths)
    assert ours.shape == (2, 24, 3, 2) and float(theirs.std()) > 0.005
    assert (ours - theirs).abs().max() < 1e-5 * float(theirs.abs().max())


def test_first_values_are_those_of_dofa():
    torch.manual_seed(0)
    layer = WavelengthConv2d(nn.Conv2d(3, 32, 8, 8, bias=False), (0.5,))
    assert layer.weight_tokens.shape == (128, 128) and float(layer.weight_tokens.detach().std()) == pytest.approx(0.02, rel=0.05)
    for name, parameter in layer.named_parameters():
        if name.endswith("bias") and "norm" not in name:
            wanted = 0.0 if name == "encoder.attention_in.bias" else 0.01
            assert (parameter - wanted).abs().max() < 1e-7, name
    bound = math.sqrt(6 / (128 + 8 * 8 * 32))
    assert 0.95 * bound < float(layer.to_kernel.weight.detach().abs().max()) <= bound


def test_bfloat16_weights_still_tell_neighbouring_wavelengths_apart():
    layer = WavelengthConv2d(nn.Conv2d(3, 8, 4, 4), (0.5,))
    exact = layer.kernels((0.664, 0.665))[0]
    layer.to(torch.bfloat16)
    rounded = layer.kernels((0.664, 0.665))[0]
    assert rounded.dtype == torch.bfloat16 and not torch.equal(rounded[:, 0], rounded[:, 1])
    assert (rounded.float() - exact).norm() < 0.05 * exact.norm()
    # 0.665 um in bfloat16 would be 0.6640625, and its sines another band's.
    assert sines_of((0.665,))[0, 0].item() == pytest.approx(math.sin(665.0), abs=1e-6)


def test_wavelengths_by_hand():
    table = Wavelengths({"B04": 0.665, "B8A": 0.865}, sar=3.75)
    assert table.numbers(("red", "B8A", "VV", "vh")) == (0.665, 0.865, 3.75, 3.75)
    with pytest.raises(UsageError, match=r"No wavelength is known of B11; known: B04 0.665, B8A 0.865"):
        table.numbers(("B04", "B11"))
    with pytest.raises(UsageError, match=r"not 665 \(nanometres\)"):
        Wavelengths({"B04": 665.0})


def test_what_stands_for_radar_belongs_to_the_weights():
    """torchgeo issue 3931, pull request 3942: 3.75 in DOFA v1, 5.405 in DOFA v2; terratorch gives the second to the first."""
    assert Wavelengths({}, sar=3.75).numbers(("VV", "VH")) == (3.75, 3.75)
    assert Wavelengths({}, sar=5.405).numbers(("VV", "VH")) == (5.405, 5.405)
    with pytest.raises(UsageError, match="VV, VH are radar, and no number is given") as caught:
        Wavelengths({"B04": 0.665}).numbers(("B04", "VV", "VH"))
    assert "3.75 for weights of DOFA v1, 5.405 for DOFA v2" in caught.value.remedy
    with pytest.raises(UsageError, match="a convention of the weights and no wavelength"):
        Wavelengths({"VV": 5.405})


@pytest.mark.parametrize("conv", [nn.Conv2d(4, 8, 4, 4, groups=2), nn.Conv2d(3, 8, 3, padding="same")])
def test_other_first_layers_are_refused(conv):
    with pytest.raises(UsageError, match="no plain convolution"):
        WavelengthConv2d(conv, (0.5,))
