"""Where the voxels of a stack lie: order along the normal, spacing, tilt, what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.grid import PLANES
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.domains.radiology.series import SliceHeader, normal_of

UNEVEN = 0.05
"""Share of the spacing by which single slices may lie off; headers round positions."""
TILTED_DEGREES = 0.5
_ROUNDING_MM = 0.05
"""Some scanners write positions to 0.1 mm."""
_OBLIQUE_DEGREES = 20.0
_MOST_FILLED = 3


@dataclass(frozen=True, slots=True)
class Geometry:
    """A grid of voxels in the patient.

    Attributes:
        affine: 4 x 4, rows as tuples: (column, row, slice, 1) to mm in LPS; the third column is the step from slice to slice.
        spacing: Z, Y, X in mm; Z is the distance of the planes.
        plane: ``axial``, ``coronal``, ``sagittal``, or ``oblique`` (over 20 degrees from all).
        tilt_degrees: Between the step and the normal of the planes: not 0 for a tilted gantry, where planes are shifted.
        places: Of the slices along the normal from the first on, in units of ``spacing[0]``; 0, 1, 2 ... where none is missing.
    """

    affine: tuple[tuple[float, ...], ...]
    spacing: tuple[float, float, float]
    plane: str
    tilt_degrees: float
    places: tuple[float, ...]

    @property
    def even(self) -> bool:
        """Whether every slice lies where the grid has one."""
        return all(abs(place - number) <= UNEVEN + _ROUNDING_MM / self.spacing[0] for number, place in enumerate(self.places))


def ordered(stack: Sequence[SliceHeader]) -> tuple[list[SliceHeader], Geometry]:
    """Sorts a stack along its normal by position, never by instance number, toward the patient's left, back or head.

    Args:
        stack: Slices of one size, spacing and direction, two or more.

    Returns:
        The slices in order, and their grid.

    Raises:
        UnreadableFileError: The header does not say where slices lie or how large pixels are, or slices are shifted against each
            other within their planes.
    """
    first = stack[0]
    if len(stack) < 2:
        raise unreadable("It is one slice, which makes no volume.", "Read it as a picture: reading.axes=CYX.")
    if first.position is None or first.orientation is None:
        found = "Its header does not say where its slices lie (Image Position and Orientation (Patient))."
        raise unreadable(found, "Read them as pictures (reading.axes=CYX), or as frames in time (reading.axes=TCYX).")
    if first.spacing is None:
        raise unreadable("Its header gives no pixel size.", "A volume needs one; read the slices as pictures: reading.axes=CYX.")
    cosines = np.array(first.orientation).reshape(2, 3)
    if np.abs(np.linalg.norm(cosines, axis=1) - 1).max() > 0.01 or abs(cosines[0] @ cosines[1]) > 0.01:
        raise unreadable("Its directions of rows and columns are no right angle of unit vectors.", "Export it again.")
    normal = np.array(normal_of(first.orientation))
    axis = int(np.abs(normal).argmax())
    direction = normal * (1.0 if normal[axis] > 0 else -1.0)
    slices = sorted(stack, key=lambda one: one.along(tuple(direction)))
    positions = np.array([one.position for one in slices])
    along = positions @ direction
    thick = _distance(along)
    step = _step(positions, along, thick, min(first.spacing))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = cosines[0] * first.spacing[1], cosines[1] * first.spacing[0]
    affine[:3, 2], affine[:3, 3] = step, positions[0]
    tilt = math.degrees(math.acos(min(1.0, thick / float(np.linalg.norm(step)))))
    oblique = math.degrees(math.acos(min(1.0, float(np.abs(normal[axis]))))) > _OBLIQUE_DEGREES
    spacing = (thick, float(first.spacing[0]), float(first.spacing[1]))
    grid = Geometry(
        tuple(tuple(float(v) for v in row) for row in affine),
        spacing,
        "oblique" if oblique else PLANES[axis],
        round(tilt, 2) if tilt > TILTED_DEGREES else 0.0,
        tuple(float(place) for place in (along - along[0]) / thick),
    )
    return slices, grid


def _distance(along: npt.NDArray[np.float64]) -> float:
    """Returns the distance of neighbouring slices: the mean, with a gap counted as the slices that it lacks."""
    steps = np.diff(along)
    common = float(np.quantile(steps, 0.5, method="lower"))
    return float((along[-1] - along[0]) / np.maximum(np.rint(steps / common), 1).sum())


def _step(
    positions: npt.NDArray[np.float64], along: npt.NDArray[np.float64], thick: float, pixel: float
) -> npt.NDArray[np.float64]:
    """Returns the vector from slice to slice, whose part within the plane is that of a tilted gantry.

    Raises:
        UnreadableFileError: The slices do not lie on one line.
    """
    places = (along - along[0]) / thick
    step = (positions[-1] - positions[0]) / places[-1]
    off = np.linalg.norm(positions - positions[0] - places[:, None] * step, axis=1)
    if off.max() > max(pixel, UNEVEN * thick):
        found = f"Its slices are shifted against each other within their planes, by up to {off.max():.1f} mm."
        raise unreadable(found, "Read them one by one: reading.axes=CYX.")
    return np.asarray(step)


def refuse_gaps(grid: Geometry, reading: RadiologyReading, stated: Sequence[float | None] = ()) -> None:
    """Refuses stacks with missing or uneven slices, saying which; with ``reading.gaps=interpolate`` only those with wide gaps.

    Args:
        grid: Of the stack.
        reading: ``gaps`` and ``stride``.
        stated: What headers say of the distance of slices in mm, where they do.

    Raises:
        UnreadableFileError: There are some.
    """
    widest = float(np.diff(grid.places).max())
    if reading.gaps == "interpolate":
        if widest > _MOST_FILLED + 1.5:
            found = f"Its widest gap lacks about {round(widest) - 1} slices; up to {_MOST_FILLED} in a row are interpolated."
            raise unreadable(found, "Fetch the whole series, or read its slices one by one: reading.axes=CYX.")
        return
    said = sorted(value for value in stated if value is not None)
    if said and grid.spacing[0] > 1.5 * said[len(said) // 2] * reading.stride:
        raise unreadable(
            f"Slices are missing: they lie {grid.spacing[0]:.4g} mm apart, their headers say {said[len(said) // 2]:.4g} mm.",
            "Fetch the whole series; or set reading.gaps=interpolate, which takes the slices that are there.",
        )
    if grid.even:
        return
    steps = np.diff(grid.places)
    wide = steps[steps > 1.5]
    missing = int(sum(round(float(step)) - 1 for step in wide))
    if missing:
        found = (
            f"Slices are missing: in {len(wide)} places, about {missing} in all; most lie {grid.spacing[0]:.4g} mm apart, "
            f"at the widest gap {float(wide.max()) * grid.spacing[0]:.4g} mm."
        )
    else:
        least, most = (float(v) * grid.spacing[0] for v in (steps.min(), steps.max()))
        found = f"Its slices lie unevenly, {least:.4g} to {most:.4g} mm apart."
    raise unreadable(found, "Fetch the whole series; or set reading.gaps=interpolate; or read slices as pictures (axes=CYX).")


def evened(volume: npt.NDArray[np.float32], grid: Geometry) -> npt.NDArray[np.float32]:
    """Interpolates slices linearly to even places.

    Args:
        volume: (Z, Y, X), slices at ``grid.places``.
        grid: Their grid.

    Returns:
        (Z', Y, X): slices at 0, 1, ... up to the last place, rounded.
    """
    places = np.array(grid.places)
    wanted = np.arange(round(float(places[-1])) + 1)
    below = np.clip(np.searchsorted(places, wanted, side="right") - 1, 0, len(places) - 2)
    share = np.clip((wanted - places[below]) / (places[below + 1] - places[below]), 0.0, 1.0).astype(np.float32)
    result = np.empty((len(wanted), *volume.shape[1:]), np.float32)
    for number, (low, part) in enumerate(zip(below, share, strict=True)):
        result[number] = volume[low] if part == 0 else volume[low] * (1 - part) + volume[low + 1] * part
    return result
