"""Quality bands: every rule worked by hand, and the way of a mask from the file through a prepared set."""

import json

import numpy as np
import pytest
from made_products import S2_L2A, flat, make_hls, make_landsat, make_modis, make_planetscope, make_safe_l2a, write

from domainclip.domains.remote_sensing.quality import QualityBand, quality_masks
from domainclip.domains.remote_sensing.sensors import families, quality_rule
from domainclip.errors import UnreadableFileError


def said(rule, code, unknown=False, dtype=np.int64):
    """Names of the masks that one pixel of a code belongs to."""
    band = QualityBand(rule, (rule.name,))
    masks = quality_masks(band, np.full((1, 1, 1), code, dtype), np.full((1, 1), unknown))
    assert set(masks) == set(rule.masks)
    return {name for name, mask in masks.items() if mask[0, 0]}


# ESA, Level-2A Algorithm Theoretical Basis Document, scene classification.
SCL = {
    0: {"nodata"},
    1: {"saturated"},
    2: set(),  # dark area (cast shadow of the terrain, or dark ground)
    3: {"shadow"},
    4: set(),  # vegetation
    5: set(),  # bare
    6: {"water"},
    7: set(),  # unclassified
    8: {"cloud"},  # medium probability
    9: {"cloud"},  # high probability
    10: {"cloud"},  # thin cirrus
    11: {"snow"},
}


@pytest.mark.parametrize("code", SCL)
def test_scl(code):
    assert said(quality_rule("SCL", "sentinel-2"), code, dtype=np.uint8) == SCL[code]


@pytest.mark.parametrize("code", [0, 1, 512, 1024, 2048, 3072, 4096, 1 << 15])
def test_qa60(code):
    assert said(quality_rule("QA60", "sentinel-2"), code, dtype=np.uint16) == ({"cloud"} if code in {1024, 2048, 3072} else set())


@pytest.mark.parametrize(("percent", "cloudy"), [(0, 0), (39, 0), (39.9, 0), (40, 1), (40.5, 1), (100, 1)])
@pytest.mark.parametrize("name", ["probability", "MSK_CLDPRB", "cloud_probability"])
def test_cloud_probability(name, percent, cloudy):
    assert said(quality_rule(name, "sentinel-2"), percent, dtype=np.float32) == ({"cloud"} if cloudy else set())


# USGS, Collection 2 Level 2 guides, QA_PIXEL: fill, dilated cloud, cirrus, cloud, shadow, snow, clear, water, pairs of confidence.
LANDSAT_8 = {0: "nodata", 1: "cloud", 2: "cloud", 3: "cloud", 4: "shadow", 5: "snow", 6: None, 7: "water"}
LANDSAT_8 |= dict.fromkeys(range(8, 16))
LANDSAT_5 = LANDSAT_8 | {2: None}


@pytest.mark.parametrize("bit", range(16))
@pytest.mark.parametrize(
    ("family", "meaning"),
    [("landsat-8-9", LANDSAT_8), ("landsat-8-9-l1", LANDSAT_8), ("landsat-7", LANDSAT_5), ("landsat-5", LANDSAT_5)],
)
def test_qa_pixel_bit_by_bit(family, meaning, bit):
    rule = quality_rule("QA_PIXEL", family)
    assert said(rule, 1 << bit, dtype=np.uint16) == {meaning[bit]} - {None}
    assert said(rule, 0xFFFF, dtype=np.uint16) == set(meaning.values()) - {None}


@pytest.mark.parametrize(
    ("code", "masks"),
    # USGS, Landsat 8-9 Collection 2 Level 2 guide, table of common values.
    # 22080 is cloud of middle confidence, whose cloud bit is not set.
    [
        *((1, {"nodata"}), (21824, set()), (21952, {"water"}), (22080, set()), (22280, {"cloud"})),
        *((23888, {"shadow"}), (30048, {"snow"}), (54596, {"cloud"})),
    ],
)
def test_qa_pixel_by_published_values(code, masks):
    assert said(quality_rule("QA_PIXEL", "landsat-8-9"), code, dtype=np.uint16) == masks


