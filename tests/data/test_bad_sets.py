"""Sets that are not as their card says, and cards that are no cards: whoever meets it is told what was found and what to do."""

import csv
import json
import warnings

import pytest
import yaml
from lookalikes import pathology_arrays, pathology_tables, radiology_chest, radiology_classes  # noqa: F401 - registers makers
from lookalikes.kit import makers, picture

from domainclip.cli.main import main
from domainclip.config import DataConfig
from domainclip.data.cards import card_names, find_card, load_card
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError


def opened(name, root, **options):
    return open_source(DataConfig(source=name, root=str(root), **options), domains.get(load_card(name).domain))


@pytest.fixture
def chexpert(tmp_path):
    makers["chexpert"](tmp_path)
    return tmp_path


def test_the_wrong_root(chexpert, tmp_path):
    with pytest.raises(UsageError, match=r"There is no such file\. The folder holds: .*train") as told:
        opened("chexpert", chexpert / "CheXpert-v1.0-small")
    assert "--root" in told.value.remedy
    with pytest.raises(UsageError, match="no such folder"):
        opened("chexpert", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="It holds no"):
        opened("biomedica", tmp_path / "empty")


def test_a_half_unpacked_set(chexpert):
    images = sorted((chexpert / "CheXpert-v1.0-small" / "train").rglob("*.jpg"))
    for path in images[1:]:
        path.unlink()
    with pytest.warns(UserWarning, match=r"of the \d+ files that the data set chexpert lists are not there") as told:
        source = opened("chexpert", chexpert)
    assert len([reason for _, reason in source.rejections if "not there" in reason]) >= len(images) - 1
    assert "view1_frontal.jpg" in str(told[0].message)


def test_missing_files_are_all_counted_and_ten_are_named(tmp_path):
    makers["mhist"](tmp_path)
    with (tmp_path / "annotations.csv").open(newline="") as file:
        header, first, *_ = list(csv.reader(file))
    rows = [[f"MHIST_x{n:03d}.png", *first[1:]] for n in range(40)]
    with (tmp_path / "annotations.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, first, *rows])
    with pytest.warns(UserWarning, match="40 of the 41 files") as told:
        source = opened("mhist", tmp_path)
    assert str(told[0].message).count("MHIST_x") == 10 and len(source) == 1
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="None of the 41 files that it lists") as none:
        opened("mhist", tmp_path)
    assert str(none.value).count(".png") == 10


def test_another_versions_columns(chexpert):
    table = chexpert / "CheXpert-v1.0-small" / "train.csv"
    table.write_text(table.read_text().replace("Pleural Effusion", "Pleural_Effusion"))
    with pytest.raises(UsageError, match=r"(?s)'Pleural Effusion'.*no such column.*'Pleural_Effusion'"):
        opened("chexpert", chexpert)


def test_a_table_with_other_separators(chexpert):
    table = chexpert / "CheXpert-v1.0-small" / "train.csv"
    table.write_text(table.read_text().replace(",", "\t"))
    with pytest.raises(UsageError, match="column"):
        opened("chexpert", chexpert)


