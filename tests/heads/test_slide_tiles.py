"""What an export says of the tiles of a set: the overlap of our own grid, and none of tiles that the owner gave."""

import shutil

import h5py
import numpy as np
import pytest
import tifffile

from domainclip.config import DataConfig
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.heads.slide_tiles import open_tiles

PATHOLOGY = domains.get("pathology")
CORNERS = [[17, 33], [400, 101], [544, 344]]


@pytest.fixture
def slide(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    (tmp_path / "slides").mkdir()
    tifffile.imwrite(tmp_path / "slides" / "a.tif", image, tile=(128, 128), photometric="rgb", metadata=None,
                     resolution=(4e4, 4e4), resolutionunit="CENTIMETER")  # fmt: skip
    (tmp_path / "patches").mkdir()
    with h5py.File(tmp_path / "patches" / "a.h5", "w") as file:
        coords = file.create_dataset("coords", data=np.array(CORNERS))
        coords.attrs.update({"patch_size": 128, "patch_level": 0})
    return tmp_path


@pytest.mark.parametrize("given", [False, True])
def test_overlap_is_stated_of_a_grid_alone(slide, given):
    reading = {"mode": "tiles", "tile_um": 32, "tile_px": 128, "min_tissue": 0, "overlap": 0.25}
    if given:
        reading |= {"coordinates": str(slide / "patches")}
    source = open_source(DataConfig(source=str(slide / "slides")), PATHOLOGY)
    prepare(source, PATHOLOGY, slide / "set", reading=reading, workers=0)
    (one,) = open_tiles(slide / "set").slides()
    assert one.coordinates.overlap_px == (None if given else 32)
    if given:
        assert one.coordinates.boxes[:, :2].tolist() == CORNERS


def test_slides_whose_tiles_are_equal_stay_two(slide):
    """They are one group of the split, as a slide and its copy must be; without the owner's map they are still two slides."""
    shutil.copy(slide / "slides" / "a.tif", slide / "slides" / "b.tif")
    reading = {"mode": "tiles", "tile_um": 32, "tile_px": 128, "min_tissue": 0}
    prepared = prepare(
        open_source(DataConfig(source=str(slide / "slides")), PATHOLOGY), PATHOLOGY, slide / "set", reading=reading, workers=0
    )
    assert prepared.index["group"].nunique() == 1 and prepared.index["source_group"].nunique() == 2
    slides = open_tiles(slide / "set", hashed=True).slides()
    assert {one.group for one in slides} == set(prepared.index["source_group"])
