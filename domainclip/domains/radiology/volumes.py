"""Volumes and time series of DICOM: a series, or the frames of a file, as one sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.radiology.colour import colour_values
from domainclip.domains.radiology.dicom import check_readable, foreign_decoder, frame_count, is_colour, read_dataset
from domainclip.domains.radiology.functional_groups import FrameHeader
from domainclip.domains.radiology.geometry import Geometry, ordered, refuse_gaps
from domainclip.domains.radiology.grid import AXIS_CODES, Grid, turned
from domainclip.domains.radiology.header import allowed_facts, group_of, identifiers, person_names, person_numbers
from domainclip.domains.radiology.images import CHANNELS, RGB
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.domains.radiology.series import SliceHeader, Stack, moments_of, slice_headers, stacks_of
from domainclip.domains.radiology.stack_pixels import common_voi, read_moments, read_volume
from domainclip.errors import UnreadableFileError
from domainclip.heartbeat import beat
from domainclip.sample import Pixels, Sample, SourceItem, Spacing, Values

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Series:
    """What the headers of a series say.

    Attributes:
        paths: Its files; slices name them by their position.
        slices: All frames of all files.
        header: The first file's.
        ids: Patient, study and series, raw.
        names: Words of persons' names in all headers, folded; empty unless captions were given.
        numbers: Likewise, numbers of patient and examination.
        copies: Files that hold a picture of another file again (the same SOP Instance UID); they are left out.
    """

    paths: tuple[Path, ...]
    slices: tuple[SliceHeader, ...]
    header: Any
    ids: Mapping[str, str]
    names: frozenset[str]
    numbers: frozenset[str]
    copies: int = 0


def read_series(item: SourceItem, reading: RadiologyReading) -> Series:
    """Reads the headers of a series.

    Raises:
        UnreadableFileError: A file cannot be read, is not allowed by ``reading``, or is of another patient or study than the rest.
    """
    if reading.frame is not None:
        found = f"reading.frame chooses one picture; reading.axes={reading.axes} takes all frames."
        raise unreadable(found, "Leave reading.frame out, or set reading.axes=CYX.")
    paths = (item.path, *item.members)
    slices: list[SliceHeader] = []
    names, numbers = frozenset[str](), frozenset[str]()
    first, ids = None, dict[str, str]()
    instances, copies = set[str](), 0
    for file, path in enumerate(paths):
        header = read_dataset(path, reading, pixels=False)
        with foreign_decoder("Reading its header"):
            check_readable(header, reading.model_copy(update={"frame": 0}))
            own = identifiers(header)
            if len(paths) == 1 and "series" not in own and frame_count(header) == 1:
                raise unreadable(
                    "It has no Series Instance UID, so nobody knows which slices belong to it.",
                    "Export it again with one, or read it as a picture: reading.axes=CYX.",
                )
            if first is None:
                first, ids = header, own
            elif own != ids:
                raise unreadable(
                    "Its series holds slices of several patients or studies.",
                    "Its Series Instance UID is used twice: sort the files by patient, give each series a UID of its own.",
                )
            if item.captions:
                names, numbers = names | person_names(header), numbers | person_numbers(header)
            instance = str(header.get("SOPInstanceUID") or "")
        if instance and instance in instances:
            copies += 1  # The same picture under another name, as in a study that was copied twice.
            continue
        instances.add(instance)
        slices += slice_headers(header, file, reading)
        beat()
    return Series(paths, tuple(slices), first, ids, names, numbers, copies)


def series_samples(item: SourceItem, reading: RadiologyReading) -> Iterator[Sample]:
    """Yields a sample for each stack of a series, or for each place that has frames in time.

    A stack that cannot be read is a sample whose ``read`` says why, where the series has others; else the error is raised.

    Raises:
        UnreadableFileError: The series, or the one stack that it has, cannot be read.
    """
    series = read_series(item, reading)
    parts = stacks(series, reading)
    for number, part in enumerate(parts):
        key = item.name if len(parts) == 1 else f"{item.name}#{number}"
        try:
            yield sample_of(item, key, series, part, reading)
        except UnreadableFileError as error:
            if len(parts) == 1:
                raise
            yield _sample(item, key, series, reading, partial(_refused, error), None, {})


def stacks(series: Series, reading: RadiologyReading) -> list[Stack]:
    """Splits a series into what becomes one sample each: stacks of a volume, or frames at one place.

    Raises:
        UnreadableFileError: Slices at one place cannot be told apart, or no place has two frames.
    """
    if reading.axes == "CZYX":
        return stacks_of(series.slices)
    parts = moments_of(series.slices)
    if max(map(len, parts), default=0) == 1:
        found = "It is one frame" if len(parts) == 1 else f"No two of its {len(parts)} frames lie at the same place"
        raise unreadable(f"{found}: it makes no time series.", "Read pictures (reading.axes=CYX), or a volume (CZYX).")
    return [Stack(tuple(part)) for part in parts]


def sample_of(item: SourceItem, key: str, series: Series, part: Stack, reading: RadiologyReading) -> Sample:
    """Returns the sample of a stack or of frames at one place.

    Raises:
        UnreadableFileError: It makes none: it lacks slices, places, or fits no limit.
    """
    if len({one.photometric for one in part.slices}) > 1:
        found = "Some of its slices are MONOCHROME1 and some MONOCHROME2."
        raise unreadable(found, "Export the series again, or read the slices one by one: reading.axes=CYX.")
    if part.lacking and reading.gaps == "refuse":
        raise unreadable(
            f"It lacks {part.lacking} slices that others at the same places have.",
            "Fetch the whole series; or set reading.gaps=interpolate, which takes the slices that are there.",
        )
    sample = (_volume if reading.axes == "CZYX" else _moments)(item, key, series, part.slices, reading)
    facts: dict[str, Any] = {"told_apart_by": dict(part.told_by)} if part.told_by else {}
    facts |= {"copies_left_out": series.copies} if series.copies else {}
    return sample.with_(meta={**sample.meta, **facts}) if facts else sample


def _refused(error: UnreadableFileError) -> Pixels:
    raise error


def _volume(item: SourceItem, key: str, series: Series, stack: Sequence[SliceHeader], reading: RadiologyReading) -> Sample:
    with foreign_decoder("Reading its header"):
        if is_colour(series.header):
            raise unreadable("It is in colour, which no volume is.", "Read its frames as pictures or in time (reading.axes).")
    slices, grid = ordered(stack)
    if reading.stride > 1:
        slices, grid = ordered(slices[:: reading.stride])
    refuse_gaps(grid, reading, [one.stated_spacing for one in slices])
    depth = round(grid.places[-1]) + 1
    _check_size(depth, slices[0].size, 1, reading)
    facts: dict[str, Any] = {"slices": depth, "plane": grid.plane if reading.plane == "acquired" else reading.plane}
    if slices[0].voi is not None:
        facts["window"] = str(common_voi([one.voi for one in slices]))
    if grid.tilt_degrees:
        facts["gantry_tilt_degrees"] = grid.tilt_degrees
    if depth != len(slices):
        facts["slices_interpolated"] = depth - len(slices)
    spacing, source = _spacing(grid, reading), "resampled" if reading.spacing_mm else "PixelSpacing, ImagePositionPatient"
    if reading.plane in {"acquired", grid.plane}:
        nearest = np.abs(np.array(grid.places)[None] - np.arange(depth)[:, None]).argmin(axis=1)
        facts |= _origin([slices[int(number)] for number in nearest], len(series.paths))
        if reading.spacing_mm:
            facts["slice_step"] = reading.spacing_mm[0] / grid.spacing[0]
    reader = partial(read_volume, series.paths, tuple(slices), grid, reading)
    return _sample(item, key, series, reading, reader, item.spacing or Spacing(spacing, "mm", source), facts)


def _moments(item: SourceItem, key: str, series: Series, group: Sequence[SliceHeader], reading: RadiologyReading) -> Sample:
    frames = tuple(group[:: reading.stride])
    if len(frames) < 2:
        raise unreadable("One frame is left, which makes no time series.", "Read pictures (reading.axes=CYX), or stride less.")
    with foreign_decoder("Reading its header"):
        colour = is_colour(series.header) and reading.colour in {"rgb", "rgb_all"}
    _check_size(len(frames), frames[0].size, 3 if colour else 1, reading)
    place = frames[0].spacing
    spacing = item.spacing or (Spacing(place, "mm", "PixelSpacing") if place else None)
    facts: dict[str, Any] = {"frames": len(frames)} | _origin(frames, len(series.paths))
    if frames[0].voi is not None:
        facts["window"] = str(common_voi([one.voi for one in frames]))
    return _sample(item, key, series, reading, partial(read_moments, series.paths, frames, reading), spacing, facts)


def _origin(slices: Sequence[SliceHeader], files: int) -> dict[str, list[int]]:
    """Says which file and frame each slice is from, by number: what a search needs to lead back."""
    origin = {"slice_files": [one.file for one in slices]} if files > 1 else {}
    return origin | ({"slice_frames": [one.frame for one in slices]} if any(one.frame for one in slices) else {})


def _spacing(grid: Geometry, reading: RadiologyReading) -> tuple[float, float, float]:
    if reading.spacing_mm is not None:
        return reading.spacing_mm
    if reading.plane == "acquired":
        return grid.spacing
    return turned(Grid(np.zeros((2, 2, 2), np.float32), None, np.array(grid.affine)), AXIS_CODES[reading.plane]).spacing


def _check_size(count: int, size: tuple[int, int], channels: int, reading: RadiologyReading) -> None:
    mib = count * size[0] * size[1] * channels * _FLOAT_BYTES / 2**20
    if mib > reading.max_decoded_mib:
        raise unreadable(
            f"Its {count} slices or frames of {size[0]} x {size[1]} pixels would need {mib:.0f} MiB; the limit is "
            f"{reading.max_decoded_mib:g} MiB.",
            "Set reading.max_decoded_mib higher if you trust the files, or take fewer: reading.stride.",
        )


def _sample(
    item: SourceItem,
    key: str,
    series: Series,
    reading: RadiologyReading,
    reader: Any,
    spacing: Spacing | None,
    more: Mapping[str, Any],
) -> Sample:
    from domainclip.captions.names import captions_without

    ids = dict(series.ids) | dict(item.ids)
    with foreign_decoder("Reading its header"):
        facts = allowed_facts(series.header)
        rgb = reading.colour in {"rgb", "rgb_all"} and is_colour(series.header)
        values = colour_values(FrameHeader(series.header)) if rgb else Values("hu" if reading.output == "hu" else "display")
    captions, dropped = captions_without(item.captions, series.names, series.numbers)
    return Sample(
        key=key,
        axes=reading.axes,
        channels=RGB if rgb else CHANNELS,
        values=values,
        reader=reader,
        group=item.group or group_of(ids) or item.name,
        spacing=spacing,
        sensor=facts.get("modality"),
        captions=captions,
        labels=item.labels,
        regions=item.regions,
        ids=ids,
        split=item.split,
        meta={**facts, **more, **({"sentences_with_name_dropped": dropped} if dropped else {})},
    )
