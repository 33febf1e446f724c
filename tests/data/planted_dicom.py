"""DICOM files with a different made-up identifier in every attribute of PS3.15 Table E.1-1, written by pydicom."""

from __future__ import annotations

import datetime
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from domainclip.domains.dicom_kind import quiet_pydicom
from domainclip.domains.radiology.confidentiality import listed_attributes

SIDE = 32
# The group of commands stands in no file of an archive; pydicom reads it where it comes first (PS3.7 E).
COMMANDS = (0x00001000, 0x00001001)


@dataclass
class Planter:
    """Makes values that are legal for their VR, each once, and remembers them.

    Attributes:
        planted: Attribute to what of it may be found nowhere.
    """

    planted: dict[str, list[str]] = field(default_factory=dict)
    count: int = 0

    def value(self, name: str, vr: str) -> object:
        """Returns a value of this VR and remembers what to look for."""
        self.count += 1
        n = self.count
        word = f"QZ{n:05d}XK"
        day = datetime.date(1900, 1, 1) + datetime.timedelta(days=n)
        made: dict[str, tuple[object, list[str]]] = {
            "PN": (f"Zqname{n:05d}x^Zqgiven{n:05d}x", [f"Zqname{n:05d}x", f"Zqgiven{n:05d}x"]),
            "DA": (f"{day:%Y%m%d}", [f"{day:%Y%m%d}", f"{day:%Y-%m-%d}"]),
            "TM": (f"101112.3{n:05d}", [f"101112.3{n:05d}"]),
            "DT": (f"{day:%Y%m%d}101112.4{n:05d}", [f"{day:%Y%m%d}", f"101112.4{n:05d}"]),
            "UI": (f"1.2.826.0.1.9999999.77{n:05d}77", [f"9999999.77{n:05d}77"]),
            "UR": (f"http://{word}.invalid/", [word]),
            "AS": ("087Y", ["087Y"]),
            "IS": (f"771{n:05d}", [f"771{n:05d}"]),
            "DS": (f"772.{n:05d}", [f"772.{n:05d}"]),
            "FD": (7730000.0 + n, [f"773{n:04d}"]),
            "FL": (7740000.0 + n, [f"774{n:04d}"]),
            "US": (n, []),  # a number of 65535 says nobody's name, and would be found in every index
            "UL": (775000000 + n, [f"775{n:06d}"]),
        }
        if vr in {"OB", "OW", "UN", "OB or OW"}:
            value, seek = f"{word}binary{word} ".encode().ljust(SIDE * SIDE // 8), [f"{word}binary"]
        else:
            value, seek = made.get(vr, (word, [word]))
        self.planted.setdefault(name, []).extend(seek)
        return value

    def element(self, tag: int, name: str) -> DataElement:
        """Returns an element of this tag; sequences hold items with named, private and nested elements."""
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "SQ" if name.endswith("Sequence") else "UN"
        vr = {"US or SS": "US", "OB or OW": "OW", "US or OW": "OW"}.get(vr, vr)
        if vr == "SQ":
            return DataElement(tag, "SQ", Sequence([self.item(name, 2), self.item(name, 0)]))
        return DataElement(tag, vr, self.value(name, vr))

    def item(self, name: str, depth: int) -> Dataset:
        """Returns an item of a sequence, with as many sequences nested in it as ``depth`` says."""
        item = Dataset()
        item.CodeMeaning = self.value(f"in {name}", "LO")
        item.PersonName = self.value(f"in {name}", "PN")
        item.UID = self.value(f"in {name}", "UI")
        item.private_block(0x0011, "Maker within", create=True).add_new(0x01, "LO", self.value(f"private in {name}", "LO"))
        if depth:
            item.ConceptCodeSequence = [self.item(name, depth - 1)]
        return item


def planted_header(planter: Planter) -> Dataset:
    """Returns an image without pixels that holds every listed attribute, and private ones of several kinds."""
    dataset, meta = Dataset(), FileMetaDataset()
    for row in listed_attributes():
        if row.pattern == "ggggeeee":
            block = dataset.private_block(0x0009, str(planter.value("private creator", "LO")), create=True)
            for offset, vr in enumerate(("LO", "PN", "DA", "UN", "OB", "UI"), start=1):
                block.add_new(offset, vr, planter.value("private", vr))
            block.add_new(0x20, "SQ", Sequence([planter.item("private sequence", 1)]))
            continue
        tags = {"50xxxxxx": (0x50000030, 0x50002500), "60xx3000": (0x60003000, 0x60023000), "60xx4000": (0x60004000,)}
        for tag in tags.get(row.pattern) or (int(row.pattern, 16),):
            if tag in COMMANDS:
                continue
            (meta if tag >> 16 == 0x0002 else dataset).add(planter.element(tag, row.name))
    for tag in (0x60000010, 0x60000011, 0x60020010, 0x60020011):
        dataset.add(DataElement(tag, "US", SIDE))
    meta.SourceApplicationEntityTitle = planter.value("file meta", "AE")
    meta.PrivateInformationCreatorUID = planter.value("file meta", "UI")
    meta.PrivateInformation = planter.value("file meta", "OB")
    meta.ImplementationVersionName = planter.value("file meta", "SH")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.Modality, dataset.BurnedInAnnotation = "1.2.840.10008.5.1.4.1.1.1", "CR", "NO"
    # Free words where the standard has defined terms: sloppy systems write names there.
    dataset.BodyPartExamined, dataset.ViewPosition = planter.value("body part", "CS"), planter.value("view", "CS")
    return dataset


def write_planted(path: Path, planter: Planter, **elements: object) -> Path:
    """Writes such a file with noise as its pixels; ``elements`` win."""
    dataset = planted_header(planter)
    pixels = np.random.default_rng(planter.count).integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = SIDE, SIDE, 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PhotometricInterpretation = 16, 12, 11, "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    plain = path.with_name("draft")
    with quiet_pydicom():
        dataset.save_as(plain, enforce_file_format=False, implicit_vr=False, little_endian=True)
    path.write_bytes(_with_commands(plain.read_bytes(), planter))
    plain.unlink()
    return path


def _with_commands(data: bytes, planter: Planter) -> bytes:
    """Puts the command group between file meta information and data set, implicit little-endian as PS3.7 6.3 has it."""
    if data[128:132] != b"DICM":
        data = bytes(128) + b"DICM" + data
    end = 132 + 12 + struct.unpack("<L", data[140:144])[0]
    commands = b""
    for tag in COMMANDS:
        value = str(planter.value("command", "UI")).encode()
        value += b"\0" * (len(value) % 2)
        commands += struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
    return data[:end] + commands + data[end:]
