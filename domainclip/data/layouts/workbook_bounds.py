"""Bounds of Excel workbooks, checked before openpyxl has one: it keeps 300 bytes of each element of a row, and all texts, styles.

16 KB of a workbook may be a row of three million cells. Sheets are read row by row, so their rows are bounded; the other parts are
read whole, so all of each is.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from domainclip.data.layouts import bounds

_MAX_BYTES = 2**30
_MAX_ELEMENTS = 2**22
"""Of all parts that are read whole: a million texts."""
_MAX_ROW_ELEMENTS = 2**18
"""Excel has 16,384 columns, and a cell with formatted text a handful of elements."""
_MAX_ROWS = 2**21
_SHEETS = "xl/worksheets/"
_TYPES = "[Content_Types].xml"
_ROW = "http://schemas.openxmlformats.org/spreadsheetml/2006/main row"
_ROWS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main sheetData"
_PIECE = 2**16


def check_workbook(path: Path) -> None:
    """Reads a workbook through once.

    Raises:
        ValueError: It is larger than can be read, or uses a sheet as something else.
        BadZipFile: It is no workbook.
        ExpatError: A sheet is no XML; one that only ends early is openpyxl's to tell.
    """
    with zipfile.ZipFile(path) as parts:  # which reads no more of a part than its directory says
        infos = parts.infolist()
        if (size := sum(info.file_size for info in infos)) > _MAX_BYTES:
            raise ValueError(f"unpacked it has {size} bytes, and at most {_MAX_BYTES} are read; save the sheet as CSV")
        signs = 0
        for info in infos:
            if info.filename.startswith(_SHEETS):
                _check_sheet(_pieces(parts, info.filename))
                continue
            for piece in _pieces(parts, info.filename):
                signs += piece.count(b"<")
                if signs > _MAX_ELEMENTS:
                    raise ValueError("it has more texts and styles than can be held at once; save the sheet as CSV")
        _check_types(parts)


def _pieces(parts: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with parts.open(name) as part:
        while piece := part.read(_PIECE):
            yield piece


def _check_types(parts: zipfile.ZipFile) -> None:
    """Raises ValueError where what lies among the sheets is called something else, and would be read whole."""
    wrong = list[str]()

    def begins(name: str, attributes: dict[str, str]) -> None:
        told = attributes.get("PartName", "").lstrip("/").startswith(_SHEETS)
        if told and not attributes.get("ContentType", "").endswith(".worksheet+xml"):
            wrong.append(name)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = begins
    for piece in _pieces(parts, _TYPES) if _TYPES in parts.namelist() else ():
        parser.Parse(piece)
    if wrong:
        raise ValueError("it uses a sheet as something else")


def _check_sheet(pieces: Iterator[bytes]) -> None:
    depth = elements = rows = began = 0

    def begins(name: str, _: object) -> None:
        nonlocal depth, elements, rows, began
        if depth == 2 and name == _ROW:  # only there does another row's end come first
            elements, rows, began = 0, rows + 1, parser.CurrentByteIndex
        depth += 1
        elements += 1
        if elements > _MAX_ROW_ELEMENTS or rows > _MAX_ROWS:
            what = f"a row, or what stands beside the rows, has more than {_MAX_ROW_ELEMENTS} parts"
            raise ValueError(f"{what}, or there are more than {_MAX_ROWS} rows; save the sheet as CSV")

    def ends(name: str) -> None:
        nonlocal depth, elements, began
        depth -= 1
        if depth == 1 and name == _ROWS:  # what follows is no part of the last row
            elements, began = 0, parser.CurrentByteIndex

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = begins, ends
    read = 0
    for piece in pieces:
        parser.Parse(piece)
        read += len(piece)
        if read - began > bounds.MAX_ROW:
            raise ValueError(f"a row, or what stands beside the rows, has more than {bounds.MAX_ROW} bytes; save the sheet as CSV")
