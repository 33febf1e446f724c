"""Hostile DICOM files by name: each ends soon, in bounds of memory, as a refusal that a person can act on and that names nobody."""

import io
import json
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

from domainclip.config import DataConfig
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.sample import SourceItem

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HH", 0xFFFE, element) for element in (0xE000, 0xE00D, 0xE0DD))
OPEN = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + ITEM + b"\xff\xff\xff\xff"
CLOSE = ITEM_END + bytes(4) + SEQUENCE_END + bytes(4)
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
READ = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_hostile_dicom import looked_at
print(json.dumps(looked_at(Path(sys.argv[2]), json.loads(sys.argv[3]))))
"""


def looked_at(path, reading):
    """Inspects and reads a file; returns what each step said."""
    domain, found = domains.get("radiology"), {}
    for step in ("inspect", "read"):
        try:
            if step == "inspect":
                domain.inspect(path)
            else:
                next(domain.samples(SourceItem(path, "x"), domain.reading_model(**reading))).read()
            found[step] = "read"
        except UnreadableFileError as error:
            found[step] = str(error)
    return found


def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_DATA, (3 * 2**30, 3 * 2**30))


def ends(path, **reading):
    """Inspects and reads a file in a process of 20 s and 3 GiB; returns what was said."""
    words = [sys.executable, "-c", READ, str(Path(__file__).parent), str(path), json.dumps(reading)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, preexec_fn=limits, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stderr, done.stderr
    return json.loads(done.stdout)


def refused(path, words, secrets, *, apart=True, **reading):
    """Reading refuses for the reason, and inspect names nobody; where nothing can run away, in this process."""
    said = ends(path, **reading) if apart else looked_at(path, reading)
    assert words in said["read"] and "To do: " in said["read"]
    text = said["inspect"] + said["read"]
    assert not any(secret in text for secret in (*secrets, path.stem, str(path.parent)))
    return said


@pytest.fixture
def good(ramp, make_dicom, tmp_path):
    """(bytes in front of the pixel data element, that element) of a file that is read."""
    data = make_dicom(tmp_path / "good.dcm", ramp, **WINDOW).read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00")
    return data[:at], data[at:]


def with_header(good, added, path):
    """Puts bytes behind the first elements, where the tag (0008,1140) belongs."""
    head, pixels = good
    at = head.index(b"\x10\x00\x10\x00PN")
    path.write_bytes(head[:at] + added + head[at:] + pixels)
    return path


@pytest.mark.parametrize("closed", [True, False])
def test_ten_thousand_levels(closed, good, secrets, tmp_path):
    deep = OPEN * 10_000 + (CLOSE * 10_000 if closed else b"")
    refused(with_header(good, deep, tmp_path / "Doe.dcm"), "Reading its DICOM header failed (RecursionError)", secrets)


def test_ten_thousand_levels_of_known_length(good, secrets, tmp_path):
    inner = b""
    for _ in range(10_000):
        item = ITEM + struct.pack("<I", len(inner)) + inner
        inner = b"\x08\x00\x40\x11SQ\0\0" + struct.pack("<I", len(item)) + item
    # Read when asked for; those who look for names in it walk it level by level.
    assert set(ends(with_header(good, inner, tmp_path / "Doe.dcm")).values()) == {"read"}


@pytest.mark.parametrize("reach", [2**31, 2**32 - 2, 4096, 24])
def test_items_that_hold_themselves(reach, good, secrets, tmp_path):
    """An item claims to reach over its own sequence, a cycle as far as lengths can make one."""
    sequence = b"\x08\x00\x40\x11SQ\0\0" + struct.pack("<I", reach) + ITEM + struct.pack("<I", reach) + OPEN
    said = ends(with_header(good, sequence, tmp_path / "Doe.dcm"))
    assert all("To do: " in words and not any(secret in words for secret in secrets) for words in said.values())


@pytest.mark.parametrize("length", [2**31, 2**32 - 2])
def test_huge_lengths(length, good, secrets, tmp_path):
    value = b"\x08\x00\x40\x11OB\0\0" + struct.pack("<I", length) + b"four"
    # Python asks the system for as much at once: under a limit of memory that is the reason, else that the rest is missing.
    said = refused(with_header(good, value, tmp_path / "Doe.dcm"), "Found: ", secrets)
    assert "holds no picture" in said["read"] or "(MemoryError)" in said["read"]


@pytest.mark.slow
def test_a_flood_of_elements(good, secrets, tmp_path):
    head, pixels = good
    path = tmp_path / "Doe.dcm"
    path.write_bytes(head + bytes(10 * 2**20) + pixels)
    refused(path, "more elements than any image needs", secrets)
    hidden = ITEM + struct.pack("<I", 10 * 2**20) + bytes(10 * 2**20)
    sequence = b"\x08\x00\x40\x11SQ\0\0" + struct.pack("<I", len(hidden)) + hidden
    refused(with_header(good, sequence, path), "more elements than any image needs", secrets)


def deflated(head, body, path):
    length = struct.unpack_from("<I", head, 140)[0]
    path.write_bytes(head[: 144 + length] + body)
    return path


@pytest.fixture
def deflated_head(ramp, make_dicom, tmp_path):
    return make_dicom(tmp_path / "d.dcm", ramp, syntax=DeflatedExplicitVRLittleEndian, **WINDOW).read_bytes()


@pytest.mark.slow
def test_deflated_bombs(deflated_head, secrets, tmp_path):
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join([*(press.compress(bytes(2**20)) for _ in range(600)), press.flush()])
    refused(deflated(deflated_head, bomb, tmp_path / "Doe.dcm"), "limit is 512 MiB", secrets)
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    small = press.compress(bytes(10 * 2**20)) + press.flush()
    refused(deflated(deflated_head, small, tmp_path / "Doe.dcm"), "more elements than any image needs", secrets)


def test_bytes_behind_a_deflated_end(make_dicom, tmp_path):
    """Stopped at a mebibyte of output and asked again, zlib says forever that they are left."""
    path = make_dicom(tmp_path / "Doe.dcm", np.zeros((1024, 1024), np.uint16), syntax=DeflatedExplicitVRLittleEndian, **WINDOW)
    path.write_bytes(path.read_bytes() + b"behind" * 100)
    assert set(ends(path).values()) == {"read"}


@pytest.mark.slow
def test_a_group_length_that_lies_does_not_hide_a_bomb(deflated_head, secrets, tmp_path):
    start = 144 + struct.unpack_from("<I", deflated_head, 140)[0]
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join([*(press.compress(bytes(2**20)) for _ in range(600)), press.flush()])
    data = bytearray(deflated_head[:start] + bomb + deflated_head[start:])
    struct.pack_into("<I", data, 140, start - 144 + len(bomb))
    path = tmp_path / "Doe.dcm"
    path.write_bytes(data)
    refused(path, "limit is 512 MiB", secrets)


@pytest.mark.parametrize(
    "size", [{"Rows": 60_000, "Columns": 60_000}, {"Rows": 60_000, "Columns": 60_000, "NumberOfFrames": 30_000}]
)
def test_sixty_thousand_by_sixty_thousand(size, ramp, make_dicom, secrets, tmp_path):
    path = make_dicom(tmp_path / "Doe.dcm", ramp, **WINDOW, **size)
    refused(path, "6866 MiB; the limit is 512 MiB", secrets, frame=0)


@pytest.mark.parametrize("frame", [0, 29_999])
def test_thirty_thousand_frames_of_one(frame, ramp, make_dicom, secrets, tmp_path):
    path = make_dicom(tmp_path / "Doe.dcm", ramp, **WINDOW, NumberOfFrames=30_000)
    refused(path, "cut short", secrets, frame=frame)
    frames = encapsulate([b"\xff\xd8\xff\xd9"])
    path = make_dicom(tmp_path / "Doe.dcm", ramp, **WINDOW, NumberOfFrames=30_000)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID, dataset.PixelData = UID("1.2.840.10008.1.2.4.70"), frames
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    refused(path, "compressed pixels", secrets, frame=frame)


@pytest.mark.parametrize("part", ["sequence", "pixels"])
def test_undefined_lengths_cut_short(part, good, secrets, tmp_path):
    head, _ = good
    path = tmp_path / "Doe.dcm"
    cut = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + ITEM + bytes(4) + ITEM + struct.pack("<I", 4096) + bytes(99)
    path.write_bytes(head + (OPEN if part == "sequence" else cut))
    refused(path, "", secrets)


WRONG = {
    "text for a number": (b"\x28\x00\x10\x00US\x02\0", b"\x28\x00\x10\x00LO\x02\0", "no rows, columns or bits"),
    "a sequence for text": (b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00SQ", ""),
    "none at all": (b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00\x01\x02", ""),
    "an unknown one for the bits": (b"\x28\x00\x01\x01US", b"\x28\x00\x01\x01Ur", "BitsStored cannot be read"),
    "a decimal for pixels": (b"\x28\x00\x00\x01US\x02\0", b"\x28\x00\x00\x01DS\x02\0", "no rows, columns or bits"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_representations(name, good, secrets, tmp_path):
    right, wrong, words = WRONG[name]
    data = b"".join(good)
    assert data.count(right) == 1
    path = tmp_path / "Doe.dcm"
    path.write_bytes(data.replace(right, wrong))
    refused(path, words, secrets, apart=False)


def test_a_wrong_representation_elsewhere_costs_nothing(good, secrets, tmp_path):
    """The patient's date of birth is none; the pixels are read, and what was in the element stays where it is."""
    path = tmp_path / "Doe.dcm"
    path.write_bytes(b"".join(good).replace(b"\x10\x00\x30\x00DA", b"\x10\x00\x30\x00FD"))
    assert set(looked_at(path, {}).values()) == {"read"}


