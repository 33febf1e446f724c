"""The header as one frame sees it: enhanced multi-frame objects keep rescaling, windows and geometry in functional groups."""

from __future__ import annotations

from typing import Any

from domainclip.domains.radiology.reading import unreadable

_MACROS = {
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "FrameContentSequence": ("StackID", "InStackPositionNumber", "TemporalPositionIndex", "DimensionIndexValues"),
    "FrameAnatomySequence": ("FrameLaterality",),
    "MRDiffusionSequence": ("DiffusionBValue", "DiffusionGradientDirectionSequence"),
    "MREchoSequence": ("EffectiveEchoTime",),
    "CardiacSynchronizationSequence": ("NominalCardiacTriggerDelayTime",),
}
"""Macros of PS3.3 C.7.6.16.2 that say what the pixels mean and where they lie, with the attributes taken from them."""
_MACRO_OF = {attribute: macro for macro, attributes in _MACROS.items() for attribute in attributes}


class FrameHeader:
    """What a header says about one frame; reads like a ``pydicom.Dataset`` (``get``, ``in``, ``file_meta``).

    An attribute of a functional group is looked for in the frame's own item, then in the shared one (PS3.3 C.7.6.16.1.1), then at
    the top, where classic objects have it.
    """

    def __init__(self, dataset: Any, frame: int = 0) -> None:
        """Finds the frame's items.

        Args:
            dataset: A ``pydicom.Dataset``.
            frame: From 0.

        Raises:
            UnreadableFileError: The per-frame groups have no item for the frame.
        """
        self._dataset = dataset
        self.file_meta = dataset.file_meta
        self._groups = []
        if "PerFrameFunctionalGroupsSequence" in dataset:
            items = dataset.PerFrameFunctionalGroupsSequence or ()
            if frame >= len(items):
                raise unreadable("Its functional groups say nothing about the frame.", "Fetch it again, or leave it out.")
            self._groups.append(items[frame])
        if dataset.get("SharedFunctionalGroupsSequence"):
            self._groups.append(dataset.SharedFunctionalGroupsSequence[0])

    def get(self, attribute: str, default: Any = None) -> Any:
        """Returns an attribute's value, or ``default`` where nobody gives one."""
        macro = _MACRO_OF.get(attribute)
        for group in self._groups if macro else ():
            item = group.get(macro)
            if item and attribute in item[0]:
                return item[0].get(attribute, default)
        return self._dataset.get(attribute, default)

    def __contains__(self, attribute: str) -> bool:
        return self.get(attribute) is not None
