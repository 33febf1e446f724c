"""From stored numbers to display values, in DICOM's order: modality LUT, VOI LUT or window, presentation LUT and polarity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.dicom import foreign_decoder
from domainclip.domains.radiology.palette import table_entries
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.domains.radiology.voi import Voi, apply_window, choose_voi, not_hounsfield, voi_tables

Array = npt.NDArray[Any]
_AT_A_TIME = 2**16
"""Numbers: half a MiB in float64, which stays in a core's cache."""


def look_up(array: Array, item: Any, little_endian: bool) -> tuple[Array, int]:
    """Maps numbers by an item of the Modality or VOI LUT Sequence (PS3.3 C.11.1.1 and C.11.2.1.1).

    pydicom's functions keep the VOI table's index in the type of its entries, which wraps when a table of 8-bit entries has
    more than 256 of them, and refuse modality tables of 10 to 15 bits; here both work.

    Args:
        array: Numbers before the table.
        item: With LUTDescriptor (entries, first number, bits) and LUTData.
        little_endian: Byte order of LUTData where it is stored as bytes.

    Returns:
        The looked-up integers, shaped as ``array``, and how many bits they have.

    Raises:
        UnreadableFileError: The table does not have what its descriptor promises.
    """
    entries, first, bits = (int(v) for v in item.LUTDescriptor)
    entries = entries % 2**16 or 2**16
    table = table_entries(item.LUTData, entries, bits, little_endian)
    index = np.clip(np.floor(np.asarray(array, dtype=np.float64) - first), 0, entries - 1).astype(np.int64)
    return table[index], bits


def physical_values(stored: Array, dataset: Any) -> Array:
    """Applies the Modality LUT Sequence, or rescale slope and intercept in float64 (PS3.3 C.11.1)."""
    with foreign_decoder("Applying its modality LUT"):
        if tables := dataset.get("ModalityLUTSequence"):
            return look_up(stored, tables[0], dataset.file_meta.TransferSyntaxUID.is_little_endian)[0]
        rescaling = _rescaling(stored, dataset)
        return stored if rescaling is None else np.asarray(stored.astype(np.float64) * rescaling[0] + rescaling[1])


def _rescaling(stored: Array, dataset: Any) -> tuple[float, float] | None:
    """Slope and intercept, None where the file has not both.

    Raises:
        UnreadableFileError: They give no finite numbers.
    """
    with foreign_decoder("Reading its rescale slope and intercept"):
        slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
        if slope is None or intercept is None:
            return None
        slope, intercept = float(slope), float(intercept)
    if not np.isfinite([abs(slope) * 2.0 ** (8 * stored.dtype.itemsize) + abs(intercept)]).all():
        raise unreadable("Its rescale slope and intercept give no finite numbers.", "Export it again, or correct them.")
    return slope, intercept


def physical_numbers(stored: Array, dataset: Any) -> npt.NDArray[np.float32]:
    """Does what ``physical_values`` does and rounds to float32, some rows at a time: numbers in float64 never leave the cache."""
    rescaling = None if dataset.get("ModalityLUTSequence") else _rescaling(stored, dataset)
    if rescaling is None:
        return np.asarray(physical_values(stored, dataset), dtype=np.float32)
    slope, intercept = rescaling
    whole = slope == 1 and intercept.is_integer() and abs(intercept) < 2**20
    if whole and stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        return np.add(stored, np.float32(intercept), dtype=np.float32)  # no number of 16 bits and such an intercept is rounded
    numbers = np.empty(stored.shape, np.float32)
    for rows in _some_rows(stored):
        numbers[rows] = stored[rows].astype(np.float64) * slope + intercept
    return numbers


