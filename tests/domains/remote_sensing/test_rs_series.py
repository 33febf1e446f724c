"""Dates of one place as one series: order by time, masks and scales of each date, and what is no series."""

import numpy as np
import pytest
from made_products import flat, make_landsat, make_safe_l2a, write

from domainclip.errors import UnreadableFileError


def dated(folder, dates, **profile):
    """One file a date; date n (in the order given) holds 100 n + band."""
    for number, date in enumerate(dates, start=1):
        array = np.stack([flat(100 * number + band, 10) for band in (1, 2)])
        write(folder / f"site_{date}.tif", array, 10, names=["B04", "B8A"], **profile)


def test_order_is_that_of_time_and_not_of_names(tmp_path, one_scene):
    for name, time, number in (("a", "2020:3", 3), ("b", "2020:1", 1), ("c", "2020:2", 2)):
        path = write(tmp_path / f"{name}.tif", flat(number, 10)[None], 10, names=["B8A"])
        import rasterio

        with rasterio.open(path, "r+") as file:
            file.update_tags(ACQUISITION_DATE=f"2020-0{time[-1]}-01T10:00:00")
    samples = one_scene(tmp_path, axes="TCYX")
    assert len(samples) == 9
    for sample in samples:
        pixels = sample.read()
        assert sample.axes == "TCYX" and pixels.array.shape == (3, 1, 64, 64) and pixels.masks["nodata"].shape == (3, 64, 64)
        assert [int(plane[0, 0, 0]) for plane in pixels.array] == [1, 2, 3]
        assert sample.meta["times"] == ["2020-01-01T10:00:00", "2020-02-01T10:00:00", "2020-03-01T10:00:00"]
        assert sample.time == "2020-01-01T10:00:00" and sample.group == "."


def test_zones_of_time_are_put_into_one_before_the_order(tmp_path, one_scene):
    import rasterio

    for name, time, number in (("a", "2020-01-02T01:00:00+05:00", 1), ("b", "2020-01-01T22:00:00Z", 2)):
        path = write(tmp_path / f"{name}.tif", flat(number, 10)[None], 10, names=["B8A"])
        with rasterio.open(path, "r+") as file:
            file.update_tags(ACQUISITION_DATE=time)
    sample = one_scene(tmp_path, axes="TCYX")[0]
    # 01:00 at +05:00 is 20:00 of the day before.
    assert sample.meta["times"] == ["2020-01-01T20:00:00", "2020-01-01T22:00:00"]
    assert list(sample.read().array[:, 0, 0, 0]) == [1, 2]


def test_dates_in_names(tmp_path, one_scene):
    dated(tmp_path, ["2019-12-31", "2020-06-01", "2020-01-15"])
    sample = one_scene(tmp_path, axes="TCYX")[0]
    assert sample.meta["times"] == ["2019-12-31", "2020-01-15", "2020-06-01"]
    assert list(sample.read().array[:, 0, 0, 0]) == [101, 301, 201]


def test_folders_are_series_of_their_own(tmp_path, scenes):
    dated(tmp_path / "x", ["2020-01-01", "2020-02-01"])
    dated(tmp_path / "y", ["2020-01-01", "2020-02-01", "2020-03-01"])
    found = scenes(tmp_path, axes="TCYX")
    assert sorted(samples[0].read().array.shape[0] for samples in found.values()) == [2, 3]
    assert {samples[0].group for samples in found.values()} == {"x", "y"}


def test_masks_are_those_of_each_date(tmp_path, one_scene):
    clouds = flat(21824, 30)
    clouds[:10] = 22280
    make_landsat(tmp_path, qa=clouds)
    hole = flat(8100, 30)
    hole[:, :4] = 0
    make_landsat(tmp_path, date="20200716", bands={"SR_B1": hole})
    sample = one_scene(tmp_path, axes="TCYX")[0]
    masks = sample.read().masks
    assert sample.meta["times"] == ["2020-07-16", "2021-07-16"]
    assert not masks["cloud"][0].any() and masks["cloud"][1, :10].all() and not masks["cloud"][1, 10:].any()
    assert masks["nodata"][0, :, :4].all() and masks["nodata"].sum() == 64 * 4


def test_scales_that_change_between_dates_become_physical_numbers(tmp_path, one_scene):
    """Baseline 04.00 came in January 2022: 3000 stored means 0.3 before and 0.2 since."""
    made = np.random.default_rng(3).integers(1200, 5000, (2, 192, 192)).astype(np.uint16)
    late = {"time": "20220612T105621", "baseline": "0400", "offsets": -1000}
    make_safe_l2a(tmp_path, suffix="tif", bands={"B02": made[1]}, **late)
    make_safe_l2a(tmp_path, suffix="tif", bands={"B02": made[0]})
    sample = one_scene(tmp_path, axes="TCYX", bands=("B02",))[0]
    array = sample.read().array
    assert (sample.values.kind, sample.values.scale, sample.values.offset) == ("reflectance", 1, 0)
    np.testing.assert_allclose(array[0, 0], made[0][:64, :64] / 10_000, rtol=1e-5)
    np.testing.assert_allclose(array[1, 0], made[1][:64, :64] / 10_000 - 0.1, atol=1e-6)


def test_one_scale_keeps_the_stored_numbers(tmp_path, one_scene):
    make_safe_l2a(tmp_path, suffix="tif")
    make_safe_l2a(tmp_path, suffix="tif", time="20200301T105441")
    sample = one_scene(tmp_path, axes="TCYX")[0]
    assert sample.read().array.dtype == np.uint16 and sample.values.scale == 1e-4 and sample.values.nodata == 0


