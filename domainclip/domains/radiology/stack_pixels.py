"""The pixels of volumes and time series: one window for all slices, on one grid."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.dicom import foreign_decoder
from domainclip.domains.radiology.display import check_hounsfield, to_display
from domainclip.domains.radiology.functional_groups import FrameHeader
from domainclip.domains.radiology.geometry import Geometry, evened
from domainclip.domains.radiology.grid import Grid, on_grid
from domainclip.domains.radiology.physical import Frame, frames_of
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.domains.radiology.series import SliceHeader
from domainclip.domains.radiology.voi import Voi, voi_tables, whole_range
from domainclip.sample import Pixels

Floats = npt.NDArray[np.float32]


def read_volume(paths: Sequence[Path], slices: Sequence[SliceHeader], grid: Geometry, reading: RadiologyReading) -> Pixels:
    """Reads a volume.

    Args:
        paths: The files of its series.
        slices: In order.
        grid: Where they lie.
        reading: Window, plane, spacing.

    Returns:
        (1, Z, Y, X) float32: display values 0..1 under one window for all slices, or HU. The mask ``nodata`` is (Z, Y, X).

    Raises:
        UnreadableFileError: A slice cannot be read, or the slices have windows of different kinds.
    """
    windows = _Windows(reading, slices)
    array, empty = _stacked(_seen(frames_of(paths, slices, reading), windows), len(slices), slices[0].size)
    if not grid.even:
        array = evened(array, grid)
        empty = None if empty is None else evened(empty.astype(np.float32), grid) > 0
    placed = on_grid(Grid(array, empty, np.array(grid.affine)), reading)
    if reading.output == "display":
        windows.apply(placed.array, placed.empty)
    return Pixels(placed.array[None], {} if placed.empty is None else {"nodata": placed.empty})


def read_moments(paths: Sequence[Path], frames: Sequence[SliceHeader], reading: RadiologyReading) -> Pixels:
    """Reads a time series.

    Returns:
        (T, 1, Y, X) float32: display values under one window for all frames, or HU; (T, 3, Y, X) uint8 or uint16 of colour.
        The mask ``nodata`` is (T, Y, X).

    Raises:
        UnreadableFileError: A frame cannot be read.
    """
    windows = _Windows(reading, frames)
    seen = frames_of(paths, frames, reading)
    first = next(seen)
    if first.values.ndim == 3:
        colour = np.empty((len(frames), *first.values.shape), first.values.dtype)
        colour[0] = first.values
        for number, one in enumerate(seen, start=1):
            if one.values.shape != colour.shape[1:] or one.values.dtype != colour.dtype:
                raise unreadable("Its frames are of different colours or bits.", "Read them one by one: reading.axes=CYX.")
            colour[number] = one.values
        return Pixels(colour)
    array, empty = _stacked(_seen(itertools.chain([first], seen), windows), len(frames), frames[0].size)
    if reading.output == "display":
        windows.apply(array, empty)
    return Pixels(array[:, None], {} if empty is None else {"nodata": empty})


def _seen(frames: Any, windows: _Windows) -> Any:
    for frame in frames:
        windows.see(frame)
        yield frame


def _stacked(frames: Any, count: int, size: tuple[int, int]) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
    array = np.empty((count, *size), np.float32)
    empty: npt.NDArray[np.bool_] | None = None
    for number, frame in enumerate(frames):
        if frame.values.ndim != 2:
            raise unreadable("Some of its frames are in colour and some are grey.", "Read them one by one: reading.axes=CYX.")
        array[number] = frame.values
        if frame.padding is not None and frame.padding.any():
            empty = np.zeros(array.shape, bool) if empty is None else empty
            empty[number] = frame.padding
    return array, empty


class _Windows:
    """The windows of all slices, and the one that is shown: slices under windows of their own could not be compared."""

    def __init__(self, reading: RadiologyReading, slices: Sequence[SliceHeader]) -> None:
        self._reading = reading
        self._vois = [one.voi for one in slices]
        self._header: FrameHeader | None = None
        self._tables: set[tuple[Any, ...]] = set()

    def see(self, frame: Frame) -> None:
        """Notes the table of a slice that is shown by one; of Hounsfield units, whether it has them."""
        if self._header is None:
            self._header = frame.header
        if frame.values.ndim == 2 and self._reading.output == "hu":
            check_hounsfield(frame.header)
        first = self._vois[0]
        if first is not None and first.source == "VOILUTSequence":
            with foreign_decoder("Reading its VOI LUT"):
                table = voi_tables(frame.header)[first.index]
                self._tables.add((tuple(int(v) for v in table.LUTDescriptor), bytes(np.asarray(table["LUTData"].value).tobytes())))

    def apply(self, array: Floats, empty: npt.NDArray[np.bool_] | None) -> None:
        """Turns numbers after the modality LUT into display values, in place."""
        assert self._header is not None
        voi = self._chosen(array, empty)
        for number in range(len(array)):
            array[number] = to_display(array[number], None if empty is None else empty[number], self._header, self._reading, voi)

    def _chosen(self, array: Floats, empty: npt.NDArray[np.bool_] | None) -> Voi:
        if len(self._tables) > 1:
            raise unreadable(_DIFFERENT, "Set reading.window.")
        voi = common_voi(self._vois)
        return whole_range(array, empty) if voi.source == "image-range" else voi


_DIFFERENT = "Its slices are shown in different ways (windows, tables)."
_MOST_WIDER = 2.0


def common_voi(vois: Sequence[Voi | None]) -> Voi:
    """Returns what all slices are shown by: their one table or range, or the median of their windows where these are alike.

    Windows are alike whose widths lie within a factor of 2 of the median, and whose centres lie within half of the median's width.

    Raises:
        UnreadableFileError: Slices are shown in different ways.
    """
    known = [voi for voi in vois if voi is not None]
    first = known[0]
    if len({(voi.source, voi.function, voi.index) for voi in known}) > 1 or len(known) != len(vois):
        raise unreadable(_DIFFERENT, "Set reading.window.")
    if first.source in {"image-range", "VOILUTSequence"}:
        return first
    center, width = statistics.median(voi.center for voi in known), statistics.median(voi.width for voi in known)
    apart = [
        voi for voi in known if abs(voi.center - center) > width / 2 or not 1 / _MOST_WIDER <= voi.width / width <= _MOST_WIDER
    ]
    if apart:
        found = (
            f"Its slices have windows that differ too much for one: {apart[0].center:g}/{apart[0].width:g} among them, where the "
        )
        raise unreadable(f"{found}median is {center:g}/{width:g}.", "Set reading.window.")
    same = all((voi.center, voi.width) == (center, width) for voi in known)
    return Voi(first.source if same else f"median of {len(known)} slices", center, width, first.function, first.index)
