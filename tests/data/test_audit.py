"""``audit`` finds what is planted in a prepared set, in every kind of place, and tells nobody what it was."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import planted_dicom
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
from PIL import Image, PngImagePlugin
from planted_search import found_in

from domainclip.cli.main import main
from domainclip.data.audit import audit
from domainclip.data.audit_report import AuditReport
from domainclip.data.needles import COMMON, SHORT_NUMBER, TOO_SHORT
from domainclip.data.prepare import prepare
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.sources import open_dataset
from domainclip.domains.base import domains
from domainclip.errors import UsageError

PERSON = "Quillfeather^Ottoline"
ATTRIBUTES = {
    "PatientName": PERSON, "PatientID": "HN-4471", "PatientBirthDate": "19370211", "InstitutionName": "Saint Wendreda Infirmary",
    "StudyDescription": "Chest PA", "PatientAge": "088Y", "PatientSex": "F", "StudyTime": "101500", "StationName": "WX7",
    "StudyInstanceUID": "1.2.826.0.1.3680043.9.1234567.4711", "SeriesInstanceUID": "1.2.826.0.1.3680043.9.1234567.4712",
    "PatientComments": "Fell from a ladder in the orchard.", "OtherPatientNames": "Müllerstätt^Jörg",
}  # fmt: skip
SECRETS = ["quillfeather", "ottoline", "hn-4471", "19370211", "1937-02-11", "wendreda", "4711", "4712", "orchard", "müllerstätt"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """A source of four files of two people, its set, and the owner's folder."""
    base = tmp_path_factory.mktemp("audited")
    before = os.environ.get("DOMAINCLIP_HOME")
    os.environ["DOMAINCLIP_HOME"] = str(base / "home")
    rows = ["path,caption,group"]
    for number in range(4):
        folder = base / "src" / f"ward_{('quillfeather', 'longman')[number % 2]}"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"IM{number:04d}A.dcm", number)
        rows.append(f"{folder.name}/IM{number:04d}A.dcm,A long shadow of the left side,g{number}")
    (base / "src" / "manifest.csv").write_text("\n".join(rows) + "\n")
    (base / "src" / "ward_longman" / "IM0001A.txt").write_text(
        "PATIENT NAME: Featherstonehaugh, Peregrine\nMRN: 5512887\n\nFINDINGS: None."
    )
    prepare(open_dataset(base / "src", domain="radiology"), domains.get("radiology"), base / "set", workers=0)
    yield base / "src", base / "set", str(base / "home")
    os.environ.pop("DOMAINCLIP_HOME") if before is None else os.environ.update(DOMAINCLIP_HOME=before)


