"""Files that a domain does not read though their owner may think so: archives, the index of a disc, files of another domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from domainclip.domains import magic
from domainclip.domains.base import Domain, domains
from domainclip.domains.dicom_kind import SOP_CLASS, file_meta, is_dicom_slide
from domainclip.errors import DomainClipError

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
"""Media Storage Directory Storage, PS3.4 F: a DICOMDIR."""
_ARCHIVES = (
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"PK\x05\x06", "ZIP"),
    (0, b"PK\x07\x08", "ZIP"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (257, b"ustar", "tar"),
    (0x8001, b"CD001", "ISO 9660, an image of a disc"),
)
_COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
_NAMED_ARCHIVES = frozenset({".zip", ".7z", ".rar", ".tar", ".tgz", ".iso"})
_TAR_NAMES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
# These are ZIP inside, and nobody means a folder of images by them.
_DOCUMENTS = frozenset((
    ".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".odt", ".ods", ".odp", ".epub", ".npz", ".pt", ".pth", ".ckpt", ".jar", ".whl",
    ".kmz",
))  # fmt: skip
_LOOK = 0x8006
_PAIR_HEADS = frozenset(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))
# Of data sets without preamble: the first element is of group 0008 (PS3.3 C.12.1), explicit with one of these VRs or implicit.
_FIRST_VRS = (b"UL", b"CS", b"UI", b"DA", b"TM", b"SH", b"LO", b"OB", b"PN")
_UNPACK = "unpack it to a folder and name that folder; nothing is unpacked here"


@dataclass(frozen=True, slots=True)
class Misfit:
    """What a file is, and what to do with it; neither names a path or an identifier.

    Attributes:
        what: Begins with an article: "an archive (ZIP)".
        remedy: In the imperative, without a full stop.
        aside: It belongs beside images by custom, and is worth no word in a folder of them.
    """

    what: str
    remedy: str
    aside: bool = False

    @property
    def reason(self) -> str:
        """Both, for ``rejected.jsonl``."""
        return f"{self.what}: {self.remedy}"

    @property
    def parts(self) -> tuple[str, str]:
        """The second and third part of a message: what was found, what to do."""
        return f"It is {self.what}.", f"{self.remedy[0].upper()}{self.remedy[1:]}."


def misfit_of(path: Path, domain: Domain) -> Misfit | None:
    """Says what a file is that the domain does not read, where that helps; None for what it reads and for what nobody knows.

    Reads 32 KiB at most, never raises.

    Args:
        path: The file.
        domain: The one that was asked for.
    """
    if domain.recognises(path):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_LOOK)
    except OSError:
        return None
    return _archive(path, head) or _dicom(path, head, domain) or _pair(path, head) or _of_another_domain(path, domain)


def is_named_oddly(path: Path) -> bool:
    """Says by its name alone whether a file may be an archive or a DICOMDIR."""
    name = path.name.lower()
    return path.suffix.lower() in _NAMED_ARCHIVES or name.endswith(_TAR_NAMES) or name.startswith("dicomdir")


def _archive(path: Path, head: bytes) -> Misfit | None:
    name, suffix = path.name.lower(), path.suffix.lower()
    if suffix in _DOCUMENTS or name.endswith(".nii.gz"):
        return None
    for at, mark, kind in _ARCHIVES:
        if head.startswith(mark, at):
            return Misfit(f"an archive ({kind})", _UNPACK)
    for mark, kind in _COMPRESSED:
        if head.startswith(mark):
            if name.endswith(_TAR_NAMES):
                return Misfit(f"an archive (tar, compressed by {kind})", _UNPACK)
            return Misfit(f"a file compressed by {kind}", "decompress it first; nothing is unpacked here")
    if suffix in _NAMED_ARCHIVES:
        return Misfit(f"named as an archive ({suffix}) but none by its first bytes: it is damaged or empty", "fetch it again")
    return None


def _dicom(path: Path, head: bytes, domain: Domain) -> Misfit | None:
    if magic.is_dicom(head):
        if path.name.upper().startswith("DICOMDIR") or file_meta(path).get(SOP_CLASS) == DIRECTORY_CLASS:
            found = "a DICOMDIR, the index of an exported disc, which holds no image itself"
            return Misfit(found, "name the folder that it lies in; the images are in folders beside it", aside=True)
        slide = is_dicom_slide(path)
        home, what = ("pathology", "a whole-slide image in DICOM") if slide else ("radiology", "DICOM, but no whole-slide image")
        return None if home == domain.name else Misfit(f"{what}, which the domain {home} reads", f"use --domain {home}")
    first = head[:2] == b"\x08\0" and head[3:4] == b"\0"
    if first and (head[4:6] in _FIRST_VRS or head[6:8] == b"\0\0"):
        found = "perhaps DICOM, without the preamble that tells so (DICM after 128 bytes)"
        return Misfit(found, "rewrite it as a DICOM file, e.g. with dcmtk's dcmconv")
    return None


def _pair(path: Path, head: bytes) -> Misfit | None:
    """Tells the header of an Analyze or NIfTI pair by its stated length, in either byte order (nifti1.h: 348; nifti2.h: 540)."""
    if path.suffix.lower() == ".hdr" and head[:4] in _PAIR_HEADS:
        found = "the header of a pair of files (.hdr and .img, Analyze or NIfTI)"
        return Misfit(found, "save both as one NIfTI file, .nii or .nii.gz, e.g. with nibabel.load and nibabel.save")
    return None


def _of_another_domain(path: Path, domain: Domain) -> Misfit | None:
    homes = []
    for name in domains:
        try:
            if name != domain.name and domains.get(name).recognises(path):
                homes.append(name)
        except (DomainClipError, ImportError):
            continue  # a domain whose libraries are not installed says nothing of other domains' files
    if not homes:
        return None
    which = f"domain{'s' if len(homes) > 1 else ''} {' and '.join(homes)} read{'s' if len(homes) == 1 else ''}"
    return Misfit(f"a file that the {which}", f"use --domain {' or --domain '.join(homes)}")


def of_what(misfits: Iterable[Misfit]) -> tuple[str, str] | None:
    """Says what the misfits of a folder that holds nothing else are.

    Returns:
        The three most frequent with their numbers, and what to do about the first; None where there is none.
    """
    counted = Counter(misfits).most_common(3)
    if not counted:
        return None
    told = "; ".join(f"{misfit.what} ({count})" for misfit, count in counted)
    return f"Among them: {told}.", counted[0][0].parts[1]
