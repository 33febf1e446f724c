"""``domainclip inspect`` of reports: the account, and what would do nothing is refused."""

import json
import subprocess
import sys

import pytest


def run(*words):
    return subprocess.run([sys.executable, "-m", "domainclip", "inspect", *map(str, words)], capture_output=True, text=True)


@pytest.fixture
def reports(tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "a.txt").write_text("BEFUND: Kein Erguss.\nBEURTEILUNG: ___.", encoding="utf-8")
    (folder / "b.txt").write_text("Lungs.", encoding="utf-8")
    return folder


def test_a_folder_and_a_table(reports, tmp_path):
    shown = run(reports, "--domain", "radiology")
    assert shown.returncode == 0, shown.stderr
    assert "findings only" in shown.stdout and "refused: b.txt: its report does not tell its language" in shown.stdout
    document = json.loads(run(reports, "--domain", "radiology", "--json", "--set", "data.report_language=de").stdout)
    assert document["total"] == 2 and document["refused"] == []
    assert document["rows"]["fallback: last paragraph"] == document["rows"]["findings only"] == 1
    table = tmp_path / "plus.csv"
    table.write_text("path_to_image,section_findings,section_impression\na.jpg,Clear.,Normal.\nb.jpg,,\n")
    document = json.loads(run(table, "--domain", "radiology", "--json", "--set", "data.report_language=en").stdout)
    assert document["rows"]["findings and impression"] == document["rows"]["empty: nothing describes the picture"] == 1


def test_idle_options_are_refused(reports, tmp_path):
    from PIL import Image

    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    for words in (
        (reports, "--domain", "radiology", "--table", tmp_path / "t.csv"),
        (reports, "--domain", "radiology", "--set", "data.report_language=en", "--set", "reading.frame=0"),
        (tmp_path / "x.png", "--domain", "radiology", "--set", "data.report_language=en"),
        (tmp_path, "--domain", "radiology", "--set", "data.report_language=en"),
    ):
        done = run(*words)
        assert done.returncode == 2 and "would do nothing here" in done.stderr, (words, done.stdout, done.stderr)
    assert not (tmp_path / "t.csv").exists()
