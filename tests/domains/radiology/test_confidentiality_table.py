"""The attribute table of PS3.15 Table E.1-1, against pydicom's dictionary and hand-picked rows."""

from __future__ import annotations

import re

import pydicom
import pytest
from pydicom.datadict import dictionary_description, dictionary_has_tag
from pydicom.dataset import Dataset, FileMetaDataset

from domainclip.domains.radiology.confidentiality import identifying_elements, listed_attribute, listed_attributes

# pydicom 3.0.2 misspells two names ("GenerationMode"); the table of 2026c writes "Of" where the dictionary writes "of".
_SPELT_OTHERWISE = {"300a067c", "300a067d", "001811bb"}


def test_every_row_is_well_formed_and_once() -> None:
    rows = listed_attributes()
    assert len(rows) == 432 + 224
    assert len({row.pattern for row in rows}) == len(rows)
    for row in rows:
        assert re.fullmatch(r"[0-9a-fx]{8}|ggggeeee", row.pattern), row
        assert re.fullmatch(r"[XZDUKC](/[XZDUKC]\*?)*", row.action), row
        assert row.name.strip() == row.name != ""


def test_names_are_those_of_the_data_dictionary() -> None:
    plain = [row for row in listed_attributes() if re.fullmatch("[0-9a-f]{8}", row.pattern)]
    known = [row for row in plain if dictionary_has_tag(int(row.pattern, 16))]
    assert len(known) >= 600
    wrong = {row.pattern for row in known if dictionary_description(int(row.pattern, 16)) != row.name}
    assert wrong <= _SPELT_OTHERWISE


@pytest.mark.parametrize(
    ("tag", "name", "action"),
    [
        (0x00100010, "Patient's Name", "Z"),
        (0x0008002A, "Acquisition DateTime", "X/Z/D"),
        (0x00081140, "Referenced Image Sequence", "X/Z/U*"),
        (0x50001030, "Curve Data", "X"),
        (0x501E3000, "Curve Data", "X"),
        (0x60003000, "Overlay Data", "X"),
        (0x601E4000, "Overlay Comments", "X"),
        (0x00091001, "Private attributes", "X"),
        (0x00290010, "Private attributes", "X"),
        (0x00100012, "Name to Use", "X"),
    ],
)
def test_rows_and_patterns(tag: int, name: str, action: str) -> None:
    row = listed_attribute(tag)
    assert row is not None
    assert (row.name, row.action) == (name, action)


@pytest.mark.parametrize("tag", [0x00280010, 0x60000010, 0x7FE00010, 0x00080060])
def test_harmless_attributes_are_not_listed(tag: int) -> None:
    assert listed_attribute(tag) is None


def test_what_lies_in_listed_sequences_private_blocks_and_file_meta_is_told() -> None:
    coded, inner, header = Dataset(), Dataset(), Dataset()
    coded.CodeMeaning = "Planted meaning"  # not listed itself
    inner.ConceptNameCodeSequence = [coded]
    header.RequestAttributesSequence = [inner]
    header.private_block(0x0009, "Planted maker", create=True).add_new(0x01, "LO", "Planted private")
    header.Modality = "CR"
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.6"
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    found = {(one.attribute, one.value) for one in identifying_elements(header)}
    assert found == {
        ("(0040,0275) Request Attributes Sequence", "Planted meaning"),
        ("(0009,0010) Private attributes", "Planted maker"),
        ("(0009,1001) Private attributes", "Planted private"),
        ("(0002,0003) Media Storage SOP Instance UID", "1.2.3.4.5.6"),
    }
