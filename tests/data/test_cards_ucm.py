"""The UCM card against the published JSON, read by hand."""

import json
import re
from collections import Counter, defaultdict

import pytest

from domainclip.config import DataConfig
from domainclip.data.cards import load_card
from domainclip.data.sources import Source, open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError

pytestmark = pytest.mark.real_data
# A word that captions of a class hold, written down from reading them.
WORDS = {
    "agricultural": "farmland|cropland", "airplane": "airplane", "baseballdiamond": "baseball diamond", "beach": "beach",
    "buildings": "building", "chaparral": "chaparral", "denseresidential": "dense residential", "forest": "forest",
    "freeway": "freeway", "golfcourse": "golf course", "harbor": "harbor", "intersection": "intersection",
    "mediumresidential": "medium residential", "mobilehomepark": "mobile home park", "overpass": "overpass",
    "parkinglot": "parking lot", "river": "river", "runway": "runway", "sparseresidential": "sparse residential",
    "storagetanks": "storage tank", "tenniscourt": "tennis court",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(real_data):
    return real_data / "remote-sensing" / "ucm"


@pytest.fixture(scope="module")
def source(root) -> Source:
    opened = open_source(DataConfig(source="ucm", root=str(root)), domains.get("remote-sensing"))
    assert isinstance(opened, Source)
    return opened


def test_items_are_those_of_the_json(root, source):
    images = {f"imgs/{image['filename']}": image for image in json.loads((root / "dataset.json").read_text())["images"]}
    items = {item.name: item for item in source.items()}
    assert len(items) == len(images) == 1690 and source.rejections == ()
    for name, item in items.items():
        assert [caption.text for caption in item.captions] == [s["raw"].strip() for s in images[name]["sentences"]]
        assert item.split == {"train": "train", "val": "held_out"}[images[name]["split"]]
        assert {(caption.language, caption.origin) for caption in item.captions} == {("en", "human")}
    assert Counter(item.split for item in items.values()) == {"train": 1480, "held_out": 210}


def test_classes_by_number_agree_with_the_captions(source):
    shares, counts = defaultdict(list), Counter()
    for item in source.items():
        label = item.labels["land_use"]
        counts[label] += 1
        text = " ".join(caption.text.lower() for caption in item.captions)
        shares[label].append(bool(re.search(WORDS[label], text)))
    assert sorted(counts) == sorted(WORDS) and min(counts.values()) >= 75
    assert min(sum(hits) / len(hits) for hits in shares.values()) > 0.935
    card = load_card("ucm")
    assert sorted(card.classes["land_use"]) == sorted(WORDS)


def test_a_row_without_a_file_and_a_file_without_a_row_are_both_reported(root, tmp_path):
    document = json.loads((root / "dataset.json").read_text())
    document["images"] = document["images"][:3]
    (tmp_path / "imgs").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    names = [image["filename"] for image in document["images"]]
    for name in names[:2]:
        (tmp_path / "imgs" / name).write_bytes((root / "imgs" / name).read_bytes())
    (tmp_path / "imgs" / "stray.jpg").write_bytes(b"x")
    opened = open_source(DataConfig(source="ucm", root=str(tmp_path)), domains.get("remote-sensing"))
    assert opened.rejections == (
        (f"imgs/{names[2]}", "the row names a file that is not there"),
        ("imgs/stray.jpg", "the file has no row"),
    )


def test_wrong_domain_and_wrong_root(root, tmp_path):
    with pytest.raises(UsageError, match="remote-sensing"):
        open_source(DataConfig(source="ucm", root=str(root)), domains.get("pathology"))
    with pytest.raises(UsageError, match="no such file"):
        open_source(DataConfig(source="ucm", root=str(tmp_path)), domains.get("remote-sensing"))
    (tmp_path / "dataset.json").write_text(
        '{"images": [{"filename": "../../1.jpg", "split": "train", "sentences": [{"raw": "a"}]}]}'
    )
    (tmp_path.parent / "1.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match="outside of --root"):
        open_source(DataConfig(source="ucm", root=str(tmp_path)), domains.get("remote-sensing"))
    (tmp_path / "dataset.json").write_text('{"annotations": []}')
    with pytest.raises(UsageError, match="layout"):
        open_source(DataConfig(source="ucm", root=str(tmp_path)), domains.get("remote-sensing"))
