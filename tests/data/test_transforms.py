"""Pixels to tensors, against Pillow, torchvision and open_clip; missing data must not leak into its neighbours."""

import numpy as np
import pytest
import torch
from PIL import Image

from domainclip.data.transforms import normalise, resized, transform
from domainclip.errors import UsageError
from domainclip.model_record import Preprocessing
from domainclip.sample import Pixels, Values

RNG = np.random.default_rng(2)
RGB = ("red", "green", "blue")
SRGB = Values("srgb", 1 / 255)


def preprocessing(channels=RGB, kind="srgb", size=16, **more):
    count = len(channels)
    fields = {"mean": tuple(0.1 * n + 0.3 for n in range(count)), "std": tuple(0.2 + 0.01 * n for n in range(count))} | more
    return Preprocessing(channels=channels, values_kind=kind, image_size=size, **fields)


@pytest.mark.parametrize("resize", ["squash", "shortest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", [(40, 57), (57, 40), (10, 13), (16, 16), (33, 40), (40, 33)])
def test_eight_bit_rgb_is_open_clips_transform(resize, interpolation, shape):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    array = RNG.integers(0, 256, (3, *shape), dtype=np.uint8)
    ours = preprocessing(resize=resize, interpolation=interpolation)
    theirs = image_transform_v2(
        PreprocessCfg(
            size=16,
            mean=ours.mean,
            std=ours.std,
            interpolation=interpolation,
            resize_mode="squash" if resize == "squash" else "shortest",
        ),
        is_train=False,
    )
    expected = theirs(Image.fromarray(array.transpose(1, 2, 0)))
    torch.testing.assert_close(transform(Pixels(array), SRGB, RGB, ours), expected, rtol=0, atol=2e-6)


def test_floats_are_resized_as_pillow_does_without_rounding():
    array = RNG.normal(size=(12, 30, 22)).astype(np.float32)
    names = tuple(f"B{n:02d}" for n in range(12))
    out = transform(Pixels(array), Values("reflectance"), names, preprocessing(names, "reflectance", interpolation="bilinear"))
    expected = torch.nn.functional.interpolate(torch.from_numpy(array)[None], (16, 16), mode="bilinear", antialias=True)[0]
    mean, std = (torch.tensor([a + b * n for n in range(12)]).view(-1, 1, 1) for a, b in ((0.3, 0.1), (0.2, 0.01)))
    torch.testing.assert_close(out, (expected - mean) / std, rtol=1e-4, atol=1e-4)


def test_scale_offset_mean_and_std_by_hand():
    array = np.full((1, 4, 4), 5000, dtype=np.uint16)
    out = transform(
        Pixels(array),
        Values("reflectance", 1e-4, -0.1),
        ("B02",),
        preprocessing(("B02",), "reflectance", 4, mean=(0.3,), std=(0.2,)),
    )
    np.testing.assert_allclose(out.numpy(), (0.4 - 0.3) / 0.2, rtol=1e-5)


def test_channels_are_taken_by_name():
    array = RNG.integers(0, 256, (4, 16, 16), dtype=np.uint8)
    out = transform(Pixels(array), SRGB, ("nir", "blue", "red", "green"), preprocessing())
    same = transform(Pixels(array[[2, 3, 1]]), SRGB, RGB, preprocessing())
    torch.testing.assert_close(out, same, rtol=0, atol=0)
    with pytest.raises(UsageError, match="lacks green, blue"):
        transform(Pixels(array[:2]), SRGB, ("nir", "red"), preprocessing())
    with pytest.raises(UsageError, match="shape"):
        transform(Pixels(array), SRGB, RGB, preprocessing())


def test_channels_are_taken_by_their_synonyms_and_never_by_place():
    array = RNG.integers(0, 256, (4, 16, 16), dtype=np.uint8)
    out = transform(Pixels(array), SRGB, ("B08", "B02", "B04", "B03"), preprocessing())
    torch.testing.assert_close(out, transform(Pixels(array[[2, 3, 1]]), SRGB, RGB, preprocessing()), rtol=0, atol=0)
    with pytest.raises(UsageError, match="lacks red, green, blue"):
        transform(Pixels(array[:3]), SRGB, ("band1", "band2", "band3"), preprocessing())


def test_one_channel_is_its_own_or_three():
    array = RNG.integers(0, 65536, (1, 16, 16), dtype=np.uint16)
    values = Values("display", 1 / 65535)
    own = transform(Pixels(array), values, ("MONOCHROME2",), preprocessing(("MONOCHROME2",), "display"))
    three = transform(Pixels(array), values, ("MONOCHROME2",), preprocessing(("MONOCHROME2",), "display", one_channel="replicated"))
    assert own.shape == (1, 16, 16) and three.shape == (3, 16, 16)
    torch.testing.assert_close(three, own.expand(3, -1, -1), rtol=0, atol=0)
    assert transform(Pixels(array), values, ("MONOCHROME2",), preprocessing(("MONOCHROME2",), "display")).is_contiguous()


def test_values_of_another_kind_are_refused():
    with pytest.raises(UsageError, match="values are dn, the model was trained on srgb"):
        transform(Pixels(np.zeros((3, 8, 8), np.uint8)), Values("dn"), RGB, preprocessing())


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("how", ["mask", "nodata", "nan"])
def test_missing_data_does_not_smear_into_its_neighbours(interpolation, dtype, how):
    """A constant image with a hole stays constant outside of the hole, whatever number stands in the hole."""
    array = np.full((3, 64, 64), 100, dtype=dtype)
    hole = np.zeros((64, 64), dtype=bool)
    hole[10:33, 7:40] = True
    masks, values = {}, Values("srgb", 1 / 255)
    if how == "nan" and dtype is np.float32:
        array[:, hole] = np.nan
    elif how == "nodata":
        array[:, hole], values = 0, Values("srgb", 1 / 255, nodata=0)
    else:
        array[:, hole], masks = 250, {"nodata": hole}
    ours = preprocessing(size=24, interpolation=interpolation, mean=(0.0,) * 3, std=(1.0,) * 3)
    out = transform(Pixels(array, masks), values, RGB, ours).numpy()
    kinds = np.unique(np.round(out, 4))
    np.testing.assert_allclose(kinds, [0, 100 / 255], atol=1e-4)
    zero = (out[0] == 0).mean()
    assert abs(zero - hole.mean()) < 0.05


def test_what_stands_in_missing_pixels_does_not_matter_and_they_are_zero_after_normalising():
    hole = RNG.random((40, 40)) > 0.8
    one = RNG.integers(1, 256, (3, 40, 40), dtype=np.uint8)
    other = one.copy()
    other[:, hole] = 255
    out = [transform(Pixels(a, {"nodata": hole}), SRGB, RGB, preprocessing()) for a in (one, other)]
    torch.testing.assert_close(out[0], out[1], rtol=0, atol=0)
    nothing = transform(Pixels(one, {"nodata": np.ones((40, 40), bool)}), SRGB, RGB, preprocessing())
    assert torch.count_nonzero(nothing) == 0


def test_a_batch_normalises_as_single_images_do():
    arrays = [RNG.integers(0, 256, (3, 20, 20), dtype=np.uint8) for _ in range(3)]
    singles = torch.stack([transform(Pixels(a), SRGB, RGB, preprocessing()) for a in arrays])
    stacked = torch.from_numpy(np.stack([resized(Pixels(a), SRGB, RGB, preprocessing()).array for a in arrays]))
    torch.testing.assert_close(normalise(stacked, SRGB, preprocessing()), singles, rtol=0, atol=0)


def test_bicubic_does_not_leave_the_range_of_display_values():
    """A negative number would become NaN in RandomGamma. Other kinds have no such range and are not clipped."""
    array = (RNG.random((1, 50, 50)) > 0.5).astype(np.uint16) * 65535
    fields = {"mean": (0.0,), "std": (1.0,)}
    display = transform(Pixels(array), Values("display", 1 / 65535), ("x",), preprocessing(("x",), "display", 80, **fields))
    free = transform(Pixels(array), Values("reflectance", 1 / 65535), ("x",), preprocessing(("x",), "reflectance", 80, **fields))
    assert display.min() == 0 and display.max() == 1
    assert free.min() < -0.02 and free.max() > 1.02
    torch.testing.assert_close(display, free.clamp(0, 1), rtol=0, atol=1e-6)
