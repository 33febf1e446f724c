"""Cards on the tables of real sets that are at hand without their images: every row is read, counted by hand from the same file."""

import csv
import json
import shutil

import pytest

from domainclip.data.cards import load_card, rows_of_card

pytestmark = pytest.mark.real_data


def test_pathgens_sample(real_data):
    table = real_data / "pathology" / "pathgen" / "PathGen-1.6M_sample.json"
    own = json.loads(table.read_text(encoding="utf-8"))
    rows = list(rows_of_card(load_card("pathgen"), table.parent))
    assert len(rows) == len(own) == 500
    for row, entry in zip(rows, own, strict=True):
        assert row["path"] == f"{entry['wsi_id']}.svs" and row["caption"] == entry["caption"].strip()
        assert [row[f"window:{name}"] for name in ("x", "y", "width", "height")] == [*entry["position"], "672", "672"]
        assert row["group"] == "-".join(entry["wsi_id"].split("-")[:3])


def test_biomedcoops_split(real_data, tmp_path):
    table = real_data / "pathology" / "biomedcoop" / "split_CHMNIST.json"
    (tmp_path / "CHMNIST").mkdir()
    shutil.copy(table, tmp_path / "CHMNIST")
    own = json.loads(table.read_text(encoding="utf-8"))
    rows = list({row["path"]: row for row in rows_of_card(load_card("biomedcoop-splits"), tmp_path)}.values())
    assert len(rows) == sum(map(len, own.values()))
    named = {f"CHMNIST/CHMNIST/{path}": (part, label) for part, entries in own.items() for path, _, label in entries}
    ours = {"train": "train", "val": "val", "test": "held_out"}
    groups = {}
    for row in rows:
        part, label = named[row["path"]]
        assert row["split"] == ours[part] and row["label:tissue"].replace("_", " ").lower() == label.lower()
        groups.setdefault(row["group"], set()).add(part)
    assert sum(len(parts) > 1 for parts in groups.values()) > 0  # the published split cuts through source images


def test_rocos_validation_part(real_data, tmp_path):
    shutil.copytree(real_data / "radiology" / "roco", tmp_path / "data", copy_function=shutil.copyfile)
    rows = list(rows_of_card(load_card("roco"), tmp_path))
    own = {}
    for path in (tmp_path / "data").rglob("captions.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition("\t")
            own[name] = " ".join(text.split())
    told = {row["path"].rpartition("/")[2].partition(".")[0]: " ".join(row["caption"].split()) for row in rows if "caption" in row}
    assert told == {name: text for name, text in own.items() if name in told} and len(told) == len(own)
    assert {row["split"] for row in rows} == {"val"} and all(row["group"].startswith("PMC") for row in rows)


def test_rsicds_coco_captions(real_data):
    folder = real_data / "remote-sensing" / "rsicd"
    own = json.loads((folder / "captions_val2017.json").read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in own["images"]}
    rows = list(rows_of_card(load_card("rsicd-coco"), folder))
    pairs = sorted((names[a["image_id"]], a["caption"].strip()) for a in own["annotations"])
    assert sorted((row["path"].rpartition("/")[2], row["caption"]) for row in rows) == pairs and len(pairs) == 5460


def test_hannovers_table(real_data):
    folder = real_data / "radiology" / "hannover_cxr"
    with (folder / "data.csv").open(newline="") as file:
        own = [row["image_id"] for row in csv.DictReader(file)]
    assert {row["path"] for row in rows_of_card(load_card("hannover-cxr"), folder)} == {f"png/{name}.png" for name in own}