# NASA, HLS user guide v2.0: bit 0 reserved (cirrus), 1 cloud, 2 beside cloud or shadow, 3 shadow, 4 snow, 5 water, 6 and 7 aerosol.
FMASK = {0: None, 1: "cloud", 2: "near_cloud", 3: "shadow", 4: "snow", 5: "water", 6: None, 7: None}


@pytest.mark.parametrize("family", ["hls-s30", "hls-l30"])
def test_fmask_every_number(family):
    rule = quality_rule("Fmask", family)
    for code in range(255):
        assert said(rule, code, dtype=np.uint8) == {FMASK[bit] for bit in range(8) if code >> bit & 1} - {None}, code
    assert said(rule, 255, dtype=np.uint8) == {"nodata"}


@pytest.mark.parametrize("state", range(4))
@pytest.mark.parametrize("name", ["state", "StateQA", "sur_refl_state_500m", "state_500m"])
def test_modis_state(name, state):
    rule = quality_rule(name, "modis")
    # 0 clear, 1 cloudy, 2 mixed, 3 not set, assumed clear (MOD09 user guide).
    assert said(rule, state, dtype=np.uint16) == ({"cloud"} if state in {1, 2} else set())
    assert said(rule, state | 0b100, dtype=np.uint16) == ({"cloud", "shadow"} if state in {1, 2} else {"shadow"})
    assert "cloud" in said(rule, state | 1 << 10, dtype=np.uint16)
    assert "cloud" not in said(rule, 0b11 | 1 << 9 | 1 << 11, dtype=np.uint16)


def test_an_unknown_code_belongs_to_no_mask():
    for family in families().values():
        for rule in family.quality.values():
            if not rule.flags:
                assert said(rule, 0xFF, unknown=True) == set()


# Through files


def marked(size, rows, base=4, dtype=np.uint8):
    """Rows 0, 1, 2 ... hold the codes, the rest ``base``."""
    array = np.full((size, size), base, dtype)
    for row, code in enumerate(rows):
        array[row] = code
    return array


def test_scl_of_20_m_lies_on_the_10_m_grid_class_by_class(tmp_path, one_scene):
    make_safe_l2a(tmp_path, suffix="tif", bands={"SCL": marked(96, range(12))})
    pixels = one_scene(tmp_path, max_nodata=0.9)[0].read()
    for code, names in SCL.items():
        rows = slice(2 * code, 2 * code + 2)
        for name in ("nodata", "saturated", "shadow", "water", "cloud", "snow"):
            assert (pixels.masks[name][rows] == (name in names)).all(), (code, name)
    assert not pixels.masks["cloud"][24:].any()


def test_qa_pixel_s_fill_is_no_data_though_the_file_s_tag_says_the_same(tmp_path, one_scene):
    """USGS tags QA_PIXEL with nodata 1, which is its fill bit."""
    make_landsat(tmp_path, qa=marked(64, [1, 22280, 23888], 21824, np.uint16))
    masks = one_scene(tmp_path)[0].read().masks
    assert masks["nodata"][0].all() and not masks["nodata"][1:].any()
    assert masks["cloud"][1].all() and masks["shadow"][2].all() and masks["cloud"].sum() == masks["shadow"].sum() == 64


def test_fmask_s_fill_is_no_data_though_the_file_s_tag_says_the_same(tmp_path, one_scene):
    make_hls(tmp_path, fmask=marked(64, [255, 2, 8, 16, 32, 4], 64))
    masks = one_scene(tmp_path)[0].read().masks
    assert {name: list(np.flatnonzero(mask.all(axis=1))) for name, mask in masks.items()} == {
        "nodata": [0], "cloud": [1], "shadow": [2], "snow": [3], "water": [4], "near_cloud": [5],
    }  # fmt: skip


def test_modis_state_goes_with_its_bands(tmp_path, one_scene):
    make_modis(tmp_path, state=marked(64, [0, 1, 2, 3, 4], 8, np.uint16))
    masks = one_scene(tmp_path)[0].read().masks
    assert list(np.flatnonzero(masks["cloud"].all(axis=1))) == [1, 2] and list(np.flatnonzero(masks["shadow"].all(axis=1))) == [4]


