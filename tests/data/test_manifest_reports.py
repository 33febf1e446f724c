"""Reports in a manifest: files, cells and sections in columns; what is refused, and what the card tells of them."""

import json
import subprocess
import sys
import warnings

import pandas as pd
import pytest
from png_domain import DOMAIN

from domainclip.config import DataConfig
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.errors import UsageError


def opened(path, **config):
    return open_source(DataConfig(source=str(path), **config), DOMAIN)


def captions(source):
    return {item.name: [(c.section, c.language, c.text) for c in item.captions] for item in source.items()}


def manifest(folder, *rows, name="table.csv", columns="path,report"):
    path = folder / name
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return path


XML = (
    '<eCitation><AbstractText Label="FINDINGS">{}</AbstractText><AbstractText Label="INDICATION">Cough.</AbstractText></eCitation>'
)


def test_text_and_xml_side_by_side_and_one_report_for_two_images(pictures):
    (pictures / "a.txt").write_text("BEFUND: Kein Erguss.\nBEURTEILUNG: Unauffälliges Herz.", encoding="utf-8")
    (pictures / "b.xml").write_text(XML.format("No effusion."))
    path = manifest(pictures, "case0/img00.png,a.txt", "case0/img01.png,a.txt", "case1/img02.png,b.xml", "case1/img03.png,")
    source = opened(path)
    german = [("impression", "de", "Unauffälliges Herz."), ("findings", "de", "Kein Erguss.")]
    assert captions(source) == {
        "case0/img00.png": german,
        "case0/img01.png": german,
        "case1/img02.png": [("findings", "en", "No effusion.")],
        "case1/img03.png": [],
    }
    assert source.card["report_reading"] == {
        "images_with_a_report": 3, "language_de": 1, "language_en": 1, "reports": 2, "used_findings": 1,
        "used_impression_and_findings": 1,
    }  # fmt: skip


def test_cells_with_sections_and_whole_texts(pictures):
    columns = "path,section:findings,section:impression,section:history,report_text,language"
    path = manifest(
        pictures,
        "case0/img00.png,No effusion.,No mass.,Cough.,,en",
        'case0/img01.png,,,,"HALLAZGOS: Sin derrame.",',
        "case1/img02.png,\"['Clear', 'No mass']\",,,,en-GB",
        columns=columns,
    )
    assert captions(opened(path)) == {
        "case0/img00.png": [("impression", "en", "No mass."), ("findings", "en", "No effusion.")],
        "case0/img01.png": [("findings", "es", "Sin derrame.")],
        "case1/img02.png": [("findings", "en-GB", "Clear. No mass")],
    }


def test_options_for_all_reports(pictures):
    (pictures / "a.txt").write_bytes("Sin derrame, corazón normal.".encode("latin-1"))
    path = manifest(pictures, "case0/img00.png,a.txt")
    with pytest.raises(UsageError, match=r"no text in UTF-8, which data.report_encoding says"):
        opened(path)
    with pytest.raises(UsageError, match="does not tell its language"):
        opened(path, report_encoding="latin-1")
    source = opened(path, report_encoding="latin-1", report_language="es")
    assert captions(source)["case0/img00.png"] == [("last_paragraph", "es", "Sin derrame, corazón normal.")]
    assert source.card["report_reading"]["fallback_last_paragraph"] == 1


def test_which_sections_is_a_choice(pictures):
    (pictures / "a.txt").write_text("FINDINGS: A bone.\nIMPRESSION: A rib.")
    source = opened(manifest(pictures, "case0/img00.png,a.txt"), report_sections=("impression",))
    assert captions(source)["case0/img00.png"] == [("impression", "en", "A rib.")]


@pytest.mark.parametrize(
    ("columns", "row", "words"),
    [
        ("path,section:finding", "case0/img00.png,x", "'findings'"),
        ("path,report", "case0/img00.png,gone.txt", "its report cannot be opened"),
        ("path,report,report_text", "case0/img00.png,gone.txt,FINDINGS: x", "a file and a text"),
        ("path,report", "case0/img00.png,case0/img01.png", "no text in UTF-8"),
        ("path,report", "case0/img00.png,case0", "cannot be opened"),
    ],
)
def test_traps(pictures, columns, row, words):
    with pytest.raises(UsageError, match=words) as error:
        opened(manifest(pictures, row, columns=columns))
    assert error.value.remedy


def test_reports_that_are_gone_are_not_called_missing_images(pictures):
    with pytest.raises(UsageError) as error:
        opened(manifest(pictures, "case0/img00.png,r1.txt", "case0/img01.png,r2.txt"))
    assert "None of its 2 files can be used: its report cannot be opened" in error.value.found
    assert "report" in error.value.remedy


def test_a_folder_of_reports_without_images_says_so(tmp_path):
    for name in ("1.xml", "2.xml", "3.txt"):
        (tmp_path / name).write_text(XML.format("Clear."))
    with pytest.raises(UsageError) as error:
        opened(tmp_path)
    assert "3 are text or XML, which may be reports" in error.value.found
    assert "columns path and report" in error.value.remedy and "domainclip inspect" in error.value.remedy


def test_images_beside_reports_that_nothing_joins_are_warned_about(pictures):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(pictures)
    for number in range(6):
        (pictures / f"r{number}.txt").write_text("FINDINGS: Clear.")
    with pytest.warns(UserWarning, match="6 text or XML files beside 12 images may be reports, and none is read"):
        source = opened(pictures)
    assert all(not item.captions for item in source.items())


def test_long_accented_and_split_reports_reach_the_table_of_captions_whole(pictures, tmp_path):
    """PubMedCLIP cut texts at so many characters, GLoRIA encoded them as ASCII, CT-CLIP ran sections into each other."""
    long = " ".join(f"No se observa derrame número {n}." for n in range(200))
    (pictures / "a.txt").write_text(f"HALLAZGOS: {long}\nIMPRESIÓN: Corazón de tamaño normal", encoding="utf-8")
    prepared = prepare(opened(manifest(pictures, "case0/img00.png,a.txt")), DOMAIN, tmp_path / "set", workers=0)
    table = pd.read_parquet(tmp_path / "set" / "captions.parquet")
    assert dict(zip(table["section"], table["text"], strict=True)) == {"findings": long, "impression": "Corazón de tamaño normal"}
    assert set(table["language"]) == {"es"} and len(long) > 5000
    assert prepared.card["report_reading"]["used_impression_and_findings"] == 1


def test_prepare_says_what_became_of_the_reports(tmp_path):
    """On the command line, with radiology's own reader: counts in the last lines and in the card."""
    import numpy as np
    from PIL import Image

    for number, text in enumerate(
        ("FINDINGS: Clear.\nIMPRESSION: Normal.", "FINDINGS/IMPRESSION: No XXXX. Clear.", "HISTORY: Cough.")
    ):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (32, 32), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(text)
    table = manifest(tmp_path, *(f"{n}.png,{n}.txt" for n in range(3)))
    command = [
        sys.executable,
        "-m",
        "domainclip",
        "prepare",
        str(table),
        "--domain",
        "radiology",
        "--output",
        str(tmp_path / "set"),
    ]
    done = subprocess.run([*command, "--set", "data.report_sections=[findings]"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in ("used findings: 1", "fallback combined: 1", "empty: 1", "sentences dropped for marks: 1"):
        assert f"of reports, {line}" in done.stdout
    card = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert card["report_reading"]["reports"] == 3
