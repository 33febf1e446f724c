"""Bad input at the command line: exit code 2 and one message that says what was asked, what was found and what to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domainclip.cli.main import main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.svs").write_bytes(b"II*\0 this is no slide")
    (broken / "b.tif").write_bytes(b"")
    (broken / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (tmp_path / "note.txt").write_text("no image")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "rgb.png")
    (tmp_path / "misspelt.csv").write_text("path,captoin\nrgb.png,words\n")
    (tmp_path / "pathless.csv").write_text("file,caption\nrgb.png,words\n")
    (tmp_path / "lost.csv").write_text("path,caption\nlost.png,words\n")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("irreplaceable")
    return tmp_path


PREPARE = ["--domain", "pathology", "--output", "set"]
CASES = {
    "unknown domain": (["pretrain", "--domain", "patology"], "'pathology'"),
    "unknown field": (["pretrain", "--domain", "pathology", "--set", "model.architectur=x"], "'architecture'"),
    "unknown section": (["pretrain", "--domain", "pathology", "--set", "optimiser.lr=1"], "'optimizer'"),
    "unknown reading option": (["prepare", "rgb.png", *PREPARE, "--set", "reading.tile_u=1"], "'tile_um'"),
    "unknown card": (["prepare", "ucn", "--domain", "remote-sensing", "--output", "set", "--root", "."], "'ucm'"),
    "unknown architecture": (
        ["pretrain", "--domain", "pathology", "--data", "rgb.png", "--set", "model.architecture=ViT-B-33"],
        "",
    ),
    "card without root": (["prepare", "ucm", "--domain", "remote-sensing", "--output", "set"], "--root"),
    "card of another domain": (["prepare", "ucm", "--domain", "pathology", "--output", "set", "--root", "."], "remote-sensing"),
    "no such path": (["prepare", "nowhere/slides", *PREPARE], "nowhere/slides"),
    "empty folder": (["prepare", "empty", *PREPARE], "empty"),
    "broken files only": (["prepare", "broken", *PREPARE], "None of its 3 files"),
    "no image": (["inspect", "note.txt"], "no DICOM, TIFF, slide or picture"),
    "folder to inspect": (["inspect", "empty"], "folder"),
    "options without effect": (["inspect", "rgb.png", "--um-per-px", "0.5"], "--um-per-px would do nothing"),
    "table of a file": (["inspect", "rgb.png", "--table", "t.csv"], "--table would do nothing"),
    "misspelt caption column": (["prepare", "misspelt.csv", *PREPARE], "'caption'"),
    "manifest without paths": (["prepare", "pathless.csv", *PREPARE], "path"),
    "files of a manifest that are gone": (["prepare", "lost.csv", *PREPARE], ""),
    "output exists": (["prepare", "rgb.png", "--domain", "pathology", "--output", "full"], "full"),
    "run exists": (["pretrain", "--domain", "pathology", "--output", "full"], "--overwrite"),
    "one class": (["zero-shot", "starter-pathology", "rgb.png", "--classes", "fat"], "class"),
    "channels that the model lacks": (["zero-shot", "starter-remote-sensing", "rgb.png", "--classes", "a,b"], ""),
    "unknown model": (["zero-shot", "starter-patology", "rgb.png", "--classes", "a,b"], "'starter-pathology'"),
    "no such input": (["zero-shot", "starter-pathology", "lost.png", "--classes", "a,b"], "lost.png"),
    "no such index": (["search", "empty", "words"], "empty"),
    "a setting of another verb": (["prepare", "rgb.png", *PREPARE, "--set", "training.max_steps=3"], "does not depend on it"),
    "search for nothing": (["search", "empty"], "--image"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_said_plainly(name: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words, mentioned = CASES[name]
    with pytest.raises(SystemExit) as end:
        main(words)
    said = capfd.readouterr().err
    assert end.value.code == 2, said
    assert "Found: " in said
    assert "To do: " in said
    assert mentioned in said
    assert "Traceback" not in said
    assert (place / "full" / "thesis.txt").read_text() == "irreplaceable"


def test_a_broken_file_among_good_ones_is_counted_and_the_job_goes_on(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (place / "broken" / "good.png").write_bytes((place / "rgb.png").read_bytes())
    with pytest.raises(SystemExit) as end:
        main(["prepare", "broken", *PREPARE])
    shown = capfd.readouterr()
    assert end.value.code == 0, shown.err
    assert "rejected: 3" in shown.out
    assert len((place / "set" / "rejected.jsonl").read_text().splitlines()) == 3


def test_strict_stops_at_a_broken_file_and_names_it_to_its_owner_alone(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (place / "broken").rename(place / "Jane Doe")
    with pytest.raises(SystemExit) as end:
        main(["prepare", "Jane Doe", *PREPARE, "--strict"])
    said = capfd.readouterr().err
    assert end.value.code == 2
    assert "To do: " in said and "Jane" not in said
    (named,) = re.findall(r"\S+\.jsonl", said)
    assert json.loads(Path(named).read_text())["path"].startswith(str(place / "Jane Doe"))


@pytest.mark.parametrize("words", [["prepare", "broken", *PREPARE], ["pretrain", "--domain", "pathology", "--data", "broken"]])
def test_a_start_that_failed_does_not_stand_in_the_way_of_the_next(words: list[str], place: Path) -> None:
    output = place / "set"
    if words[0] == "pretrain":
        words = [*words, "--output", str(output)]
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert not output.exists()


def test_what_a_prepared_set_has_decided_is_not_ignored_in_silence(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", "rgb.png", *PREPARE])
    for words, mentioned in (
        (["embed", "starter-pathology", "set", "--output", "f", "--set", "reading.nonsense=1"], "nonsense"),
        (["pretrain", "--domain", "pathology", "--data", "set", "--output", "r", "--set", "data.held_out_fraction=0.3"], "0.3"),
    ):
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main(words)
        said = capfd.readouterr().err
        assert (end.value.code == 2 and mentioned in said and "prepared already" in said) or "split already" in said, said
        assert not (place / "r").exists()


@pytest.mark.real_data
def test_the_broken_slide_of_the_sample_data(real_data: Path, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    slides = str(real_data / "pathology" / "slides")
    with pytest.raises(SystemExit) as end:
        main(["prepare", slides, *PREPARE, "--set", "reading.max_tiles=4"])
    shown = capfd.readouterr()
    assert end.value.code == 0, shown.err
    rejected = (place / "set" / "rejected.jsonl").read_text()
    assert "broken" not in rejected
    assert len(rejected.splitlines()) >= 1


def test_a_failed_replacement_gives_back_what_was_there(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", "rgb.png", *PREPARE])
    before = {path.name: path.read_bytes() for path in (place / "set").iterdir()}
    with pytest.raises(SystemExit) as end:
        main(["prepare", "broken", *PREPARE, "--overwrite"])
    assert end.value.code == 2
    assert {path.name: path.read_bytes() for path in (place / "set").iterdir()} == before
    with pytest.raises(SystemExit) as end:
        main(["prepare", "rgb.png", *PREPARE, "--overwrite"])
    assert end.value.code == 0, capfd.readouterr().err
    assert not list(place.glob(".set*"))


def test_a_reader_that_stops_early_is_no_defect(place: Path) -> None:
    command = f"{sys.executable} -m domainclip datasets ucm | head -c 10; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], cwd=place, capture_output=True, text=True)
    assert "defect" not in result.stderr and "Traceback" not in result.stderr
