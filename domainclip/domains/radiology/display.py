"""From stored numbers to display values, in DICOM's order: modality LUT, VOI LUT or window, then the photometric interpretation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.dicom import foreign_decoder
from domainclip.domains.radiology.header import MODALITIES
from domainclip.domains.radiology.reading import RadiologyReading, unreadable

Array = npt.NDArray[Any]
# Defined terms of Rescale Type (0028,1054), PS3.3 C.11.1.1.2.
_RESCALE_TYPES = frozenset(("OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"))


@dataclass(frozen=True, slots=True)
class Voi:
    """Which numbers are shown, and how.

    Attributes:
        source: ``reading.window``, ``VOILUTSequence``, ``WindowCenter`` or ``image-range``.
        center: Of the window, in numbers after the modality LUT.
        width: Likewise.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID`` (PS3.3 C.11.2.1.2 and .3).
    """

    source: str
    center: float = 0.0
    width: float = 0.0
    function: str = "LINEAR"

    def __str__(self) -> str:
        words = {
            "VOILUTSequence": "VOI LUT of the file",
            "image-range": "smallest to largest value of the image",
        }
        return words.get(self.source, f"window {self.center:g}/{self.width:g} ({self.function}, {self.source})")


def choose_voi(dataset: Any, reading: RadiologyReading) -> Voi:
    """Chooses what is shown: reading.window, then the VOI LUT Sequence, then WindowCenter and Width, then the image's range.

    Raises:
        UnreadableFileError: The file has no window or LUT of the asked index, or a damaged one.
    """
    if reading.window is not None:
        voi = Voi("reading.window", *reading.window)
    else:
        with foreign_decoder("Reading its windows"):
            luts = [
                item
                for item in (dataset.get("VOILUTSequence") or ())
                if item.get("LUTDescriptor") and item.get("LUTData") is not None
            ]
            centers, widths = (_numbers(dataset.get(tag)) for tag in ("WindowCenter", "WindowWidth"))
            function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
        count = len(luts) or min(len(centers), len(widths))
        if count == 0:
            if reading.voi_index:
                raise unreadable(f"reading.voi_index is {reading.voi_index}; the file has no window.", "Set reading.window.")
            return Voi("image-range")
        if reading.voi_index >= count:
            raise unreadable(f"reading.voi_index is {reading.voi_index}; the file has {count} (from 0).", "Choose a smaller one.")
        if luts:
            return Voi("VOILUTSequence")
        voi = Voi("WindowCenter", centers[reading.voi_index], widths[reading.voi_index], function)
    lowest = 1.0 if voi.function == "LINEAR" else np.finfo(float).tiny
    known = voi.function in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}
    if not known or not np.isfinite([voi.center, voi.width]).all() or voi.width < lowest:
        raise unreadable(
            f"Its window is not valid (width {voi.width:g}, function {voi.function if known else 'unknown'}).",
            "Set reading.window.",
        )
    return voi


def _numbers(stored: Any) -> list[float]:
    """Returns the values of an element of any multiplicity."""
    if stored is None or stored == "":
        return []
    return [float(v) for v in stored] if hasattr(stored, "__iter__") and not isinstance(stored, str) else [float(stored)]


def apply_window(array: Array, center: float, width: float, function: str = "LINEAR") -> npt.NDArray[np.float64]:
    """Maps numbers to 0..1 by a DICOM window.

    LINEAR is PS3.3 C.11.2.1.2.1 (with its half-pixel offsets), LINEAR_EXACT C.11.2.1.3.2, SIGMOID C.11.2.1.3.1, each with
    an output range of 0..1.

    Args:
        array: Numbers after the modality LUT, any shape.
        center: Of the window.
        width: At least 1 for LINEAR, positive else.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.
    """
    values = np.asarray(array, dtype=np.float64)
    if function == "SIGMOID":
        # The exponent is bounded where exp would overflow; the result there is 0 to the last bit.
        return 1.0 / (1.0 + np.exp(np.minimum(-4.0 * (values - center) / width, 700.0)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return np.where(values <= center, 0.0, 1.0)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


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
    entries = entries or 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        packed = bits == 8 and len(data) - entries in (0, 1)  # Entries of 8 bits may be stored in 8 or in 16 bits.
        table = np.frombuffer(data, dtype="u1" if packed else "<u2" if little_endian else ">u2")[:entries]
    else:
        table = np.atleast_1d(np.asarray(data))[:entries]
    if table.size != entries or not 8 <= bits <= 16:
        raise unreadable(f"A lookup table has {table.size} entries of {bits} bits; {entries} are promised.", "Set reading.window.")
    index = np.clip(np.floor(np.asarray(array, dtype=np.float64) - first), 0, entries - 1).astype(np.int64)
    return table[index], bits


def physical_values(stored: Array, dataset: Any) -> Array:
    """Applies the Modality LUT Sequence, or rescale slope and intercept in float64 (PS3.3 C.11.1)."""
    with foreign_decoder("Applying its modality LUT"):
        if dataset.get("ModalityLUTSequence"):
            item = dataset.ModalityLUTSequence[0]
            return look_up(stored, item, dataset.file_meta.TransferSyntaxUID.is_little_endian)[0]
        slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
        if slope is None or intercept is None:
            return stored
        return np.asarray(stored.astype(np.float64) * float(slope) + float(intercept))


def padding_mask(stored: Array, dataset: Any) -> npt.NDArray[np.bool_] | None:
    """Marks the pixels that PixelPaddingValue (0028,0120) declares empty, up to PixelPaddingRangeLimit; None without one."""
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((value, limit if isinstance(limit, int) else value))
    return np.asarray((stored >= low) & (stored <= high))


def to_display(
    values: Array, padding: npt.NDArray[np.bool_] | None, dataset: Any, reading: RadiologyReading
) -> npt.NDArray[np.float32]:
    """Maps numbers after the modality LUT to display values.

    Args:
        values: (Y, X).
        padding: Pixels that do not count for the image's range, or None.
        dataset: The header.
        reading: Window and index.

    Returns:
        (Y, X) float32 in 0..1, larger is brighter: MONOCHROME1 is inverted here, after the window, as PS3.3 C.7.6.3.1.2 has it.

    Raises:
        UnreadableFileError: The window is damaged, or the image is constant and has none.
    """
    voi = choose_voi(dataset, reading)
    if voi.source == "VOILUTSequence":
        little_endian = dataset.file_meta.TransferSyntaxUID.is_little_endian
        with foreign_decoder("Applying its VOI LUT"):
            looked_up, bits = look_up(values, dataset.VOILUTSequence[reading.voi_index], little_endian)
            shown = looked_up / (2**bits - 1.0)
    elif voi.source == "image-range":
        counted = values if padding is None else values[~padding]
        low, high = (float(counted.min()), float(counted.max())) if counted.size else (0.0, 0.0)
        if low == high:
            raise unreadable("Every pixel has the same value and the file has no window.", "Set reading.window, or leave it out.")
        shown = np.clip((values - low) / (high - low), 0.0, 1.0)
    else:
        shown = apply_window(values, voi.center, voi.width, voi.function)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        shown = 1.0 - shown
    return np.asarray(shown, dtype=np.float32)


def hounsfield(values: Array, dataset: Any) -> npt.NDArray[np.float32]:
    """Returns Hounsfield units of a CT slice as float32 (Y, X).

    Raises:
        UnreadableFileError: It is no CT, or its numbers after the modality LUT are something else.
    """
    kind = str(dataset.get("RescaleType") or "HU").upper()
    rescaled = dataset.get("RescaleSlope") is not None and dataset.get("RescaleIntercept") is not None
    if dataset.get("Modality") != "CT" or kind != "HU" or not rescaled:
        modality, terms = str(dataset.get("Modality") or ""), _RESCALE_TYPES
        said = f"modality {modality if modality in MODALITIES else 'unknown'}, type {kind if kind in terms else 'unknown'}"
        found = f"reading.output is hu; the file is no CT with a rescale to HU ({said})."
        raise unreadable(found, "Read it with reading.output=display.")
    return np.asarray(values, dtype=np.float32)