def test_a_date_shifted_by_less_than_a_pixel_is_read_on_the_grid_of_the_first(tmp_path, one_scene):
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    made = np.random.default_rng(4).integers(1000, 4000, (2, 1, 96, 96)).astype(np.float32)
    write(tmp_path / "s_2020-01-01.tif", made[0], 10, names=["B8A"])
    write(tmp_path / "s_2020-02-01.tif", made[1], 10, names=["B8A"], origin=(600_004.0, 4_800_003.0))
    wanted = np.full((96, 96), np.nan, np.float32)
    reproject(
        made[1, 0],
        wanted,
        src_transform=Affine(10, 0, 600_004, 0, -10, 4_800_003),
        dst_transform=Affine(10, 0, 600_000, 0, -10, 4_800_000),
        src_crs="EPSG:32631",
        dst_crs="EPSG:32631",
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling.bilinear,
    )
    pixels = one_scene(tmp_path, axes="TCYX", max_nodata=0.9)[0].read()
    np.testing.assert_array_equal(pixels.array[0, 0], made[0, 0, :64, :64])
    valid = ~pixels.masks["nodata"][1]
    assert valid.mean() > 0.9
    np.testing.assert_allclose(pixels.array[1, 0][valid], wanted[:64, :64][valid], rtol=1e-4)


def test_other_places_are_refused(tmp_path, one_scene):
    dated(tmp_path, ["2020-01-01"])
    dated(tmp_path, ["2020-02-01"], origin=(700_000.0, 4_800_000.0))
    with pytest.raises(UnreadableFileError, match="different places"):
        one_scene(tmp_path, axes="TCYX")


def test_two_of_one_time_and_untimed_ones_are_refused(tmp_path, one_scene):
    dated(tmp_path, ["2020-01-01", "2020-01-01_b"])
    with pytest.raises(UnreadableFileError, match="of one time"):
        one_scene(tmp_path, axes="TCYX")
    (tmp_path / "site_2020-01-01_b.tif").rename(tmp_path / "site_b.tif")
    with pytest.raises(UnreadableFileError, match="1 of its 2 scenes tell no time"):
        one_scene(tmp_path, axes="TCYX")
    (tmp_path / "site_b.tif").rename(tmp_path / "site_2020-13-45.tif")
    with pytest.raises(UnreadableFileError, match="1 of its 2 scenes tell no time"):
        one_scene(tmp_path, axes="TCYX")


def test_one_date_is_no_series(tmp_path, one_scene):
    dated(tmp_path, ["2020-01-01"])
    with pytest.raises(UnreadableFileError, match="One date is left"):
        one_scene(tmp_path, axes="TCYX")


def test_dates_of_different_bands_are_refused_unless_common_ones_are_read(tmp_path, one_scene):
    dated(tmp_path, ["2020-01-01"])
    write(tmp_path / "site_2020-02-01.tif", flat(7, 10)[None], 10, names=["B8A"])
    with pytest.raises(UnreadableFileError, match="different bands"):
        one_scene(tmp_path, axes="TCYX")
    assert list(one_scene(tmp_path, axes="TCYX", bands=("B8A",))[0].read().array[:, 0, 0, 0]) == [102, 7]


def test_bands_in_another_order_are_put_into_one(tmp_path, one_scene):
    dated(tmp_path, ["2020-01-01"])
    write(tmp_path / "site_2020-02-01.tif", np.stack([flat(8, 10), flat(4, 10)]), 10, names=["B8A", "B04"])
    assert one_scene(tmp_path, axes="TCYX", bands=("B04", "B8A"))[0].read().array[:, :, 0, 0].tolist() == [[101, 102], [4, 8]]


def test_a_series_goes_into_a_set(tmp_path):
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains

    dated(tmp_path / "in", ["2020-06-01", "2020-01-15"], nodata=0)
    reading = {"axes": "TCYX"}
    source = open_dataset(tmp_path / "in", domain="remote-sensing", reading=reading)
    made = prepare(source, domains.get("remote-sensing"), tmp_path / "set", reading=reading, workers=0)
    sample = made.sample(0)
    assert len(made) == 9 and sample.axes == "TCYX" and sample.read().array[:, :, 0, 0].tolist() == [[201, 202], [101, 102]]
    assert sample.meta["times"] == ["2020-01-15", "2020-06-01"] and made.card["counts"]["images"] == 9


@pytest.mark.real_data
def test_ravaen_s_dates(real_data, one_scene):
    import tifffile

    folder = real_data / "remote-sensing" / "sentinel2" / "ravaen_lahinch"
    if not folder.is_dir():
        pytest.skip("the series of Lahinch is absent")
    samples = one_scene(folder, axes="TCYX", max_nodata=0.99)
    stored = [tifffile.imread(path) for path in sorted(folder.glob("*.tif"))]
    assert samples[0].meta["times"] == ["2017-09-18", "2017-09-21", "2017-09-26", "2017-10-08", "2017-10-18"]
    for sample in samples:
        w, pixels = sample.window, sample.read()
        assert pixels.array.shape == (5, 13, 64, 64) and "QA60" not in sample.channels
        for date, whole in enumerate(stored):
            part = whole[w.y : w.y + 64, w.x : w.x + 64]
            np.testing.assert_array_equal(pixels.array[date], part[..., :13].transpose(2, 0, 1))
            cloudy = (np.nan_to_num(part[..., 13]).astype(int) & 0b110000000000 != 0) | (part[..., 14] >= 40)
            np.testing.assert_array_equal(pixels.masks["cloud"][date], cloudy)
