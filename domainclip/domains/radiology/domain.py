"""Radiology: DICOM, grey and in colour, and pictures saved as PNG or JPEG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel

from domainclip.domains import magic
from domainclip.domains.base import DomainFacts, Gathering, Inspection, load_facts
from domainclip.domains.dicom_kind import is_dicom_slide
from domainclip.domains.radiology.images import dicom_sample, picture_sample
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.errors import UsageError
from domainclip.sample import Sample, SourceItem

_SUFFIXES = frozenset((".dcm", ".dicom", ".dic", ".ima", ".png", ".jpg", ".jpeg"))


def is_dicom(path: Path) -> bool:
    """Says by the DICM marker, else by suffix; never raises."""
    head = _first_bytes(path)
    return magic.is_dicom(head) or (not _is_picture_head(head) and path.suffix.lower() in {".dcm", ".dicom", ".dic", ".ima"})


def is_nifti(path: Path) -> bool:
    """Says by suffix: a compressed file's first bytes do not tell."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(magic.DICOM_HEAD_BYTES)
    except OSError:
        return b""


def _is_picture_head(head: bytes) -> bool:
    return head.startswith((magic.PNG, magic.JPEG))


class Radiology:
    """The domain of medical images; see ``domainclip.domains.base.Domain``.

    Display values are in the sense of MONOCHROME2 whatever the file says, so the one channel has that name. Colour pictures have
    three channels where ``reading.colour`` asks for them.
    """

    name = "radiology"
    reading_model: type[BaseModel] = RadiologyReading

    def __init__(self) -> None:
        self.facts: DomainFacts = load_facts(Path(__file__).with_name("facts.yaml"))

    def recognises(self, path: Path) -> bool:
        """Says by name and first bytes whether this domain reads the file.

        A DICOMDIR is an index, no image; whole-slide images are pathology's.
        """
        if path.name.upper().startswith("DICOMDIR"):
            return False
        head = _first_bytes(path)
        if magic.is_dicom(head):
            return not is_dicom_slide(path)
        return _is_picture_head(head) or path.suffix.lower() in _SUFFIXES or is_nifti(path)

    def gathered(self, paths: Sequence[Path], reading: BaseModel | None = None) -> Gathering:
        """Groups slices into series where ``reading.axes`` asks for volumes or time series; see ``domains.base.GathersFiles``."""
        if not isinstance(reading, RadiologyReading) or reading.axes == "CYX":
            return Gathering()
        from domainclip.domains.radiology.series import gather_series

        return gather_series(paths)

    def inspect(self, path: Path) -> Inspection:
        """Looks at one file; the patient appears as the owner's keyed hash only.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        from domainclip.domains.radiology.inspection import inspect_dicom, inspect_picture

        if is_nifti(path):
            from domainclip.domains.radiology.nifti_volume import inspect_nifti

            return inspect_nifti(path)
        return inspect_dicom(path) if is_dicom(path) else inspect_picture(path)

    def inspect_item(self, item: SourceItem, reading: BaseModel) -> Inspection:
        """Looks at a series as ``reading.axes`` makes volumes or time series of it; at anything else as ``inspect`` does.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        if not isinstance(reading, RadiologyReading) or reading.axes == "CYX":
            return self.inspect(item.path)
        if is_nifti(item.path):
            from domainclip.domains.radiology.nifti_volume import inspect_nifti

            return inspect_nifti(item.path, reading)
        if not is_dicom(item.path):
            return self.inspect(item.path)
        from domainclip.domains.radiology.series_inspection import inspect_series

        return inspect_series(item, reading)

    def samples(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Yields the sample of a file, or of a series under ``reading.axes``; its pixels are decoded by ``Sample.read``.

        A series has a sample for each stack of slices that fit each other (a localizer is a stack of its own). A manifest's row
        of a folder, and what ``gathered`` puts together, is a series.

        ``ids`` and ``group`` of a DICOM file are raw (patient, study, series); whoever writes them hashes them first.
        The owner's group, ids and spacing win over the file's. Sentences of captions that hold a word of a person's name from the
        header are left out; ``meta`` counts them.

        Raises:
            UnreadableFileError: It cannot be read, or ``reading`` does not allow it.
        """
        if not isinstance(reading, RadiologyReading):
            found = f"They are of type {type(reading).__name__}."
            raise UsageError("Reading options of radiology were needed.", found, "Use DOMAIN.reading_model.")
        if is_nifti(item.path):
            from domainclip.domains.radiology.nifti_volume import nifti_sample

            yield nifti_sample(item, reading)
        elif reading.axes != "CYX":
            if not is_dicom(item.path):
                raise unreadable(f"A PNG or JPEG is one picture; reading.axes is {reading.axes}.", "Read it with reading.axes=CYX.")
            from domainclip.domains.radiology.volumes import series_samples

            yield from series_samples(item, reading)
        else:
            yield (dicom_sample if is_dicom(item.path) else picture_sample)(item, reading)


DOMAIN = Radiology()
