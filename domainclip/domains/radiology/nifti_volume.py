"""Volumes of NIfTI files: they hold no patient, and do not say what their numbers mean."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.base import Inspection
from domainclip.domains.radiology.grid import AXIS_CODES, PLANES, Grid, on_grid, turned
from domainclip.domains.radiology.images import CHANNELS
from domainclip.domains.radiology.nifti import NiftiHeader, read_header, read_stored
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.domains.radiology.voi import Voi, apply_window, whole_range
from domainclip.domains.radiology.windows import FILE, WINDOWS
from domainclip.errors import UnreadableFileError
from domainclip.sample import Pixels, Sample, SourceItem, Spacing, Values


def nifti_sample(item: SourceItem, reading: RadiologyReading) -> Sample:
    """Returns the sample of a NIfTI file: a volume, or the frames of a file with one slice in time.

    Raises:
        UnreadableFileError: It cannot be read, or ``reading`` does not fit it.
    """
    header = read_header(item.path, reading)
    z, moments = header.shape[2:]
    if reading.axes == "CYX":
        raise unreadable("A NIfTI file is a volume.", "Set reading.axes=CZYX; its slices are then found through it.")
    if reading.axes == "TCYX" and (z > 1 or moments == 1):
        found = f"It has {z} slices and {moments} moments; a time series has one slice and several moments."
        raise unreadable(found, "Read one moment as a volume: reading.axes=CZYX, reading.frame.")
    if reading.axes == "CZYX":
        _check_moment(moments, reading)
    _check_values(reading)
    count = moments if reading.axes == "TCYX" else z
    if -(-count // reading.stride) < 2:
        raise unreadable("It is one slice, which makes no volume.", "Save it as a picture.")
    grid = _grid_facts(header, reading)
    return Sample(
        key=item.name,
        axes=reading.axes,
        channels=CHANNELS,
        values=Values("hu" if reading.output == "hu" else "display"),
        reader=partial(read_nifti, item.path, reading),
        group=item.group or item.ids.get("patient") or item.name,
        spacing=item.spacing or Spacing(grid["spacing"], "mm", grid["source"]),
        captions=item.captions,
        labels=item.labels,
        regions=item.regions,
        ids=item.ids,
        split=item.split,
        meta=grid["meta"],
    )


def _check_moment(moments: int, reading: RadiologyReading) -> None:
    if moments > 1 and reading.frame is None:
        raise unreadable(f"It holds {moments} volumes in time; one is read.", "Choose one with reading.frame, from 0.")
    if reading.frame is not None and reading.frame >= moments:
        raise unreadable(f"reading.frame is {reading.frame}, counted from 0; the file has {moments}.", "Choose a smaller one.")


def _check_values(reading: RadiologyReading) -> None:
    """Refuses Hounsfield units, and windows in them, of numbers that nobody called so."""
    named = isinstance(reading.window, str)
    if (named and str(reading.window).startswith(FILE)) or reading.voi_index:
        raise unreadable("A NIfTI file has no windows by name or number.", "Give reading.window as [centre, width].")
    if (named or reading.output == "hu") and reading.nifti_values != "hu":
        raise unreadable(
            "A NIfTI file does not say what its numbers mean, and Hounsfield units were asked for.",
            "If it is a CT in Hounsfield units, set reading.nifti_values=hu; else give reading.window as [centre, width].",
        )


def _grid_facts(header: NiftiHeader, reading: RadiologyReading) -> dict[str, Any]:
    """Returns spacing, its source, and what meta tells, without reading the numbers."""
    source = "pixdim" if header.unit != "unknown" else "pixdim, unit not stated: mm by custom"
    grid = _placed(Grid(np.zeros((2, 2, 2), np.float32), None, _affine(header)), header)
    if reading.axes == "TCYX":
        return {"spacing": grid.spacing[1:], "source": source, "meta": {"frames": -(-header.shape[3] // reading.stride)}}
    if header.affine is None and reading.plane != "acquired":
        raise unreadable("It does not say how it lies in the patient.", "Leave reading.plane out: its third axis gives the slices.")
    grid.affine[:3, 2] *= reading.stride
    acquired = _acquired(header)
    if reading.plane != "acquired":
        grid = turned(grid, AXIS_CODES[reading.plane])
    facts: dict[str, Any] = {"plane": acquired if reading.plane == "acquired" else reading.plane}
    if reading.plane in {"acquired", acquired}:
        facts["slice_frames"] = _numbers_in_file(header)[:: reading.stride]
        if reading.spacing_mm is not None:
            facts["slice_step"] = reading.spacing_mm[0] / grid.spacing[0]
    spacing, source = (grid.spacing, source) if reading.spacing_mm is None else (reading.spacing_mm, "resampled")
    return {"spacing": spacing, "source": source, "meta": facts}


def _numbers_in_file(header: NiftiHeader) -> list[int]:
    """Returns the number that each slice has in the file, along its slice axis."""
    axis = 2 if header.affine is None else header.slice_axis
    lengths = [1, 1, 1]
    lengths[2 - axis] = header.shape[axis]
    # Numbered along that axis and turned as the volume is: one voxel across, so that nothing else is moved.
    numbered = np.arange(header.shape[axis], dtype=np.float32).reshape(lengths)
    return [int(number) for number in _placed(Grid(numbered, None, _affine(header)), header).array.ravel()]


def _affine(header: NiftiHeader) -> npt.NDArray[np.float64]:
    return np.diag([*header.spacing, 1.0]) if header.affine is None else header.affine


def _acquired(header: NiftiHeader) -> str:
    """Names the plane of the slices as acquired."""
    if header.affine is None:
        return "unknown"
    return PLANES[int(np.abs(header.affine[:3, header.slice_axis]).argmax())]


def _placed(grid: Grid, header: NiftiHeader) -> Grid:
    """Turns a volume as radiologists look at its plane: files hold their axes in any order and direction."""
    return grid if header.affine is None else turned(grid, AXIS_CODES[_acquired(header)])


def read_nifti(path: Path, reading: RadiologyReading) -> Pixels:
    """Reads the numbers.

    Returns:
        (1, Z, Y, X), or (T, 1, Y, X), float32: display values 0..1, or HU. What is no number is in the mask ``nodata``.

    Raises:
        UnreadableFileError: The file is damaged or cut short, or every voxel has the same value.
    """
    header = read_header(path, reading)
    first, count = (0, header.shape[3]) if reading.axes == "TCYX" else (reading.frame or 0, 1)
    stored = read_stored(path, header, reading, first, count)
    array = np.empty(stored.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is no number, and marked so
        for number, plane in enumerate(stored):
            array[number] = plane.astype(np.float64) * header.slope + header.intercept
    empty = ~np.isfinite(array)
    grid = Grid(np.where(empty, np.float32(0), array), empty if empty.any() else None, _affine(header))
    if reading.axes == "CZYX":
        grid = on_grid(_every(_placed(grid, header), reading.stride), reading)
    else:
        grid = _every(grid, reading.stride)
    if reading.output == "display":
        _show(grid, header, reading)
    masks = {} if grid.empty is None else {"nodata": grid.empty}
    return Pixels(grid.array[:, None] if reading.axes == "TCYX" else grid.array[None], masks)


def _every(grid: Grid, stride: int) -> Grid:
    if stride == 1:
        return grid
    affine = grid.affine.copy()
    affine[:3, 2] *= stride
    return Grid(np.ascontiguousarray(grid.array[::stride]), None if grid.empty is None else grid.empty[::stride], affine)


def _show(grid: Grid, header: NiftiHeader, reading: RadiologyReading) -> None:
    """Turns numbers into display values, in place."""
    voi = _window(header, reading) or whole_range(grid.array, grid.empty)
    for number in range(len(grid.array)):
        grid.array[number] = apply_window(grid.array[number], voi.center, voi.width, voi.function)


def _window(header: NiftiHeader, reading: RadiologyReading) -> Voi | None:
    """Returns reading.window, else that of cal_min and cal_max; None where the volume's own range is to be shown."""
    if isinstance(reading.window, str):
        return Voi(f"reading.window {reading.window}", *WINDOWS[reading.window])
    if reading.window is not None:
        return Voi("reading.window", *reading.window)
    if header.shown is None:
        return None
    low, high = header.shown
    return Voi("cal_min, cal_max", (low + high) / 2, high - low, "LINEAR_EXACT")