CHARACTERS = ["ISO 2022 IR 87", "\\ISO 2022 IR 149", "ISO_IR 192", "Brightwater", "GB18030", "ISO_IR 999"]


@pytest.mark.parametrize("named", CHARACTERS)
def test_broken_character_sets(named, ramp, make_dicom, secrets, tmp_path):
    path = make_dicom(tmp_path / "Doe.dcm", ramp, **WINDOW, SpecificCharacterSet="ISO_IR 192", PatientID="PID-7734519-xxxxxxxx")
    data = path.read_bytes().replace(b"ISO_IR 192", named.encode()[:10].ljust(10))
    path.write_bytes(data.replace(b"Brightwater^Cordelia", b"Brightw\xe9\xff\x1b$B\xff\xff\x1b(J\x80Cor"[:20].ljust(20)))
    assert looked_at(path, {}) == {"inspect": "read", "read": "read"}


def write(path, sop_class, **elements):
    """Writes an object without pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID, dataset.file_meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, sop_class
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.StudyInstanceUID = sop_class, generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID = "Brightwater^Cordelia", "PID-7734519"
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


OBJECTS = {
    "encapsulated PDF": (PDF, {"Modality": "DOC", "EncapsulatedDocument": b"%PDF-1.7 Brightwater"}),
    "PDF that calls itself CR": (PDF, {"Modality": "CR", "EncapsulatedDocument": b"%PDF-1.7 Brightwater"}),
    "structured report": ("1.2.840.10008.5.1.4.1.1.88.11", {"Modality": "SR"}),
    "presentation state": ("1.2.840.10008.5.1.4.1.1.11.1", {"Modality": "PR"}),
    "waveform": ("1.2.840.10008.5.1.4.1.1.9.1.1", {"Modality": "ECG"}),
    "raw data": ("1.2.840.10008.5.1.4.1.1.66", {"Modality": "MR"}),
    "surface mesh": ("1.2.840.10008.5.1.4.1.1.66.5", {"Modality": "SEG"}),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_that_are_no_image(name, secrets, tmp_path):
    sop_class, elements = OBJECTS[name]
    refused(write(tmp_path / "Doe.dcm", sop_class, **elements), "It holds no picture", secrets, apart=False)


def dicomdir(path, target):
    """An index whose only record refers to a file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, "1.2.840.10008.1.3.10"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    index, record = Dataset(), Dataset()
    index.file_meta = meta
    record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag, record.OffsetOfReferencedLowerLevelDirectoryEntity = 0, 0xFFFF, 0
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", target
    record.ReferencedSOPClassUIDInFile, record.ReferencedSOPInstanceUIDInFile = "1.2.840.10008.5.1.4.1.1.1", generate_uid()
    index.FileSetID, index.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = "SET", 0
    index.DirectoryRecordSequence = [record]
    file = io.BytesIO()
    pydicom.dcmwrite(file, index, enforce_file_format=True)
    path.write_bytes(file.getvalue())
    return path


