"""The cards of Hannover and LC25000 against their tables and folders, read by hand; and what operations refuse."""

import csv
from collections import Counter

import pytest

from domainclip.config import DataConfig
from domainclip.data.cards import load_card
from domainclip.data.operations import Bands, CaptionTemplates, Map, NumberedClass, Where
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError


@pytest.mark.real_data
def test_hannover_against_its_table(real_data):
    root = real_data / "radiology" / "hannover_cxr"
    source = open_source(DataConfig(source="hannover-cxr", root=str(root)), domains.get("radiology"))
    with (root / "data.csv").open() as file:
        rows = {f"png/{row['image_id']}.png": row for row in csv.DictReader(file)}
    items = {item.name: item for item in source.items()}
    assert set(items) == set(rows) and len(rows) == 139 and source.rejections == ()
    for name, item in items.items():
        row = rows[name]
        assert item.group == item.ids["patient"] == row["patient_id"]
        assert item.labels == {"projection": row["projection"], "sex": {"f": "female", "m": "male"}[row["sex"]]}
        texts = [caption.text for caption in item.captions]
        assert len(set(texts)) == 5 and {caption.origin for caption in item.captions} == {"template"}
        view, other = (
            ("posteroanterior", "anteroposterior") if row["projection"] == "pa" else ("anteroposterior", "posteroanterior")
        )
        assert f"{'a' if view[0] == 'p' else 'an'} {view} chest radiograph of a {'woman' if row['sex'] == 'f' else 'man'}" in texts
        assert any(view in text for text in texts) and not any(other in text for text in texts)
        technique = {"CR": "computed radiography", "DX": "digital radiography"}[row["modality"]]
        assert sum(technique in text for text in texts) == 3
        assert not any("year" in text or row["patient_id"] in text for text in texts)  # The age is empty in every row.
    assert Counter(item.labels["projection"] for item in items.values()) == {"ap": 115, "pa": 24}
    assert source.card["class_label"] == "projection" and set(source.card["classes"]["projection"]) == {"ap", "pa"}


@pytest.mark.real_data
def test_lc25000_against_its_folders(real_data):
    root = real_data / "pathology" / "lc25000"
    source = open_source(DataConfig(source="lc25000-lung", root=str(root)), domains.get("pathology"))
    items = list(source.items())
    assert Counter(item.labels["diagnosis"] for item in items) == {"lung_n": 300, "lung_aca": 300, "lung_scc": 300}
    for item in items:
        assert item.name.split("/")[1] == item.labels["diagnosis"]
        assert {"lung_n": "benign", "lung_aca": "adenocarcinoma", "lung_scc": "squamous"}[
            item.labels["diagnosis"]
        ] in item.captions[0].text
    assert load_card("lc25000-lung").licence == "none found"


def test_caption_templates_drop_what_is_not_known():
    operation = CaptionTemplates(op="caption_templates", templates=("a {view} image[ of a {person}][, {age}]", "{person} seen"))
    rows = [
        {"view": "front", "person": "woman", "age": "", "path": "a"},
        {"view": "side", "person": "", "age": "old", "path": "b"},
    ]
    texts = [(row["path"], row["caption"]) for row in operation.apply(rows, "x")]
    assert texts == [("a", "a front image of a woman"), ("a", "woman seen"), ("b", "a side image, old")]
    with pytest.raises(UsageError, match="'person'"):
        list(operation.apply([{"view": "front", "persons": "x", "age": ""}], "x"))


def test_bands_at_their_edges():
    operation = Bands(op="bands", column="age", to="band", edges=(18, 40), names=("young", "middle", "old"))
    rows = [{"age": text} for text in ("17.9", "18", "39", "40", "")]
    assert [row["band"] for row in operation.apply(rows, "x")] == ["young", "middle", "middle", "old", ""]
    with pytest.raises(UsageError, match="no number"):
        list(operation.apply([{"age": "old"}], "x"))


def test_values_that_a_card_does_not_know_stop_it():
    with pytest.raises(UsageError, match="'lat'"):
        list(Map(op="map", column="view", to="v", values={"pa": "PA"}).apply([{"view": "lat"}], "x"))
    numbered = NumberedClass(op="numbered_class", column="f", to="c", each=100, values=("a", "b"))
    assert [
        row["c"] for row in numbered.apply([{"f": "1.tif"}, {"f": "100.tif"}, {"f": "101.tif"}, {"f": "200.tif"}], "x")
    ] == list("aabb")
    for name in ("0.tif", "201.tif", "none.tif"):
        with pytest.raises(UsageError):
            list(numbered.apply([{"f": name}], "x"))
    assert list(Where(op="where", column="f", is_in=("a",)).apply([{"f": "a"}, {"f": "b"}], "x")) == [{"f": "a"}]