def inspect_nifti(path: Path, reading: RadiologyReading | None = None) -> Inspection:
    """Looks at a NIfTI file; its texts are not shown.

    Args:
        path: The file.
        reading: Options by which it is to be read; None lists what may have to be set.

    Raises:
        UnreadableFileError: It is damaged, too large, or holds no volume.
    """
    look = reading or RadiologyReading(axes="CZYX", frame=0)
    header = read_header(path, look)
    stored = read_stored(path, header, look, min(look.frame or 0, header.shape[3] - 1), 1)
    numbers = stored.astype(np.float64) * header.slope + header.intercept
    known = numbers[np.isfinite(numbers)]
    moments, (z, y, x) = (
        header.shape[3],
        _placed(Grid(np.zeros(stored.shape, np.float32), None, _affine(header)), header).array.shape,
    )
    facts = _grid_facts(header, look)
    missing = []
    if reading is None:
        missing.append("Volume: set reading.axes=CZYX to read it.")
        if moments > 1:
            missing.append(f"Moments: it holds {moments} volumes in time; choose one with reading.frame (from 0).")
    else:
        try:
            nifti_sample(SourceItem(path, path.name), reading)
        except UnreadableFileError as error:
            missing.append(f"Volume: {error.reason}")
    if look.nifti_values != "hu":
        missing.append("Values: the file does not say what its numbers mean; of Hounsfield units, set reading.nifti_values=hu.")
    if header.affine is None:
        missing.append("Orientation: the file does not say how it lies in the patient; its third axis gives the slices.")
    missing.append("Group: the file names no patient; give it in the manifest's column group.")
    voi = _window(header, look)
    return Inspection(
        format="NIfTI volume",
        width=x,
        height=y,
        levels=((x, y, 1.0),),
        channels=CHANNELS,
        spacing={**dict(zip("zyx", facts["spacing"], strict=True)), "unit": "mm", "source": facts["source"]},
        dtype=header.dtype.name,
        values=f"display 0..1: x * {header.slope:g} + {header.intercept:g}, {voi or 'smallest to largest value of the volume'}",
        range=None
        if not known.size
        else {"minimum": float(known.min()), "maximum": float(known.max()), "pixels": float(stored.size)},
        group="",
        missing=tuple(missing),
        details={"slices": z, "moments": moments, "plane": facts["meta"].get("plane", "")},
    )
