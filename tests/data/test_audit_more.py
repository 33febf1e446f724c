"""``audit`` of features, indexes and predictions, and against reports in XML and tables, and headers of NIfTI."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import planted_dicom
import pydicom
import pytest
from many_verbs import run_verbs
from PIL import Image

from domainclip.cli.main import main
from domainclip.data.audit import audit
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_dataset
from domainclip.domains.base import domains
from domainclip.errors import UsageError

XML = "<report><patientName>Quillfeather, Ottoline</patientName><accessionNumber>AC-99012</accessionNumber></report>"
TABLE = "path;Nachname;Vorname;Geburtsdatum\n1.png;Müllerstätt;Jörg;19370211\n"


def nifti(path: Path) -> None:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    head[148:174] = b"scan of Longman in Windsor"
    head[344:348] = b"n+1\0"
    path.write_bytes(gzip.compress(bytes(head)))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "reports").mkdir(parents=True)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "reports" / "a.xml").write_text(XML)
    (folder / "reports" / "b.csv").write_text(TABLE, encoding="latin-1")
    nifti(folder / "volume.nii.gz")
    return folder


LEAKS = {
    "Ottoline Quillfeather was here": "XML element patientname",
    "number AC-99012": "XML element accessionnumber",
    "JORG MULLERSTATT": "CSV columns of a last and a first name",
    "born 11.02.1937": "CSV column geburtsdatum",
    "a scan of Longman in Windsor": "NIfTI header descrip",
}


def test_what_reports_and_volumes_tell_is_found(source: Path, tmp_path: Path) -> None:
    prepare(open_dataset(source, domain="radiology"), domains.get("radiology"), tmp_path / "set", workers=0)
    report = audit(tmp_path / "set", source)
    assert report.clean, report.found
    assert (report.kind, report.source["files"], report.source["reports"]) == ("a prepared set", 6, 2)
    for text, attribute in LEAKS.items():
        (tmp_path / "set" / "notes.txt").write_text(text)
        assert attribute in {name for name, _ in audit(tmp_path / "set", source).found_counts}, text


def test_the_source_is_walked_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(open_dataset(source, domain="radiology"), domains.get("radiology"), tmp_path / "set", workers=0)
    seen: Counter[str] = Counter()
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path=".": (seen.update([str(path)]), scandir(path))[1])
    audit(tmp_path / "set", source)
    assert (seen[str(source)], seen[str(source / "reports")]) == (1, 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Features, an index and predictions of a folder whose names and headers tell whom it is about."""
    base = tmp_path_factory.mktemp("more")
    folder, planter = base / "wendreda_infirmary", planted_dicom.Planter()
    folder.mkdir()
    (base / "home").mkdir()
    (base / "said").mkdir()
    for number in range(2):
        planted_dicom.write_planted(folder / f"quillfeather{number}.dcm", planter)
    model, classes = "starter-radiology", "pleural effusion,normal"
    lines = {
        "features": ("embed", model, str(folder), "--output", str(base / "features")),
        "index": ("index", model, str(folder), "--output", str(base / "index")),
        "predictions": ("zero-shot", model, str(folder), "--classes", classes, "--output", str(base / "predictions")),
    }
    run_verbs(base / "home", base / "said", lines)
    return {"home": base / "home", "source": folder} | {name: base / name for name in lines}


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "kind"), [("features", "features"), ("index", "an index"), ("predictions", "predictions")])
def test_other_folders_are_audited(
    folder: str,
    kind: str,
    written: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DOMAINCLIP_HOME", str(written["home"]))
    shutil.copytree(written[folder], tmp_path / "copy")
    for source in (None, written["source"]):
        report = audit(tmp_path / "copy", source)
        assert report.clean, report.found
        assert not [kind for kind in report.warnings if kind.startswith("looks like")]
        assert (report.kind, report.source["files"], report.values["different"] > 500) == (kind, 2, True)
    if folder == "predictions":
        text = (tmp_path / "copy" / "predictions.csv").read_text()
        (tmp_path / "copy" / "predictions.csv").write_text(text.replace("\n", "\nquillfeather1.dcm", 1))
    else:
        table = pd.read_parquet(tmp_path / "copy" / "index.parquet")
        table["group"] = str(pydicom.dcmread(written["source"] / "quillfeather1.dcm", stop_before_pixels=True).PatientName)
        table.to_parquet(tmp_path / "copy" / "index.parquet")
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["audit", str(tmp_path / "copy"), "--json"])
    document = json.loads(capfd.readouterr().out)
    assert end.value.code == 1 and document["kind"] == kind and not document["clean"]
    expected = "a file or folder name" if folder == "predictions" else "(0010,0010) Patient's Name"
    assert expected in {one["attribute"] for one in document["found_counts"]}


@pytest.mark.slow
def test_what_cannot_be_audited_is_said(tmp_path: Path, written: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no readable dataset\.json"):
        audit(tmp_path / "empty")
    shutil.copytree(written["index"], tmp_path / "index")
    monkeypatch.setenv("DOMAINCLIP_HOME", str(tmp_path / "another-owner"))
    with pytest.raises(UsageError, match="owner's map is not on this machine"):
        audit(tmp_path / "index")
    for text in ("{", "[]", '{"set_id": "1", "model": {}}'):
        (tmp_path / "index" / "index.json").write_text(text)
        with pytest.raises(UsageError, match=r"index.json cannot be read"):
            audit(tmp_path / "index", written["source"])
