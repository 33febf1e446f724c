"""Volumes turned to another plane and resampled to another spacing, through MONAI."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.errors import missing_dependency

AXIS_CODES = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIL"}
"""Where columns, rows and slices lead, as radiologists look at each plane: L left, P back, S head, I feet."""
PLANES = ("sagittal", "coronal", "axial")
"""By the patient's axis (LPS) that slices follow: x left, y posterior, z superior."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DATA_SHARE = 0.5
_SLAB = 16
_BYTES = 5
"""A voxel's: its number and its mask."""


@dataclass(slots=True)
class Grid:
    """A volume on its grid.

    Attributes:
        array: (Z, Y, X) float32.
        empty: (Z, Y, X) True where there is no data, or None.
        affine: 4 x 4, (column, row, slice, 1) to mm in LPS.
    """

    array: npt.NDArray[np.float32]
    empty: npt.NDArray[np.bool_] | None
    affine: npt.NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Z, Y, X in mm; Z is the distance of the planes, which a tilted gantry makes less than the step."""
        columns = self.affine[:3, :3]
        sizes = np.linalg.norm(columns, axis=0)
        normal = np.cross(columns[:, 0] / sizes[0], columns[:, 1] / sizes[1])
        return (float(abs(columns[:, 2] @ normal)), float(sizes[1]), float(sizes[0]))


def turned(grid: Grid, codes: str) -> Grid:
    """Turns a volume so that its axes lead where ``codes`` say, by flips and exchanges of axes alone.

    nibabel does it, on which MONAI's Orientation stands as well; a test holds the two together. MONAI takes seconds to import.

    Args:
        grid: The volume.
        codes: Of columns, rows and slices, e.g. ``"LPS"``.

    Raises:
        MissingDependencyError: nibabel is not installed.
    """
    try:
        from nibabel import orientations
    except ImportError as error:
        raise missing_dependency("nibabel", "Turning volumes", "nibabel") from error
    affine = _LPS_TO_RAS @ grid.affine
    change = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(codes))
    back = orientations.inv_ornt_aff(change, grid.array.shape[::-1])

    def turn(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.ascontiguousarray(orientations.apply_orientation(array.transpose(2, 1, 0), change).transpose(2, 1, 0))

    return Grid(turn(grid.array), None if grid.empty is None else turn(grid.empty), _LPS_TO_RAS @ affine @ back)


def resampled(grid: Grid, spacing_mm: tuple[float, float, float], most_mib: float) -> Grid:
    """Resamples a volume trilinearly, as MONAI's Spacing does, to a grid with right angles: a tilted gantry is straightened.

    Slab by slab (MONAI's SpatialResample): Spacing itself would need six times the memory of a large CT.

    Args:
        grid: The volume.
        spacing_mm: Z, Y, X.
        most_mib: Largest result.

    Returns:
        The volume; what lies outside of the slices is empty. Nothing smooths it before it is made smaller.

    Raises:
        UnreadableFileError: The result would be larger.
        MissingDependencyError: MONAI is not installed.
    """
    try:
        from monai.data.utils import compute_shape_offset, zoom_affine
    except ImportError as error:
        raise missing_dependency("monai", "Resampling volumes", "monai") from error
    source = _LPS_TO_RAS @ grid.affine
    target = np.asarray(zoom_affine(source, spacing_mm[::-1], diagonal=False), np.float64)
    shape, offset = compute_shape_offset(grid.array.shape[::-1], source, target, False)
    target[:3, 3] = np.asarray(offset)[:3]
    some = grid.empty is not None and not grid.empty.all()
    low = np.float32(grid.array[~grid.empty].min() if some and grid.empty is not None else 0)

    def numbers(part: slice) -> npt.NDArray[np.float32]:
        return grid.array[part] if grid.empty is None else np.where(grid.empty[part], low, grid.array[part])

    def known(part: slice) -> npt.NDArray[np.float32]:
        return np.ones(grid.array[part].shape, np.float32) if grid.empty is None else (~grid.empty[part]).astype(np.float32)

    size = (int(shape[0]), int(shape[1]), int(shape[2]))
    if (mib := math.prod(size) * _BYTES / 2**20) > most_mib:
        voxels = " x ".join(str(one) for one in reversed(size))
        raise unreadable(
            f"reading.spacing_mm makes {voxels} voxels of it, {mib:.0f} MiB; the limit is {most_mib:g} MiB.",
            "Choose a coarser spacing_mm; or set reading.max_decoded_mib higher if you trust the file.",
        )
    array, empty = np.empty(size[::-1], np.float32), np.empty(size[::-1], bool)
    for first in range(0, size[2], _SLAB):
        slab = _Slab(source, target, (*size[:2], min(_SLAB, size[2] - first)), first, len(grid.array))
        array[first : first + _SLAB] = slab.resampled(numbers(slab.under), "border")
        empty[first : first + _SLAB] = slab.resampled(known(slab.under), "zeros") < _DATA_SHARE
    return Grid(array, empty if empty.any() else None, _LPS_TO_RAS @ target)


class _Slab:
    """Some slices of the result, and the slices of the source that they lie over; affines are of X, Y, Z in RAS, as MONAI's."""

    def __init__(
        self, source: npt.NDArray[np.float64], target: npt.NDArray[np.float64], size: tuple[int, int, int], first: int, depth: int
    ) -> None:
        self._size = size
        self._place = target.copy()
        self._place[:3, 3] += first * target[:3, 2]
        corners = [(x, y, z, 1.0) for x in (0, size[0] - 1) for y in (0, size[1] - 1) for z in (0, size[2] - 1)]
        places = np.array(corners) @ (np.linalg.inv(source) @ self._place)[2]
        low = min(max(int(np.floor(places.min())) - 1, 0), depth - 1)  # one to spare on each side
        self.under = slice(low, max(min(int(np.ceil(places.max())) + 2, depth), low + 1))
        self._source = source.copy()
        self._source[:3, 3] += low * source[:3, 2]

    def resampled(self, array: npt.NDArray[np.float32], outside: str) -> npt.NDArray[np.float32]:
        """Returns (Z', Y', X') of the slices ``under``; ``outside`` is MONAI's padding mode."""
        import torch
        from monai.data import MetaTensor
        from monai.transforms import SpatialResample

        resample = SpatialResample(mode="bilinear", padding_mode=outside, dtype=torch.float32)
        tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 1, 0)))[None]
        image = MetaTensor(tensor, affine=torch.from_numpy(self._source))
        slab = resample(image, dst_affine=torch.from_numpy(self._place), spatial_size=self._size)
        return np.asarray(slab.numpy()[0].transpose(2, 1, 0), np.float32)


def on_grid(grid: Grid, reading: RadiologyReading) -> Grid:
    """Applies ``reading.plane`` and ``reading.spacing_mm``.

    Raises:
        MissingDependencyError: nibabel or MONAI is needed and not installed.
    """
    if reading.plane != "acquired":
        grid = turned(grid, AXIS_CODES[reading.plane])
    return grid if reading.spacing_mm is None else resampled(grid, reading.spacing_mm, reading.max_decoded_mib)
