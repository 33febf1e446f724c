"""What in a source file identifies people: headers of DICOM and NIfTI, texts in pictures, slides and reports; for ``audit``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domainclip.domains import magic
from domainclip.domains.dicom_kind import DEFLATED
from domainclip.domains.identifying_reports import of_table, of_text, of_xml
from domainclip.domains.identifying_value import Identifying, unreadable
from domainclip.domains.radiology.nifti_texts import is_nifti, nifti_texts
from domainclip.errors import FOREIGN_ERRORS

_TIFF_TAGS = {306: "DateTime", 315: "Artist", 316: "HostComputer", 33432: "Copyright"}
# Aperio writes "name = value" between bars into ImageDescription; these fields tell of people, places and times.
_SLIDE_FIELDS = frozenset(("filename", "user", "date", "time", "title", "imageid", "scanscope id", "barcode", "patient", "case"))
_DEFERRED_BYTES = 2**16
_REPORTS = {".txt": of_text, ".xml": of_xml, ".csv": of_table}


def identifying_values(path: Path) -> Iterator[Identifying]:
    """Yields what identifies in one file's metadata; nothing for files of no known kind. Pixels are never decoded.

    Raises:
        UnreadableFileError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(magic.DICOM_HEAD_BYTES)
        if magic.is_dicom(head):
            yield from _of_dicom(path)
        elif head.startswith((magic.PNG, magic.JPEG)):
            yield from _of_picture(path)
        elif head[:4] in magic.TIFF:
            yield from _of_tiff(path)
        elif is_nifti(path, head):
            yield from nifti_texts(path)
        elif reader := _REPORTS.get(path.suffix.lower()):
            yield from reader(path)
    except (*FOREIGN_ERRORS, MemoryError) as error:
        raise unreadable(f"It cannot be read ({type(error).__name__}).", "See whether it is damaged.") from error


def _of_dicom(path: Path) -> Iterator[Identifying]:
    import pydicom

    from domainclip.domains.radiology.confidentiality import identifying_elements
    from domainclip.domains.radiology.dicom import foreign_decoder, read_dataset
    from domainclip.domains.radiology.reading import RadiologyReading, check_file_size

    limits = RadiologyReading()
    check_file_size(path.stat().st_size, limits)
    with foreign_decoder("Reading its DICOM header"):
        deflated = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == DEFLATED
        # Signatures and private groups may lie behind the pixels, which are passed over; what is deflated is read within bounds.
        header = read_dataset(path, limits, pixels=True) if deflated else pydicom.dcmread(path, defer_size=_DEFERRED_BYTES)
        yield from identifying_elements(header)


def _of_picture(path: Path) -> Iterator[Identifying]:
    from PIL import Image

    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        texts = [value for name, value in picture.info.items() if name not in {"exif", "icc_profile"}]
        told: dict[str, Any] = {f"{picture.format} text {number}": value for number, value in enumerate(texts, start=1)}
        told |= {f"EXIF 0x{tag:04x}": value for tag, value in picture.getexif().items()}
    for name, value in told.items():
        if isinstance(value, bytes):
            yield Identifying(name, "bytes", value)
        elif isinstance(value, str):
            yield Identifying(name, "text", value)


def _of_tiff(path: Path) -> Iterator[Identifying]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        tags = {tag.code: tag.value for tag in page.tags.values() if tag.dtype == 2 and isinstance(tag.value, str)}  # 2: ASCII
    for code, name in _TIFF_TAGS.items():
        if value := tags.get(code, "").strip():
            yield Identifying(f"TIFF {name}", "text", value)
    for field in re.split(r"[|\n]", tags.get(270, "")):
        name, _, value = field.partition("=")
        if name.strip().lower() in _SLIDE_FIELDS and value.strip():
            yield Identifying(f"ImageDescription {name.strip().lower()}", "text", value.strip())
