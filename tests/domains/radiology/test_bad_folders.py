"""Folders as they come from hospitals: archives, exported discs, the wrong domain, noise, one patient in many places."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian

from domainclip.cli.main import main
from domainclip.data.prepared_set import PreparedSet
from domainclip.domains.base import domains
from domainclip.domains.folder import list_folder
from domainclip.domains.misfits import misfit_of

RADIOLOGY, PATHOLOGY = domains.get("radiology"), domains.get("pathology")
SEVEN_ZIP, RAR = b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24), b"Rar!\x1a\x07\x01\0" + bytes(24)
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


@pytest.fixture
def said(capfd):
    """Runs a command line and returns (exit code, standard output, standard error)."""

    def run(*words):
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        shown = capfd.readouterr()
        return end.value.code, shown.out, shown.err

    return run


@pytest.fixture
def scan(make_dicom):
    """Writes a small image with pixels of its own; elements win."""

    def write(path, seed=0, **elements):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 4096, (32, 32), dtype=np.uint16)
        return make_dicom(path, pixels, **elements)

    return write


def archive(path, scan):
    """An archive with an image in it, of the kind that its name says."""
    data = scan(path.parent / "inside" / "IM1").read_bytes()
    name = path.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("IM1", data)
    elif ".tar" in name:
        with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as file:
            info = tarfile.TarInfo("IM1")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    else:
        path.write_bytes(SEVEN_ZIP if name.endswith("7z") else RAR)
    return path


@pytest.mark.parametrize("name", ["scans.zip", "SCANS.ZIP", "scans.tar", "scans.tar.gz", "scans.7z", "scans.rar"])
def test_an_archive_instead_of_a_folder(name, tmp_path, scan, said):
    path = archive(tmp_path / name, scan)
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ("prepare", path, "--domain", "radiology", "--output", tmp_path / "out"),
        ("inspect", path, "--domain", "radiology"),
        ("inspect", path),
        ("embed", "starter-radiology", path, "--output", tmp_path / "out"),
        ("pretrain", "--domain", "radiology", "--data", path, "--output", tmp_path / "out"),
        ("zero-shot", "starter-radiology", path, "--classes", "a,b"),
    ):
        code, _, err = said(*words)
        assert code == 2, words
        assert "an archive (" in err and "npack it to a folder and name that folder" in err, words
    assert sorted(tmp_path.rglob("*")) == before  # never unpacked, nothing left behind


def test_an_archive_by_any_name_among_files(tmp_path, scan, said):
    scan(tmp_path / "in" / "IM1")
    archive(tmp_path / "x.zip", scan).rename(tmp_path / "in" / "export of ward 7")
    archive(tmp_path / "x.tar.gz", scan).rename(tmp_path / "in" / "more.tar.gz")
    (tmp_path / "in" / "cut.zip").write_bytes(b"\0" * 40)
    (tmp_path / "in" / "notes.docx").write_bytes(b"PK\3\4" + bytes(40))
    (tmp_path / "in" / "volume.gz").write_bytes(b"\x1f\x8b\x08" + bytes(40))
    code, out, _ = said("prepare", tmp_path / "in", "--domain", "radiology", "--output", tmp_path / "set")
    assert code == 0
    lines = [json.loads(line)["reason"] for line in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    assert sorted(reason.partition(":")[0] for reason in lines) == [
        "a file compressed by gzip",
        "an archive (ZIP)",
        "an archive (tar, compressed by gzip)",
        "named as an archive (.zip) but none by its first bytes",
        "no file that the domain radiology reads",
    ]
    assert "1 rejected: an archive (ZIP): unpack it" in out
    rows = tmp_path / "in" / "rows.csv"
    rows.write_text("path\nIM1\nmore.tar.gz\n")
    assert "1 rejected: an archive (tar" in said("prepare", rows, "--domain", "radiology", "--output", tmp_path / "set2")[1]


def test_a_zero_shot_job_goes_on_beside_an_archive(tmp_path, scan, said):
    good, bad = scan(tmp_path / "IM1"), archive(tmp_path / "x.zip", scan)
    code, out, _ = said("zero-shot", "starter-radiology", good, bad, "--classes", "a,b", "--json")
    document = json.loads(out)
    assert code == 0 and len(document["files"]) == 1
    assert [(one["path"], one["reason"].partition(":")[0]) for one in document["rejected"]] == [(str(bad), "an archive (ZIP)")]


@pytest.fixture
def disc(tmp_path, scan):
    """An exported disc as pydicom writes one: DICOMDIR beside folders of files without suffix."""
    files = FileSet()
    for number in range(2):
        path = scan(
            tmp_path / "raw" / f"{number}.dcm", number, PatientID=f"P{number}", StudyDate="20200101", StudyTime="1200",
            StudyID="1", SeriesNumber=1, InstanceNumber=1,
        )  # fmt: skip
        files.add(path)
    files.write(tmp_path / "disc")
    return tmp_path / "disc"


def test_an_exported_disc(disc, tmp_path, said):
    code, out, err = said("prepare", disc, "--domain", "radiology", "--output", tmp_path / "set", "--json")
    counts = json.loads(out)["counts"]
    assert (code, counts["images"], counts["rejected"]) == (0, 2, 0), err
    for words in (
        ("prepare", disc / "DICOMDIR", "--domain", "radiology", "--output", tmp_path / "no"),
        ("inspect", disc / "DICOMDIR"),
        ("embed", "starter-radiology", disc / "DICOMDIR", "--output", tmp_path / "no"),
    ):
        code, _, err = said(*words)
        assert code == 2 and "a DICOMDIR, the index of an exported disc" in err and "Name the folder that it lies in" in err
    alone = tmp_path / "alone"
    alone.mkdir()
    renamed = alone / "index.dat"  # known by its class, whatever its name
    renamed.write_bytes((disc / "DICOMDIR").read_bytes())
    assert misfit_of(renamed, PATHOLOGY).what.startswith("a DICOMDIR")
    (alone / "DICOMDIR").write_bytes(renamed.read_bytes())
    renamed.unlink()
    code, _, err = said("prepare", alone, "--domain", "radiology", "--output", tmp_path / "no")
    assert code == 2 and "none of which the domain radiology reads" in err and "a DICOMDIR" in err


def slide(path):
    dataset = FileDataset(str(path), {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SLIDE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality = "SM"
    dataset.save_as(path)


def test_the_wrong_domain(tmp_path, scan, said):
    slides, scans, svs = tmp_path / "slides", tmp_path / "scans", tmp_path / "svs"
    for folder in (slides, svs):
        folder.mkdir()
    slide(slides / "a.dcm")
    (svs / "a.svs").write_bytes(b"II*\0" + bytes(40))
    scan(scans / "IM1"), scan(scans / "IM2.dcm", 1)
    cases = [
        (slides, "radiology", "whole-slide image in DICOM, which the domain pathology reads (1)", "Use --domain pathology"),
        (scans, "pathology", "DICOM, but no whole-slide image, which the domain radiology reads (2)", "Use --domain radiology"),
        (
            svs,
            "radiology",
            "a file that the domains pathology and remote-sensing read",
            "Use --domain pathology or --domain remote",
        ),
        (scans / "IM1", "pathology", "which the domain radiology reads", "Use --domain radiology"),
        (slides / "a.dcm", "radiology", "which the domain pathology reads", "Use --domain pathology"),
    ]
    for source, domain, found, remedy in cases:
        for words in (("prepare", source, "--output", tmp_path / "no"), ("inspect", source)):
            code, _, err = said(*words, "--domain", domain)
            assert code == 2 and found in err and remedy in err, (words, err)
    scan(slides / "IM1")
    listing = list_folder(slides, RADIOLOGY)
    assert [path.name for path in listing.files] == ["IM1"]
    assert [reason for _, reason in listing.rejected] == [
        "a whole-slide image in DICOM, which the domain pathology reads: use --domain pathology"
    ]


def test_names_without_suffix_and_noise(tmp_path, scan, said):
    folder = tmp_path / "in"
    for number, name in enumerate(("IM0001", "A.IMA", "b.ima", "C.DCM", "1.2.840.113619.2.55", "sub.d/I10")):
        scan(folder / name, number)
    bare = (folder / "IM0001").read_bytes()[132:]
    start = 12 + int.from_bytes(bare[8:12], "little")
    (folder / "NOMARK").write_bytes(bare[start:])  # the data set alone
    for number in range(1000):
        sub = folder / f"s{number}"
        sub.mkdir()
        for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._IM0001"):
            (sub / name).write_bytes(b"x")
        (sub / "viewer.exe").write_bytes(b"MZ")
    code, out, err = said("inspect", folder, "--domain", "radiology")
    assert code == 0 and len(out.splitlines()) < 25, err
    assert "viewer.exe and 999 more: no file that the domain radiology reads" in out
    assert "4000 hidden ones or the system's own" in out and "NOMARK: perhaps DICOM, without the preamble" in out
    code, out, err = said("prepare", folder, "--domain", "radiology", "--output", tmp_path / "set")
    assert code == 0 and len(out.splitlines()) + len(err.splitlines()) < 40
    assert "images: 6" in out and "1000 rejected: no file that the domain radiology reads" in out
    only = tmp_path / "only"
    only.mkdir()
    (only / "Thumbs.db").write_bytes(b"x")
    code, _, err = said("prepare", only, "--domain", "radiology", "--output", tmp_path / "no")
    assert code == 2 and "1 hidden files or files of the system alone" in err


def test_images_without_reports_and_reports_without_images(tmp_path, scan, said):
    folder = tmp_path / "in"
    scan(folder / "a.dcm"), scan(folder / "b.dcm", 1)
    for name in "ab":
        (folder / f"{name}.txt").write_text("FINDINGS: Small effusion on the left.\nIMPRESSION: Effusion.\n")
    common = ("--domain", "radiology", "--output", tmp_path / "set")
    cases = {
        "path,report\na.dcm,x.txt\nb.dcm,y.txt\n": (
            "None of its 2 files can be used",
            "The images are there: the reports are missing",
        ),
        "path,report\nx.dcm,a.txt\ny.dcm,b.txt\n": ("None of the files in its 2 rows", "Of the 2 reports that they name 2 are"),
    }
    rows = folder / "rows.csv"
    for text, told in cases.items():
        rows.write_text(text)
        code, _, err = said("prepare", rows, *common)
        assert code == 2 and all(part in err for part in told), err
    rows.write_text("path,report\na.dcm,a.txt\nb.dcm,gone.txt\nx.dcm,b.txt\ny.dcm,b.txt\n")
    code, out, _ = said("prepare", rows, *common)
    assert code == 0 and "images: 1" in out
    assert "2 rejected: the row names a file that is not there" in out and "1 rejected: its report cannot be opened" in out


def test_a_window_that_does_not_exist(tmp_path, scan, said):
    path = scan(tmp_path / "a.dcm")
    code, _, err = said("prepare", path, "--domain", "radiology", "--output", tmp_path / "no", "--set", "reading.window=lungs")
    assert code == 2 and "there is no such window; there are lung, mediastinum" in err and "(given: 'lungs')" in err
    assert "Value error" not in err


def test_one_patient_in_many_folders_stays_together(tmp_path, scan):
    """By PatientID, else by study; equal pixels under other names and numbers join their groups; no group crosses a split."""
    folder, wanted = tmp_path / "in", {}
    for patient in range(12):
        for place in ("ward", "archive/2019", "cd"):
            name = f"{place}/P{patient}-{place[:2]}"
            scan(folder / name, 1000 * patient + len(place), PatientID=f"P{patient}")
            wanted[name] = f"patient {patient}"
    for place in ("one", "two"):
        scan(folder / place / "nobody", 99 + (place == "two"), PatientID="", StudyInstanceUID="1.2.3.4")
        wanted[f"{place}/nobody"] = "study"
    for number in range(12, 15):  # the same pixels as somebody else's, under another name and number
        (like := folder / f"copies/{number}").parent.mkdir(exist_ok=True)
        scan(like, 1000 * (number - 12) + 4, PatientID=f"Q{number}")
        wanted[f"copies/{number}"] = f"patient {number - 12}"
    for output in ("a", "b"):
        command = [sys.executable, "-m", "domainclip", "prepare", folder, "--domain", "radiology", "--output", tmp_path / output]
        fractions = ["--set", "data.held_out_fraction=0.4", "--set", "data.val_fraction=0.3"]
        subprocess.run([*map(str, command), *fractions], check=True, capture_output=True)
    prepared = PreparedSet(tmp_path / "a")
    names = {key: Path(path).relative_to(folder).as_posix() for key, path in prepared.paths().items()}
    splits, groups = {}, {}
    for row in prepared.index.itertuples():
        splits.setdefault(wanted[names[row.key]], set()).add(row.split)
        groups.setdefault(wanted[names[row.key]], set()).add(row.source_group)
    assert all(len(some) == 1 for some in splits.values()), splits
    assert set.union(*splits.values()) == {"train", "val", "held_out"}
    assert {len(some) for name, some in groups.items() if name not in {"patient 0", "patient 1", "patient 2"}} == {1}
    assert len(set.union(*groups.values())) == 12 + 1 + 3 and prepared.index["group"].nunique() == 12 + 1
    assert prepared.card["counts"]["duplicates"] == 3 and prepared.card["counts"]["duplicates_across_splits"] == 0
    assert dict(zip(prepared.index["key"], prepared.index["split"], strict=True)) == dict(
        zip(PreparedSet(tmp_path / "b").index["key"], PreparedSet(tmp_path / "b").index["split"], strict=True)
    )
