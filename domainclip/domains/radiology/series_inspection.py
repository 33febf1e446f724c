"""What ``inspect`` tells about a series: its stacks, their planes and spacing, and what a run would refuse, from headers alone."""

from __future__ import annotations

from typing import Any

from domainclip.domains.base import Inspection
from domainclip.domains.radiology.dicom import foreign_decoder, frame_count
from domainclip.domains.radiology.header import allowed_facts, group_of
from domainclip.domains.radiology.reading import RadiologyReading
from domainclip.domains.radiology.series import Stack
from domainclip.domains.radiology.volumes import read_series, sample_of, stacks
from domainclip.errors import UnreadableFileError
from domainclip.identifiers import keyed_hash, owner_key
from domainclip.sample import Sample, SourceItem


def inspect_series(item: SourceItem, reading: RadiologyReading) -> Inspection:
    """Looks at the headers of a series, or of a multi-frame file.

    Raises:
        UnreadableFileError: A file cannot be read, or the files are of several patients.
    """
    series = read_series(item, reading)
    told: list[tuple[Sample | None, str]] = []
    parts = stacks(series, reading)
    for number, part in enumerate(parts):
        try:
            told.append((sample_of(item, f"{number}", series, part, reading), ""))
        except UnreadableFileError as error:
            told.append((None, f"{error.found} {error.remedy}"))
    good = [sample for sample, _ in told if sample is not None]
    rows, columns = max((part.slices[0].size for part in parts), key=lambda size: size[0] * size[1])
    spacing = next((sample.spacing for sample in good if sample.spacing is not None), None)
    missing = [f"Copies: {series.copies} files hold a picture of another file again; they are left out."] if series.copies else []
    with foreign_decoder("Reading its header"):
        stated = series.header.get("ImagesInAcquisition")
    if isinstance(stated, int) and len(parts) == 1 and stated > len(series.slices):
        missing.append(f"Slices: {len(series.slices)} are here; the header speaks of {stated} in the acquisition.")
    missing += [f"Stack {number}: {problem}" for number, (_, problem) in enumerate(told) if problem]
    if "patient" not in series.ids:
        missing.append("Group: no PatientID; the study stands for it; give column group in a manifest.")
    with foreign_decoder("Reading its header"):
        kind = "several frames" if frame_count(series.header) > 1 else f"{len(series.paths)} files"
        facts, bits = allowed_facts(series.header), int(series.header.get("BitsAllocated") or 0)
        signed = series.header.get("PixelRepresentation") == 1
    return Inspection(
        format=f"DICOM series of {kind}",
        width=columns,
        height=rows,
        levels=((columns, rows, 1.0),),
        channels=good[0].channels if good else (),
        spacing=None
        if spacing is None
        else {**dict(zip("zyx"[-len(spacing.values) :], spacing.values, strict=True)), "unit": "mm", "source": spacing.source},
        dtype=f"{'int' if signed else 'uint'}{bits}",
        values="Hounsfield units" if reading.output == "hu" else "display 0..1 under one window for all slices",
        range=None,
        group=keyed_hash(group_of(dict(series.ids)), owner_key()) if series.ids else "",
        missing=tuple(missing),
        details={
            **facts,
            "stacks": {
                str(number): _told(part, sample) for number, (part, (sample, _)) in enumerate(zip(parts, told, strict=True))
            },
        },
    )


def _told(part: Stack, sample: Sample | None) -> dict[str, Any]:
    if sample is None:
        return {"slices": len(part.slices), "usable": "no", **dict(part.told_by)}
    names = ("slices", "frames", "plane", "window", "gantry_tilt_degrees", "slices_interpolated")
    return {name: sample.meta[name] for name in names if name in sample.meta} | dict(part.told_by)