def _some_rows(array: Array) -> Iterator[slice]:
    """Yields slices of rows with about ``_AT_A_TIME`` numbers."""
    step = max(1, _AT_A_TIME // array.shape[1])
    return (slice(first, first + step) for first in range(0, array.shape[0], step))


def padding_mask(stored: Array, dataset: Any) -> npt.NDArray[np.bool_] | None:
    """Marks the pixels that a padding value declares empty, up to its range limit (PS3.3 C.7.5.1.1.2), and those without a number.

    Returns:
        (Y, X), or None where the header has no padding value and every pixel is a number.
    """
    value, limit = _padding(stored, dataset)
    mask = ~np.isfinite(stored) if stored.dtype.kind == "f" else None
    if value is None:
        return np.asarray(mask) if mask is not None and mask.any() else None
    low, high = sorted((value, value if limit is None else limit))
    empty = (stored == low) if low == high else (stored >= low) & (stored <= high)
    return np.asarray(empty if mask is None else empty | mask)


def masked(stored: Array, dataset: Any) -> tuple[Array, npt.NDArray[np.bool_] | None]:
    """Finds padding, and puts 0 in place of what is no number; see ``padding_mask``."""
    padding = padding_mask(stored, dataset)
    if stored.dtype.kind == "f" and padding is not None:
        stored = np.where(np.isfinite(stored), stored, 0.0)
    return stored, padding


def _padding(stored: Array, dataset: Any) -> tuple[Any, Any]:
    """Padding value and range limit, None where there is none."""
    if stored.dtype.kind == "f":
        kind = "DoubleFloatPixel" if stored.dtype.itemsize == 8 else "FloatPixel"
        value, limit = (dataset.get(f"{kind}Padding{end}") for end in ("Value", "RangeLimit"))
    else:
        value, limit = (_as_stored(dataset.get(f"PixelPadding{end}"), stored) for end in ("Value", "RangeLimit"))
    return value, limit


def _as_stored(value: Any, stored: Array) -> int | None:
    """Returns a padding value in the sign of the pixels: some writers store 63536 where the pixels hold -2000."""
    if not isinstance(value, int):
        return None
    span = 2 ** (8 * stored.dtype.itemsize)
    if stored.dtype.kind == "i":
        return value - span if span // 2 <= value < span else value
    return value + span if -span // 2 <= value < 0 else value


def displayed(
    stored: Array, padding: npt.NDArray[np.bool_] | None, dataset: Any, reading: RadiologyReading
) -> npt.NDArray[np.float32]:
    """Maps stored numbers (Y, X) to display values; see ``to_display``.

    Of 16 bits or less they are looked up in a table of all numbers that there are: the same values in a third of the time.
    """
    if stored.dtype.kind == "f" or stored.dtype.itemsize > 2 or stored.size <= _AT_A_TIME:
        return to_display(physical_values(stored, dataset), padding, dataset, reading)
    low = int(stored.min())
    numbers = np.arange(low, int(stored.max()) + 1)
    missing = np.ones(numbers.shape, bool)
    missing[(stored if padding is None else stored[~padding]).astype(np.intp) - low] = False
    table = to_display(physical_values(numbers, dataset), missing, dataset, reading)
    shown = np.empty(stored.shape, np.float32)
    for rows in _some_rows(stored):
        np.take(table, stored[rows].astype(np.intp) - low, out=shown[rows], mode="clip")  # "raise" would make a copy
    return shown


def to_display(
    values: Array, padding: npt.NDArray[np.bool_] | None, dataset: Any, reading: RadiologyReading, voi: Voi | None = None
) -> npt.NDArray[np.float32]:
    """Maps numbers after the modality LUT to display values.

    Args:
        values: (Y, X).
        padding: Pixels that do not count for the image's range, or None.
        dataset: The header.
        reading: Window and index.
        voi: What is shown, where it is chosen for several slices together; None chooses it for this one.

    Returns:
        (Y, X) float32 in 0..1, larger is brighter: MONOCHROME1 is inverted here, after the window, as PS3.3 C.7.6.3.1.2 has it.

    Raises:
        UnreadableFileError: The window is damaged, or the image is constant and has none.
    """
    voi = voi or choose_voi(dataset, reading)
    little_endian = dataset.file_meta.TransferSyntaxUID.is_little_endian
    inverse = is_inverse(dataset, reading)
    if voi.source == "VOILUTSequence":
        with foreign_decoder("Applying its VOI LUT"):
            looked_up, bits = look_up(values, voi_tables(dataset)[voi.index], little_endian)
            shown = looked_up / (2**bits - 1.0)
    elif voi.source == "image-range":
        shown = _stretched(values, padding)
    else:
        shown = apply_window(values, voi.center, voi.width, voi.function)
    if tables := dataset.get("PresentationLUTSequence"):
        with foreign_decoder("Applying its presentation LUT"):
            # Its input is the whole range of the VOI stage, laid over the table (PS3.3 C.11.6.1.1).
            entries = int(tables[0].LUTDescriptor[0]) % 2**16 or 2**16
            looked_up, bits = look_up(shown * (entries - 1) + int(tables[0].LUTDescriptor[1]) + 1e-6, tables[0], little_endian)
            shown = looked_up / (2**bits - 1.0)
    if inverse:
        shown = 1.0 - shown
    return np.asarray(shown, dtype=np.float32)


def _stretched(values: Array, padding: npt.NDArray[np.bool_] | None) -> Array:
    """Maps the smallest number to 0 and the largest to 1; padding does not count."""
    counted = values if padding is None else values[~padding]
    low, high = (float(counted.min()), float(counted.max())) if counted.size else (0.0, 0.0)
    if low == high:
        raise unreadable("Every pixel has the same value and the file has no window.", "Set reading.window, or leave it out.")
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0))


def is_inverse(dataset: Any, reading: RadiologyReading) -> bool:
    """Says whether the largest number is black after the VOI stage: MONOCHROME1, or Presentation LUT Shape INVERSE.

    The two say the same where a file follows PS3.3 C.8.11.3.1 (INVERSE with MONOCHROME1, IDENTITY with MONOCHROME2), so the picture
    is inverted once. Where they contradict each other, viewers differ, and ``reading.polarity`` decides.

    Raises:
        UnreadableFileError: They contradict each other and nobody has decided, or a table says a third thing.
    """
    inverse = bool(dataset.get("PhotometricInterpretation") == "MONOCHROME1")
    if dataset.get("PresentationLUTSequence"):
        if inverse or dataset.get("PresentationLUTShape"):
            raise unreadable("It has a Presentation LUT Sequence and another statement on polarity.", "Export it without one.")
        return False
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    stated = {"": inverse, "IDENTITY": False, "INVERSE": True}.get(shape)
    if stated == inverse or reading.polarity == "photometric":
        return inverse
    if stated is not None and reading.polarity == "shape":
        return stated
    kind = "contradicts its photometric interpretation" if stated is not None else "is none that an image may have"
    raise unreadable(f"Its Presentation LUT Shape {kind}.", "Look at it, and set reading.polarity to photometric or to shape.")


def hounsfield(stored: Array, dataset: Any) -> npt.NDArray[np.float32]:
    """Returns Hounsfield units of a CT slice's stored numbers as float32 (Y, X).

    Raises:
        UnreadableFileError: See ``check_hounsfield``.
    """
    check_hounsfield(dataset)
    return physical_numbers(stored, dataset)


def check_hounsfield(dataset: Any) -> None:
    """Refuses what holds no Hounsfield units.

    Raises:
        UnreadableFileError: It is no CT, or its numbers after the modality LUT are something else.
    """
    if why := not_hounsfield(dataset):
        raise unreadable(f"reading.output is hu; {why}.", "Read it with reading.output=display.")
