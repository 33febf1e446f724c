"""Embedding, indexing and classifying whole sources of real files, broken ones among them."""

from __future__ import annotations

import csv
import json
import shutil
import stat

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from domainclip.errors import UnreadableFileError, UsageError
from domainclip.heads.classify import classify_files, parse_classes
from domainclip.heads.embed import embed
from domainclip.heads.reading import reading_settings
from domainclip.heads.retrieval import Retriever
from domainclip.resources import owner_folder

CLASSES = ["red glands", "green fat"]
TILES = {"tile_um": 64.0, "tile_px": 32, "min_tissue": 0.0}


def _written(folder) -> bytes:
    return b"".join(path.name.encode() + path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.fixture(scope="module")
def embedded(model, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded") / "features"
    with pytest.MonkeyPatch.context() as patch:  # the owner's folder of the tests, which is set for single tests only
        patch.setenv("DOMAINCLIP_HOME", str(tmp_path_factory.getbasetemp() / "owner"))
        return folder, embed(model, pictures, folder)


def test_embed_writes_what_encode_image_gives(model, pictures, embedded):
    folder, document = embedded
    features = np.load(folder / "features.npy", allow_pickle=False)
    assert features.dtype == np.float32
    assert (document["count"], document["width"], document["rejected"]) == (7, 16, 1)
    assert document == json.loads((folder / "embed.json").read_text())
    expected = model.encode_image(sorted(pictures.glob("Muster*.png")))
    np.testing.assert_allclose(features, expected, atol=1e-6)
    index = pd.read_parquet(folder / "index.parquet")
    assert index["key"].is_unique
    assert set(index["width"]) == {24}


def test_rejections_name_no_path_and_nothing_written_does(embedded):
    folder, _ = embedded
    lines = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert len(lines) == 1
    assert set(lines[0]) == {"key", "reason"}
    assert b"Mustermann" not in _written(folder)
    assert b"pictures" not in _written(folder)


def test_outputs_that_exist_are_refused_unless_they_are_ours_and_to_be_replaced(model, pictures, embedded, tmp_path):
    folder, _ = embedded
    with pytest.raises(UsageError, match="--overwrite"):
        embed(model, pictures, folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert embed(model, pictures, copy, overwrite=True)["count"] == 7
    (copy / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match=r"mine\.txt"):
        embed(model, pictures, copy, overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="file of that name"):
        embed(model, pictures, tmp_path / "file")
    assert not list(tmp_path.glob(".*part"))


def test_sources_of_which_nothing_can_be_used(model, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    shutil.copy(pictures / "broken.png", tmp_path / "broken")
    for source, found in [("empty", "empty"), ("broken", "None can be used"), ("nowhere.csv", "no such file")]:
        with pytest.raises(UsageError) as error:
            embed(model, tmp_path / source, tmp_path / "out")
        assert found in error.value.found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "empty"]


def test_a_source_of_the_wrong_channels_says_both_sides(make_model, tmp_path, pictures):
    wider = make_model(tmp_path / "m", channels=("red", "green", "blue", "nir"))
    with pytest.raises(UsageError) as error:
        embed(wider, pictures, tmp_path / "out")
    assert "nir" in error.value.asked + error.value.found
    assert "red, green, blue" in error.value.found


def test_search_by_image_and_text(model, pictures, tmp_path):
    retriever = Retriever(model).fit(pictures)
    hits = retriever.search(pictures / "Mustermann_3.png", k=3)
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert hits[0].path.endswith("Mustermann_3.png")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    expected = (model.encode_image(sorted(pictures.glob("Muster*.png"))) @ model.encode_text("red glands")[0]).max()
    assert retriever.search("red glands", k=1)[0].score == pytest.approx(float(expected), abs=1e-5)
    assert len(retriever.search("red glands", k=100)) == 7

    saved = retriever.save(tmp_path / "index")
    assert saved["count"] == 7
    assert b"Mustermann" not in _written(tmp_path / "index")
    moved = (tmp_path / "index").rename(tmp_path / "moved")
    loaded = Retriever.load(moved)
    assert loaded.search("red glands", k=7) == retriever.search("red glands", k=7)
    with pytest.raises(UsageError, match="--overwrite"):
        retriever.save(moved)
    owner_maps = list((owner_folder() / "sources").glob("*.jsonl"))
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in owner_maps)
    for path in owner_maps:
        path.unlink()
    assert Retriever.load(moved, model).search("red glands", k=1)[0].path is None


def test_indexes_of_another_model_are_refused(model, make_model, pictures, tmp_path):
    Retriever(model).fit(pictures).save(tmp_path / "index")
    other = make_model(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="other weights"):
        Retriever.load(tmp_path / "index", other)
    with pytest.raises(UsageError, match="missing or broken"):
        Retriever.load(tmp_path)
    with pytest.raises(UsageError, match="empty"):
        Retriever(model).search("red")
    with pytest.raises(UsageError, match="0 hits"):
        Retriever.load(tmp_path / "index", model).search("red", k=0)


def test_slides_give_a_row_a_window(model, slide, tmp_path):
    document = embed(model, slide, tmp_path / "features", reading=TILES)
    index = pd.read_parquet(tmp_path / "features" / "index.parquet")
    assert document["count"] == len(index) == 64  # 512 um in tiles of 64 um
    assert set(index["width"]) == {128}
    hit = Retriever(model).fit(slide, reading=TILES).search("red glands", k=1)[0]
    assert (hit.window.width, hit.window.height) == (128, 128)
    assert hit.path.endswith("slide.tif")


def test_classify_files_and_tables(model, pictures, slide, tmp_path):
    result = classify_files(model, [pictures, slide], CLASSES, reading=TILES, output=tmp_path / "out")
    document = json.loads(json.dumps(result.document()))
    assert [len(document[name]) for name in ("files", "windows", "rejected")] == [8, 71, 1]
    of_slide = next(one for one in document["files"] if one["path"].endswith("slide.tif"))
    assert of_slide["windows"] == 64
    members = [one["probabilities"]["green fat"] for one in document["windows"] if one["path"] == of_slide["path"]]
    assert of_slide["probabilities"]["green fat"] == pytest.approx(np.mean(members))
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert len(rows) == 71
    assert {row["file"] for row in rows} == {one["file"] for one in document["files"]}
    assert float(rows[0]["p:red glands"]) + float(rows[0]["p:green fat"]) == pytest.approx(1, abs=1e-5)
    assert b"Mustermann" not in _written(tmp_path / "out")
    known = {}
    for set_id in document["set_ids"]:
        map_lines = (owner_folder() / "sources" / f"{set_id}.jsonl").read_text().splitlines()
        known |= {line["key"]: line["path"] for line in map(json.loads, map_lines)}
    assert {known[row["file"]] for row in rows} == {one["path"] for one in document["files"]}
    text = "\n".join(result.lines())
    assert "broken.png" in text
    assert "mean of 64 windows" in text
    assert "synthetic" in text
    with pytest.raises(UsageError, match="--overwrite"):
        classify_files(model, [slide], CLASSES, output=tmp_path / "out")


@pytest.mark.real_data
def test_a_folder_of_real_slides_goes_on_past_the_broken_one(model, real_data):
    result = classify_files(model, [real_data / "pathology" / "slides"], CLASSES)
    rejected = {one["path"].rpartition("/")[2]: one["reason"] for one in result.rejected}
    assert "broken.svs" in rejected
    assert not any("broken" in reason for reason in rejected.values())
    assert any(one.path.endswith("cmu-1-small-region.svs") and one.windows > 10 for one in result.files)


def test_classify_agrees_with_the_classifier(model, pictures):
    from domainclip.heads.zero_shot import ZeroShotClassifier

    paths = sorted(pictures.glob("Muster*.png"))
    result = classify_files(model, paths, CLASSES)
    expected = ZeroShotClassifier(model, CLASSES).predict_proba(paths)
    given = np.array([[one.probabilities[name] for name in CLASSES] for one in result.files])
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert [one.path for one in result.files] == [str(path) for path in paths]


def test_files_of_the_same_name_stay_apart(model, pictures, tmp_path):
    (tmp_path / "other").mkdir()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "other" / "Mustermann_0.png")
    result = classify_files(model, [pictures / "Mustermann_0.png", tmp_path / "other" / "Mustermann_0.png"], CLASSES)
    assert len({one.key for one in result.files}) == 2


def test_classify_bad_input(model, pictures, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        classify_files(model, [pictures / "nowhere.png"], CLASSES)
    with pytest.raises(UsageError, match="1 class"):
        classify_files(model, [pictures], ["one"])
    with pytest.raises(UsageError, match="None is named"):
        classify_files(model, [], CLASSES)
    with pytest.raises(UsageError, match="None can be used"):
        classify_files(model, [pictures / "broken.png"], CLASSES, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UnreadableFileError, match=r"broken\.png"):
        classify_files(model, [pictures], CLASSES, strict=True)
    with pytest.raises(UsageError, match="tile_umm"):
        classify_files(model, [pictures], CLASSES, reading={"tile_umm": 3})


def test_values_of_the_class_label_get_the_domains_names(model, pictures):
    from domainclip.domains.base import domains

    facts = domains.get("pathology").facts
    value, other = list(facts.labels[facts.class_label])[:2]
    result = classify_files(model, [pictures], [value, "something else"])
    assert result.classes[value] == facts.labels[facts.class_label][value].names["en"]
    assert result.classes["something else"] == ("something else",)
    own = classify_files(model, [pictures], {value: ["my words"], other: ["others"]})
    assert own.classes[value] == ("my words",)


def test_class_lists_of_the_command_line(tmp_path):
    assert parse_classes("a, b ,c") == {"a": ("a",), "b": ("b",), "c": ("c",)}
    path = tmp_path / "classes.txt"
    path.write_text("\ufeffadenocarcinoma | adenocarcinoma of the lung\n\nnormal\n", encoding="utf-8")
    assert parse_classes(str(path)) == {"adenocarcinoma": ("adenocarcinoma", "adenocarcinoma of the lung"), "normal": ("normal",)}
    path.write_bytes(b"\xff\xfe\x00\x01")
    for wrong in ("one", "", "a,a", "a,,", str(path), str(tmp_path / "none.txt")):
        with pytest.raises(UsageError):
            parse_classes(wrong)


def test_reading_settings():
    assert reading_settings(["reading.tile_um=64.0", "mode=whole"]) == {"tile_um": 64.0, "mode": "whole"}
    for wrong in ("training.seed=1", "reading", "=3", "reading.a.b=1", "reading.x=[1"):
        with pytest.raises(UsageError):
            reading_settings([wrong])


def test_a_prepared_set_gives_the_same_features_and_keys_as_its_files(model, pictures, embedded, tmp_path):
    from domainclip.config import DataConfig
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_source
    from domainclip.domains.base import domains

    table = pd.DataFrame({"path": [path.name for path in sorted(pictures.glob("Muster*.png"))]})
    folder = tmp_path / "source"
    folder.mkdir()
    for name in table["path"]:
        shutil.copy(pictures / name, folder)
    table.assign(caption="red glands", group=table["path"]).to_csv(folder / "manifest.csv", index=False)
    domain = domains.get("pathology")
    prepared = prepare(open_source(DataConfig(source=str(folder)), domain), domain, tmp_path / "set", workers=1)
    embed(model, tmp_path / "set", tmp_path / "features")
    index = pd.read_parquet(tmp_path / "features" / "index.parquet")
    raw = pd.read_parquet(embedded[0] / "index.parquet")
    assert set(index["key"]) == set(raw["key"])
    ours = dict(zip(index["key"], np.load(tmp_path / "features" / "features.npy"), strict=True))
    for key, feature in zip(raw["key"], np.load(embedded[0] / "features.npy"), strict=True):
        np.testing.assert_allclose(ours[key], feature, atol=1e-6)
    np.testing.assert_allclose(model.encode_image(prepared), np.stack([ours[key] for key in prepared.index["key"]]), atol=1e-6)
    hit = Retriever(model).fit(prepared).search("red glands", k=1)[0]
    assert hit.path is not None
    assert hit.path.endswith(".png")
