"""What identifies in reports of three kinds and in NIfTI headers, against files made by other means (csv, nibabel's layout)."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from domainclip.domains.identifying import identifying_values
from domainclip.errors import UnreadableFileError

XML = """<?xml version="1.0"?><eCitation><!-- Nobody^Here --><uId id="CXR1"/>
<PatientName>Quill, Ottoline</PatientName>
<x:accessionNumber xmlns:x="urn:y" value="AC-99012"/><note patientId="HN-4471">PA view</note>
<Author ValidYN="Y"><LastName>Wendreda</LastName><ForeName>Isolde</ForeName></Author><birth_date>19370211</birth_date>
<AbstractText Label="FINDINGS">PATIENT NAME: Longman, Clara
MRN: 5512887
The heart is of normal size.</AbstractText></eCitation>"""


def told(path):
    return {(one.attribute, one.kind, one.value) for one in identifying_values(path)}


def test_reports_in_xml(tmp_path):
    (tmp_path / "a.xml").write_text(XML)
    assert told(tmp_path / "a.xml") == {
        ("XML element patientname", "person", "Quill^Ottoline"),
        ("XML element accessionnumber", "text", "AC-99012"),
        ("XML attribute patientid", "text", "HN-4471"),
        ("XML element lastname", "person", "Wendreda"),
        ("XML element forename", "person", "Isolde"),
        ("XML elements of a last and a first name", "person", "Wendreda^Isolde"),
        ("XML element birthdate", "date", "19370211"),
        ("report, a line of a name", "person", "Longman^Clara"),
        ("report, a number of its head", "text", "5512887"),
    }


@pytest.mark.parametrize(
    "content",
    [
        b"<a><b></a>",
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a><author>&x;</author></a>',
        b"<a>" + b"x" * (4 * 2**20) + b"</a>",
    ],
)
def test_xml_that_is_refused(content, tmp_path):
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(UnreadableFileError):
        told(tmp_path / "a.xml")


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8"), (";", "latin-1"), ("\t", "utf-8-sig")])
def test_tables_by_a_closed_list_of_columns(separator, encoding, tmp_path):
    rows = [
        ["Patient_Name", "Nachname", "Vorname", "PatientBirth_DICOM", "MRN", "finding", "colour", "report"],
        ["Quill^Ottoline", "Müllerstätt", "Jörg", "19370211", "HN-4471", "effusion", "Teal", "PATIENT NAME: Longman, Clara"],
    ]
    (tmp_path / "a.csv").write_bytes("\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows).encode(encoding))
    assert told(tmp_path / "a.csv") == {
        ("CSV column patientname", "person", "Quill^Ottoline"),
        ("CSV column nachname", "person", "Müllerstätt"),
        ("CSV column vorname", "person", "Jörg"),
        ("CSV columns of a last and a first name", "person", "Müllerstätt^Jörg"),
        ("CSV column patientbirth", "date", "19370211"),
        ("CSV column mrn", "text", "HN-4471"),
        ("report, a line of a name", "person", "Longman^Clara"),
    }


def test_a_report_in_another_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes("PATIENT NAME: Müllerstätt, Jörg\n\nFINDINGS: None.".encode("latin-1"))
    assert told(tmp_path / "a.txt") == {("report, a line of a name", "person", "Müllerstätt^Jörg")}


def nifti(version, order, *extensions, pair=False):
    """A header by the offsets of nifti1.h and nifti2.h, with a word in each free text, and extensions of (code, bytes)."""
    size = {1: 348, 2: 540}[version]
    head = bytearray(size)
    struct.pack_into(f"{order}i", head, 0, size)
    places = {1: {4: b"Quillfeat", 14: b"db Ottoline", 148: b"M\xfcllerst\xe4tt 1937", 228: b"/ward/HN-4471", 328: b"intent word"},
              2: {240: b"Quillfeather", 320: b"/ward/HN-4471", 508: b"intent word"}}  # fmt: skip
    for at, text in places[version].items():
        head[at : at + len(text)] = text
    mark = b"ni" if pair else b"n+"
    if version == 1:
        head[344:348] = mark + b"1\0"
    else:
        head[4:12] = mark + b"2\0\r\n\x1a\n"
    packed = b""
    for code, data in extensions:
        whole = -(-(8 + len(data)) // 16) * 16
        packed += struct.pack(f"{order}2i", whole, code) + data.ljust(whole - 8, b"\0")
    end = 0 if pair else size + 4 + len(packed)
    struct.pack_into(*((f"{order}f", head, 108) if version == 1 else (f"{order}q", head, 168)), end)
    return bytes(head) + (b"\1" if extensions else b"\0") + bytes(3) + packed


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".hdr"])
def test_texts_of_nifti_headers(order, version, suffix, tmp_path):
    data = nifti(version, order, (4, b"<AFNI>of Saint Wendreda</AFNI>"), (6, b"\1\2Longman\0\3Clara\xff"), pair=suffix == ".hdr")
    data += b"" if suffix == ".hdr" else b"voxels of nobody"
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    seen = told(path)
    texts = {one[2] for one in seen}
    expected = {"intent word", "/ward/HN-4471", "<AFNI>of Saint Wendreda</AFNI>", "Longman", "Clara"}
    expected |= {"Quillfeat", "db Ottoline", "Müllerstätt 1937"} if version == 1 else {"Quillfeather"}
    assert texts == expected
    assert ("NIfTI header intent_name", "text", "intent word") in seen
    assert ("NIfTI extension of code 6", "text", "Longman") in seen


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_files_that_nibabel_writes(kind, suffix, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = getattr(nibabel, kind)(np.zeros((4, 4, 4), np.float32), np.eye(4))
    image.header["descrip"], image.header["aux_file"], image.header["intent_name"] = "of Longman", "HN-4471", "Clara"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"born 11.02.1937"))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("afni", b"<AFNI>Wendreda</AFNI>"))
    nibabel.save(image, tmp_path / f"a{suffix}")
    assert {one[2] for one in told(tmp_path / f"a{suffix}")} == {
        "of Longman",
        "HN-4471",
        "Clara",
        "born 11.02.1937",
        "<AFNI>Wendreda</AFNI>",
    }


def test_nifti_files_that_are_broken(tmp_path):
    whole = nifti(1, "<", (6, b"Longman"))
    far = bytearray(whole)
    struct.pack_into("<f", far, 108, 2.0**30)
    nan = bytearray(whole)
    struct.pack_into("<f", nan, 108, float("nan"))
    long = bytearray(whole)
    struct.pack_into("<i", long, 352, 2**20)
    cases = {
        "no.nii": b"nothing", "zero.nii": b"", "cut.nii": whole[:347], "far.nii": far, "nan.nii": nan, "long.nii": long,
        "cut.nii.gz": gzip.compress(whole)[:40], "bad.nii.gz": b"\x1f\x8b\x08\0junk" * 9, "odd.nii.gz": b"\x1f\x8b",
    }  # fmt: skip
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableFileError):
            told(tmp_path / name)
            pytest.fail(name)
    (tmp_path / "envi.hdr").write_text("ENVI\nsamples = 3\n")
    assert told(tmp_path / "envi.hdr") == set()


def test_a_gzip_bomb_is_not_inflated(tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    path = tmp_path / "a.nii.gz"
    with path.open("wb") as file:
        file.write(packer.compress(nifti(1, "<")))
        for _ in range(200):
            file.write(packer.compress(bytes(2**20)))
        file.write(packer.flush())
    tracemalloc.start()
    assert len(told(path)) == 5
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20
