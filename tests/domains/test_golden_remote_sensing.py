"""What ``inspect`` shows of every image in the sample data, against ``rio info`` in a process of its own, tifffile and Pillow.

``rio info`` gives the header (size, type, CRS, names, resolution, nodata), tifffile the pixels of the TIFFs, Pillow the pictures.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

SENTINEL = {
    # file: columns, rows, EPSG, type, bands, bands are named
    "l2a_12band/38D_378R_2_3.tif": (224, 224, 32736, "int16", 12, False),
    "l2a_12band/609U_541L_3_0.tif": (224, 224, 32616, "int16", 12, False),
    "ravaen_lahinch/2017-09-18.tif": (214, 158, 32629, "float32", 13, True),
    "ravaen_lahinch/2017-09-21.tif": (214, 158, 32629, "float32", 13, True),
    "ravaen_lahinch/2017-09-26.tif": (214, 158, 32629, "float32", 13, True),
    "ravaen_lahinch/2017-10-08.tif": (214, 158, 32629, "float32", 13, True),
    "ravaen_lahinch/2017-10-18.tif": (214, 158, 32629, "float32", 13, True),
}
LONG = {f"B{number}": f"B{number:02d}" for number in range(1, 13)}


@pytest.mark.real_data
@pytest.mark.parametrize("name", SENTINEL)
def test_sentinel_2(real_data, name):
    import tifffile

    from domainclip.domains.remote_sensing import DOMAIN

    path = real_data / "remote-sensing" / "sentinel2" / name
    if not path.is_file():
        pytest.skip("absent")
    rio = [sys.executable, "-c", "from rasterio.rio.main import main_group; main_group()", "info", str(path)]
    run = subprocess.run(rio, capture_output=True, text=True, check=True)
    told = json.loads(run.stdout)
    seen = DOMAIN.inspect(path)
    assert (seen.width, seen.height, int(seen.details["crs"][5:]), seen.dtype, len(seen.details["bands"])) == SENTINEL[name][:5]
    assert [seen.height, seen.width] == told["shape"] and seen.dtype == told["dtype"] and seen.details["crs"] == told["crs"]
    assert seen.details["nodata"] == told["nodata"] and seen.details["block"] == [told["blockysize"], told["blockxsize"]]
    assert [seen.spacing["x"], seen.spacing["y"]] == told["res"] == [10.0, 10.0] and seen.spacing["unit"] == "m"
    assert [seen.details["centre"]["longitude"], seen.details["centre"]["latitude"]] == pytest.approx(told["lnglat"], abs=1e-6)
    assert seen.levels == ((told["width"], told["height"], 1.0),)
    if SENTINEL[name][5]:
        assert list(seen.channels) == [LONG.get(band, band) for band in told["descriptions"][:13]]
        assert seen.details["quality"] == told["descriptions"][13:] == ["QA60", "probability"]
        assert len(seen.missing) == 1
    else:
        assert told["descriptions"] == [None] * 12 and seen.channels == ()
        assert len(seen.missing) == 2 and "sensor: sentinel-2-l2a (" in seen.missing[0]
    assert seen.values == "dn (digital numbers)"
    stored = tifffile.imread(path)  # rows, columns, bands
    pixels, quality = stored[..., :13], stored[..., 13:]
    if quality.size:
        with np.errstate(invalid="ignore"):
            cloudy = (np.nan_to_num(quality[..., 0]).astype(int) & 0b110000000000 > 0) | (quality[..., 1] >= 40)
        assert seen.details["masks"]["cloud"] == pytest.approx(cloudy.mean(), abs=1e-4)
    valid = ~np.isnan(pixels).any(axis=2)
    assert seen.range["valid_share"] == pytest.approx(valid.mean()) and seen.range["pixels"] == valid.size
    assert seen.range["minimum"] == pixels[valid].min() and seen.range["maximum"] == pixels[valid].max()
    means = [band["mean"] for band in seen.details["bands"].values()]
    np.testing.assert_allclose(means, pixels[valid].mean(axis=0, dtype=np.float64), rtol=1e-6)


def check_pictures(paths):
    from PIL import Image

    from domainclip.domains.remote_sensing import DOMAIN

    for path in paths:
        seen = DOMAIN.inspect(path)
        with Image.open(path) as image:
            assert (seen.width, seen.height) == image.size and image.mode == "RGB" and image.format == "JPEG"
            pixels = np.asarray(image)
        assert seen.channels == ("red", "green", "blue") and seen.dtype == "uint8" and seen.spacing is None
        assert seen.values.startswith("srgb") and seen.missing == () and seen.group == path.stem
        assert (seen.range["minimum"], seen.range["maximum"]) == (pixels.min(), pixels.max())


def ucm(real_data):
    paths = sorted((real_data / "remote-sensing" / "ucm" / "imgs").glob("*.jpg"))
    if not paths:
        pytest.skip("absent")
    return paths


@pytest.mark.real_data
def test_some_pictures_of_uc_merced(real_data):
    check_pictures(ucm(real_data)[::40])


@pytest.mark.real_data
@pytest.mark.slow
def test_all_pictures_of_uc_merced(real_data):
    paths = ucm(real_data)
    assert len(paths) == 1690
    check_pictures(paths)


@pytest.mark.real_data
def test_pixels_of_real_files_are_those_of_other_libraries(real_data):
    import tifffile

    from domainclip.domains.remote_sensing import DOMAIN
    from domainclip.sample import SourceItem

    path = real_data / "remote-sensing" / "sentinel2" / "l2a_12band" / "38D_378R_2_3.tif"
    if not path.is_file():
        pytest.skip("absent")
    pixels = tifffile.imread(path)
    samples = list(DOMAIN.samples(SourceItem(path, "chip"), DOMAIN.reading_model(sensor="sentinel-2-l2a", bands=("B12", "B02"))))
    assert len(samples) == 16 and samples[0].values.kind == "dn"
    for sample in samples:
        x, y = sample.window.x, sample.window.y
        wanted = pixels[y : y + 64, x : x + 64, [11, 1]].transpose(2, 0, 1)
        np.testing.assert_array_equal(sample.read().array, wanted)
