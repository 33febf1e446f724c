"""A run on a set that is prepared already: what only a preparation can do is refused, not passed over."""

import json

import pytest

from domainclip.config import DataConfig, RunConfig
from domainclip.domains.base import domains
from domainclip.errors import UsageError
from domainclip.training.run_data import run_data

OWN = {"held_out_fraction": 0.3, "val_fraction": 0.1, "jpeg_quality": None, "duplicates": "near"}


@pytest.fixture
def prepared(tmp_path):
    """What dataset.json says of a set; nothing else is looked at before a refusal."""
    folder = tmp_path / "set"
    folder.mkdir()
    card = {"format_version": 1, "domain": "pathology", "forbids": ["commercial"], "licence": "CC BY-NC", **OWN}
    (folder / "dataset.json").write_text(json.dumps(card))
    (folder / "index.parquet").touch()
    (tmp_path / "run").mkdir()

    def used(**data):
        config = RunConfig(domain="pathology", data=DataConfig(source=str(folder), **data))
        return run_data(config, domains.get("pathology"), tmp_path / "run", resume=False, progress=None)

    return used


@pytest.mark.parametrize(
    ("name", "value", "own"),
    [
        ("held_out_fraction", 0.4, "with 0.3"),
        ("val_fraction", 0.2, "with 0.1"),
        ("duplicates", "exact", "with near"),
        ("split", "by_group", "with published"),
        ("stratify", "diagnosis", "prepared already, without it."),
        ("jpeg_quality", 50, "prepared already, without it."),
        ("report_language", "de", "prepared already."),
        ("report_encoding", "latin-1", "prepared already."),
        ("report_sections", ("findings",), "prepared already."),
        ("prepared", "elsewhere", "prepared already."),
    ],
)
def test_what_only_a_preparation_can_do_is_refused(prepared, name, value, own):
    with pytest.raises(UsageError) as told:
        prepared(**{name: value})
    assert f"data.{name}=" in told.value.asked and own in told.value.found and "domainclip prepare" in told.value.remedy


def test_what_the_set_is_already_is_no_news(prepared):
    assert prepared(held_out_fraction=0.3, duplicates="near", class_label="tissue", planes=4).prepared.card["duplicates"] == "near"


def test_a_licence_that_forbids_commercial_use_holds_for_prepared_sets_too(prepared):
    with pytest.raises(UsageError, match=r"forbids commercial use.*\n.*data\.permitted"):
        prepared(purpose="commercial")
    assert prepared(purpose="commercial", permitted=("commercial",)).prepared.domain == "pathology"
    assert prepared(purpose="research").prepared.domain == "pathology"
