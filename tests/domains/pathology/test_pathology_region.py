"""Regions at any scale: footprints against positions written into the pixels; equal to OpenSlide where nothing is resampled."""

from __future__ import annotations

import numpy as np
import openslide
import pytest
import tifffile

from domainclip.domains.pathology import region
from domainclip.domains.pathology.openslide_reader import open_with_openslide
from domainclip.domains.pathology.region import best_level, read_box, read_region
from domainclip.domains.pathology.scale import Scale
from domainclip.domains.pathology.slides import Masked, Slide, SlideFacts, coarsest_level, open_slide
from domainclip.domains.pathology.tiff import DirectSlide
from domainclip.errors import UnreadableFileError
from domainclip.evenly import evenly_spread

RNG = np.random.default_rng(11)
PERIOD = 32
"""Level-0 pixels for one grey value; dithered, so that means tell positions to a hundredth of it."""


def positions(width, height, scale=1.0):
    """Red says where a pixel's centre lies along x, green along y, in level-0 pixels over PERIOD, dithered."""
    x, y = (np.arange(width) + 0.5) * scale / PERIOD, (np.arange(height) + 0.5) * scale / PERIOD
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.floor(x[None, :] + RNG.random((height, width)))
    image[..., 1] = np.floor(y[:, None] + RNG.random((height, width)))
    return image


def pyramid(path, um, sizes):
    with tifffile.TiffWriter(path) as writer:
        for number, (width, height) in enumerate(sizes):
            per_cm = 1e4 / (um * sizes[0][0] / width)
            writer.write(positions(width, height, sizes[0][0] / width), tile=(256, 256), photometric="rgb", metadata=None,
                         subfiletype=1 if number else 0, compression="zlib", resolution=(per_cm, per_cm),
                         resolutionunit="CENTIMETER")  # fmt: skip
    return path


SIZES = {"2.0003": ((6003, 2002), (3001, 1001)), "2.0005": ((8004, 1500), (4001, 750)), "4": ((6000, 1600), (1500, 400))}


