"""Open-i's XML (Indiana University chest radiographs): one report a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from domainclip.captions.headings import DESCRIBING, Heading, headings, language_of
from domainclip.errors import UnreadableFileError, missing_dependency

MAX_XML_BYTES = 4 * 2**20
_ASKED = "A report in Open-i's XML was to be read."
_REMEDY = "Check that it is a file of ecgen-radiology, and fetch it again."


def parse_openi_xml(path: Path) -> dict[str, Any]:
    """Reads a report of the Indiana University collection (Open-i) with a parser that expands no entities.

    Args:
        path: An XML file of at most 4 MiB.

    Returns:
        ``id`` (uId), ``sections`` (as ``parse_report``), ``language`` (that of the labels, or None), ``mesh`` (major terms) and
        ``images``: identifier to caption.

    Raises:
        UnreadableFileError: It is no such XML, is too large, or declares entities.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_XML_BYTES + 1)
    except OSError as error:
        raise UnreadableFileError(_ASKED, f"its report cannot be opened ({error.strerror})", _REMEDY) from error
    return parse_openi_bytes(data)


def parse_openi_bytes(data: bytes) -> dict[str, Any]:
    """Reads the content of such a file; see ``parse_openi_xml``."""
    try:
        from defusedxml import DefusedXmlException, ElementTree
    except ImportError as error:
        raise missing_dependency("defusedxml", "Reading XML reports", "defusedxml") from error

    if len(data) > MAX_XML_BYTES:
        raise UnreadableFileError(_ASKED, "its report in XML is larger than 4 MiB", _REMEDY)
    try:
        root = ElementTree.fromstring(data, forbid_dtd=True)
    except (DefusedXmlException, ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise UnreadableFileError(_ASKED, f"its report in XML cannot be parsed ({type(error).__name__})", _REMEDY) from error
    if root.tag != "eCitation":
        raise UnreadableFileError(_ASKED, "its report in XML has a root element other than eCitation", _REMEDY)
    identifier = root.find("uId")
    sections, language = _sections((str(part.get("Label") or ""), "".join(part.itertext())) for part in root.iter("AbstractText"))
    return {
        "id": "" if identifier is None else str(identifier.get("id") or ""),
        "sections": sections,
        "language": language,
        "mesh": [str(term.text).strip() for term in root.iterfind("MeSH/major") if term.text],
        "images": {str(image.get("id")): " ".join((image.findtext("caption") or "").split()) for image in root.iter("parentImage")},
    }


def _sections(labelled: Iterable[tuple[str, str]]) -> tuple[dict[str, str], str | None]:
    """Joins texts by the section that their labels name; a label that is not known opens ``unknown``, which captions never use."""
    sections: dict[str, str] = {}
    found: list[Heading] = []
    for label, text in labelled:
        heading = headings().look_up(label) or Heading("unknown", frozenset())
        name = "administrative" if heading.section in {"person", "patient"} else heading.section
        if name in {*DESCRIBING, "indication", "history", "comparison"}:
            found.append(heading)
        if body := " ".join(text.split()):
            sections[name] = f"{sections[name]}\n\n{body}" if name in sections else body
    return sections, language_of(found, " ".join(sections.values()))
