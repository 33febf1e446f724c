"""Images far from the scale of training are warned of."""

from __future__ import annotations

import numpy as np
import pytest

from domainclip.heads.inputs import Image, scale_difference
from domainclip.model_record import Preprocessing
from domainclip.sample import Pixels, Spacing, Values

TRAINED = Preprocessing(
    channels=("B02",), values_kind="reflectance", image_size=64, mean=(0.0,), std=(1.0,), spacing=(10.0, 10.0), spacing_unit="m"
)


def image(spacing: Spacing | None, side_px: int = 64) -> Image:
    return Image(Pixels(np.zeros((1, side_px, side_px))), Values("reflectance"), ("B02",), spacing)


@pytest.mark.parametrize(
    ("metres", "side_px", "said"), [(10, 64, ""), (20, 64, ""), (500, 64, "500 m"), (5, 256, ""), (10, 256, "40 m")]
)
def test_the_scale_that_the_tower_sees_is_compared(metres: float, side_px: int, said: str) -> None:
    """10 m windows of 256 pixels, shrunk to 64, are 40 m per pixel to the tower; 5 m ones are 20 m, just within a factor of 2."""
    found = scale_difference(image(Spacing((metres, metres), "m", "test"), side_px), TRAINED)
    assert (said in found) if said else found == ""


def test_unknown_scales_and_other_units_are_not_compared() -> None:
    assert scale_difference(image(None), TRAINED) == ""
    assert scale_difference(image(Spacing((0.01, 0.01), "degree", "test")), TRAINED) == ""