@pytest.fixture(scope="module")
def pyramids(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyramids")
    upright = {(False, factor): pyramid(folder / f"{factor}.tif", 0.2325, sizes) for factor, sizes in SIZES.items()}
    sizes_turned = {factor: tuple(size[::-1] for size in sizes) for factor, sizes in SIZES.items()}
    turned = {(True, factor): pyramid(folder / f"{factor}-y.tif", 0.2325, sizes) for factor, sizes in sizes_turned.items()}
    return upright | turned


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("um", [None, 0.29, 0.35])
@pytest.mark.parametrize("factor", SIZES)
@pytest.mark.parametrize("wanted", [0.5, 0.7, 1.0])
def test_the_footprint_is_exact_to_half_a_percent(pyramids, um, factor, wanted, turned):
    """Along the longer axis, which is x, or y of the pyramid that is turned."""
    start, size = ((77.25, 1111.5), (200, 400)) if turned else ((1111.5, 77.25), (400, 200))
    array, missing = read_region(pyramids[turned, factor], *start, size, wanted, spacing_um=um)
    um = um or 0.2325  # of the file's own tags
    assert array.shape == (size[1], size[0], 3) and missing is None
    # Level-0 x of each column of the result, or y of each row.
    along = array[..., 1].mean(axis=1) * PERIOD if turned else array[..., 0].mean(axis=0) * PERIOD
    across = array[..., 0].mean() * PERIOD if turned else array[..., 1].mean() * PERIOD
    spanned = 400 * wanted / um  # by hand: level-0 pixels
    assert np.polyfit(np.arange(400) + 0.5, along, 1)[0] * 400 == pytest.approx(spanned, rel=0.005)
    assert along.mean() == pytest.approx(1111.5 + spanned / 2, abs=0.005 * spanned)
    assert across == pytest.approx(77.25 + spanned / 4, abs=0.005 * spanned)


def test_each_axis_has_its_own_factor():
    """A level that is 2.1 times as narrow and 2 times as low; TIFFs of such are no pyramid here, OpenSlide's formats may be."""

    class Uneven(Slide):
        facts = SlideFacts("made", ((4200, 4000, 1.0), (2000, 2000, 2.05)), Scale(None))

        def read_masked(self, level, x, y, width, height):
            x, y = (np.arange(x, x + width) + 0.5) * 2.1, (np.arange(y, y + height) + 0.5) * 2
            image = np.zeros((height, width, 3), np.uint16)
            image[..., 0], image[..., 1] = np.rint(x * 10)[None, :], np.rint(y * 10)[:, None]
            return Masked(image, None)

    array, _ = read_box(Uneven(), 1, (840.0, 1000.0, 1680.0, 1200.0), (400, 300))
    across, down = array[..., 0].mean(axis=0) / 10, array[..., 1].mean(axis=1) / 10  # level-0 pixels
    np.testing.assert_allclose(across[5:-5], 840 + (np.arange(400) + 0.5)[5:-5] * 4.2, atol=0.5)
    np.testing.assert_allclose(down[5:-5], 1000 + (np.arange(300) + 0.5)[5:-5] * 4, atol=0.5)


def test_no_more_than_half_a_percent_hides_in_rounding(tmp_path):
    # The same in the plan: n tiles in a row span n times the tile, not n times a rounded one.
    from domainclip.domains.base import domains
    from domainclip.domains.pathology.reading import PathologyReading
    from domainclip.sample import SourceItem

    path = pyramid(tmp_path / "s.tif", 0.2325, ((6003, 500),))
    reading = PathologyReading(tile_um=20.1, tile_px=40, min_tissue=0)
    tiles = list(domains.get("pathology").samples(SourceItem(path, "s"), reading))
    row = [tile.reader.box for tile in tiles if tile.reader.box[1] == 0]
    assert row[-1][0] == pytest.approx((len(row) - 1) * 20.1 / 0.2325, abs=1e-6)
    assert {box[2] for box in row} == {20.1 / 0.2325}


def test_a_region_at_the_scale_of_a_level_is_that_levels_pixels(tmp_path):
    path = pyramid(tmp_path / "s.tif", 0.25, ((2048, 1024), (1024, 512)))
    slide = open_slide(path)
    np.testing.assert_array_equal(read_region(path, 200, 100, (300, 200), 0.5).array, slide.read_masked(1, 100, 50, 300, 200).array)
    np.testing.assert_array_equal(
        read_region(path, 200, 100, (300, 200), 0.25).array, slide.read_masked(0, 200, 100, 300, 200).array
    )


def test_twice_as_coarse_is_the_mean_of_four(tmp_path):
    path = pyramid(tmp_path / "s.tif", 0.25, ((600, 400),))
    stored = open_slide(path).read_masked(0, 0, 0, 600, 400).array.astype(float)
    by_hand = stored.reshape(200, 2, 300, 2, 3).mean(axis=(1, 3))
    assert np.abs(read_region(path, 0, 0, (300, 200), 0.5).array - by_hand).max() <= 0.5


def test_windowed_and_block_means_agree_on_smooth_pictures(tmp_path):
    # Slides whose scale is a whole multiple must not look different to a model from those whose scale is not.
    y, x = np.mgrid[0:512, 0:512]
    smooth = (120 + 60 * np.sin(x / 9) * np.cos(y / 11)).astype(np.uint8)
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.repeat(smooth[..., None], 3, axis=2), photometric="rgb", tile=(128, 128))
    slide = open_slide(path)
    block, window = read_box(slide, 0, (0, 0, 512, 512), (256, 256)), read_box(slide, 0, (0, 0, 511.99, 511.99), (256, 256))
    assert np.abs(block.array.astype(int) - window.array).mean() < 0.6


