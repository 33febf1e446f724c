"""Volumes turned to another plane and resampled to another spacing, through MONAI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.reading import RadiologyReading
from domainclip.errors import missing_dependency

AXIS_CODES = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIL"}
"""Where columns, rows and slices lead, as radiologists look at each plane: L left, P back, S head, I feet."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DATA_SHARE = 0.5


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


def resampled(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """Resamples a volume trilinearly (MONAI's Spacing) to a grid with right angles: a tilted gantry is straightened.

    Args:
        grid: The volume.
        spacing_mm: Z, Y, X.

    Returns:
        The volume; what lies outside of the slices is empty. Nothing smooths it before it is made smaller.

    Raises:
        MissingDependencyError: MONAI is not installed.
    """
    try:
        from monai.transforms import Spacing
    except ImportError as error:
        raise missing_dependency("monai", "Resampling volumes", "monai") from error
    pixdim = spacing_mm[::-1]
    data = np.ones(grid.array.shape, np.float32) if grid.empty is None else (~grid.empty).astype(np.float32)
    filled = (
        grid.array if grid.empty is None else np.where(grid.empty, np.float32(grid.array[~grid.empty].min(initial=0)), grid.array)
    )
    array, affine = _through(Spacing(pixdim=pixdim, mode="bilinear", padding_mode="border"), filled, grid.affine)
    share, _ = _through(Spacing(pixdim=pixdim, mode="bilinear", padding_mode="zeros"), data, grid.affine)
    empty = share < _DATA_SHARE
    return Grid(array, empty if empty.any() else None, affine)


def on_grid(grid: Grid, reading: RadiologyReading) -> Grid:
    """Applies ``reading.plane`` and ``reading.spacing_mm``.

    Raises:
        MissingDependencyError: nibabel or MONAI is needed and not installed.
    """
    if reading.plane != "acquired":
        grid = turned(grid, AXIS_CODES[reading.plane])
    return grid if reading.spacing_mm is None else resampled(grid, reading.spacing_mm)


def _through(
    transform: object, array: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Applies a spatial transform of MONAI, whose axes are X, Y, Z and whose world is RAS."""
    import torch
    from monai.data import MetaTensor

    tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 1, 0)))[None]
    result = transform(MetaTensor(tensor, affine=torch.from_numpy(_LPS_TO_RAS @ affine)))  # type: ignore[operator]
    back = np.ascontiguousarray(result.numpy()[0].transpose(2, 1, 0), dtype=np.float32)
    return back, np.asarray(_LPS_TO_RAS @ result.affine.numpy(), dtype=np.float64)
