"""A licence without derivatives: ``prepare`` stops each option that recolours, resamples or stores with loss, and no other."""

from pathlib import Path

import pytest

from domainclip.data.licence_terms import CHANGING, refuse_changed_copies
from domainclip.data.prepare import prepare
from domainclip.data.sources import Source
from domainclip.domains.base import domains
from domainclip.errors import UsageError
from domainclip.sample import SourceItem

CARD = {"name": "whole", "licence": "CC-BY-ND-4.0", "forbids": ["derivatives"]}
CHANGES = {
    "pathology": {
        "stain": "macenko", "mode": "tiles", "whole_px": 64, "tile_um": 128.0, "tile_px": 32, "spacing_um": 0.25, "upsample": True,
        "coordinates": "h5",
    },
    "radiology": {"colour": "luma", "window": "lung", "voi_index": 1, "spacing_mm": (1.0, 1.0, 1.0), "gaps": "interpolate"},
    "remote-sensing": {"window_m": 640.0, "crs": "EPSG:3035", "spacing_m": 10.0, "resampling": "nearest", "mosaic": True},
}  # fmt: skip
NEEDED = {
    "spacing_mm": {"axes": "CZYX"},
    "gaps": {"axes": "CZYX"},
    "window_m": {"window_px": 64},
    "spacing_m": {"crs": "EPSG:3035"},
    "resampling": {"crs": "EPSG:3035"},
}
"""What an option is refused without for reasons of its own."""
LEAVES = {
    "pathology": {
        "overlap", "min_tissue", "tissue", "max_tiles", "choose", "choose_seed", "choose_model", "choose_prompts", "choose_pooling",
        "max_missing", "region_purity", "scene", "white_level", "channels",
    },
    "radiology": {
        "axes", "plane", "stride", "nifti_values", "output", "frame", "allow_burned_in", "polarity", "bits_stored",
        "max_decoded_mib", "max_file_mib",
    },
    "remote-sensing": {
        "axes", "window_px", "whole", "stride_px", "stride_m", "points", "area", "max_windows", "choose", "choose_seed",
        "bands", "band_names", "sensor", "values", "scale", "offset", "processing_baseline", "nodata", "max_nodata", "max_cloud",
        "blank", "region_purity", "group_by", "block_m", "facts", "biomes", "tags", "remote", "outside",
    },
}  # fmt: skip
"""Options that take a part, or say what is stored or known: an image that is taken is as it was published."""


def source(reading=None, **card):
    return Source("whole", CARD | card, (), reading or {}, (SourceItem(Path("no.png"), "no.png"),))


def asked(domain, output, reading, card=None, **options):
    return prepare(card or source(), domains.get(domain), output, reading=reading, workers=0, **options)


@pytest.mark.parametrize(("domain", "name"), [(domain, name) for domain, names in CHANGES.items() for name in names])
def test_options_that_change_images_are_stopped(tmp_path, domain, name):
    reading = NEEDED.get(name, {}) | {name: CHANGES[domain][name]}
    with pytest.raises(UsageError, match=rf"reading\.{name}=.*\n?.*changed copies of its images") as told:
        asked(domain, tmp_path / "set", reading)
    assert "data.permitted='[derivatives]'" in str(told.value) and not (tmp_path / "set").exists()


def test_every_reading_option_is_either_guarded_or_known_to_leave_images_alone():
    for domain, changes in CHANGES.items():
        options = set(domains.get(domain).reading_model.model_fields)
        assert options == set(changes) | LEAVES[domain] and not set(changes) & LEAVES[domain]
    assert set(CHANGING) == {"data.jpeg_quality"} | {f"reading.{name}" for names in CHANGES.values() for name in names}


def test_loss_and_eightfold_resampling_are_told_together(tmp_path):
    with pytest.raises(UsageError) as told:
        asked("pathology", tmp_path / "set", {"spacing_um": 0.25, "tile_um": 128.0, "tile_px": 64}, jpeg_quality=50)
    words = ("data.jpeg_quality=50 (stored again with loss)", "reading.tile_um=128.0 (resampled)", "reading.spacing_um=0.25")
    assert all(word in str(told.value) for word in words)
    assert "tile_px" not in str(told.value)  # as every set has it


@pytest.mark.parametrize(
    ("domain", "card", "reading", "options"),
    [
        ("pathology", source(), {"mode": "whole", "spacing_um": 0.25}, {}),  # a fact about images that are taken whole
        ("radiology", source({"colour": "rgb_all"}), {}, {}),  # as its card alone reads it
        ("radiology", source({"colour": "rgb_all"}), {"colour": "refuse"}, {}),
        ("pathology", source(), {"stain": "macenko"}, {"permitted": ("derivatives",)}),
        ("pathology", source(permitted=["derivatives"]), {"stain": "macenko"}, {}),
        ("pathology", source(forbids=["commercial"]), {"stain": "macenko"}, {"jpeg_quality": 50}),
    ],
)
def test_what_changes_nothing_or_is_permitted_goes_on(tmp_path, domain, card, reading, options):
    with pytest.raises(UsageError) as told:  # the one file is not there
        asked(domain, tmp_path / "set", reading, card, **options)
    assert "forbids" not in str(told.value)


def test_a_card_that_recolours_does_not_allow_other_colours():
    with pytest.raises(UsageError, match=r"colour=luma \(recoloured\)"):
        refuse_changed_copies(CARD, {"reading.colour": "luma"}, {"reading.colour": "rgb_all"})
