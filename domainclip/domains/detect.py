"""Which domain reads a file, by its first bytes and tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.addresses import last_part, without_query
from domainclip.domains import magic
from domainclip.domains.base import Inspection, checked_reading, domains, inspected
from domainclip.domains.dicom_kind import is_dicom_slide
from domainclip.domains.misfits import misfit_of
from domainclip.errors import FOREIGN_ERRORS, UnreadableFileError, UsageError
from domainclip.sample import SourceItem

if TYPE_CHECKING:
    from pydantic import BaseModel

_GEO_KEYS = {33550, 33922, 34264, 34735}  # GeoTIFF 1.1: ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory
_PICTURES = {".png", ".jpg", ".jpeg"}


def inspect_file(path: Path, domain: str | None = None, reading: BaseModel | None = None) -> tuple[str, Inspection]:
    """Looks at one file with the domain that fits, or the one that is named.

    Args:
        path: The file.
        domain: Domain name, or None to decide by content.
        reading: The domain's options, where they say what image the file makes (a volume of its frames); None looks at the file.

    Returns:
        The domain's name and what its reader sees.

    Raises:
        UsageError: There is no such file, or no domain reads it.
        UnreadableFileError: The file is broken.
    """
    if not path.is_file():
        found = "It is a folder." if path.is_dir() else "There is no such file."
        raise UsageError(f"The file {path} was to be inspected.", found, "Name one file; or give --domain to look over a folder.")
    name = domain or detect_domain(path)
    if misfit := misfit_of(path, domains.get(name)):
        raise UsageError(f"The file {path} was to be inspected as {name}.", *misfit.parts)
    try:
        return name, inspected(domains.get(name), SourceItem(path, path.name), reading)
    except UnreadableFileError as error:
        raise UnreadableFileError(f"The file {path} was to be inspected as {name}.", error.found, error.remedy) from error


def inspect_address(address: str, domain: str | None = None, reading: Mapping[str, Any] | None = None) -> tuple[str, Inspection]:
    """Looks at a file elsewhere with the domain that is named, or the first that reads addresses.

    Raises:
        UsageError: The domain reads no addresses, or an option does not fit.
        UnreadableFileError: The file is broken, or cannot be reached.
    """
    able = [name for name in domains if getattr(domains.get(name), "reads_urls", False)]
    name = domain or able[0]
    if name not in able:
        found = f"The domain {name} reads files in folders."
        raise UsageError(
            f"{without_query(address)[:80]} was to be inspected.", found, f"Fetch the file first; of addresses: {', '.join(able)}."
        )
    reader = domains.get(name)
    item = SourceItem(Path(last_part(address)), last_part(address), url=address)
    return name, inspected(reader, item, checked_reading(reader, reading))


def detect_domain(path: Path) -> str:
    """Decides by content: DICOM slides and TIFFs to pathology, other DICOM to radiology, GeoTIFF to remote sensing.

    Pictures go by their mode: grey ones to radiology.

    Raises:
        UsageError: No domain reads the file.
    """
    with path.open("rb") as stream:
        head = stream.read(132)
    if magic.is_dicom(head):
        return "pathology" if is_dicom_slide(path) else "radiology"
    if head[:4] in magic.TIFF:
        return "remote-sensing" if _has_geo_keys(path) else "pathology"
    if path.suffix.lower() in _PICTURES:
        return "radiology" if _is_grey(path) else "pathology"
    for name in domains:
        if domains.get(name).recognises(path):
            return name
    if misfit := misfit_of(path, domains.get("radiology")):
        raise UsageError(f"The file {path} was to be read.", *misfit.parts)
    raise UsageError(
        f"The file {path} was to be read.",
        "No domain knows its format: it is no DICOM, TIFF, slide or picture.",
        "Check that the file is whole; --domain forces a reader.",
    )


def _has_geo_keys(path: Path) -> bool:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return bool(_GEO_KEYS & {tag.code for tag in tiff.pages.first.tags})
    except FOREIGN_ERRORS:
        return False


def _is_grey(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.mode in {"1", "L", "I;16", "I", "F", "LA"}
    except (*FOREIGN_ERRORS, Image.DecompressionBombError):
        return False