def test_refusals_say_what_to_do(tmp_path):
    path = pyramid(tmp_path / "s.tif", 0.5, ((600, 400),))
    cases = [((0, 0, (100, 100), 0.25), {}, "coarser than the 0.25"), ((550, 0, (100, 100), 0.5), {}, "level 0 has 600 x 400"),
             ((-1, 0, (100, 100), 0.5), {}, "level 0 has 600 x 400"), ((0, 0, (10, 10), 0.5), {"scene": 3}, "one scene"),
             ((0, 0, (10, 10), 0.5), {"spacing_um": 352.9}, "at most 100 um")]  # fmt: skip
    for arguments, options, words in cases:
        with pytest.raises(UnreadableFileError, match=words):
            read_region(path, *arguments, **options)
    assert read_region(path, 0, 0, (200, 200), 0.25, upsample=True).array.shape == (200, 200, 3)
    bare = tmp_path / "bare.tif"
    tifffile.imwrite(bare, positions(300, 200), photometric="rgb", tile=(64, 64), metadata=None)
    with pytest.raises(UnreadableFileError, match="no scale"):
        read_region(bare, 0, 0, (10, 10), 0.5)


def aperio(path, image, levels=(1, 4), quality=80):
    """A look-alike of Aperio's SVS: level 0, thumbnail, further levels, label and macro in strips."""
    text = "Aperio Image Library v12.0.15\r\n{w}x{h} [0,0 {w}x{h}] (256x256) JPEG/RGB Q={q}|AppMag = 40|MPP = 0.2325"
    height, width = image.shape[:2]
    jpeg = {"compression": "jpeg", "compressionargs": {"level": quality}, "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, tile=(256, 256), description=text.format(w=width, h=height, q=quality), **jpeg)
        writer.write(image[::8, ::8], rowsperstrip=16, description="Aperio Image Library v12.0.15\r\nthumbnail", **jpeg)
        for step in levels[1:]:
            writer.write(image[::step, ::step], tile=(256, 256), description="Aperio Image Library v12.0.15\r\nlevel", **jpeg)
        writer.write(
            image[:100, :120], rowsperstrip=16, description="Aperio Image Library v12.0.15\r\nlabel 120x100", subfiletype=1, **jpeg
        )
        writer.write(
            image[:80, :240], rowsperstrip=16, description="Aperio Image Library v12.0.15\r\nmacro 240x80", subfiletype=9, **jpeg
        )
    return path


def texture(height, width):
    small = RNG.integers(40, 250, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    large = np.kron(small, np.ones((8, 8, 1), np.uint8))[:height, :width]
    return np.ascontiguousarray(large + RNG.integers(0, 5, large.shape, dtype=np.uint8))


def equal_to_openslide(path):
    ours, theirs = open_slide(path), openslide.OpenSlide(str(path))
    assert isinstance(ours, DirectSlide)
    assert [level[:2] for level in ours.facts.levels] == list(theirs.level_dimensions)
    for level, (width, height) in enumerate(theirs.level_dimensions):
        down = theirs.level_downsamples[level]
        for _ in range(6):
            wide, high = int(RNG.integers(1, min(width, 400))), int(RNG.integers(1, min(height, 400)))
            x, y = int(RNG.integers(0, width - wide + 1)), int(RNG.integers(0, height - high + 1))
            there = np.array(theirs.read_region((round(x * down), round(y * down)), level, (wide, high)).convert("RGB"))
            np.testing.assert_array_equal(ours.read_level(level, x, y, wide, high), there)


def test_tiles_decoded_here_equal_openslides(tmp_path):
    equal_to_openslide(aperio(tmp_path / "s.svs", texture(1100, 900)))


@pytest.mark.real_data
def test_tiles_decoded_here_equal_openslides_on_a_real_slide(real_data):
    equal_to_openslide(real_data / "pathology" / "slides" / "cmu-1-small-region.svs")


def test_levels_of_no_whole_factor_are_not_blurred(tmp_path):
    # OpenSlide reads level pixels at level-0 positions, which lie between them at a factor of 2.0006, and interpolates.
    image = texture(1001, 3203)
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, tile=(256, 256), photometric="rgb", metadata=None)
        level = image[: 2 * 500 : 2, : 2 * 1601 : 2]
        writer.write(level, tile=(256, 256), photometric="rgb", metadata=None, subfiletype=1)
    slide = open_slide(path)
    assert slide.facts.levels[1][2] == pytest.approx(2.0013, abs=1e-3)
    np.testing.assert_array_equal(slide.read_level(1, 1301, 101, 200, 200), level[101:301, 1301:1501])
    theirs = open_with_openslide(path, required=True).read_level(1, 1301, 101, 200, 200)
    assert not np.array_equal(theirs, level[101:301, 1301:1501])  # the defect that is held off


def test_the_level_read_is_recorded(tmp_path):
    slide = open_slide(pyramid(tmp_path / "s.tif", 0.25, ((2048, 1024), (1024, 512), (512, 256))))
    assert [best_level(slide, (0.25, 0.25), wanted) for wanted in (0.25, 0.26, 0.4, 0.5, 0.99, 1.0, 8)] == [0, 0, 0, 1, 1, 2, 2]
    assert best_level(slide, (0.25, 0.25), 0.2, upsample=True) == 0
    with pytest.raises(UnreadableFileError, match=r"0\.25 um/px, coarser than the 0\.2 asked for"):
        best_level(slide, (0.25, 0.25), 0.2)
    assert region.UPSAMPLING_TOLERANCE == 0.05  # 0.96 from a level of 1.0: within what scanners of "20x" differ by


def test_pixels_that_are_not_square_keep_their_axes(tmp_path):
    path = tmp_path / "s.tif"
    image = positions(1200, 800)
    tifffile.imwrite(path, image, photometric="rgb", tile=(256, 256), metadata=None, resolution=(1e4 / 0.25, 1e4 / 0.5),
                     resolutionunit="CENTIMETER")  # fmt: skip
    array = read_region(path, 100, 50, (200, 100), 1.0).array  # 200 um wide: 800 columns of 0.25; 100 um high: 200 rows of 0.5
    assert array[..., 0].mean() * PERIOD == pytest.approx(100 + 400, abs=6)
    assert array[..., 1].mean() * PERIOD == pytest.approx(50 + 100, abs=6)
    assert np.ptp(array[..., 0].mean(axis=0)) * PERIOD == pytest.approx(800, rel=0.03)


def test_what_a_missing_pixel_touches_is_marked(tmp_path):
    image = np.full((512, 512, 3), 60, np.uint8)
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, image, photometric="rgb", tile=(256, 256), compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["TileByteCounts"]
        at, size = tag.valueoffset, {3: 2, 4: 4, 16: 8}[int(tag.dtype)]
    with path.open("r+b") as file:
        file.seek(at + size)
        file.write(bytes(size))  # the upper right tile
    for target in (100, 170, 333, 700):
        array, missing = read_box(open_slide(path), 0, (0, 0, 512, 512), (target, target))
        assert missing is not None and missing.any() and not missing.all()
        assert set(np.unique(array[~missing])) == {60}


@pytest.mark.parametrize("arguments", [(float("nan"), 0, (8, 8), 0.5), (0, 0, (0, 0), 0.5), (0, 0, (8, 8), float("nan"))])
def test_regions_that_are_none_are_refused(tmp_path, arguments):
    with pytest.raises(UnreadableFileError, match=r"finite positions|coarser"):
        read_region(pyramid(tmp_path / "s.tif", 0.5, ((600, 400),)), *arguments)


@pytest.mark.parametrize(("limit_um", "expected"), [(0.2, None), (0.25, 0), (0.99, 0), (1.0, 1), (3.99, 1), (4.0, 2), (100.0, 2)])
def test_the_coarsest_level_that_is_fine_enough(limit_um, expected):
    assert coarsest_level(((4000, 4000, 1.0), (1000, 1000, 4.0), (250, 250, 16.0)), 0.25, limit_um) == expected


@pytest.mark.parametrize(("count", "wanted"), [(1, 5), (5, 5), (10, 3), (1000, 64), (7, 6), (0, 3)])
def test_an_even_spread_repeats_nothing_and_leaves_no_end_bare(count, wanted):
    spread = evenly_spread(count, wanted)
    assert len(spread) == len(set(spread)) == min(count, wanted) and spread == sorted(spread)
    if count:
        gaps = np.diff([-0.5, *(np.array(spread)), count - 0.5])
        assert gaps.max() <= 1.5 * count / len(spread) + 1 and spread[0] >= 0 and spread[-1] < count
        assert abs((spread[0] + 0.5) - (count - spread[-1] - 0.5)) <= 1  # as far from either end
