"""The ``reading:`` section of a radiology run, and the errors that all readers of this package share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from domainclip.config import Section
from domainclip.domains.radiology.windows import window_name
from domainclip.errors import UnreadableFileError

_ASKED = "A radiology image was to be read."

_IDLE = {"CYX": ("plane", "spacing_mm", "gaps", "stride"), "CZYX": (), "TCYX": ("plane", "spacing_mm", "gaps")}
"""Options that would do nothing with these axes."""


class RadiologyReading(Section):
    """How radiology files become pixels. Display values are always in the sense of MONOCHROME2: larger is brighter."""

    of_queries: ClassVar[frozenset[str]] = frozenset((
        "axes", "plane", "spacing_mm", "stride", "gaps", "nifti_values", "output", "window", "voi_index", "frame",
        "allow_burned_in",
        "colour", "polarity", "bits_stored",
    ))  # fmt: skip
    """What an image that is searched for must be read by as well."""

    axes: Literal["CYX", "CZYX", "TCYX"] = Field(
        "CYX",
        description="Every file is a picture; or slices make volumes (series, multi-frame files, NIfTI); or frames, time series.",
    )
    plane: Literal["acquired", "axial", "coronal", "sagittal"] = Field(
        "acquired", description="Plane of a volume's slices; acquired keeps the slices of the file."
    )
    spacing_mm: tuple[float, float, float] | None = Field(
        None, description="Resample volumes to this pixel size (Z, Y, X); it also straightens a tilted gantry. None keeps theirs."
    )
    stride: int = Field(1, ge=1, description="Of volumes and time series: every n-th slice or frame, as acquired.")
    gaps: Literal["refuse", "interpolate"] = Field(
        "refuse", description="Volumes with missing or uneven slices: refuse, or interpolate to the spacing that most have."
    )
    nifti_values: Literal["unstated", "hu"] = Field("unstated", description="hu: the numbers of NIfTI files are Hounsfield units.")
    output: Literal["display", "hu"] = Field("display", description="Display values 0..1, or Hounsfield units of CT.")
    window: tuple[float, float] | str | None = Field(
        None,
        description="Centre and width after the modality LUT, a name (lung, bone, brain ...: CT only, in HU), or file:WORDS for "
        "the file's window with that explanation; wins over the file's first window and VOI LUT.",
    )
    voi_index: int = Field(0, ge=0, description="Which of the file's windows or VOI LUTs, counted from 0.")
    frame: int | None = Field(None, ge=0, description="Which frame of a multi-frame file, from 0; None refuses such files.")
    allow_burned_in: bool = Field(False, description="Read images that may show a person's name in their pixels.")
    colour: Literal["refuse", "luma", "rgb", "rgb_all"] = Field(
        "refuse",
        description="Colour images: refuse, one channel 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), or three (red, green, blue); "
        "rgb_all: three of grey PNG and JPEG files too, all equal, for sets of figures that mix both.",
    )
    polarity: Literal["refuse", "photometric", "shape"] = Field(
        "refuse",
        description="Files whose Presentation LUT Shape contradicts their photometric interpretation: refuse, or follow one.",
    )
    bits_stored: int | None = Field(
        None, ge=9, le=16, description="Bits that a 16-bit PNG really uses (12: 4095 is white); None takes 16."
    )
    max_decoded_mib: float = Field(512.0, gt=0, description="Largest size of decoded pixels; read from the header before decoding.")
    max_file_mib: float = Field(1024.0, gt=0, description="Largest file.")

    @classmethod
    def for_query(cls, own: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the options by which a query is read.

        Args:
            own: Those of the images that it is compared with.
            asked: What its owner asks for, which wins; with other axes, options of ``own`` that would do nothing are left out.
        """
        idle = _IDLE.get(str(asked.get("axes")), ())
        return {**{name: value for name, value in own.items() if name not in idle}, **asked}

    @field_validator("spacing_mm")
    @classmethod
    def _positive(cls, spacing_mm: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        if spacing_mm is not None and not all(0 < size < math.inf for size in spacing_mm):
            raise ValueError("three positive sizes in mm, in the order Z, Y, X")
        return spacing_mm

    @model_validator(mode="after")
    def _nothing_idle(self) -> RadiologyReading:
        fields = type(self).model_fields
        idle = [name for name in _IDLE[self.axes] if getattr(self, name) != fields[name].default]
        if idle:
            raise ValueError(f"{' and '.join(idle)} would do nothing with axes={self.axes}")
        return self

    @field_validator("window", mode="before")
    @classmethod
    def _two_numbers(cls, window: Any) -> Any:
        numbers = isinstance(window, list | tuple) and all(isinstance(one, int | float) for one in window)
        if window is not None and not isinstance(window, str) and not (numbers and len(window) == 2):
            raise ValueError("give [centre, width], a name such as lung, or file:WORDS")
        return window

    @field_validator("window")
    @classmethod
    def _known_window(cls, window: tuple[float, float] | str | None) -> tuple[float, float] | str | None:
        return window_name(window) if isinstance(window, str) else window


def unreadable(found: str, remedy: str) -> UnreadableFileError:
    """Builds the error for one file; it names neither the file nor anything from its header that identifies a person."""
    return UnreadableFileError(_ASKED, found, remedy)


def check_file_size(size_bytes: int, reading: RadiologyReading) -> None:
    """Refuses files above ``reading.max_file_mib``.

    Raises:
        UnreadableFileError: The file is larger.
    """
    if size_bytes > reading.max_file_mib * 2**20:
        raise unreadable(
            f"The file has {size_bytes / 2**20:.0f} MiB; the limit is {reading.max_file_mib:g} MiB.",
            "Set reading.max_file_mib higher if you trust the file.",
        )


def check_decoded_size(size_bytes: int, reading: RadiologyReading) -> None:
    """Refuses images whose pixels would need more than ``reading.max_decoded_mib``.

    Raises:
        UnreadableFileError: They would.
    """
    if size_bytes > reading.max_decoded_mib * 2**20:
        raise unreadable(
            f"Its pixels would need {size_bytes / 2**20:.0f} MiB; the limit is {reading.max_decoded_mib:g} MiB.",
            "Set reading.max_decoded_mib higher if you trust the file, or choose one frame with reading.frame.",
        )
