"""Which numbers of a grey picture are shown: the file's windows and tables, windows by name, and windows applied."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.radiology.dicom import foreign_decoder
from domainclip.domains.radiology.reading import RadiologyReading, unreadable
from domainclip.domains.radiology.windows import FILE, WINDOWS

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Voi:
    """Which numbers are shown, and how.

    Attributes:
        source: ``reading.window`` (and its name), ``VOILUTSequence``, ``WindowCenter`` or ``image-range``.
        center: Of the window, in numbers after the modality LUT.
        width: Likewise.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID`` (PS3.3 C.11.2.1.2 and .3).
        index: Which of the file's windows or tables.
    """

    source: str
    center: float = 0.0
    width: float = 0.0
    function: str = "LINEAR"
    index: int = 0

    def __str__(self) -> str:
        words = {
            "VOILUTSequence": "VOI LUT of the file",
            "image-range": "smallest to largest value of the image",
        }
        return words.get(self.source, f"window {self.center:g}/{self.width:g} ({self.function}, {self.source})")


def choose_voi(dataset: Any, reading: RadiologyReading) -> Voi:
    """Chooses what is shown: reading.window, then the VOI LUT Sequence, then WindowCenter and Width, then the image's range.

    Raises:
        UnreadableFileError: The file has no window or LUT of the asked index or explanation, a damaged one, or no Hounsfield units
            for a window that is given by name.
    """
    asked = reading.window
    if isinstance(asked, str) and not asked.startswith(FILE):
        if why := not_hounsfield(dataset):
            raise unreadable(f"The window {asked} is in Hounsfield units; {why}.", "Give reading.window as [centre, width].")
        return Voi(f"reading.window {asked}", *WINDOWS[asked])
    if asked is not None and not isinstance(asked, str):
        voi = Voi("reading.window", *asked)
    else:
        with foreign_decoder("Reading its windows"):
            luts = voi_tables(dataset)
            centers, widths = (_numbers(dataset.get(tag)) for tag in ("WindowCenter", "WindowWidth"))
            function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
        windows = min(len(centers), len(widths))
        if asked is not None:
            index, luts = _explained(dataset, asked.removeprefix(FILE), luts, windows)
        else:
            index = _indexed(reading, len(luts) or windows)
        if luts:
            return Voi("VOILUTSequence", index=index)
        if not windows:
            return Voi("image-range")
        voi = Voi("WindowCenter", centers[index], widths[index], function, index)
    lowest = 1.0 if voi.function == "LINEAR" else np.finfo(float).tiny
    known = voi.function in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}
    if not known or not np.isfinite([voi.center, voi.width]).all() or voi.width < lowest:
        kind = "too narrow or no number" if known else "of an unknown function"
        raise unreadable(f"Its window is not valid ({kind}).", "Set reading.window.")
    return voi


def whole_range(array: Array, empty: npt.NDArray[np.bool_] | None) -> Voi:
    """Returns the window from the smallest to the largest number of all slices; those without data do not count.

    Raises:
        UnreadableFileError: All numbers are the same.
    """
    low = float(np.min(array, initial=np.inf, where=True if empty is None else ~empty))
    high = float(np.max(array, initial=-np.inf, where=True if empty is None else ~empty))
    if not low < high:
        raise unreadable("Every voxel has the same value and there is no window.", "Set reading.window, or leave it out.")
    return Voi("smallest to largest value of all slices", (low + high) / 2, high - low, "LINEAR_EXACT")


def voi_tables(dataset: Any) -> list[Any]:
    """Returns the items of the VOI LUT Sequence that hold a table."""
    items = dataset.get("VOILUTSequence") or ()
    return [item for item in items if item.get("LUTDescriptor") and item.get("LUTData") is not None]


_EXPLANATIONS = frozenset((
    "ABDOMEN", "ANGIO", "BONE", "BRAIN", "CHEST", "HARDER", "HEAD", "LIVER", "LUNG", "MEDIASTINUM", "NECK", "NORMAL", "SKULL",
    "SOFT", "SOFTER", "SPINE", "TISSUE", "WINDOW", "WINDOW1", "WINDOW2",
))  # fmt: skip


def file_windows(dataset: Any) -> list[dict[str, Any]]:
    """Lists the file's tables, or its windows where it has no tables, in the order of ``reading.voi_index``.

    An explanation is repeated only where it consists of words of a short list: it is free text and may name a person.
    """
    with foreign_decoder("Reading its windows"):
        luts = voi_tables(dataset)
        if luts:
            found: list[dict[str, Any]] = [{"table": int(item.LUTDescriptor[0]) or 2**16} for item in luts]
            said: Any = [item.get("LUTExplanation") for item in luts]
        else:
            pairs = zip(_numbers(dataset.get("WindowCenter")), _numbers(dataset.get("WindowWidth")), strict=False)
            found = [{"centre": _finite(centre), "width": _finite(width)} for centre, width in pairs]
            said = dataset.get("WindowCenterWidthExplanation") or ()
            said = (said,) if isinstance(said, str) else said
        for window, words in zip(found, said, strict=False):
            known = str(words or "").strip().upper()
            if known and set(known.replace("_", " ").replace("-", " ").split()) <= _EXPLANATIONS:
                window["explanation"] = known
    return found


def _what_there_is(count: int) -> str:
    return f"the file has {count} (voi_index 0 to {count - 1})" if count else "the file has no window"


def _indexed(reading: RadiologyReading, count: int) -> int:
    """Returns reading.voi_index where the file has so many windows or tables."""
    if reading.voi_index >= max(count, 1):
        remedy = "Choose a smaller one." if count else "Set reading.window."
        raise unreadable(f"reading.voi_index is {reading.voi_index}; {_what_there_is(count)}.", remedy)
    return reading.voi_index


def _explained(dataset: Any, words: str, luts: list[Any], windows: int) -> tuple[int, list[Any]]:
    """Finds the window or table that the file explains in these words (0028,1055 and 0028,3003); case does not count.

    Returns:
        Its index, and the tables where it is one of them.
    """
    explanations = dataset.get("WindowCenterWidthExplanation") or ()
    if isinstance(explanations, str):
        explanations = (explanations,)
    wanted = words.strip().casefold()
    for found, tables in (([item.get("LUTExplanation") for item in luts], luts), (explanations[:windows], [])):
        for index, explanation in enumerate(found):
            if str(explanation or "").strip().casefold() == wanted:
                return index, tables
    raise unreadable(
        f"reading.window asks for a window that the file does not explain so; {_what_there_is(len(luts) or windows)}.",
        "Look at what inspect lists, and set reading.voi_index or reading.window.",
    )


def _numbers(stored: Any) -> list[float]:
    """Returns the values of an element of any multiplicity; NaN stands for an empty one among several."""
    if stored is None or stored == "":
        return []
    several = stored if hasattr(stored, "__iter__") and not isinstance(stored, str) else [stored]
    return [_number(value) for value in several]


def _number(value: Any) -> float:
    """Returns a value, NaN where it is none ("4,5", say): whoever needs it refuses it."""
    try:
        return float("nan") if value is None or value == "" else float(value)
    except ValueError:
        return float("nan")


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


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


def not_hounsfield(dataset: Any) -> str:
    """Says why numbers after the modality LUT are no Hounsfield units ("" when they are).

    CT's rescale gives them unless Rescale Type (0028,1054) names something else (PS3.3 C.11.1.1.2).
    """
    if dataset.get("Modality") != "CT":
        return "the file is no CT"
    if dataset.get("ModalityLUTSequence") or dataset.get("RescaleSlope") is None or dataset.get("RescaleIntercept") is None:
        return "the file has no rescale slope and intercept"
    kind = str(dataset.get("RescaleType") or "HU").strip().upper()
    return "" if kind == "HU" else "its rescale type is another"
