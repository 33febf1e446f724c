"""Golden table: what ``inspect`` says of every pathology image in the shared data, against numbers that other tools gave.

How they were obtained (Debian libtiff-tools 4.5, Pillow 12):
    tiffinfo slides/cmu-1-small-region.svs          directory 0: 2220 x 2967, 240 x 240 tiles, 8 bits, 3 samples, "MPP = 0.4990"
        (directories 1 to 3 are thumbnail, label and macro: no levels)
    tiffcp -c none -s cmu-1-small-region.svs,0 out.tif; numpy on Pillow's pixels of out.tif: minimum 0, maximum 255,
        means 214.011, 194.810, 207.904
    tiffinfo slides/kidney-48-5.tif                 1493 x 901, 8 bits, RGB, no compression, 1 strip, no resolution tags
        its last 1493*901*3 bytes by hand: minimum 0, maximum 255
    tiffinfo slides/broken.svs                      "Not a TIFF or MDI file, bad magic number 19017"
    file lc25000/*/*.jpeg (all 900)                 JPEG, 224 x 224, 3 components, JFIF density 1 x 1 without a unit
"""

from __future__ import annotations

import numpy as np
import pytest

from domainclip.domains.base import domains
from domainclip.domains.pathology.slides import open_slide
from domainclip.errors import UnreadableFileError

pytestmark = pytest.mark.real_data

GOLDEN = {
    "cmu-1-small-region.svs": {
        "format": "Aperio SVS (OpenSlide)",
        "width": 2220,
        "height": 2967,
        "levels": ((2220, 2967, 1.0),),
        "channels": ("red", "green", "blue"),
        "spacing": {"x": 0.499, "y": 0.499, "unit": "um", "source": "openslide.mpp-x"},
        "dtype": "uint8",
        "range": {"minimum": 0.0, "maximum": 255.0, "pixels": 2220.0 * 2967},
        "group": "cmu-1-small-region",
        "missing": (),
    },
    "kidney-48-5.tif": {
        "format": "stripped TIFF (tifffile)",
        "width": 1493,
        "height": 901,
        "levels": ((1493, 901, 1.0),),
        "channels": ("red", "green", "blue"),
        "spacing": None,
        "dtype": "uint8",
        "range": {"minimum": 0.0, "maximum": 255.0, "pixels": 1493.0 * 901},
        "group": "kidney-48-5",
    },
}


@pytest.mark.parametrize("name", GOLDEN)
def test_slides(real_data, name):
    seen = domains.get("pathology").inspect(real_data / "pathology" / "slides" / name)
    assert {field: getattr(seen, field) for field in GOLDEN[name]} == GOLDEN[name]


def test_a_slide_without_scale_says_what_to_do(real_data):
    missing = domains.get("pathology").inspect(real_data / "pathology" / "slides" / "kidney-48-5.tif").missing
    assert len(missing) == 1
    assert "um per pixel" in missing[0]
    assert "spacing" in missing[0]


def test_broken_slide_is_recognised_and_refused(real_data):
    path = real_data / "pathology" / "slides" / "broken.svs"
    assert domains.get("pathology").recognises(path)  # else a folder would pass it over in silence
    with pytest.raises(UnreadableFileError) as caught:
        domains.get("pathology").inspect(path)
    assert "broken" not in caught.value.found


def test_pixels_are_those_that_libtiff_decodes(real_data):
    slide = open_slide(real_data / "pathology" / "slides" / "cmu-1-small-region.svs")
    means = slide.read_level(0, 0, 0, 2220, 2967).reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(means, (214.011, 194.810, 207.904), atol=0.02)


def test_every_file_has_a_row(real_data):
    names = {path.name for path in (real_data / "pathology" / "slides").iterdir()}
    assert names == {*GOLDEN, "broken.svs"}


def test_all_lc25000_patches_have_one_row(real_data):
    pathology = domains.get("pathology")
    paths = sorted((real_data / "pathology" / "lc25000").rglob("*.jpeg"))
    seen = {
        (s.format, s.width, s.height, s.levels, s.channels, s.spacing is None, s.dtype)
        for s in (pathology.inspect(path) for path in paths)
    }
    assert len(paths) == 900
    assert seen == {("JPEG (Pillow)", 224, 224, ((224, 224, 1.0),), ("red", "green", "blue"), True, "uint8")}
