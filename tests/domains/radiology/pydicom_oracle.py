"""Display values by pydicom's own functions, for comparison: modality LUT, VOI LUT or window, polarity."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.pixels import apply_modality_lut, apply_voi_lut

_LIFTED = frozenset(("PixelValueTransformationSequence", "FrameVOILUTSequence"))


def pydicom_display(dataset: Any, stored: npt.NDArray[Any], frame: int = 0) -> npt.NDArray[np.float64]:
    """Scales what pydicom's functions return to 0..1 by the output range that they document.

    Args:
        dataset: Its functional groups are lifted to the top.
        stored: (Y, X) stored numbers of the frame.
        frame: From 0.
    """
    header = frame_header(dataset, frame)
    values = apply_modality_lut(stored, header)
    shown = apply_voi_lut(values, header).astype(float)
    if header.get("VOILUTSequence"):
        low, high = 0.0, 2.0 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif header.get("WindowWidth") is None or header.get("WindowCenter") is None:
        counted = shown[stored != header.PixelPaddingValue] if "PixelPaddingValue" in header else shown
        low, high = counted.min(), counted.max()
        shown = np.clip(shown, low, high)
    elif header.get("ModalityLUTSequence"):
        low, high = 0.0, 2.0 ** header.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        bits, signed = header.BitsStored, header.PixelRepresentation
        extent = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], float)
        slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
        low, high = extent if slope is None or intercept is None else extent * float(slope) + float(intercept)
    unit = (shown - low) / (high - low)
    return 1 - unit if header.PhotometricInterpretation == "MONOCHROME1" else unit


def frame_header(dataset: Any, frame: int) -> Any:
    """Lifts a frame's functional groups to the top, where pydicom's functions look."""
    shared, own = (dataset.get(f"{kind}FunctionalGroupsSequence") or [] for kind in ("Shared", "PerFrame"))
    for items in (shared[:1], own[frame : frame + 1]):
        for macro in items[0] if items else ():
            if macro.keyword in _LIFTED and macro.value:
                dataset.update({element.tag: element for element in macro.value[0]})
    return dataset
