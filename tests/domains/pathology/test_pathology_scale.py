"""The scale chain, step by step, against files written by tifffile with known tags."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from domainclip.domains.base import domains
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.scale import chosen_spacing, file_scale
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem, Spacing

NONE = file_scale({}, None, generic=False)


@pytest.mark.parametrize(
    ("properties", "tag", "generic", "values", "source"),
    [
        ({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26"}, None, False, (0.26, 0.25), "openslide.mpp-x"),
        ({"openslide.mpp-x": "0.25"}, None, False, (0.25, 0.25), "openslide.mpp-x (no mpp-y)"),
        # metadata beats power: AppMag 20 with MPP 0.2325 occurs in TCGA
        ({"openslide.mpp-x": "0.2325", "openslide.mpp-y": "0.2325", "openslide.objective-power": "20"}, None, False,
         (0.2325, 0.2325), "openslide.mpp-x"),
        ({"openslide.objective-power": "40"}, None, False, (0.25, 0.25), "objective-power"),
        ({"openslide.mpp-x": "0", "openslide.mpp-y": "0", "openslide.objective-power": "20"}, None, False, (0.5, 0.5),
         "objective-power"),
        ({"openslide.mpp-x": "-1", "openslide.mpp-y": "-1"}, None, False, None, None),
        ({"openslide.mpp-x": "0.25", "openslide.mpp-y": "25"}, None, False, None, None),  # pixels are nearly square
        ({"openslide.mpp-x": "250", "openslide.mpp-y": "250"}, None, False, None, None),
        ({"openslide.mpp-x": "nan", "openslide.mpp-y": "nan"}, None, False, None, None),
        ({"openslide.mpp-x": "abc"}, None, False, None, None),
        ({"openslide.mpp-x": "84.67", "openslide.mpp-y": "84.67"}, None, True, None, None),  # 300 dpi through OpenSlide
        ({}, (20000.0, 40000.0, 3), True, (0.25, 0.5), "tiff-resolution"),  # per cm: 1e4/20000 = 0.5 in x
        ({}, (50800.0, 50800.0, 2), True, (0.5, 0.5), "tiff-resolution"),  # per inch: 25400/50800
        ({}, (20000.0, 20000.0, 1), True, None, None),  # no unit
        ({}, (72.0, 72.0, 2), True, None, None),  # print
        ({}, (300.0, 300.0, 2), True, None, None),
        ({}, (0.0, 0.0, 3), True, None, None),
        ({}, None, False, None, None),
    ],
)  # fmt: skip
def test_chain(properties, tag, generic, values, source):
    scale = file_scale(properties, tag, generic=generic)
    if values is None:
        assert scale.spacing is None
    else:
        assert scale.spacing.values == pytest.approx(values)
        assert (scale.spacing.unit, scale.spacing.source) == ("um", source)


def test_the_owner_comes_first_then_the_reading_section():
    file = file_scale({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.25"}, None, generic=False)
    owner = Spacing((0.4,), "um", "manifest")
    assert chosen_spacing(owner, 0.3, file) == Spacing((0.4, 0.4), "um", "manifest")
    assert chosen_spacing(None, 0.3, file) == Spacing((0.3, 0.3), "um", "reading.spacing_um")
    assert chosen_spacing(None, None, file) == file.spacing
    assert chosen_spacing(Spacing((0.0005,), "mm", "manifest"), None, NONE).values == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("spacing", [(0.0,), (-0.5,), (100.1,), (float("nan"),), (1.0, 1.0, 1.0)])
def test_nonsense_of_the_owner_is_refused(spacing):
    with pytest.raises(UnreadableFileError):
        chosen_spacing(Spacing(spacing, "um", "manifest"), None, NONE)
    with pytest.raises(UnreadableFileError):
        chosen_spacing(Spacing((0.5,), "degree", "manifest"), None, NONE)
    if len(spacing) == 1:
        with pytest.raises(UnreadableFileError):
            chosen_spacing(None, spacing[0], NONE)


def test_a_slide_without_scale_is_refused_with_the_remedy_and_read_with_it(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.full((1200, 1200, 3), (200, 120, 180), np.uint8), tile=(256, 256), photometric="rgb")
    pathology = domains.get("pathology")
    with pytest.raises(UnreadableFileError) as caught:
        list(pathology.samples(SourceItem(path, "s.tif"), PathologyReading()))
    assert "reading.spacing_um" in caught.value.remedy
    samples = list(pathology.samples(SourceItem(path, "s.tif"), PathologyReading(spacing_um=0.5)))
    assert len(samples) == 36  # 600 um at 96 um a tile: 6 x 6
    assert samples[0].spacing == Spacing((1.5, 1.5), "um", "reading.spacing_um")
