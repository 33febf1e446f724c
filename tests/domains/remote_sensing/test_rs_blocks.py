"""Windows block by block: their order, reads that several share, and what is spared when an open file is read again."""

import os

import numpy as np
import pytest

from domainclip.domains.remote_sensing import pixels
from domainclip.domains.remote_sensing.grid import Grid
from domainclip.domains.remote_sensing.place import window_centres
from domainclip.domains.remote_sensing.together import in_blocks, runs
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem, Window

UTM = {"crs": "EPSG:32632", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_400_000.0)}
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "predictor": 2, "interleave": "pixel"}
NODATA = -7


@pytest.fixture
def tiled(write_raster):
    """Three bands of int16 in tiles of 64 px, with scattered pixels without data in single bands."""
    random = np.random.default_rng(4)
    array = random.integers(0, 3000, (3, 200, 264)).astype("int16")
    array[random.integers(0, 3, 900), random.integers(0, 200, 900), random.integers(0, 264, 900)] = NODATA
    return write_raster(array, names=["B02", "B03", "B8A"], nodata=NODATA, **TILED, **UTM)


def counted_reads(monkeypatch):
    calls = []
    plain = pixels.read_pixels

    def read(part, window):
        calls.append(window)
        return plain(part, window)

    monkeypatch.setattr(pixels, "read_pixels", read)
    return calls


def by_rasterio(file, samples, window, resampling=None):
    """Yields each sample and what rasterio alone reads there, of the file or of a WarpedVRT of the grid that the samples lie on."""
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window as Box

    a, _, c, _, e, f = samples[0].geo.transform
    x, y = samples[0].window.x, samples[0].window.y
    right, lower = max(s.window.x for s in samples) + window, max(s.window.y for s in samples) + window
    grid = {"transform": Affine(a, 0, c - a * x, 0, e, f - e * y), "width": right, "height": lower}
    source = file if resampling is None else WarpedVRT(file, crs="EPSG:3035", resampling=resampling, **grid)
    for sample in samples:
        at = sample.window
        yield sample, source.read(window=Box(at.x, at.y, at.width, at.height))


@pytest.mark.parametrize(("window", "stride"), [(16, 16), (16, 24), (32, 20), (64, 64), (50, 50)])
@pytest.mark.parametrize("other", [{}, {"crs": "EPSG:3035", "spacing_m": 10.0, "resampling": "nearest"}])
def test_windows_have_the_numbers_that_rasterio_reads_alone(tiled, cut, window, stride, other):
    import rasterio
    from rasterio.enums import Resampling

    samples = cut(tiled, window_px=window, stride_px=stride, max_nodata=0.99, **other)
    with rasterio.open(tiled) as file:
        for sample, wanted in by_rasterio(file, samples, window, Resampling.nearest if other else None):
            got = sample.read()
            assert np.array_equal(got.array, wanted)
            assert np.array_equal(got.masks["nodata"], (wanted == NODATA).any(axis=0))


@pytest.mark.parametrize(("name", "rows"), [("scene.tif", 129), ("scene.vrt", 128)])
def test_large_scenes_are_warped_in_blocks_of_odd_height_and_have_the_same_numbers(write_raster, name, rows):
    """A VRT stays with rasterio's warper: GDAL may open it by another driver than the one that was checked."""
    import rasterio
    from rasterio.shutil import copy
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT

    from domainclip.domains.remote_sensing.raster import Place
    from domainclip.domains.remote_sensing.warp import close_warped, open_warped

    random = np.random.default_rng(5)
    array = random.integers(0, 3000, (3, 1030, 1040)).astype("int16")
    path = write_raster(array, nodata=NODATA, **{**TILED, "blockxsize": 256, "blockysize": 256}, **UTM)
    if name != path.name:
        copy(str(path), str(path.with_name(name)), driver="VRT")
        path = path.with_name(name)
    grid = Grid(1060, 1050, "EPSG:3035", (10.0, 0.0, 4_345_900.0, 0.0, -10.0, 2_840_500.0), 1.0)
    own = Grid(1040, 1030, UTM["crs"], UTM["transform"], 1.0)
    with open_warped(Place(str(path)), own, grid, "nearest", float(NODATA), False) as (dataset, alpha):
        # By windows of one block's width: of the whole GDAL would warp rows in one piece, and approximate them in another way.
        boxes = [((0, 1050), (column, min(column + 512, 1060))) for column in (0, 512, 1024)]
        got, shape = [dataset.read(window=box) for box in boxes], dataset.block_shapes[0]
    close_warped(Place(str(path)))
    assert alpha is None and shape == (rows, 512)
    place = {"transform": Affine(*grid.transform), "width": grid.width, "height": grid.height}
    with rasterio.open(path) as file, WarpedVRT(file, crs="EPSG:3035", **place) as wanted:
        assert all(np.array_equal(mine, wanted.read(window=box)) for mine, box in zip(got, boxes, strict=True))
    assert 0.2 < (got[0] == NODATA).mean() < 0.9