UDM2_ROWS = {"snow": 1, "shadow": 2, "haze_light": 3, "haze_heavy": 4, "cloud": 5, "unusable": 7}


def udm2():
    flags = np.zeros((8, 64, 64), np.uint8)
    flags[0] = 1
    flags[6] = 90  # confidence in percent
    for band in UDM2_ROWS.values():
        flags[band, band], flags[0, band] = 1, 0
    return flags


@pytest.mark.parametrize(
    ("named", "reading"), [(True, {}), (False, {}), (True, {"nodata": 0}), (False, {"sensor": "planetscope-8"})]
)
def test_udm2(tmp_path, one_scene, named, reading):
    """Files without names have the published order; a nodata number of the bands says nothing of the flags."""
    make_planetscope(tmp_path, flags=udm2(), named="sensor" not in reading, udm_named=named)
    masks = one_scene(tmp_path, **reading)[0].read().masks
    assert {name: list(np.flatnonzero(mask.all(axis=1))) for name, mask in masks.items()} == {
        "snow": [1], "shadow": [2], "cloud": [4, 5], "nodata": [7],
    }  # fmt: skip


def test_flags_of_no_known_names_are_refused(tmp_path, one_scene):
    scene = make_planetscope(tmp_path)
    write(tmp_path / f"{scene}_3B_udm2.tif", np.zeros((2, 64, 64), np.uint8), 3, names=["good", "bad"])
    with pytest.raises(UnreadableFileError, match="does not tell snow, shadow, cloud, nodata"):
        one_scene(tmp_path)
    write(tmp_path / f"{scene}_3B_udm2.tif", np.zeros((1, 64, 64), np.uint8), 3)
    with pytest.raises(UnreadableFileError, match="1 bands without names"):
        one_scene(tmp_path)


def stack(path, probability=None, dtype="uint16", **profile):
    """B02, B8A, QA60 and a probability in one file; the left half of QA60 is opaque cloud in the first 64 columns."""
    array = np.full((4, 128, 128), 1000, dtype)
    array[2] = 0
    array[2, :64, :32] = 1024
    array[3] = 0 if probability is None else probability
    return write(path, array, 10, names=["B02", "B8A", "QA60", "probability"], **profile)


def test_quality_bands_are_no_channels_and_their_masks_are_one(tmp_path, one_scene):
    probability = np.zeros((128, 128))
    probability[64:, 64:] = 40
    stack(tmp_path / "a.tif", probability)
    samples = one_scene(tmp_path)
    assert all(sample.channels == ("B02", "B8A") for sample in samples)
    assert [float(sample.read().masks["cloud"].mean()) for sample in samples] == [0.5, 0, 0, 1]
    assert [sample.meta["cloud_share"] for sample in samples] == [0.5, 0, 0, 1]


def test_nan_of_a_quality_band_is_no_cloud_and_no_hole(tmp_path, one_scene):
    stack(tmp_path / "a.tif", np.where(np.eye(128) > 0, np.nan, 5), dtype="float32")
    masks = one_scene(tmp_path)[0].read().masks
    assert not masks["nodata"].any() and masks["cloud"].mean() == 0.5


def test_max_cloud_skips_and_counts(tmp_path, scenes):
    stack(tmp_path / "a.tif")
    for share, kept in ((0.49, 3), (0.5, 4), (0, 3)):
        assert len(scenes(tmp_path, max_cloud=share)["a.tif"]) == kept
        wanted = {"windows": 4, "kept": kept} | ({"too cloudy": 1} if kept == 3 else {})
        assert scenes.accounts["a.tif"] == wanted


def test_max_cloud_without_a_quality_band_is_refused(tmp_path, one_scene):
    write(tmp_path / "a.tif", np.full((1, 64, 64), 9, np.uint16), 10, names=["B8A"])
    with pytest.raises(UnreadableFileError, match="no quality band that tells of clouds"):
        one_scene(tmp_path, max_cloud=0.1)
    with pytest.raises(UnreadableFileError, match="cloud"):
        one_scene(tmp_path, blank=("cloud",))


