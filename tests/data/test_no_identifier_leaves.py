"""No planted identifier is in anything that a preparation writes or prints (issue 4: de-identification by construction)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import planted_dicom
import pytest
from many_verbs import run_verbs
from planted_search import found_in, leaks

from domainclip.data.prepared_set import PreparedSet
from domainclip.domains.radiology.confidentiality import listed_attributes

REPORT = """PATIENT NAME: {name}, {given}
MRN: {mrn}
EXAM DATE: {date}
HISTORY: {name} fell on {date}.

FINDINGS: The heart is of normal size. Mr {name} has a small effusion on the left. No pneumothorax.

IMPRESSION: Small effusion. Discussed with Dr {given} on {date}. Number {mrn}.

ELECTRONICALLY SIGNED BY: {given} {name}
"""
# Elements in which a reader may stumble, and repeat what it found there in a message.
STUMBLES = {
    "syntax": {}, "modality": {"Modality": "QZ90001XK"}, "photometric": {"PhotometricInterpretation": "QZ90002XK"},
    "charset": {"SpecificCharacterSet": "QZ90003XK"}, "burnt": {"BurnedInAnnotation": "YES"}, "frames": {"NumberOfFrames": "3"},
    "sop": {"SOPClassUID": "1.2.826.0.1.9999999.779000577"}, "shape": {"PresentationLUTShape": "QZ90006XK"},
    "units": {"RescaleType": "QZ90004XK", "RescaleSlope": "1", "RescaleIntercept": "0"},
    "type": {"ImageType": ["QZ90007XK", "SCREEN"], "BurnedInAnnotation": ""}, "laterality": {"Laterality": "QZ90008XK"},
}  # fmt: skip
EXTRA = [
    *(f"QZ9000{n}XK" for n in (1, 2, 3, 4, 6, 7, 8, 9)),
    "9999999.779000577",
    "9999999.779000477",
    "PLANTEDfolder",
    "PLANTEDfile",
]
EXTRA += [f"0{n}/05/2019" for n in range(1, 7)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, planted_dicom.Planter]:
    """A folder of patients with planted names, good files and broken ones, and a manifest that names reports."""
    base = tmp_path_factory.mktemp("source")
    folder, planter = base / "PLANTEDfolder", planted_dicom.Planter()
    rows = ["path,report"]
    for number in range(6):
        patient = folder / f"PLANTEDfolder{number}"
        patient.mkdir(parents=True)
        image = planted_dicom.write_planted(patient / f"PLANTEDfile{number}.dcm", planter)
        words = {name: str(planter.value("report", "SH")) for name in ("mrn",)}
        person = str(planter.value("report", "PN")).split("^")
        words |= {"name": person[0], "given": person[1], "date": f"0{number + 1}/05/2019"}
        (patient / f"PLANTEDfile{number}.txt").write_text(REPORT.format(**words))
        rows.append(f"{image.relative_to(folder)},{image.with_suffix('.txt').relative_to(folder)}")
    broken = folder / "PLANTEDfolderbroken"
    broken.mkdir()
    for name, elements in STUMBLES.items():
        path = planted_dicom.write_planted(broken / f"PLANTEDfile{name}.dcm", planter, **elements)
        if name == "syntax":
            data = path.read_bytes()
            old, new = b"1.2.840.10008.1.2.1\0", b"1.2.826.0.1.9999999.779000477"
            assert old in data
            path.write_bytes(data.replace(old, new[: len(old)], 1))
    whole = (folder / "PLANTEDfolder0" / "PLANTEDfile0.dcm").read_bytes()
    for size in (200, 5_000, 40_000, len(whole) - 100):
        (broken / f"PLANTEDfile{size}.dcm").write_bytes(whole[:size])
    (broken / "PLANTEDfileodd.dcm").write_bytes(whole.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00PN"))
    (broken / "PLANTEDfiletext.dcm").write_bytes(b"PLANTEDfile QZ90009XK" * 20)
    rows += [f"{path.relative_to(folder)}," for path in sorted(broken.iterdir())]
    rows.append("PLANTEDfolder0/PLANTEDfilemissing.dcm,")
    (base / "rows.csv").write_text("\n".join(rows) + "\n")
    return folder, planter


def _run(home: Path, *words: str, code: int = 0) -> bytes:
    environment = {**os.environ, "DOMAINCLIP_HOME": str(home), "NO_ALBUMENTATIONS_UPDATE": "1"}
    result = subprocess.run([sys.executable, "-m", "domainclip", *words], capture_output=True, timeout=300, env=environment)
    assert result.returncode == code, result.stderr.decode()
    return result.stdout + b"\n" + result.stderr


@pytest.fixture(scope="module")
def made(
    source: tuple[Path, planted_dicom.Planter], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, dict[str, bytes]]:
    """Sets prepared from the folder and from its manifest, the owner's folder, and what was printed on the way."""
    folder, _ = source
    out, home = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("home")
    said = {"folder": _run(home, "prepare", str(folder), "--domain", "radiology", "--output", str(out / "folder"))}
    shutil.copy(folder.parent / "rows.csv", folder / "rows.csv")
    common = ("prepare", str(folder / "rows.csv"), "--domain", "radiology", "--output")
    said["manifest"] = _run(home, *common, str(out / "manifest"), "--json")
    said["strict"] = _run(home, *common, str(out / "strict"), "--strict", code=2)
    hounsfield = ("prepare", str(folder), "--domain", "radiology", "--set", "reading.output=hu", "--output", str(out / "hu"))
    said["hounsfield"] = _run(home, *hounsfield, code=2)
    (folder / "rows.csv").unlink()
    return out, home, said


