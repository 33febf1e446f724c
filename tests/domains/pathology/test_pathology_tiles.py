"""Tiles show exactly the footprint that they claim, at the scale that they claim, whatever the scanner."""

from __future__ import annotations

import math
import multiprocessing
import pickle

import numpy as np
import pytest
import tifffile

from domainclip.domains.base import domains
from domainclip.domains.pathology import region, slides
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.slides import open_slide
from domainclip.errors import UnreadableFileError
from domainclip.sample import Caption, Region, SourceItem

PATHOLOGY = domains.get("pathology")


STEP = 0.6
"""Grey values for one um: as fine as 400 um allow in 8 bits."""


def ramp_slide(path, um, side_um=400.0, levels=3, compression=None):
    """A slide whose red is the position in um along x and whose green that along y (both times STEP): a tile says where it lies.

    Blue is 0.
    """
    side = math.ceil(side_um / um)  # at least as many um, so that no tile is lost to rounding
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            n = side // 2**level
            at = (np.arange(n) + 0.5) * (side / n) * um * STEP
            image = np.zeros((n, n, 3), np.uint8)
            image[..., 0], image[..., 1] = np.rint(at)[None, :], np.rint(at)[:, None]
            writer.write(image, tile=(64, 64), photometric="rgb", compression=compression, subfiletype=1 if level else 0,
                         resolution=(1e4 / um, 1e4 / um), resolutionunit="CENTIMETER", metadata=None)  # fmt: skip
    return path


@pytest.mark.parametrize("um", [0.25, 0.2325, 0.29, 0.35, 0.46, 0.499, 0.5, 1.0])
@pytest.mark.parametrize(("tile_um", "tile_px"), [(96, 64), (64, 128), (50, 40)])
def test_footprint_in_um_does_not_depend_on_the_scanner(tmp_path, um, tile_um, tile_px):
    if um > tile_um / tile_px * 1.05:
        pytest.skip("coarser than asked for: refused, see below")
    path = ramp_slide(tmp_path / "s.tif", um)
    reading = PathologyReading(tile_um=tile_um, tile_px=tile_px, min_tissue=0)
    samples = list(PATHOLOGY.samples(SourceItem(path, "s.tif"), reading))
    across = int(400 / tile_um)
    assert len(samples) == across**2
    for sample in (samples[0], samples[-1], samples[across + 1]):
        array = sample.read().array
        row, column = divmod(samples.index(sample), across)
        assert array.shape == (3, tile_px, tile_px)
        assert sample.spacing.values == (tile_um / tile_px,) * 2
        wanted = (np.arange(tile_px) + 0.5) * tile_um / tile_px
        np.testing.assert_allclose(array[0].mean(axis=0) / STEP, column * tile_um + wanted, atol=3)
        np.testing.assert_allclose(array[1].mean(axis=1) / STEP, row * tile_um + wanted, atol=3)
        # Rounding to grey values averages out over a tile, so its centre is known much better. OpenSlide adds half a level-0
        # pixel where a downsample is no integer.
        assert array[0].mean() / STEP == pytest.approx((column + 0.5) * tile_um, abs=0.25 + um / 2)
        assert array[1].mean() / STEP == pytest.approx((row + 0.5) * tile_um, abs=0.25 + um / 2)


def test_the_level_is_the_coarsest_that_is_fine_enough(tmp_path):
    path = ramp_slide(tmp_path / "s.tif", 0.25)
    level_of = {
        (64, 64): 2,  # 1 um/px asked, levels of 0.25, 0.5, 1
        (96, 64): 2,
        (60, 64): 1,
        (30, 64): 0,
    }
    for (um, px), level in level_of.items():
        samples = PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading(tile_um=um, tile_px=px, min_tissue=0))
        assert next(iter(samples)).window.level == level


def test_a_slide_coarser_than_asked_is_refused_unless_allowed(tmp_path):
    path = ramp_slide(tmp_path / "s.tif", 1.0)
    with pytest.raises(UnreadableFileError, match="coarser"):
        list(PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading(tile_um=64, tile_px=128)))
    grown = list(PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading(tile_um=64, tile_px=128, upsample=True, min_tissue=0)))
    assert grown[0].read().array.shape == (3, 128, 128)


