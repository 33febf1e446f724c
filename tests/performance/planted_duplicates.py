"""Copies of pictures as data sets hold them: re-encoded, resized, turned, mirrored, zoomed, stained anew."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

Drawn = np.random.Generator


def reencoded(image: Image.Image, draw: Drawn) -> Image.Image:
    """JPEG at quality 30 to 80."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(draw.integers(30, 81)))
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def resized(image: Image.Image, draw: Drawn) -> Image.Image:
    """To 0.4 to 2 times the side."""
    factor = float(np.exp(draw.uniform(np.log(0.4), np.log(2))))
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def quarter_turned(image: Image.Image, draw: Drawn) -> Image.Image:
    """By 90, 180 or 270 degrees, mirrored or not."""
    turned = image.rotate(90 * int(draw.integers(1, 4)), expand=True)
    return turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else turned


def turned(image: Image.Image, draw: Drawn) -> Image.Image:
    """By any angle, cut to the largest square without corners, as Augmentor did for LC25000 (up to 25 degrees there)."""
    angle = float(draw.uniform(-45, 45))
    side = min(image.size)
    square = image.crop(
        ((image.width - side) // 2, (image.height - side) // 2, (image.width + side) // 2, (image.height + side) // 2)
    )
    kept = side / (abs(np.cos(np.radians(angle))) + abs(np.sin(np.radians(angle)))) / 2
    inner = square.rotate(angle, Image.Resampling.BICUBIC).crop(tuple(round(side / 2 + s * kept) for s in (-1, -1, 1, 1)))
    return inner.resize((side, side), Image.Resampling.BICUBIC)


def mirrored(image: Image.Image, draw: Drawn) -> Image.Image:
    """Left to right or top to bottom."""
    how = Image.Transpose.FLIP_LEFT_RIGHT if draw.random() < 0.5 else Image.Transpose.FLIP_TOP_BOTTOM
    return image.transpose(how)


def zoomed(image: Image.Image, draw: Drawn) -> Image.Image:
    """Into a part of 0.7 to 0.95 of the side, up to a tenth of the side off the middle."""
    share = float(draw.uniform(0.7, 0.95))
    free = (1 - share) / 2
    x, y = (float(draw.uniform(-min(free, 0.1), min(free, 0.1))) + free for _ in range(2))
    box = (x * image.width, y * image.height, (x + share) * image.width, (y + share) * image.height)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def stained(image: Image.Image, draw: Drawn) -> Image.Image:
    """Gain 0.75 to 1.3 and offset of each stain (Ruifrok and Johnston's matrix, by scikit-image); of other pictures the colours."""
    from skimage.color import hed2rgb, rgb2hed

    stains = rgb2hed(np.asarray(image))
    stains = stains * draw.uniform(0.75, 1.3, 3) + draw.uniform(-0.02, 0.02, 3)
    return Image.fromarray((np.clip(hed2rgb(stains), 0, 1) * 255).astype(np.uint8))


def several(image: Image.Image, draw: Drawn) -> Image.Image:
    """Turned, mirrored or not, stained anew, resized and re-encoded."""
    some = turned(image, draw)
    if draw.random() < 0.5:
        some = mirrored(some, draw)
    return reencoded(resized(stained(some, draw), draw), draw)


WAYS: dict[str, Callable[[Image.Image, Drawn], Image.Image]] = {
    way.__name__: way for way in (reencoded, resized, quarter_turned, turned, mirrored, zoomed, stained, several)
}


def plane_of(image: Image.Image) -> np.ndarray[Any, Any]:
    """(3, Y, X) uint8."""
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