@pytest.fixture(scope="module")
def used(
    source: tuple[Path, planted_dicom.Planter],
    made: tuple[Path, Path, dict[str, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, tuple[bytes, bytes]]]:
    """What comes after a preparation: features, indexes and predictions of the folder, its manifest and its set."""
    folder, (sets, home, _) = source[0], made
    out, model = tmp_path_factory.mktemp("after"), "starter-radiology"
    shutil.copy(folder.parent / "rows.csv", folder / "rows.csv")
    files = sorted(map(str, folder.rglob("*.dcm")))
    classes = ("--classes", "pleural effusion,normal", "--output")
    lines: dict[str, tuple[str, ...]] = {}
    for name, one in {"folder": folder, "rows": folder / "rows.csv", "set": sets / "manifest"}.items():
        as_json = ("--json",) if name == "folder" else ()
        lines[f"embed {name}"] = ("embed", model, str(one), "--output", str(out / f"emb-{name}"), *as_json)
        lines[f"index {name}"] = ("index", model, str(one), "--output", str(out / f"index-{name}"), *as_json)
        lines[f"search {name}"] = ("search", str(out / f"index-{name}"), "small effusion", "--json")
    lines["zero-shot folder"] = ("zero-shot", model, str(folder), *classes, str(out / "zero-folder"), "--json")
    lines["zero-shot files"] = ("zero-shot", model, *files, *classes, str(out / "zero-files"))
    lines["zero-shot set"] = ("zero-shot", model, str(sets / "manifest"), *classes, str(out / "zero-set"))
    lines["search image"] = ("search", str(out / "index-set"), "--image", files[0], "-k", "3")
    lines["inspect folder"] = ("inspect", str(folder), "--domain", "radiology", "--json")
    lines["inspect lines"] = ("inspect", str(folder), "--domain", "radiology")
    said = run_verbs(home, tmp_path_factory.mktemp("said"), lines)
    (folder / "rows.csv").unlink()
    return out, said


def _words(planter: planted_dicom.Planter) -> list[str]:
    return [*(word for words in planter.planted.values() for word in words), *EXTRA]


def test_every_listed_attribute_is_planted(source: tuple[Path, planted_dicom.Planter]) -> None:
    """The test below is about the whole table: the words are in the sources, of every row that holds text."""
    folder, planter = source
    held = b"".join(path.read_bytes() for path in sorted(folder.glob("PLANTEDfolder[0-9]/*")))
    for row in listed_attributes():
        if row.pattern != "ggggeeee" and int(row.pattern.replace("x", "0"), 16) not in planted_dicom.COMMANDS:
            assert row.name in planter.planted or f"in {row.name}" in planter.planted, row
    missing = [name for name, words in planter.planted.items() if words and not any(word.encode() in held for word in words)]
    assert missing == []


def test_nothing_planted_is_in_what_is_written(
    source: tuple[Path, planted_dicom.Planter], made: tuple[Path, Path, dict[str, bytes]]
) -> None:
    out, home, _ = made
    assert leaks(out, _words(source[1])) == {}
    assert not (out / "strict").exists()
    by_folder, by_manifest = PreparedSet(out / "folder"), PreparedSet(out / "manifest")
    assert by_folder.card["counts"]["images"] >= 6
    assert by_manifest.card["counts"]["captions"] == 12  # findings and impression of six reports
    assert by_folder.card["counts"]["rejected"] >= 8
    # The owner's map, which no set holds, may name the paths.
    maps = b"".join(path.read_bytes() for path in sorted((home / "sources").iterdir()))
    assert found_in(maps, EXTRA) == {"plantedfolder", "plantedfile"}


def test_nothing_planted_is_printed(source: tuple[Path, planted_dicom.Planter], made: tuple[Path, Path, dict[str, bytes]]) -> None:
    for name, said in made[2].items():
        assert found_in(said, _words(source[1])) == set(), name
    assert b"--strict" in made[2]["strict"]


# Paths are shown to their owner on the terminal, and --json is the terminal too; ``embed`` repeats the source as it was typed.
PATHS = {"plantedfolder", "plantedfile"}
SHOW_PATHS = {"search", "inspect", "zero-shot", "embed"}


@pytest.mark.slow
def test_nothing_planted_is_in_what_comes_after(
    source: tuple[Path, planted_dicom.Planter], used: tuple[Path, dict[str, tuple[bytes, bytes]]]
) -> None:
    out, said = used
    assert leaks(out, _words(source[1])) == {}
    kinds = {"features.npy", "index.parquet", "index.json", "embed.json", "rejected.jsonl", "predictions.csv", "predictions.json"}
    written = [path for path in out.rglob("*") if path.is_file()]
    assert kinds == {path.name for path in written}
    assert all(len((path / "rejected.jsonl").read_text().splitlines()) >= 8 for path in out.glob("*-folder"))
    for name, (shown, logged) in said.items():
        assert found_in(logged, _words(source[1])) == set(), name
        assert found_in(shown, _words(source[1])) <= (PATHS if name.split()[0] in SHOW_PATHS else set()), name
    for name in ("search folder", "search set", "zero-shot folder", "inspect folder"):
        assert found_in(said[name][0], EXTRA) == PATHS, name  # they are there to be seen, and are seen


@pytest.mark.slow
def test_nobody_else_is_shown_paths(used: tuple[Path, dict[str, tuple[bytes, bytes]]], tmp_path: Path) -> None:
    """Who has the index and not the owner's map gets keys."""
    assert found_in(_run(tmp_path, "search", str(used[0] / "index-folder"), "small effusion", "--json"), EXTRA) == set()


def test_nothing_planted_is_told_by_inspect(source: tuple[Path, planted_dicom.Planter], tmp_path: Path) -> None:
    """Of good files and broken ones, under names that tell nothing: inspect names the file that it was given."""
    from domainclip.domains.detect import inspect_file
    from domainclip.errors import DomainClipError

    folder, planter = source
    told = []
    for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
        plain = tmp_path / f"{number}.dcm"
        shutil.copy(path, plain)
        try:
            told.append(repr(inspect_file(plain)))
        except DomainClipError as error:
            told.append(str(error))
    assert len(told) == 6 + len(STUMBLES) + 6
    assert found_in("\n".join(told).encode(), _words(planter)) == set()
    shutil.copy(folder / "PLANTEDfolder0" / "PLANTEDfile0.dcm", tmp_path / "one.dcm")
    assert found_in(_run(tmp_path, "inspect", str(tmp_path / "one.dcm"), "--json"), _words(planter)) == set()


def test_another_key_gives_other_hashes(
    source: tuple[Path, planted_dicom.Planter], made: tuple[Path, Path, dict[str, bytes]], tmp_path: Path
) -> None:
    _run(tmp_path / "other-owner", "prepare", str(source[0]), "--domain", "radiology", "--output", str(tmp_path / "set"))
    ours, theirs = PreparedSet(made[0] / "folder"), PreparedSet(tmp_path / "set")
    for column in ("key", "group"):
        assert not set(ours.index[column]) & set(theirs.index[column])
    assert ours.card["set_id"] != theirs.card["set_id"]
    hashes = [{value for ids in some.index["ids"] for value in ids.values()} for some in (ours, theirs)]
    assert len(hashes[0]) == len(hashes[1]) > 0
    assert not hashes[0] & hashes[1]
    assert set(ours.index["pixel_sha256"]) == set(theirs.index["pixel_sha256"])


def test_the_search_notices_a_leak(
    source: tuple[Path, planted_dicom.Planter], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One attribute more on the allow-list, and it is found in every place that it reaches."""
    import domainclip.domains.radiology.header as header
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains

    allowed = header.allowed_facts
    monkeypatch.setattr(header, "allowed_facts", lambda found: allowed(found) | {"station": str(found.StationName)})
    opened = open_dataset(source[0], domain="radiology")
    prepare(opened, domains.get("radiology"), tmp_path / "set", workers=0)
    found = leaks(tmp_path / "set", _words(source[1]))
    assert len(found["index.parquet: cells"]) >= 6
    assert "index.parquet: footer" in found
