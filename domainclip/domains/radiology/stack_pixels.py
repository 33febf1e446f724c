"""The pixels of volumes and time series: one window for all slices, on one grid."""

from __future__ import annotations

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
from domainclip.domains.radiology.voi import Voi, choose_voi, voi_tables, whole_range
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
    windows = _Windows(reading)
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
    windows = _Windows(reading)
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
    array, empty = _stacked(_seen(_again(first, seen), windows), len(frames), frames[0].size)
    if reading.output == "display":
        windows.apply(array, empty)
    return Pixels(array[:, None], {} if empty is None else {"nodata": empty})


def _again(first: Frame, others: Any) -> Any:
    yield first
    yield from others


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

    def __init__(self, reading: RadiologyReading) -> None:
        self._reading = reading
        self._header: FrameHeader | None = None
        self._vois: list[Voi] = []
        self._tables: set[tuple[Any, ...]] = set()

    def see(self, frame: Frame) -> None:
        """Notes what a slice says of its window; of Hounsfield units, whether it has them."""
        if self._header is None:
            self._header = frame.header
        if frame.values.ndim != 2:
            return
        if self._reading.output == "hu":
            check_hounsfield(frame.header)
            return
        voi = choose_voi(frame.header, self._reading)
        self._vois.append(voi)
        if voi.source == "VOILUTSequence":
            with foreign_decoder("Reading its VOI LUT"):
                table = voi_tables(frame.header)[voi.index]
                self._tables.add((tuple(int(v) for v in table.LUTDescriptor), bytes(np.asarray(table["LUTData"].value).tobytes())))

    def apply(self, array: Floats, empty: npt.NDArray[np.bool_] | None) -> None:
        """Turns numbers after the modality LUT into display values, in place."""
        assert self._header is not None
        voi = self._chosen(array, empty)
        for number in range(len(array)):
            array[number] = to_display(array[number], None if empty is None else empty[number], self._header, self._reading, voi)

    def _chosen(self, array: Floats, empty: npt.NDArray[np.bool_] | None) -> Voi:
        kinds = {(voi.source, voi.function) for voi in self._vois}
        if len(kinds) > 1 or len(self._tables) > 1:
            raise unreadable("Its slices are shown in different ways (windows, tables).", "Set reading.window.")
        first = self._vois[0]
        if first.source == "image-range":
            return whole_range(array, empty)
        if first.source == "VOILUTSequence":
            return first
        centers, widths = ([getattr(voi, name) for voi in self._vois] for name in ("center", "width"))
        return Voi(first.source, statistics.median(centers), statistics.median(widths), first.function, first.index)
