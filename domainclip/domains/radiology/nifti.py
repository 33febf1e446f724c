"""Headers of NIfTI-1 and -2 files, and their stored numbers; their texts, which may name people, are not looked at."""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.dicom import foreign_decoder
from domainclip.domains.radiology.reading import RadiologyReading, check_decoded_size, check_file_size, unreadable
from domainclip.errors import missing_dependency

_GZIP = b"\x1f\x8b"
_HEAD_BYTES = 540
_LARGEST_OFFSET = 64 * 2**20
"""Header extensions lie before the numbers and are passed over; larger ones are no header."""
_TO_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
_CLEARLY = 1.2
_PIECE = 2**20
_CODES = range(1, 6)
"""Of sform and qform: scanner, aligned, Talairach, MNI, template (nifti1.h)."""
_SMALLEST_MM, _LARGEST_MM, _FLAT = 1e-4, 1e4, 1e-3


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """What is taken of a header; its texts may name people and stay behind.

    Attributes:
        shape: X, Y, Z and T.
        dtype: Of the stored numbers.
        offset: Where they begin.
        slope: Numbers are stored * slope + intercept.
        intercept: See there.
        affine: (column, row, slice, 1) to mm in LPS; None where the file does not say how it lies in the patient.
        spacing: X, Y, Z in mm.
        unit: As stated: mm, meter, micron or unknown.
        slice_axis: Of the slices as acquired: stated, else the axis with clearly the largest spacing, else the third.
        shown: Lower and upper number to show (cal_min, cal_max), or None.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    affine: npt.NDArray[np.float64] | None
    spacing: tuple[float, float, float]
    unit: str
    slice_axis: int
    shown: tuple[float, float] | None


@contextlib.contextmanager
def opened(path: Path, reading: RadiologyReading) -> Iterator[IO[bytes]]:
    """Opens a file, inflating it on the way; every failure is ``UnreadableFileError``."""
    try:
        check_file_size(path.stat().st_size, reading)
        with path.open("rb") as plain:
            compressed = plain.read(2) == _GZIP
            plain.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=plain) as inflated:
                    yield io.BufferedReader(inflated)
            else:
                yield plain
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unreadable("It is compressed, and damaged or cut short.", "Fetch it again.") from error
    except OSError as error:
        raise unreadable(f"The file cannot be opened ({error.strerror}).", "Check that it is there and readable.") from error


def read_header(path: Path, reading: RadiologyReading) -> NiftiHeader:
    """Reads and checks a header.

    Raises:
        UnreadableFileError: It is no NIfTI file of one volume or more, or promises more than ``reading`` allows.
        MissingDependencyError: nibabel is not installed.
    """
    try:
        import nibabel
    except ImportError as error:
        raise missing_dependency("nibabel", "Reading NIfTI", "nibabel") from error

    with opened(path, reading) as file:
        head = file.read(_HEAD_BYTES)
    second = head[4:8] == b"n+2\0"
    if not second and head[344:348] != b"n+1\0":
        pair = b"ni1\0" in head[344:348] or b"ni2\0" in head[4:8]
        said = "It is one half of a pair of files (.hdr, .img)." if pair else "It is no NIfTI file: its header lacks the mark n+1."
        raise unreadable(said, "Save it as one NIfTI file, .nii or .nii.gz.")
    kind = nibabel.Nifti2Header if second else nibabel.Nifti1Header
    with foreign_decoder("Reading its NIfTI header"), np.errstate(all="ignore"):
        return _checked(kind(head[: kind.template_dtype.itemsize], check=False), reading)


def _affine_mm(header: Any, to_mm: float) -> npt.NDArray[np.float64] | None:
    """Returns the 4 x 4 affine in LPS: that of sform, else of qform; None where neither has a code that NIfTI defines.

    Raises:
        UnreadableFileError: It is no grid.
    """
    if int(header["sform_code"]) in _CODES:
        ras = header.get_sform()
    elif int(header["qform_code"]) in _CODES:
        header["pixdim"][0] = -1 if header["pixdim"][0] == -1 else 1  # others count as 1 (nifti1.h, method 2)
        ras = header.get_qform()
    else:
        return None
    affine: npt.NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ (ras * np.array([to_mm] * 3 + [1.0])[:, None])
    if not _is_usable(affine[:3, :3]):
        raise unreadable("Its header says in no usable way how it lies in the patient.", "Save it again.")
    return affine


def _is_usable(axes: npt.NDArray[np.float64]) -> bool:
    """Says whether three columns are axes of a grid: of sizes that voxels have, no two in one plane with the third."""
    sizes = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or sizes.min() < _SMALLEST_MM or sizes.max() > _LARGEST_MM:
        return False
    return bool(abs(np.linalg.det(axes / sizes)) > _FLAT)


def _checked(header: Any, reading: RadiologyReading) -> NiftiHeader:
    shape = tuple(int(size) for size in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise unreadable("It is no volume and no volumes in time.", "Leave it out.")
    dtype = header.get_data_dtype()
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise unreadable("Its numbers are colours or complex.", "Save it as one volume of plain numbers.")
    x, y, z, moments = (*shape, 1, 1)[:4]
    check_decoded_size(x * y * z * max(dtype.itemsize, 4), reading)
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _LARGEST_OFFSET:
        raise unreadable("Its numbers lie at no place in the file.", "Fetch it again.")
    slope, intercept = header.get_slope_inter()
    zooms = [float(size) for size in (*header.get_zooms(), 1.0, 1.0)[:3]]
    unit = header.get_xyzt_units()[0]
    spacing = tuple(size * _TO_MM.get(unit, 1.0) for size in zooms)
    if not all(_SMALLEST_MM <= size <= _LARGEST_MM for size in spacing):
        raise unreadable("Its header gives no pixel size.", "Save it again with one.")
    affine = _affine_mm(header, _TO_MM.get(unit, 1.0))
    low, high = float(header["cal_min"]), float(header["cal_max"])
    stated, widest = header.get_dim_info()[2], int(np.argmax(spacing))
    axis = stated if stated is not None else widest if spacing[widest] > _CLEARLY * sorted(spacing)[1] else 2
    return NiftiHeader(
        (x, y, z, moments),
        dtype,
        int(offset) or 352,
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
        affine,
        (spacing[0], spacing[1], spacing[2]),
        unit,
        int(axis),
        (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None,
    )


def read_stored(path: Path, header: NiftiHeader, reading: RadiologyReading, first: int, count: int) -> npt.NDArray[Any]:
    """Reads volumes of a file, no more bytes than they have.

    Args:
        path: The file.
        header: Its header.
        reading: Limits.
        first: The first moment.
        count: How many.

    Returns:
        (count * Z, Y, X), stored numbers.

    Raises:
        UnreadableFileError: The file is damaged or cut short.
    """
    x, y, z, _ = header.shape
    size = x * y * z * header.dtype.itemsize
    check_decoded_size(count * x * y * z * max(header.dtype.itemsize, 4), reading)
    with opened(path, reading) as file:
        before = header.offset + first * size
        while before > 0 and (piece := file.read(min(before, _PIECE))):
            before -= len(piece)
        data = file.read(count * size)
    if before or len(data) < count * size:
        raise unreadable("Its numbers are cut short.", "Fetch it again.")
    return np.frombuffer(data, header.dtype).reshape(count * z, y, x)
