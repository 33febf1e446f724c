"""Slides through OpenSlide: SVS, tiled pyramidal TIFF, NDPI, MRXS, SCN, BIF, CZI and the like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.pathology.scale import file_scale
from domainclip.domains.pathology.slides import Masked, Slide, SlideFacts, on_white, unreadable
from domainclip.errors import FOREIGN_ERRORS, missing_dependency

FORMATS = {
    "aperio": "Aperio SVS",
    "dicom": "DICOM slide",
    "generic-tiff": "tiled TIFF",
    "hamamatsu": "Hamamatsu NDPI or VMS",
    "leica": "Leica SCN",
    "mirax": "MIRAX",
    "philips-tiff": "Philips TIFF",
    "sakura": "Sakura",
    "synthetic": "OpenSlide synthetic",
    "trestle": "Trestle TIFF",
    "ventana": "Ventana BIF",
    "zeiss": "Zeiss CZI",
}

_PROPERTIES = ("openslide.vendor", "openslide.mpp-x", "openslide.mpp-y", "openslide.objective-power")


class OpenSlideSlide(Slide):
    """One file open in OpenSlide; see ``slides.Slide``.

    Args:
        opened: Opens the file; called again after an error, since OpenSlide's handles are of no more use then.
        errors: What it and the handle may raise.
    """

    def __init__(self, opened: Callable[[], Any], errors: tuple[type[Exception], ...]) -> None:
        self._opened, self._errors = opened, errors
        self._handle: Any = opened()
        handle = self._handle
        # Those that are used: others come from the file, names included, and need be no text.
        properties = {name: str(handle.properties[name]) for name in _PROPERTIES if name in handle.properties}
        vendor = properties.get("openslide.vendor", "unknown")
        sizes = zip(handle.level_dimensions, handle.level_downsamples, strict=True)
        power = properties.get("openslide.objective-power")
        self.facts = SlideFacts(
            format=f"{FORMATS.get(vendor, vendor)} (OpenSlide)",
            levels=tuple((int(w), int(h), float(down)) for (w, h), down in sizes),
            scale=file_scale(properties, None, generic=vendor == "generic-tiff"),
            vendor=vendor,
            details={"objective_power": power} if power else {},
        )

    def read_masked(self, level: int, x: int, y: int, width: int, height: int) -> Masked:
        """See ``slides.Slide``; off by at most half a level-0 pixel where the downsample is no integer."""
        downsample = self.facts.levels[level][2]
        place = (round(x * downsample), round(y * downsample))
        handle = self._handle
        try:
            if handle is None:
                handle = self._handle = self._opened()
            image = handle.read_region(place, level, (width, height))
        except self._errors:
            if self._handle is handle:
                self._handle = None
            # OpenSlide's errors stick to their handle: this one may be another thread's, about another tile.
            image = self._read_apart(place, level, (width, height))
        pixels = np.array(image)
        # Alpha is 0 where a scanner left a gap. It is partial only where a fraction of a pixel lies over the slide's edge (the
        # downsample is no integer): colour is right there, and white would bleed into it.
        alpha = pixels[..., 3]
        missing = alpha == 0 if alpha.min(initial=255) == 0 else None
        alpha[alpha > 127] = 255
        return Masked(on_white(pixels), missing)

    def _read_apart(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Any:
        """Reads a region by a handle of its own."""
        try:
            return self._opened().read_region(place, level, size)
        except self._errors as error:
            raise unreadable(
                f"OpenSlide cannot decode a region ({_reason(error)}).", "The file is damaged; copy it again."
            ) from error


def open_with_openslide(path: Path, *, required: bool) -> OpenSlideSlide | None:
    """Opens a file in OpenSlide.

    Args:
        path: The file.
        required: No other reader could take over.

    Returns:
        None when OpenSlide does not know the format, or is not installed, and another reader may try.

    Raises:
        UnreadableFileError: OpenSlide does not know it (``required``), or knows it and finds it broken.
        MissingDependencyError: OpenSlide is not installed and ``required``.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:  # OSError: the Python package is there, its C library is not
        if required:
            raise missing_dependency("openslide", "Reading this kind of slide", "openslide-python openslide-bin") from error
        return None
    errors = (openslide.OpenSlideError, *FOREIGN_ERRORS)
    try:
        return OpenSlideSlide(lambda: openslide.OpenSlide(str(path)), errors)
    except openslide.OpenSlideUnsupportedFormatError as error:
        if required:
            remedy = "Convert it to a pyramidal tiled TIFF, or check that the copy is complete."
            raise unreadable("It is no slide, TIFF, PNG or JPEG that is known here.", remedy) from error
        return None
    except errors as error:
        if required:
            raise unreadable(f"OpenSlide cannot open it ({_reason(error)}).", "The file is damaged; copy it again.") from error
        return None


def _reason(error: BaseException) -> str:
    """OpenSlide's own words may quote the path: the kind of error is enough."""
    return type(error).__name__