@pytest.mark.parametrize("target", [["..", "..", "etc", "passwd"], ["/etc/passwd"], ["..", "outside.dcm"]])
@pytest.mark.parametrize("name", ["DICOMDIR", "index.dcm"])
def test_a_dicomdir_is_not_followed(name, target, radiology, ramp, make_dicom, secrets, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    make_dicom(tmp_path / "outside.dcm", ramp, **WINDOW)
    make_dicom(folder / "inside.dcm", ramp, **WINDOW)
    path = dicomdir(folder / name, target)
    refused(path, "It holds no picture", secrets, apart=False)
    prepared = prepare(open_source(DataConfig(source=str(folder)), radiology), radiology, tmp_path / "set", workers=1)
    assert prepared.card["counts"]["images"] == 1
    seen = b"".join(part.read_bytes() for part in Path(tmp_path / "set").rglob("*") if part.is_file())
    assert b"root:" not in seen and b"etc/passwd" not in seen and b"outside.dcm" not in seen
    (folder / "inside.dcm").unlink()
    with pytest.raises(UsageError):
        prepare(open_source(DataConfig(source=str(folder)), radiology), radiology, tmp_path / "empty", workers=1)


def test_a_folder_of_hostile_files_beside_a_good_one(good, deflated_head, radiology, ramp, make_dicom, secrets, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    make_dicom(folder / "good.dcm", ramp, **WINDOW)
    with_header(good, OPEN * 10_000, folder / "deep.dcm")
    make_dicom(folder / "large.dcm", ramp, **WINDOW, Rows=60_000, Columns=60_000)
    write(folder / "pdf.dcm", PDF, Modality="DOC", EncapsulatedDocument=b"%PDF-1.7 Brightwater")
    deflated(deflated_head, zlib.compress(bytes(2**20))[2:-4], folder / "zeros.dcm")
    (folder / "cut.dcm").write_bytes(b"".join(good)[:-1000])
    prepared = prepare(open_source(DataConfig(source=str(folder)), radiology), radiology, tmp_path / "set", workers=1)
    assert prepared.card["counts"]["images"] == 1 and prepared.card["counts"]["rejected"] == 5
    text = (tmp_path / "set" / "rejected.jsonl").read_text()
    assert not any(secret in text for secret in (*secrets, "pdf.dcm", "deep.dcm"))