def test_keys_windows_labels_and_owner(tmp_path):
    path = ramp_slide(tmp_path / "s.tif", 0.5)
    left = Region(((0, 0), (400, 0), (400, 800), (0, 800)), {"tissue": "gland", "density": "dense"})
    item = SourceItem(path, "a/s.tif", captions=(Caption("Whole slide."),), labels={"organ": "lung"}, regions=(left,), group="g1",
                      split="val")  # fmt: skip
    samples = list(PATHOLOGY.samples(item, PathologyReading(tile_um=100, tile_px=64, min_tissue=0)))
    assert [s.key for s in samples] == [f"a/s.tif#{x}_{y}_200_200" for y in (0, 200, 400, 600) for x in (0, 200)]
    assert {s.group for s in samples} == {"g1"}
    assert {s.split for s in samples} == {"val"}
    assert samples[0].labels == {"organ": "lung", "tissue": "gland", "density": "dense"}
    assert samples[0].captions[0].text == "Whole slide."
    assert (samples[3].window.x, samples[3].window.y, samples[3].window.width) == (200, 200, 200)
    assert samples[0].meta["tiles"] == {"grid": 16, "kept": 8, "without_tissue": 0, "impure": 8, "over_cap": 0}


def test_overlap_cap_and_counts(tmp_path):
    path = ramp_slide(tmp_path / "s.tif", 0.5)
    half = list(PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading(tile_um=100, tile_px=50, overlap=0.5, min_tissue=0)))
    assert len(half) == 49  # (400 - 100) / 50 + 1 = 7 each way
    capped = list(PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading(tile_um=100, tile_px=50, max_tiles=5, min_tissue=0)))
    assert len(capped) == len({s.key for s in capped}) == 5
    assert capped[0].meta["tiles"] == {"grid": 16, "kept": 5, "without_tissue": 0, "impure": 0, "over_cap": 11}
    assert len({s.window.y for s in capped}) >= 3  # spread over the slide, not its first rows


def test_no_tile_left_is_an_error_with_counts(tmp_path):
    path = ramp_slide(tmp_path / "s.tif", 0.5)
    far = Region(((5000, 5000), (6000, 5000), (6000, 6000)), {"tissue": "gland"})
    with pytest.raises(UnreadableFileError, match="16 in no region"):
        list(PATHOLOGY.samples(SourceItem(path, "s", regions=(far,)), PathologyReading(tile_um=100, tile_px=50, min_tissue=0)))
    with pytest.raises(UnreadableFileError, match="less than one tile"):
        list(PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading(tile_um=401, tile_px=50)))


def _read_in_child(data, queue):
    reader = pickle.loads(data)
    queue.put((reader().array.sum(), reader().array.sum(), len(slides._cache)))


def test_readers_travel_to_a_worker_and_open_each_slide_once(tmp_path):
    path = ramp_slide(tmp_path / "s.tif", 0.5)
    samples = list(PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading(min_tissue=0)))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_read_in_child, args=(pickle.dumps(samples[3].reader), queue))
    child.start()
    here = samples[3].read().array.sum()
    first, second, opened = queue.get(timeout=60)
    child.join()
    assert (first, second, opened) == (here, here, 1)


def test_one_open_for_a_whole_slide(tmp_path, monkeypatch):
    path = ramp_slide(tmp_path / "s.tif", 0.5)
    opened = []
    original = slides._opened
    monkeypatch.setattr(slides, "_opened", lambda path, scene: (opened.append(path), original(path, scene))[1])
    for sample in PATHOLOGY.samples(SourceItem(path, "s"), PathologyReading(min_tissue=0)):
        sample.read()
    assert len(opened) == 1


def test_a_replaced_file_is_opened_anew(tmp_path):
    path = ramp_slide(tmp_path / "s.tif", 0.5)
    before = open_slide(path).facts.levels
    path.unlink()
    ramp_slide(path, 0.25)
    assert open_slide(path).facts.levels != before


def test_nothing_from_beside_a_tile_mixes_in(tmp_path):
    # Left of the tile's border all is black, right of it white: no grey may appear on either side.
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, 200:] = 255
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, image, tile=(64, 64), photometric="rgb", resolution=(1e4, 1e4), resolutionunit="CENTIMETER")
    slide = open_slide(path)
    assert region.read_box(slide, 0, (0, 0, 200, 200), (64, 64)).array.max() == 0
    assert region.read_box(slide, 0, (200, 0, 200, 200), (64, 64)).array.min() == 255
