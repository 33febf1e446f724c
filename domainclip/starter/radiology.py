"""The starter set of radiology: synthetic chest radiographs as DICOM, with reports and made-up identifiers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.spread_work import spread
from domainclip.starter.radiology_phantom import WHITE, Finding, draw_anatomy, draw_radiograph
from domainclip.starter.radiology_reports import Patient, draw_patient, write_report

SIDE_PX = 160
DEFAULT_GROUPS = 320
_SIZED = ("pleural_effusion", "pneumothorax", "consolidation", "lung_nodule")
FINDINGS = ("no_finding", "cardiomegaly", "pacemaker", *_SIZED)
UNSEEN = (
    Finding("pleural_effusion", "left", "large"),
    Finding("pneumothorax", "right", "small"),
    Finding("consolidation", "left", "small"),
    Finding("lung_nodule", "right", "large"),
)
"""Compositions that no training or validation radiograph shows."""
_COLUMNS = ("path", "split", "group", "report", "label:finding", "label:side", "label:size", "label:view", "label:composition")
_STATEMENT = "Synthetic content drawn by domainclip; shows no real patient."


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs to draw one patient."""

    output: str
    number: int
    split: str
    seed: int


def make(
    output: Path,
    *,
    groups: int | None = None,
    seed: int = 0,
    workers: int = 2,
    progress: Callable[[int, int, str], None] | None = None,
) -> None:
    """Writes the starter set; the same seed gives the same bytes with any number of workers.

    ``manifest.csv``, ``dicom/pNNN/sNN.dcm`` (12 bits in 16, windowed, MONOCHROME1 and 2, uncompressed, RLE, JPEG 2000 lossless),
    ``reports/pNNN/sNN.txt``, and for tests ``truth/identifiers.json`` and ``truth/findings.json``. Each patient has, over time, one
    radiograph of each finding and two more, which are of unseen compositions for held-out patients.

    Args:
        output: A folder that is empty or absent.
        groups: Patients, at least 12; 1 in 5 is held out, 1 in 18 is for validation. Default 320: 2,880 radiographs.
        seed: Of everything.
        workers: Processes (spawned).
        progress: Called with (patients done, patients, text).

    Raises:
        UsageError: Fewer than 12 groups.
    """
    from domainclip.errors import UsageError

    count = DEFAULT_GROUPS if groups is None else groups
    if count < 12:
        raise UsageError(
            f"A starter set of {count} patients was asked for.", "Its splits need 12 or more.", "Ask for 12 or more groups."
        )
    jobs = [_Job(str(output), number, split, seed) for number, split in enumerate(_splits(count, seed))]
    for folder in ("dicom", "reports", "truth"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    results: list[list[dict[str, Any]]] = spread(_draw_patient, jobs, workers, "patients", progress)
    rows = [row for made in results for row in made]
    with (output / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: row["manifest"][name] for name in _COLUMNS} for row in rows)
    for name in ("identifiers", "findings"):
        table = {row["manifest"]["path"]: row[name] for row in rows}
        (output / "truth" / f"{name}.json").write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _splits(count: int, seed: int) -> list[str]:
    held_out, val = -(-count // 5), max(1, round(count / 18))
    splits = ["held_out"] * held_out + ["val"] * val + ["train"] * (count - held_out - val)
    np.random.default_rng((seed, 1)).shuffle(splits)
    return splits


def _compositions(split: str, random: np.random.Generator) -> list[Finding]:
    """Draws what a patient's radiographs show, in random order."""
    names = list(FINDINGS)
    if split != "held_out":
        names += [str(name) for name in random.choice(_SIZED, size=2, replace=False)]
    drawn = []
    for name in names:
        options = [Finding(name, side, size) for side in ("left", "right") for size in ("small", "large")]
        if name == "pacemaker":
            options = [Finding(name, side) for side in ("left", "right")]
        elif name not in _SIZED:
            options = [Finding(name)]
        seen = [option for option in options if option not in UNSEEN]
        drawn.append(seen[int(random.integers(len(seen)))])
    if split == "held_out":
        drawn += [UNSEEN[int(i)] for i in random.choice(len(UNSEEN), size=2, replace=False)]
    return [drawn[int(i)] for i in random.permutation(len(drawn))]


def _draw_patient(job: _Job) -> list[dict[str, Any]]:
    random = np.random.default_rng((job.seed, 2, job.number))
    output, patient, anatomy = Path(job.output), draw_patient(random), draw_anatomy(random)
    rows = []
    for position, finding in enumerate(_compositions(job.split, random)):
        view = str(random.choice(("PA", "AP")))
        name = f"p{job.number:03d}/s{position:02d}"
        study = {
            "date": f"{random.integers(2019, 2025)}{random.integers(1, 13):02d}{random.integers(1, 29):02d}",
            "accession": f"A{random.integers(10**7, 10**8)}",
        }
        pixels = draw_radiograph(anatomy, finding, view, SIDE_PX, random)
        dicom, report = output / "dicom" / f"{name}.dcm", output / "reports" / f"{name}.txt"
        for path in (dicom, report):
            path.parent.mkdir(exist_ok=True)
        study |= _write_dicom(dicom, pixels, patient, study, view, (job.seed, job.number, position), random)
        report.write_text(write_report(patient, study, finding, view, random), encoding="utf-8")
        labels = {"finding": finding.name, "side": finding.side, "size": finding.size, "view": view}
        labels["composition"] = "unseen" if finding in UNSEEN else "seen"
        manifest = {"path": f"dicom/{name}.dcm", "split": job.split, "group": f"p{job.number:03d}", "report": f"reports/{name}.txt"}
        rows.append(
            {
                "manifest": manifest | {f"label:{label}": value for label, value in labels.items()},
                "identifiers": asdict(patient) | {"spoken_name": patient.spoken} | study,
                "findings": labels,
            }
        )
    return rows


def _write_dicom(
    path: Path,
    pixels: np.ndarray[Any, np.dtype[np.uint16]],
    patient: Patient,
    study: dict[str, str],
    view: str,
    entropy: tuple[int, ...],
    random: np.random.Generator,
) -> dict[str, str]:
    """Writes one radiograph; returns the unique identifiers it got."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid

    uids = {
        level: generate_uid(entropy_srcs=["domainclip", level, *map(str, entropy)]) for level in ("study", "series", "instance")
    }
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"  # Digital X-Ray Image Storage - For Presentation
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids["instance"], uids["study"], uids["series"]
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", view
    dataset.Manufacturer, dataset.ManufacturerModelName, dataset.ImageComments = "domainclip synthetic", "phantom", _STATEMENT
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = patient.name, patient.number, patient.birth_date
    dataset.PatientSex = patient.sex
    dataset.PatientAge = f"{int(study['date'][:4]) - int(patient.birth_date[:4]):03d}Y"
    dataset.StudyDate = dataset.ContentDate = study["date"]
    dataset.StudyTime, dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "143500", study["accession"][-4:], 1, 1
    dataset.AccessionNumber, dataset.ReferringPhysicianName = study["accession"], patient.physician
    dataset.InstitutionName = patient.institution
    dataset.BurnedInAnnotation, dataset.PatientIdentityRemoved = "NO", "NO"
    if random.random() < 0.9:
        dataset.ImagerPixelSpacing = [round(float(random.uniform(2.1, 2.5)), 3)] * 2
    inverted = random.random() < 0.4
    _set_pixels(dataset, pixels, inverted, random)
    syntax = (ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless)[int(random.choice(3, p=(0.5, 0.4, 0.1)))]
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return {f"{level}_uid": str(uid) for level, uid in uids.items()}


def _set_pixels(dataset: Any, pixels: np.ndarray[Any, np.dtype[np.uint16]], inverted: bool, random: np.random.Generator) -> None:
    """Stores the numbers with a window about as good as a technician's: its ends lie near those of the numbers."""
    stored = (WHITE - pixels) if inverted else pixels
    low, high = np.percentile(stored, (1, 99))
    spread = max(float(high - low), 200.0)
    center = (low + high) / 2 + random.uniform(-0.10, 0.10) * spread
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.SamplesPerPixel, (dataset.Rows, dataset.Columns) = 1, stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = round(float(center)), round(spread * float(random.uniform(0.9, 1.6)))
    dataset.VOILUTFunction = "LINEAR"
    dataset.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()
