"""Volumes by the command line: from a manifest of series to a model, an index, and back to the slice."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "domains" / "radiology"))
from made_series import make_series, write_dicom

SECRETS = ("PAT-4711", "Doe_", "Brightwater", "Cordelia")


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "domainclip", *map(str, words)], capture_output=True, text=True)


def document(*words: object) -> dict:
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def studies(tmp_path) -> Path:
    """Twelve chests of eight slices, every second one with a bright disc in slice 5; a manifest names folders."""
    rng = np.random.default_rng(0)
    root = tmp_path / "studies"
    rows = []
    for patient in range(12):
        nodule = bool(patient % 2)

        def values(points, nodule=nodule):
            numbers = np.where(np.hypot(points[..., 0] - 20, points[..., 1] - 20) < 17, 200.0, 0.0)
            if nodule and round(points[0, 0, 2]) == 15:
                numbers[np.hypot(points[..., 0] - 14, points[..., 1] - 20) < 6] = 1060
            return (numbers + rng.normal(0, 15, numbers.shape)).astype(np.int16)

        folder = root / f"Doe_{patient}" / "CT"
        folder.parent.mkdir(parents=True)
        places = [(0, 0, 3 * z) for z in range(8)]
        make_series(write_dicom, folder, places, spacing=(1.0, 1.0), shape=(40, 40), values=values, PatientID=f"PAT-4711-{patient}")
        rows.append((f"Doe_{patient}/CT", "lung_nodule" if nodule else "no_finding", "a nodule" if nodule else "nothing"))
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "caption"), *rows])
    return root


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_series_to_the_slice(studies, tmp_path):
    settings = ["--set", "reading.axes=CZYX", "--set", "reading.window=lung"]
    prepared = document("prepare", studies, "--domain", "radiology", "--output", tmp_path / "set", *settings)
    assert prepared["counts"]["images"] == prepared["counts"]["files"] == 12
    index = pd.read_parquet(tmp_path / "set" / "index.parquet")
    assert set(index["axes"]) == {"CZYX"}
    assert set(index["depth"]) == {8}
    again = document("prepare", studies, "--domain", "radiology", "--output", tmp_path / "two", *settings, "--workers", 1)
    assert again["counts"] == prepared["counts"]
    for path in (tmp_path / "set").glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    trained = run(
        "pretrain", "--domain", "radiology", "--data", tmp_path / "set", "--output", tmp_path / "run", "--set",
        "training.max_steps=6",
        "--set", "training.batch_size=4", "--set", "evaluation.bootstrap=100", "--set", "data.planes=4",
        "--set", "training.engine=torch", "--set", "optimizer.warmup_steps=2",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert (
        document("index", tmp_path / "run", tmp_path / "set", "--output", tmp_path / "index", "--pool", "max")["pooling"] == "max"
    )
    hits = document("search", tmp_path / "index", "a nodule", "-k", 12)["hits"]
    assert len(hits) == 12
    assert all(hit["axis"] == "Z" and hit["slices"] == 8 and "/Doe_" in hit["path"] for hit in hits)
    told = run("search", tmp_path / "index", "a nodule", "-k", 2, "--by", "slice").stdout
    assert told.count("of 8, from 0") == 2
    refused = run("search", tmp_path / "index", "a nodule", "--by", "voxel")
    assert refused.returncode == 2
    assert "image, slice" in refused.stderr
    for folder in ("set", "run", "index"):
        for path in (tmp_path / folder).rglob("*"):
            if path.is_file():
                content = path.read_bytes() + str(path.relative_to(tmp_path)).encode()
                assert not [secret for secret in SECRETS if secret.encode() in content], path


@pytest.mark.slow
def test_a_manifest_row_of_several_series_is_rejected(studies, tmp_path):
    (studies / "manifest.csv").write_text("path,caption\nDoe_1,one series\nDoe_2/CT,another\n.,all of them\nDoe_99,gone\n")
    done = run("prepare", studies, "--domain", "radiology", "--output", tmp_path / "set", "--set", "reading.axes=CZYX")
    assert done.returncode == 0, done.stderr
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    assert sorted(reasons) == [
        "the row names a file that is not there",
        "the row names a folder of 12 images as they are read; name that of one series, and set reading.axes",
    ]
    done = run("prepare", studies, "--domain", "radiology", "--output", tmp_path / "flat")
    assert done.returncode == 2
    assert "a folder of 8 images as they are read" in done.stderr


def test_inspect_tells_of_series(studies, tmp_path):
    (studies / "manifest.csv").unlink()
    import pydicom

    lost = next(path for path in (studies / "Doe_0" / "CT").iterdir() if pydicom.dcmread(path).ImagePositionPatient[2] == 9)
    lost.unlink()
    seen = document("inspect", studies, "--domain", "radiology", "--set", "reading.axes=CZYX")
    assert len(seen["files"]) == 12
    missing = [file["missing"] for file in seen["files"] if file["missing"]]
    assert len(missing) == 1
    assert "Slices are missing: in 1 places, about 1 in all" in missing[0][0]
    shown = run("inspect", studies / "Doe_1", "--domain", "radiology", "--set", "reading.axes=CZYX").stdout
    assert "DICOM series of 8 files" in shown
    assert "stack 0: slices 8, plane axial" in shown
    for idle in (["--domain", "pathology"], []):
        refused = run("inspect", studies / "Doe_1", *idle, "--set", "reading.axes=CZYX")
        assert refused.returncode == 2
        assert "would do nothing" in refused.stderr
    refused = run("inspect", studies, "--domain", "radiology", "--set", "reading.axes=CZYX", "--table", tmp_path / "t.csv")
    assert refused.returncode == 2
    assert "--table would do nothing" in refused.stderr
