"""PNG and JPEG patches through Pillow."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from domainclip.domains.pathology.scale import Scale
from domainclip.domains.pathology.slides import (
    COLOURS,
    MAX_FLAT_PIXELS,
    Masked,
    Slide,
    SlideFacts,
    on_white,
    refuse,
    unreadable,
)
from domainclip.errors import FOREIGN_ERRORS

_DAMAGED = "The file is damaged; copy it again."
_TO_TILES = "Convert it to a tiled pyramidal TIFF, e.g. vips tiffsave in.png out.tif --tile --pyramid."


class FlatImage(Slide):
    """One PNG or JPEG; see ``slides.Slide``. Its dots per inch are for print and never taken for a scale."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._array: npt.NDArray[Any] | None = None
        self._lock = threading.Lock()
        self._failure: str | None = None
        try:
            with Image.open(path, formats=("PNG", "JPEG", "MPO")) as image:
                kind, mode, (width, height) = str(image.format), image.mode, image.size
                if image.getexif().get(0x0112, 1) in {5, 6, 7, 8}:
                    width, height = height, width
        except Image.DecompressionBombError as error:
            raise unreadable(f"It has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels: too many.", _TO_TILES) from error
        except FOREIGN_ERRORS as error:
            raise unreadable(f"The image's header cannot be read ({type(error).__name__}).", _DAMAGED) from error
        colour = mode in {"RGB", "RGBA", "P"}
        refusal = None
        if not colour:
            refusal = (f"The image's mode is {mode}, not red, green and blue.", "Save it as RGB.")
        elif width * height > MAX_FLAT_PIXELS:
            refusal = (f"It has {width} x {height} pixels and can only be decoded whole: too many.", _TO_TILES)
        self.facts = SlideFacts(
            format=f"{'JPEG' if kind == 'MPO' else kind} (Pillow)",
            levels=((width, height, 1.0),),
            scale=Scale(None),
            dtype="uint16" if mode.startswith("I") else "uint8",
            channels=COLOURS if colour else (),
            samples=3 if colour else len(mode),
            refusal=refusal,
            details={"mode": mode},
        )

    @property
    def held_bytes(self) -> int:  # type: ignore[override]
        """See ``slides.Slide``."""
        array = self._array
        return 0 if array is None else int(array.nbytes)

    def read_masked(self, level: int, x: int, y: int, width: int, height: int) -> Masked:
        """See ``slides.Slide``; palettes are looked up, the camera's orientation is applied, transparency goes on white."""
        if self._failure is not None:  # decoded once: a damaged picture must not cost a whole decoding for each of its tiles
            raise unreadable(self._failure, _DAMAGED)
        with self._lock:
            self._decode()
        assert self._array is not None
        stored = self._array[y : y + height, x : x + width]
        return Masked(on_white(stored) if stored.shape[2] == 4 and stored.dtype == np.uint8 else stored, None)

    def _decode(self) -> None:
        """Decodes the picture whole, once."""
        if self._array is None:
            if self.facts.levels[0][0] * self.facts.levels[0][1] > MAX_FLAT_PIXELS:
                refuse(self.facts)
            try:
                with Image.open(self._path, formats=("PNG", "JPEG", "MPO")) as image:
                    image.load()
                    upright = ImageOps.exif_transpose(image)
                    transparent = upright.mode == "P" and "transparency" in upright.info
                    mode = "RGBA" if transparent else "RGB" if upright.mode == "P" else upright.mode
                    array = np.array(upright.convert(mode))
            except (*FOREIGN_ERRORS, Image.DecompressionBombError) as error:
                self._failure = f"The image cannot be decoded ({type(error).__name__})."
                raise unreadable(self._failure, _DAMAGED) from error
            self._array = array if array.ndim == 3 else array[..., np.newaxis]
