"""A first layer whose kernels follow from the wavelengths of the bands: one set of weights for any set of bands.

Source: Xiong et al., "Neural plasticity-inspired foundation model for observing the Earth crossing modalities" (DOFA, 2024), in the
form of DOFA-CLIP (``dofa_patch_embed.py`` of its open_clip). Wavelength x 1000 -> 128 sines and cosines -> residual of two linear
layers -> one transformer encoder layer (4 heads, 2048 wide, after-norm, GELU) together with 128 learnt tokens and one for the bias
-> a linear layer gives each band its kernel, one gives the bias; both times 0.01. DOFA v1 reads the same numbers as a kernel of
another layout and pads by one pixel: its weights do not fit this layer.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from domainclip.errors import UsageError

WIDTH = 128
TOKENS = 128
HEADS = 4
HIDDEN = 2048
SCALE = 0.01
_PERIOD = 10000.0
_TOKEN_SPREAD = 0.02
_FIRST_BIAS = 0.01


class WavelengthConv2d(nn.Module):
    """Stands where a tower had its first convolution; same call, any number of input planes.

    All parameters are used within this module's ``forward``, or that of its children: under ZeRO-3 they exist only there. There is
    no dropout, and the order of the bands does not matter: the encoder has no positions.

    Args:
        conv: The convolution that it replaces: output width, kernel, stride and padding are taken over. DOFA has kernels as large
            as their stride; overlapping ones (stems of ResNets) are generated alike.
        wavelengths: A number for each input plane.

    Attributes:
        wavelengths: The numbers that the next ``forward`` sees; ``ClipModel`` sets them.
        has_bias: A bias is generated too: for patch embeddings, or where the convolution had one.
        stock_bias: The convolution had one.

    Raises:
        UsageError: The convolution is grouped, dilated, or pads by rules of its own.
    """

    def __init__(self, conv: nn.Conv2d, wavelengths: tuple[float, ...]) -> None:
        super().__init__()
        padding = conv.padding
        if type(conv) is not nn.Conv2d or conv.groups != 1 or set(conv.dilation) != {1} or isinstance(padding, str):
            raise UsageError(
                "A wavelength tower was asked for.",
                f"The first layer of the architecture is no plain convolution ({type(conv).__name__}).",
                "Choose another architecture, e.g. ViT-B-32 or starter-vit.",
            )
        self.out_channels = conv.out_channels
        self.kernel_size, self.stride, self.padding = _pair(conv.kernel_size), _pair(conv.stride), _pair(padding)
        self.wavelengths = wavelengths
        self.stock_bias = conv.bias is not None
        self.has_bias = self.stock_bias or self.kernel_size == self.stride
        self.residual_in, self.residual_out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.weight_tokens = nn.Parameter(torch.empty(TOKENS, WIDTH))
        self.bias_token = nn.Parameter(torch.empty(1, WIDTH))
        self.encoder = EncoderLayer()
        self.to_kernel = nn.Linear(WIDTH, self.kernel_size[0] * self.kernel_size[1] * self.out_channels)
        self.to_bias = nn.Linear(WIDTH, self.out_channels) if self.has_bias else None
        self._draw()

    def _draw(self) -> None:
        nn.init.normal_(self.weight_tokens, std=_TOKEN_SPREAD)
        nn.init.normal_(self.bias_token, std=_TOKEN_SPREAD)
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                # The bias of the attention's input is torch's own first value, 0, as in DOFA.
                nn.init.constant_(layer.bias, 0.0 if name.endswith("attention_in") else _FIRST_BIAS)

    def no_weight_decay(self) -> set[str]:
        """Names the learnt tokens, which are embeddings and no matrices."""
        return {"weight_tokens", "bias_token"}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Makes the kernels and applies them.

        Args:
            images: (N, C, H, W), C = len(wavelengths).

        Returns:
            (N, D, h, w).
        """
        kernel, bias = self.kernels(self.wavelengths)
        return F.conv2d(images, kernel, bias, self.stride, self.padding)

    def kernels(self, wavelengths: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Returns the kernel (D, C, k, k) and the bias (D,) for bands of these wavelengths."""
        bands, bias_features = self.features(wavelengths)
        kernel = self.to_kernel(bands).view(len(wavelengths), *self.kernel_size, self.out_channels) * SCALE
        bias = None if self.to_bias is None else self.to_bias(bias_features) * SCALE
        return kernel.permute(3, 0, 1, 2).contiguous(), bias

    def features(self, wavelengths: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what kernels (C, 128) and bias (128,) are made of."""
        waves = sines_of(wavelengths).to(self.weight_tokens)
        waves = waves + F.relu(self.residual_out(F.relu(self.residual_in(waves))))
        coded = self.encoder(torch.cat([self.weight_tokens, waves, self.bias_token]))
        return coded[TOKENS:-1] + waves, coded[-1]

    @torch.no_grad()
    def fit(self, wavelengths: tuple[float, ...], kernel: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Changes the last layers as little as possible (least squares) so that these bands alone get exactly these kernels.

        Args:
            wavelengths: C different numbers.
            kernel: (D, C, k, k).
            bias: (D,), or None for zeros.
        """
        bands, bias_features = self.features(wavelengths)
        wanted = kernel.permute(1, 2, 3, 0).flatten(1).double() / SCALE
        change = torch.linalg.pinv(bands.double()) @ (wanted - self.to_kernel(bands).double())
        self.to_kernel.weight.add_(change.T.to(self.to_kernel.weight))
        if self.to_bias is not None:
            target = torch.zeros(self.out_channels) if bias is None else bias
            self.to_bias.bias.add_(target.to(self.to_bias.bias) / SCALE - self.to_bias(bias_features))


class EncoderLayer(nn.Module):
    """One transformer encoder layer over (L, 128); written out so that every layer is called by its own forward (ZeRO-3)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_in, self.attention_out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.hidden_in, self.hidden_out = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.norm_attention, self.norm_hidden = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Encodes (L, 128)."""
        query, key, value = self.attention_in(tokens).view(len(tokens), 3, HEADS, -1).permute(1, 2, 0, 3)
        seen = F.scaled_dot_product_attention(query[None], key[None], value[None])[0]
        tokens = self.norm_attention(tokens + self.attention_out(seen.transpose(0, 1).flatten(1)))
        changed: torch.Tensor = self.norm_hidden(tokens + self.hidden_out(F.gelu(self.hidden_in(tokens))))
        return changed


def sines_of(wavelengths: tuple[float, ...]) -> torch.Tensor:
    """Returns (C, 128) float32: sines, then cosines, of 1000 x wavelength at 64 frequencies from 1 down to 1e-4."""
    frequencies = _PERIOD ** -(torch.arange(WIDTH // 2, dtype=torch.float64) / (WIDTH / 2))
    # In float64 on the CPU: at 665 radians bfloat16 would not even know the sign of the sine.
    angles = torch.tensor(wavelengths, dtype=torch.float64)[:, None] * 1000.0 * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def _pair(numbers: tuple[int, ...]) -> tuple[int, int]:
    return numbers[0], numbers[1]