def test_blank_makes_clouds_missing(tmp_path, one_scene):
    stack(tmp_path / "a.tif")
    pixels = one_scene(tmp_path, blank=("cloud",), max_nodata=0.6)[0].read()
    assert pixels.masks["nodata"][:, :32].all() and not pixels.masks["nodata"][:, 32:].any()
    assert len(one_scene(tmp_path, blank=("cloud",), max_nodata=0.4)) == 3


def test_masks_that_nobody_knows_are_refused(tmp_path, one_scene):
    stack(tmp_path / "a.tif")
    with pytest.raises(UnreadableFileError) as error:
        one_scene(tmp_path, blank=("cloud", "fog"))
    assert "fog" in error.value.found and "cloud" in str(error.value)


@pytest.mark.parametrize("name", ["QA60", "qa60"])
def test_a_quality_band_that_is_asked_for_is_a_channel(tmp_path, one_scene, name):
    stack(tmp_path / "a.tif")
    sample = one_scene(tmp_path, bands=("B02", name))[0]
    assert sample.channels == ("B02", "QA60")
    assert sorted(np.unique(sample.read().array[1])) == [0, 1024]


def test_a_quality_band_by_its_other_name_is_a_channel(tmp_path, one_scene):
    stack(tmp_path / "a.tif")
    assert one_scene(tmp_path, bands=("MSK_CLDPRB",))[0].channels == ("probability",)


def test_codes_are_never_mixed_when_they_are_channels(tmp_path, one_scene):
    """Bilinear between code 0 and 1024 would be 512, which is no code."""
    stack(tmp_path / "a.tif")
    for sample in one_scene(tmp_path, bands=("B02", "QA60"), crs="EPSG:3035", spacing_m=10, max_nodata=0.9):
        assert set(np.unique(sample.read().array[1])) <= {0, 1024}


def test_classes_are_no_reflectance(tmp_path, one_scene):
    make_safe_l2a(tmp_path, suffix="tif", bands={"SCL": flat(5, 20)})
    sample = one_scene(tmp_path, bands=("SCL",))[0]
    assert sample.channels == ("SCL",) and sample.values.kind == "dn" and (sample.read().array == 5).all()


def test_masks_are_nearest_whatever_the_resampling(tmp_path, one_scene):
    made = np.random.default_rng(0).choice(np.array([4, 9], np.uint8), (96, 96))
    make_safe_l2a(tmp_path, suffix="tif", bands={"SCL": made})
    for how in ("auto", "cubic", "average"):
        cloud = one_scene(tmp_path, resampling=how, bands=S2_L2A)[0].read().masks["cloud"]
        np.testing.assert_array_equal(cloud, np.kron(made[:32, :32] == 9, np.ones((2, 2), bool)))


def test_masks_go_into_a_set_and_come_back(tmp_path):
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains

    made = np.random.default_rng(0).choice(np.array([3, 4, 6, 9, 11], np.uint8), (96, 96))
    made[:32, :32] = 9
    make_safe_l2a(tmp_path / "in", suffix="tif", bands={"SCL": made})
    source = open_dataset(tmp_path / "in", domain="remote-sensing")
    domain, reading = domains.get("remote-sensing"), {"max_cloud": 0.9, "bands": ["B04", "B8A"]}
    prepared = prepare(source, domain, tmp_path / "set", reading=reading, workers=0)
    card = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert card["reading_account"] == {"windows": 9, "kept": 8, "too cloudy": 1}
    by_place = {(s.window.x, s.window.y): s.read() for s in domain.samples(next(source.items()), domain.reading_model(**reading))}
    fine = np.kron(made, np.ones((2, 2), np.uint8))
    for position in range(8):
        sample = prepared.sample(position)
        x, y = round((sample.geo.transform[2] - 600_000) / 10), round((4_800_000 - sample.geo.transform[5]) / 10)
        masks, codes = sample.read().masks, fine[y : y + 64, x : x + 64]
        for name, code in (("shadow", 3), ("water", 6), ("cloud", 9), ("snow", 11)):
            np.testing.assert_array_equal(masks[name], codes == code)
            np.testing.assert_array_equal(masks[name], by_place[x, y].masks[name])