@pytest.mark.parametrize("how", ["bilinear", "cubic", "average"])
def test_the_rim_of_a_hole_has_no_data_as_with_rasterio(write_raster, cut, how):
    """Band by band GDAL would fill pixels that lie in the hole from around it."""
    import rasterio
    from rasterio.enums import Resampling

    array = np.random.default_rng(6).integers(0, 3000, (3, 200, 264)).astype("int16")
    y, x = np.mgrid[:200, :264]
    array[:, abs(y - 90) + abs(x - 130) < 35] = NODATA
    path = write_raster(array, names=["B02", "B03", "B8A"], nodata=NODATA, **TILED, **UTM)
    samples = cut(path, window_px=32, crs="EPSG:3035", spacing_m=12.0, resampling=how, max_nodata=0.99)
    with rasterio.open(path) as file:
        for sample, wanted in by_rasterio(file, samples, 32, Resampling[how]):
            got, hole = sample.read(), (wanted == NODATA).any(axis=0)
            assert np.array_equal(got.array[:, ~hole], wanted[:, ~hole])
            assert np.array_equal(got.masks["nodata"], hole)
    assert len(samples) > 20


def test_windows_of_a_block_follow_each_other_and_share_one_read(tiled, cut, monkeypatch):
    calls = counted_reads(monkeypatch)
    samples = cut(tiled, window_px=16)
    asked = [call for call in calls if call.width * call.height > 1]
    blocks = [(sample.window.y // 64, sample.window.x // 64) for sample in samples]
    assert len(samples) == 13 * 17
    assert blocks == sorted(blocks), "a block that was left is not come back to"
    assert len(set(blocks)) == 12 and len(asked) < 40, "full blocks by one read each, the lower and right ones by rows"
    assert Window(64, 64, 64, 64) in asked
    inside = [(s.window.x, s.window.y) for s in samples if (s.window.y // 64, s.window.x // 64) == (0, 1)]
    assert inside == [(x, y) for y in (0, 16, 32, 48) for x in (64, 80, 96, 112)]


def test_few_windows_sparse_ones_and_large_blocks_are_read_alone():
    four = [Window(x, y, 32, 32) for y in (0, 32) for x in (0, 32)]
    assert [len(run) for run in runs(four, (64, 64), 24)] == [1] * 4
    sparse = [Window(x, y, 8, 8) for y in (0, 32) for x in range(0, 256, 32)]
    assert [len(run) for run in runs(sparse, (64, 256), 24)] == [1] * 16
    dense = in_blocks([Window(x, y, 64, 64) for y in range(0, 1024, 64) for x in range(0, 1024, 64)], (1024, 1024))
    assert [len(run) for run in runs(dense, (1024, 1024), 24)] == [16] * 16, "24 MiB: row by row"
    assert [len(run) for run in runs(dense, (1024, 1024), 4)] == [256]


def test_places_that_the_owner_lists_or_that_are_drawn_keep_their_order(tiled, cut, tmp_path):
    listed = [(600_705.0, 5_399_295.0), (600_105.0, 5_399_895.0), (602_305.0, 5_398_495.0), (600_115.0, 5_399_885.0)]
    from rasterio.warp import transform

    longitudes, latitudes = transform("EPSG:32632", "EPSG:4326", *zip(*listed, strict=True))
    lines = [f"{lon:.9f},{lat:.9f}" for lon, lat in zip(longitudes, latitudes, strict=True)]
    (tmp_path / "points.csv").write_text("\n".join(["longitude,latitude", *lines]) + "\n")
    found = cut(tiled, window_px=16, points=str(tmp_path / "points.csv"), max_nodata=0.99)
    assert [(s.window.x, s.window.y) for s in found] == [(62, 62), (2, 2), (222, 142), (3, 3)]


def test_a_file_that_changes_between_two_windows_of_a_block_is_read_again(tiled, domain, write_raster):
    reading = domain.reading_model(window_px=16)
    samples = domain.samples(SourceItem(tiled, "scene.tif"), reading)
    next(samples).read()
    write_raster(np.full((3, 200, 264), 11, "int16"), names=["B02", "B03", "B8A"], nodata=NODATA, **TILED, **UTM)
    os.utime(tiled, ns=(1, 1))
    assert (next(samples).read().array == 11).all()


def test_a_damaged_block_of_an_open_file_is_refused_and_the_next_file_is_read(tiled, cut, domain):
    import tifffile

    with tifffile.TiffFile(tiled) as file:
        at, size = file.pages[0].dataoffsets[3], file.pages[0].databytecounts[3]
    content = bytearray(tiled.read_bytes())
    content[at : at + size] = os.urandom(size)
    damaged = tiled.with_name("damaged.tif")
    damaged.write_bytes(content)
    samples = domain.samples(SourceItem(damaged, "damaged.tif"), domain.reading_model(window_px=64))
    for _ in range(3):
        assert next(samples).read().array.shape == (3, 64, 64)
    with pytest.raises(UnreadableFileError, match="damaged"):
        next(samples).read()
    assert len(cut(tiled, window_px=64)) == 20


def test_a_number_without_data_that_the_type_cannot_hold_is_nowhere(write_raster, cut):
    array = np.full((1, 64, 64), 255, "uint8")
    for nodata in (-1.0, 255.5, 256.0, 1e300):
        (sample,) = cut(write_raster(array, names=["B04"], **UTM), nodata=nodata)
        assert not sample.read().masks["nodata"].any()
    with pytest.raises(UnreadableFileError, match="too little data"):
        cut(write_raster(array, names=["B04"], **UTM), nodata=255.0)


def test_one_place_off_the_globe_takes_no_others_along():
    ortho = "+proj=ortho +lat_0=50 +lon_0=10 +datum=WGS84"
    grid = Grid(9000, 9000, ortho, (1000.0, 0.0, 0.0, 0.0, -1000.0, 0.0), 1.0)
    windows = [Window(0, 0, 10, 10), Window(8000, 8000, 10, 10), Window(500, 500, 10, 10), Window(7000, 0, 10, 10)]
    centres = window_centres(grid, windows)
    assert [centre is None for centre in centres] == [False, True, False, True]
    assert centres[0] == pytest.approx((10.07, 49.955), abs=0.01)
    assert centres == [window_centres(grid, [window])[0] for window in windows]


@pytest.mark.parametrize("other", [{}, {"crs": "EPSG:3035", "spacing_m": 10.0}])
def test_a_scene_that_is_done_with_is_closed_and_its_windows_can_still_be_read(tiled, domain, other):
    from pathlib import Path

    def held():
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(os.path.realpath(link) == str(tiled.resolve()) for link in links)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files are counted by way of /proc")
    samples = domain.samples(SourceItem(tiled, "scene.tif"), domain.reading_model(window_px=64, **other))
    first = next(samples)
    assert held() > 0
    rest = list(samples)
    assert held() == 0
    assert first.read().array.shape == rest[-1].read().array.shape == (3, 64, 64)
    assert rest[-1].read().array.shape == (3, 64, 64), "held pixels are handed out once, then the file is opened again"