def test_a_table_in_another_encoding(tmp_path):
    makers["mhist"](tmp_path)
    table = tmp_path / "annotations.csv"
    table.write_bytes(table.read_bytes() + "MHIST_ü.png,SSA,6,train\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"UTF-8|utf-8"):
        opened("mhist", tmp_path)


def test_a_table_that_ends_in_a_line(tmp_path):
    makers["mhist"](tmp_path)
    table = tmp_path / "annotations.csv"
    table.write_text(table.read_text().rstrip()[:-8])
    with pytest.raises(UsageError, match=r"Line \d+ has fewer cells"):
        opened("mhist", tmp_path)


def test_a_json_that_ends_early(tmp_path):
    text = json.dumps({"images": [{"filename": "1.tif", "split": "train", "sentences": [{"raw": "x"}]}] * 3})
    (tmp_path / "dataset.json").write_text(text[:-30])
    with pytest.raises(UsageError, match="no json"):
        opened("ucm", tmp_path)


def card_file(folder, **changes):
    values = yaml.safe_load(find_card("mhist").read_text(encoding="utf-8")) | changes
    path = folder / f"{values['name']}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_a_card_with_an_unknown_operation(tmp_path):
    path = card_file(tmp_path, name="mine", operations=[{"op": "evaluate", "code": "1"}])
    with pytest.raises(UsageError, match="operations") as told:
        load_card(path)
    assert "evaluate" in str(told.value)


def test_two_cards_with_one_name(tmp_path, monkeypatch):
    monkeypatch.setenv("DOMAINCLIP_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "datasets").mkdir(parents=True)
    card_file(tmp_path / "home" / "datasets", name="mine")
    assert "mine" in card_names() and load_card("mine").name == "mine"
    card_file(tmp_path / "home" / "datasets", name="mhist")
    with pytest.raises(UsageError, match="Two cards have this name"):
        load_card("ucm")
    (tmp_path / "home" / "datasets" / "mhist.yaml").unlink()
    path = card_file(tmp_path, name="other")
    path.rename(tmp_path / "another.yaml")
    with pytest.raises(UsageError, match="calls itself 'other'"):
        load_card(tmp_path / "another.yaml")


def test_a_folder_that_is_unpacked_by_half_is_told(tmp_path):
    picture(tmp_path / "lung_image_sets" / "lung_n" / "lungn1.jpeg", 1)
    with pytest.warns(UserWarning, match="2 of its classes have no image: lung_aca, lung_scc"):
        source = opened("lc25000-lung", tmp_path)
    assert source.card["classes_without_images"] == ["lung_aca", "lung_scc"] and len(source) == 1
    for name in ("lung_aca", "lung_scc"):
        picture(tmp_path / "lung_image_sets" / name / "1.jpeg", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "classes_without_images" not in opened("lc25000-lung", tmp_path).card


def test_arrays_that_are_not_there_are_told_unless_they_are_sets_of_their_own(tmp_path):
    makers["patch-camelyon"](tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "files_absent" not in opened("patch-camelyon", tmp_path).card
    (lost,) = tmp_path.rglob("*split_valid_x.h5")
    lost.unlink()
    with pytest.warns(UserWarning, match=r"1 of its files are absent: .*split_valid_x\.h5"):
        assert len(opened("patch-camelyon", tmp_path).card["files_absent"]) == 1
    (tmp_path / "collection").mkdir()
    makers["medmnist"](tmp_path / "collection")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened("medmnist", tmp_path / "collection")


def test_licences_stop_what_they_forbid(tmp_path):
    makers["mhist"](tmp_path)
    with pytest.raises(UsageError, match=r"forbids commercial use.*\n.*data\.permitted"):
        opened("mhist", tmp_path, purpose="commercial")
    assert len(opened("mhist", tmp_path, purpose="commercial", permitted=("commercial",)))


def test_licences_stop_changed_copies_on_the_command_line(tmp_path, capfd):
    makers["mhist"](tmp_path)
    words = [
        "prepare",
        "mhist",
        "--root",
        str(tmp_path),
        "--domain",
        "pathology",
        "--output",
        str(tmp_path / "set"),
        "--workers",
        "1",
    ]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--set", "data.jpeg_quality=90"])
    assert stopped.value.code == 2 and "changed copies" in capfd.readouterr().err and not (tmp_path / "set").exists()
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--set", "data.purpose=commercial"])
    assert stopped.value.code == 2 and "forbids commercial use" in capfd.readouterr().err and not (tmp_path / "set").exists()
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--set", "data.jpeg_quality=90", "--set", "data.permitted=[derivatives]"])
    assert stopped.value.code == 0
    kept = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert kept["permitted"] == ["derivatives"] and "derivatives" in kept["forbids"]


def test_a_card_says_what_it_is(capfd):
    with pytest.raises(SystemExit):
        main(["datasets", "mhist"])
    told = capfd.readouterr().out
    for word in ("licence", "forbids", "bring", "not_seen", "limits", "annotations.csv"):
        assert word in told, word


@pytest.mark.parametrize(("pattern", "words"), [("(", "no regular expression"), ("x", "no named group")])
@pytest.mark.parametrize("where", ["webdataset", "picture_table", "taken"])
def test_patterns_of_layouts_are_checked_when_the_card_is_read(where, pattern, words, tmp_path):
    layouts = {
        "webdataset": {"name": "webdataset", "files": ["*.tar"], "images": ["jpg"], "named": pattern},
        "picture_table": {"name": "picture_table", "files": ["*.parquet"], "named": pattern},
        "taken": {"name": "table", "options": {"tables": [{"file": "a.csv", "taken": {"a": pattern}}], "path": "{a}"}},
    }
    with pytest.raises(UsageError, match=words):
        load_card(card_file(tmp_path, name="mine", layout=layouts[where]))
