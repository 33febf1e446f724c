"""What becomes of a split that a set's publishers gave: kept, though it tears groups, under its own words; or passed over."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from lookalikes import reading  # noqa: F401 - fills the makers
from lookalikes.kit import makers
from PIL import Image

from domainclip.cli.prepare import _lines
from domainclip.config import DataConfig
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError

PATHOLOGY = domains.get("pathology")


def opened(root, name):
    return open_source(DataConfig(source=name, root=str(root)), domains.get("pathology"))


@pytest.fixture(scope="module")
def torn_video(tmp_path_factory):
    """Quilt-1M's look-alike, the second picture of one video moved from train to val."""
    root = tmp_path_factory.mktemp("quilt")
    makers["quilt-1m"](root)
    table = pd.read_csv(root / "quilt_1M_lookup.csv", index_col=0, keep_default_na=False)
    table.loc[table["image_path"].str.endswith("d1.jpg") | table["image_path"].str.contains("d4c5b61"), "split"] = "val"
    table.to_csv(root / "quilt_1M_lookup.csv")
    return root


def test_a_published_split_that_tears_a_group_is_kept_and_told(torn_video, tmp_path):
    source = opened(torn_video, "quilt-1m")
    kept = prepare(source, PATHOLOGY, tmp_path / "kept", workers=0)
    assert kept.card["counts"]["groups_across_splits"] == 1 and kept.card["split_source"] == "source"
    told = [line for line in _lines(tmp_path / "kept", kept.card) if line.startswith("Warning: 1 groups")]
    assert len(told) == 1 and "data.split=by_group" in told[0]
    video = kept.index[kept.index["group"].duplicated(keep=False)]
    assert sorted(video["split"]) == ["train", "val"] and len(kept) == 7
    anew = prepare(source, PATHOLOGY, tmp_path / "anew", workers=0, split="by_group")
    assert anew.card["counts"]["groups_across_splits"] == 0
    assert anew.index.groupby("group")["split"].nunique().max() == 1
    assert sorted(anew.index["published"]) == sorted(kept.index["split"])


def test_a_balance_that_was_asked_for_in_vain_is_told(torn_video, tmp_path):
    with pytest.warns(UserWarning, match=r"data\.stratify=subset was asked for, and did nothing.*by_group"):
        prepared = prepare(opened(torn_video, "quilt-1m"), PATHOLOGY, tmp_path / "set", workers=0, stratify="subset")
    assert "not stratified" in prepared.card["split_source"]


def test_a_manifest_that_contradicts_itself_is_refused_unless_it_is_split_anew(tmp_path):
    rows = [(n, f"g{n % 3}", "train" if n < 4 else "test") for n in range(6)]
    for n, *_ in rows:
        Image.fromarray(np.full((16, 16, 3), 20 * n, np.uint8)).save(tmp_path / f"{n}.png")
    (tmp_path / "m.csv").write_text("path,group,split\n" + "".join(f"{n}.png,{group},{split}\n" for n, group, split in rows))
    source = open_source(DataConfig(source=str(tmp_path / "m.csv")), PATHOLOGY)
    with pytest.raises(UsageError, match=r"2 groups .*lie in more than one split") as told:
        prepare(source, PATHOLOGY, tmp_path / "set", workers=0)
    assert "data.split=by_group" in told.value.remedy
    anew = prepare(source, PATHOLOGY, tmp_path / "set", workers=0, split="by_group")
    assert Counter(anew.index["published"]) == {"train": 4, "test": 2}  # the manifest's word, not held_out
    assert anew.index.groupby("group")["split"].nunique().max() == 1


def test_the_sources_own_words_stay(tmp_path):
    """Of arrays, and of a zip's members: not ours for them, in the one column that nothing else is in."""
    makers["patch-camelyon"](tmp_path)
    prepared = prepare(opened(tmp_path, "patch-camelyon"), PATHOLOGY, tmp_path / "set", workers=0)
    ours = {"train": "train", "valid": "val", "test": "held_out"}
    assert [ours[word] for word in prepared.index["published"]] == list(prepared.index["split"])
    assert set(prepared.index["published"]) == set(ours)
