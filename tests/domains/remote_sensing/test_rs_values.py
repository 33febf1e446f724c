"""Digital numbers against reflectance, missing data, NaN."""

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError, UsageError

S2 = ["B02", "B8A"]


def dn(low=500, high=4000, dtype="uint16", side=64):
    return np.random.default_rng(0).integers(low, high, (2, side, side)).astype(dtype)


def test_int16_without_a_scale_stays_digital_numbers(write_raster, cut):
    values = cut(write_raster(dn(dtype="int16"), names=S2))[0].values
    assert (values.kind, values.scale, values.offset, values.nodata) == ("dn", 1.0, 0.0, None)


def test_scale_tags_of_a_sentinel_2_file_give_reflectance(write_raster, cut):
    path = write_raster(dn(), names=S2, scales=(1e-4, 1e-4), offsets=(-0.1, -0.1), nodata=0)
    values = cut(path)[0].values
    assert (values.kind, values.scale, values.offset, values.nodata) == ("reflectance", 1e-4, -0.1, 0.0)


def test_scale_tags_of_unknown_quantity_stay_digital_numbers(write_raster, cut, domain):
    path = write_raster(dn(), names=["height", "slope"], scales=(0.1, 0.1))
    assert cut(path)[0].values.kind == "dn"
    assert any("do not say of what quantity" in line for line in domain.inspect(path).missing)
    told = write_raster(dn(), "b.tif", names=["x", "y"], scales=(1e-4, 1e-4), units=("reflectance", "reflectance"))
    assert cut(told)[0].values.kind == "reflectance"


def test_the_owner_tells_reflectance(write_raster, cut):
    values = cut(write_raster(dn(), names=S2), values="reflectance", scale=1e-4, offset=-0.1)[0].values
    assert (values.kind, values.scale, values.offset) == ("reflectance", 1e-4, -0.1)


def test_reflectance_of_integers_needs_a_scale(write_raster, cut):
    with pytest.raises(UnreadableFileError, match="needs a scale") as error:
        cut(write_raster(dn(), names=S2), values="reflectance")
    assert "reading.scale 0.0001" in error.value.remedy


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-8])
def test_a_scale_that_the_numbers_contradict_is_refused(write_raster, cut, scale):
    with pytest.raises(UnreadableFileError, match="do not look like reflectance"):
        cut(write_raster(dn(), names=S2), values="reflectance", scale=scale)


def test_float_digital_numbers_told_as_reflectance_are_refused(write_raster, cut):
    with pytest.raises(UnreadableFileError, match="do not look like reflectance"):
        cut(write_raster(dn(dtype="float32"), names=S2), values="reflectance")


def test_float_reflectance_is_taken(write_raster, cut):
    array = np.random.default_rng(0).uniform(0.01, 0.5, (2, 64, 64)).astype("float32")
    assert cut(write_raster(array, names=S2), values="reflectance")[0].values.scale == 1.0


def test_scale_without_a_quantity_is_refused(domain):
    from domainclip.config import validated

    with pytest.raises(UsageError, match="need 'values'"):
        validated(domain.reading_model, {"scale": 0.1}, "reading")


def test_bands_of_different_scales_are_refused_unless_left_out(write_raster, cut):
    path = write_raster(dn(), names=S2, scales=(1e-4, 1e-3))
    with pytest.raises(UnreadableFileError, match="different scale"):
        cut(path)
    assert cut(path, bands=("B02",))[0].values.scale == 1e-4


def test_nan_in_one_band_masks_the_pixel(write_raster, cut):
    array = dn(dtype="float32")
    array[1, 3, 5] = np.nan
    sample = cut(write_raster(array, names=S2))[0]
    mask = sample.read().masks["nodata"]
    assert mask.sum() == 1 and mask[3, 5]
    assert sample.values.nodata is None


def test_nan_as_nodata_tag_needs_no_number(write_raster, cut):
    array = dn(dtype="float32")
    array[:, :4] = np.nan
    sample = cut(write_raster(array, names=S2, nodata=float("nan")))[0]
    assert sample.values.nodata is None and sample.read().masks["nodata"].mean() == 4 / 64


def test_windows_with_too_little_data_are_skipped_and_counted(write_raster, cut):
    array = dn(side=128)
    array[:, :, :30] = 0  # 30 of 64 columns of the two left windows
    path = write_raster(array, names=S2, nodata=0)
    samples = cut(path)
    assert [sample.window.x for sample in samples] == [64, 64]
    assert samples.account == {"windows": 4, "kept": 2, "with too little data": 2}
    assert len(cut(path, max_nodata=0.5)) == 4
    kept = cut(path, max_nodata=0.5)[0].read()
    assert kept.masks["nodata"][:, :30].all() and not kept.masks["nodata"][:, 30:].any()


def test_no_window_left_is_said(write_raster, cut):
    with pytest.raises(UnreadableFileError, match="None of its 1 windows is left"):
        cut(write_raster(np.zeros((2, 64, 64), "uint16"), names=S2, nodata=0))


def test_the_owner_s_nodata_wins(write_raster, cut):
    array = dn()
    array[:, :2] = 9999
    sample = cut(write_raster(array, names=S2, nodata=0), nodata=9999)[0]
    assert sample.values.nodata == 9999 and sample.read().masks["nodata"].mean() == 2 / 64


def test_an_internal_mask_counts(write_raster, cut):
    import rasterio

    path = write_raster(dn(), names=S2)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        mask = np.full((64, 64), 255, np.uint8)
        mask[:, :5] = 0
        file.write_mask(mask)
    assert cut(path)[0].read().masks["nodata"].mean() == 5 / 64