def _write(path: Path, number: int) -> None:
    import numpy as np
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for name, value in ATTRIBUTES.items():
        setattr(dataset, name, value)
    if number % 2:
        dataset.PatientName, dataset.PatientID, dataset.StudyInstanceUID = (
            "Shadow^Clara",
            f"ZR-99{number}",
            f"1.2.826.0.1.99.{number}5555",
        )
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.1", f"1.2.826.0.1.77.{number}", "CR"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = 32, 32, 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PhotometricInterpretation = 16, 12, 11, "MONOCHROME2"
    pixels = np.random.default_rng(number).integers(0, 4096, (32, 32), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def copied(original: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the set, into which a test may leak."""
    monkeypatch.setenv("DOMAINCLIP_HOME", original[2])
    shutil.copytree(original[1], tmp_path / "set")
    return tmp_path / "set"


def _told(report: AuditReport) -> bytes:
    return repr(report).encode()


def test_a_set_of_ours_is_clean(copied: Path) -> None:
    report = audit(copied)
    assert report.found == []
    assert report.clean
    assert report.source["files"] == 5
    assert report.source["reports"] == 1
    places = {"captions.parquet", "index.parquet", "index.parquet (footer)", "dataset.json", "headers of shards", "texts of shards"}
    assert places | {"JSON of shards", "metadata of pictures in shards", "names of files", "bytes of files"} <= set(report.places)
    assert report.places["bytes of files"] == sum(path.stat().st_size for path in copied.rglob("*") if path.is_file())


def test_what_is_not_looked_for_is_said(copied: Path) -> None:
    skipped = audit(copied).not_searched
    assert skipped[TOO_SHORT]["(0010,0040) Patient's Sex"] == 4
    assert skipped[TOO_SHORT]["(0008,1010) Station Name"] == 4
    assert skipped[SHORT_NUMBER]["(0008,0030) Study Time"] == 4
    assert skipped[COMMON]["(0008,1030) Study Description"] == 4


def _members(folder: Path, change: Callable[[str, bytes], tuple[str, bytes]]) -> None:
    """Writes the first shard anew with changed members; the index is left as it was."""
    path = folder / "00000.tar"
    with tarfile.open(path) as old:
        members = [(member.name, old.extractfile(member).read()) for member in old]  # type: ignore[union-attr]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as new:
        for number, (name, data) in enumerate(members):
            if number < 3:  # of the first image
                name, data = change(name, data)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))


def _text(folder: Path) -> None:
    _members(folder, lambda name, data: (name, data + b" HN-4471" if name.endswith(".txt") else data))


def _json(folder: Path) -> None:
    _members(
        folder, lambda n, d: (n, json.dumps({**json.loads(d), "x": {"y": ["HN-4471"]}}).encode() if n.endswith(".json") else d)
    )


def _png(folder: Path, compressed: bool = False) -> None:
    def change(name: str, data: bytes) -> tuple[str, bytes]:
        if not name.endswith(".png"):
            return name, data
        info, out = PngImagePlugin.PngInfo(), io.BytesIO()
        info.add_text("Comment", "of HN-4471", zip=compressed)
        Image.open(io.BytesIO(data)).save(out, "PNG", pnginfo=info)
        return name, out.getvalue()

    _members(folder, change)


def _member_name(folder: Path) -> None:
    _members(folder, lambda name, data: (f"HN-4471.{name}", data))


def _behind_png(folder: Path) -> None:
    _members(folder, lambda name, data: (name, data + b"HN-4471" if name.endswith(".png") else data))


def _cell(folder: Path, file: str = "captions.parquet", column: str = "text", value: str = "seen in HN-4471") -> None:
    table = pq.read_table(folder / file)
    cells = table.column(column).to_pylist()
    cells[1] = value
    number = table.schema.names.index(column)
    pq.write_table(table.set_column(number, column, pa.array(cells, pa.string())), folder / file, compression="zstd")


def _schema(folder: Path) -> None:
    table = pq.read_table(folder / "index.parquet")
    pq.write_table(table.replace_schema_metadata({"made for": "HN-4471"}), folder / "index.parquet")


def _dataset(folder: Path) -> None:
    card = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**card, "classes": {"of": ["HN-4471"]}}))


def _rejected(folder: Path) -> None:
    (folder / "rejected.jsonl").write_text(json.dumps({"key": "0", "reason": "M\u00fcllerst\u00e4tt J\u00f6rg is broken"}) + "\n")


def _comment(folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "contact_sheet.jpg", comment=b"HN-4471")


def _stray(folder: Path) -> None:
    (folder / "cache.bin").write_bytes(os.urandom(3_000_000) + "Saint Wendreda Infirmary".encode("utf-16-le") + os.urandom(1000))


def _behind_shard(folder: Path) -> None:
    with (folder / "00000.tar").open("ab") as file:
        file.write(b"Saint Wendreda Infirmary")


def _folder_name(folder: Path) -> None:
    (folder / "ward_quillfeather").mkdir()
    (folder / "ward_quillfeather" / "x").touch()


def _edge(folder: Path) -> None:
    """Where two pieces of the reading meet."""
    (folder / "cache.bin").write_bytes(bytes(2**20 - 9) + b"Saint Wendreda Infirmary" + bytes(100))


LEAKS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "text member": (_text, "texts of shards", "Patient ID"),
    "JSON member": (_json, "JSON of shards", "Patient ID"),
    "PNG text": (_png, "metadata of pictures in shards", "Patient ID"),
    "PNG compressed text": (lambda f: _png(f, True), "metadata of pictures in shards", "Patient ID"),
    "behind a PNG": (_behind_png, "metadata of pictures in shards", "Patient ID"),
    "member name": (_member_name, "headers of shards", "Patient ID"),
    "behind a shard": (_behind_shard, "bytes of files", "Institution Name"),
    "caption": (_cell, "captions.parquet", "Patient ID"),
    "institution": (lambda f: _cell(f, value="at saint  WENDREDA infirmary"), "captions.parquet", "Institution Name"),
    "birth date": (lambda f: _cell(f, value="born 11.02.1937"), "captions.parquet", "Birth Date"),
    "name turned": (lambda f: _cell(f, value="Ottoline Quillfeather"), "captions.parquet", "Patient's Name"),
    "name without accents": (lambda f: _cell(f, value="JORG MULLERSTATT"), "captions.parquet", "Other Patient Names"),
    "comment": (lambda f: _cell(f, value="She fell from a ladder in the orchard. X"), "captions.parquet", "Patient Comments"),
    "group unhashed": (lambda f: _cell(f, "index.parquet", "group", "HN-4471"), "index.parquet", "Patient ID"),
    "study in ids": (lambda f: _cell(f, "index.parquet", "ids", json.dumps({"study": ATTRIBUTES["StudyInstanceUID"]})),
                     "index.parquet", "Study Instance UID"),
    "statistics": (lambda f: _cell(f, "index.parquet", "group", "zz HN-4471"), "index.parquet (footer)", "Patient ID"),
    "schema": (_schema, "index.parquet (footer)", "Patient ID"),
    "dataset.json": (_dataset, "dataset.json", "Patient ID"),
    "rejected.jsonl": (_rejected, "rejected.jsonl", "Other Patient Names"),
    "JPEG comment": (_comment, "contact_sheet.jpg (metadata)", "Patient ID"),
    "file name": (lambda f: (f / "HN-4471.png").write_bytes(b""), "names of files", "Patient ID"),
    "folder name": (_folder_name, "names of files", "a file or"),
    "stray file in UTF-16": (_stray, "bytes of files", "Institution Name"),
    "between two pieces": (_edge, "bytes of files", "Institution Name"),
    "source file's name": (lambda f: _cell(f, value="see IM0003A.dcm"), "captions.parquet", "a file or folder name"),
    "report's name": (lambda f: _cell(f, value="Peregrine Featherstonehaugh"), "captions.parquet", "report, a line of a name"),
    "report's number": (lambda f: _cell(f, value="number 5512887"), "captions.parquet", "report, a number of its head"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LEAKS)
def test_leaks_are_found_where_they_are(kind: str, copied: Path) -> None:
    leak, place, attribute = LEAKS[kind]
    leak(copied)
    report = audit(copied)
    assert any(attribute in one.attribute and one.place == place for one in report.found), report.found
    assert not report.clean
    told = _told(report).lower()
    assert [secret for secret in SECRETS if secret.encode() in told] == []


def test_a_word_of_a_name_counts_in_an_image_of_that_person(copied: Path) -> None:
    """ "Effusion" is a surname of the second patient, and a word in everybody's captions."""
    report = audit(copied)
    assert report.clean
    assert any("somebody else" in kind for kind in report.warnings)
    hers = next(key for key, path in PreparedSet(copied).paths().items() if "longman" in path)
    _cell(copied, column="key", value=hers)  # the caption in row 1 becomes that of her image
    found = audit(copied).found
    assert [(one.attribute, one.where) for one in found if one.place == "captions.parquet"] == [
        ("(0010,0010) Patient's Name, a word of it", "captions.parquet, row 1, text"),
    ]


def test_numbers_of_ours_are_no_finding(copied: Path) -> None:
    _cell(copied, "index.parquet", "window", json.dumps({"x": 19370211, "y": 5512887}))
    _cell(copied, value="a part of 0.4471 or xHN-4471y")
    assert audit(copied).clean


def test_what_looks_like_an_identifier_is_a_warning(copied: Path) -> None:
    _cell(copied, value="Seen on 03/04/2019 by Dr Marchbanks, +44 20 7946 0958, a@b.example, MRN 881234567.")
    report = audit(copied)
    assert report.clean
    assert {f"looks like: {kind}" for kind in ("date", "name", "phone", "email", "id")} <= set(report.warnings)


def test_links_and_damaged_shards_are_told(copied: Path) -> None:
    (copied / "link.txt").symlink_to("/etc/hostname")
    data = bytearray((copied / "00000.tar").read_bytes())
    data[148:156] = b"00000000"
    (copied / "00000.tar").write_bytes(data)
    warnings = audit(copied).warnings
    assert sum(warnings.values()) >= 2
    assert any("links" in kind for kind in warnings)
    assert any("damaged" in kind for kind in warnings)


def test_by_folder_as_by_the_owners_map(original: tuple[Path, Path, str], copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = copied.parent / "moved"
    shutil.copytree(original[0], moved)
    _text(copied)
    by_map, by_folder = audit(copied), audit(copied, moved)
    assert {(one.hash, one.where) for one in by_map.found} == {(one.hash, one.where) for one in by_folder.found}
    monkeypatch.setenv("DOMAINCLIP_HOME", str(copied.parent / "another-owner"))
    other = audit(copied, moved)
    # Whose image a text belongs to is not told without the owner's key: single words of names count, to be safe.
    plain = {one.where for one in other.found if "a word of it" not in one.attribute}
    assert plain == {one.where for one in by_folder.found}
    assert other.found_counts["(0010,0010) Patient's Name, a word of it", "captions.parquet"] == 2
    assert not {one.hash for one in other.found} & {one.hash for one in by_folder.found}
    with pytest.raises(UsageError, match="owner's map is not on this machine"):
        audit(copied)


def test_sources_that_are_gone_are_no_clean_set(original: tuple[Path, Path, str], copied: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        audit(copied, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no file"):
        audit(copied, tmp_path / "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\xff" * 40)
    with pytest.raises(UsageError, match="None of its 1 source files"):
        audit(copied, tmp_path / "broken")


def test_the_verb(copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as clean:
        main(["audit", str(copied), "--json"])
    assert clean.value.code == 0
    assert json.loads(capfd.readouterr().out)["clean"] is True
    _text(copied)
    for words in ([], ["--json"]):
        with pytest.raises(SystemExit) as found:
            main(["audit", str(copied), *words])
        assert found.value.code == 1
        said = capfd.readouterr()
        assert "Patient ID" in said.out
        assert [secret for secret in SECRETS if secret in (said.out + said.err).lower()] == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(copied: Path) -> None:
    peaks = []
    for size in (8, 48):
        (copied / "cache.bin").write_bytes(os.urandom(2**20) * size)
        tracemalloc.start()
        audit(copied)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]


def test_every_attribute_that_is_planted_is_found(tmp_path: Path) -> None:
    """The audit's own reading of headers misses none: a set that holds the whole header leaks every row of the table."""
    planter = planted_dicom.Planter()
    (tmp_path / "src").mkdir()
    for number in range(3):
        image = planted_dicom.write_planted(tmp_path / "src" / f"image{number}.dcm", planter)
    prepare(open_dataset(tmp_path / "src", domain="radiology"), domains.get("radiology"), tmp_path / "set", workers=0)
    assert audit(tmp_path / "set").clean
    (tmp_path / "set" / "copy.bin").write_bytes(image.read_bytes())
    header = pydicom.dcmread(image)
    (tmp_path / "set" / "copy.txt").write_text(f"{header}\n{header.file_meta}")
    report = audit(tmp_path / "set")
    rows = {attribute.partition(",")[2].partition(") ")[2] for attribute, _ in report.found_counts}
    from domainclip.domains.radiology.confidentiality import listed_attributes

    expected = {row.name for row in listed_attributes() if planter.planted.get(row.name) or f"in {row.name}" in planter.planted}
    assert expected - {name.removesuffix(", a word of it") for name in rows} <= {"Patient's Age", "Selector AS Value"}
    assert found_in(_told(report), (word for words in planter.planted.values() for word in words)) == set()


def test_zlib_is_what_png_texts_are_made_of() -> None:
    """The reading of compressed chunks holds against zlib itself."""
    from domainclip.data.set_texts import picture_texts

    body = b"Title\0\0" + zlib.compress(b"of somebody")
    png = b"\x89PNG\r\n\x1a\n" + len(body).to_bytes(4, "big") + b"zTXt" + body + bytes(4)
    assert ("PNG chunk zTXt, inflated", "of somebody") in list(picture_texts(png))


def test_groups_and_ids_of_a_manifest_are_looked_for(original: tuple[Path, Path, str], copied: Path) -> None:
    moved = copied.parent / "moved"
    shutil.copytree(original[0], moved)
    rows = (moved / "manifest.csv").read_text().replace("caption,group", "caption,ids:patient").replace(",g0", ",Brockhurst-12")
    (moved / "manifest.csv").write_text(rows)
    _cell(copied, value="of brockhurst-12")
    assert {one.attribute for one in audit(copied, moved).found} == {"manifest, column ids"}
    (moved / "manifest.csv").write_text("patient;file\n1;2\n")
    assert any("manifest.csv" in kind for kind in audit(copied, moved).warnings)
