"""Published statistics: numbers as they stand in their sources, by band name, in the quantity of the set."""

import pytest

from domainclip.domains.remote_sensing.statistics import published_statistics, statistics_of
from domainclip.errors import UsageError


def test_bands_come_by_name_and_reflectance_is_a_ten_thousandth():
    mean, std = statistics_of("ssl4eo-s2-l2a", ("B8A", "B02"), "reflectance")
    assert mean == pytest.approx((0.2619542, 0.0925161)) and std == pytest.approx((0.1454089, 0.1205586))
    assert statistics_of("ssl4eo-s2-l2a", ("B02",), "dn")[0] == (925.161,)


def test_eurosats_last_number_is_b8a():
    found = published_statistics()["eurosat-s2-l1c"]
    assert dict(zip(found.bands, found.mean, strict=True))["B8A"] == 2594.14080798
    assert dict(zip(found.bands, found.std, strict=True))["B09"] == 404.91978886


def test_clips_own_numbers_are_open_clips():
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    assert statistics_of("clip-rgb", ("red", "green", "blue"), "srgb") == (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)


def test_resisc45_is_published_for_0_to_255():
    mean, std = statistics_of("resisc45-rgb", ("red", "green", "blue"), "srgb")
    assert [255 * m for m in mean] == pytest.approx([93.89, 97.11, 87.57], abs=0.005)
    assert [255 * s for s in std] == pytest.approx([51.85, 47.24, 47.06], abs=0.005)


@pytest.mark.parametrize(
    ("name", "channels", "kind", "found"),
    [
        ("ssl4eo", ("B02",), "dn", "No table of band statistics"),
        ("ssl4eo-s2-l2a", ("B10",), "dn", "no band B10"),
        ("ssl4eo-s2-l2a", ("B02",), "srgb", "are dn, those of the set srgb"),
        ("clip-rgb", ("red",), "reflectance", "are srgb"),
    ],
)
def test_what_does_not_fit_is_refused(name, channels, kind, found):
    with pytest.raises(UsageError, match=found):
        statistics_of(name, channels, kind)


def test_every_entry_says_its_source_and_has_a_number_a_band():
    for entry in published_statistics().values():
        assert entry.source and len(entry.mean) == len(entry.bands) == len(entry.std or entry.mean)
        assert entry.values in {"dn", "srgb"} and all(spread > 0 for spread in entry.std or ())


@pytest.mark.slow
def test_training_takes_them(tmp_path):
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains
    from domainclip.starter import make_starter_set
    from domainclip.training.input_statistics import fit_preprocessing

    domain = domains.get("remote-sensing")
    manifest = make_starter_set("remote-sensing", tmp_path / "raw", groups=8, seed=1, workers=1)
    prepared = prepare(open_dataset(manifest, domain="remote-sensing"), domain, tmp_path / "set", workers=0)
    options = {"channels": ("B04", "B8A"), "image_size": 64, "one_channel": "own", "seed": 0}
    taken = fit_preprocessing(prepared, domain, statistics="ssl4eo-s2-l2a", **options)
    assert taken.mean == pytest.approx((0.1338041, 0.2619542))
    assert fit_preprocessing(prepared, domain, **options).mean != taken.mean
    with pytest.raises(UsageError, match="pathology knows none"):
        fit_preprocessing(prepared, domains.get("pathology"), statistics="ssl4eo-s2-l2a", **options)
