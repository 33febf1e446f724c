"""Formats, broken files, pictures, time and season."""

import numpy as np
import pytest
from PIL import Image

from domainclip.errors import UnreadableFileError

UTM = {"crs": "EPSG:32736", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0)}


def noise(*shape):
    return np.random.default_rng(0).integers(0, 255, shape).astype("uint8")


@pytest.mark.parametrize("name", ["a.png", "b.tif"])
def test_a_picture_is_read_whole_and_exactly(tmp_path, cut, name):
    Image.fromarray(noise(50, 70, 3)).save(tmp_path / name)
    samples = cut(tmp_path / name)
    assert len(samples) == 1 and samples[0].key == f"folder/{name}"
    assert samples[0].channels == ("red", "green", "blue")
    np.testing.assert_array_equal(samples[0].read().array, noise(50, 70, 3).transpose(2, 0, 1))
    assert samples[0].spacing is None and samples[0].geo is None


def test_a_jpeg_has_no_levels_and_reads_as_pillow_reads_it(tmp_path, cut, domain):
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(300, 300, 3)).save(path, quality=90, subsampling=0)
    assert domain.inspect(path).levels == ((300, 300, 1.0),)
    with Image.open(path) as image:
        wanted = np.asarray(image, dtype=int).transpose(2, 0, 1)
    assert np.abs(cut(path)[0].read().array.astype(int) - wanted).max() <= 1


def test_a_grey_picture_has_one_channel(tmp_path, cut):
    Image.fromarray(noise(40, 40)).save(tmp_path / "a.png")
    assert cut(tmp_path / "a.png")[0].channels == ("gray",)


def _flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def test_broken_files_are_refused_without_naming_them(tmp_path, write_raster, cut, domain):
    whole = write_raster(np.random.default_rng(0).integers(0, 4000, (2, 256, 256)).astype("uint16"), names=["B02", "B8A"], **UTM)
    content = whole.read_bytes()
    Image.fromarray(noise(200, 200, 3)).save(tmp_path / "whole.jpg")
    picture = (tmp_path / "whole.jpg").read_bytes()
    Image.fromarray(noise(200, 200, 3)).save(tmp_path / "whole.png")
    broken = {
        "text.tif": b"no raster at all",
        "empty.tif": b"",
        "half.tif": content[: len(content) // 2],
        "header.tif": content[:16],
        "half.jpg": picture[: len(picture) // 2],
        "middle.jpg": picture[: len(picture) // 2] + picture[len(picture) // 2 + 2000 :],
        "half.png": (tmp_path / "whole.png").read_bytes()[:5000],
        "flipped.png": _flipped((tmp_path / "whole.png").read_bytes()),
    }
    for name, data in broken.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert domain.recognises(path), name
        for use in (domain.inspect, cut):
            with pytest.raises(UnreadableFileError) as error:
                result = use(path)
                for sample in result if use is cut else ():
                    sample.read()
            assert str(tmp_path) not in str(error.value) and name not in error.value.found, name
    with pytest.raises(UnreadableFileError, match="no such file"):
        cut(tmp_path / "absent.tif")


def test_recognises_by_name_or_first_bytes(tmp_path, write_raster, domain):
    path = write_raster(np.zeros((1, 8, 8), "uint8"))
    assert domain.recognises(path)
    assert domain.recognises(path.rename(tmp_path / "scene"))
    (tmp_path / "notes.txt").write_text("II or not")
    (tmp_path / ".hidden.tif").write_bytes(b"")
    assert not any(domain.recognises(tmp_path / name) for name in ("notes.txt", ".hidden.tif", "absent.tif", "."))


def test_a_file_of_other_drivers_is_never_opened(tmp_path, cut):
    (tmp_path / "a.tif").write_text('<VRTDataset rasterXSize="8" rasterYSize="8"></VRTDataset>')
    with pytest.raises(UnreadableFileError, match="VRT, and it has no band"):
        cut(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("date", "latitude", "name"),
    [
        ("2023-01-15", 47.0, "winter"),
        ("2023-01-15", -35.0, "summer"),
        ("2023-04-02", 47.0, "spring"),
        ("2023-04-02", -35.0, "autumn"),
        ("2023-12-01", 47.0, "winter"),
        ("2023-10-20T10:00:00", -35.0, "spring"),
        ("2023-07-01", -3.4, None),
    ],
)
def test_seasons_know_their_hemisphere(date, latitude, name):
    from domainclip.domains.remote_sensing.place import season

    assert season(date, latitude) == name


def test_time_place_and_season_reach_the_sample_and_inspect(write_raster, cut, domain):
    array = np.full((2, 64, 64), 900, "uint16")
    south = {"crs": "EPSG:32755", "transform": (10.0, 0.0, 420_000.0, 0.0, -10.0, 6_100_000.0)}
    path = write_raster(array, names=["B02", "B8A"], tags={"ACQUISITION_DATE": "2023-01-15", "synthetic": "yes"}, **south)
    sample = cut(path)[0]
    # 420 km east and 3,900 km south of the equator in zone 55 (central meridian 147 E): about 146.1 E, 35.2 S.
    assert sample.time == "2023-01-15" and sample.meta["season"] == "summer" and sample.meta["synthetic"] is True
    assert sample.meta["latitude"] == pytest.approx(-35.2, abs=0.1) and sample.meta["longitude"] == pytest.approx(146.1, abs=0.1)
    details = domain.inspect(path).details
    assert details["hemisphere"] == "south" and details["season"] == "summer" and details["time"] == "2023-01-15"


def test_an_unreadable_date_is_no_date(write_raster, cut):
    path = write_raster(np.full((1, 8, 8), 9, "uint16"), names=["B8A"], tags={"ACQUISITION_DATE": "last week"}, **UTM)
    assert cut(path)[0].time is None


def test_inspect_shows_levels_range_and_what_is_missing(write_raster, domain):
    import rasterio
    from rasterio.enums import Resampling

    array = np.random.default_rng(1).integers(100, 3000, (3, 900, 1000)).astype("uint16")
    array[:, -100:] = 0
    path = write_raster(array, nodata=0, tiled=True, blockxsize=128, blockysize=128, **UTM)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    seen = domain.inspect(path)
    assert seen.levels == ((1000, 900, 1.0), (500, 450, 2.0), (250, 225, 4.0))
    assert seen.channels == () and len(seen.missing) == 2 and "3 bands have no names" in seen.missing[0]
    assert seen.range["pixels"] == 9 * 256 * 256 and seen.details["range_of"].startswith("589824 pixels in 9 windows")
    # Three of nine probes end at the last row; the last 100 of their 256 rows have no data.
    assert seen.range["valid_share"] == pytest.approx(1 - 3 / 9 * 100 / 256)
    assert seen.range["minimum"] >= 100 and seen.details["nodata"] == 0
    assert set(seen.details["bands"]) == {"band 1", "band 2", "band 3"}
