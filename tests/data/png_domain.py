"""A domain for tests: PNG and JPEG whole; a file of a few letters makes the reader misbehave as it says."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from pydantic import Field

from domainclip.config import Section
from domainclip.domains.base import ClassFacts
from domainclip.errors import UnreadableFileError
from domainclip.model_record import Preprocessing
from domainclip.sample import Caption, Geo, Pixels, Sample, Values, Window


class PngReading(Section):
    pause_s: float = 0.0
    tile_pause_s: float = 0.0
    tile: int = Field(0, ge=0)
    twice: bool = False


def _facts(name):
    preprocessing = Preprocessing(
        channels=("red", "green", "blue"), values_kind="srgb", image_size=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25),
        spacing_unit="um",
    )  # fmt: skip
    kinds = {name: ClassFacts(names={"en": (f"{name} one", f"{name} two")}) for name in ("cat", "dog")}
    return SimpleNamespace(
        domain=name,
        class_label="kind",
        labels={"kind": kinds},
        open_labels=(),
        caption_templates={"en": ("a picture of {kind}", "{kind}, seen from the front")},
        preprocessing=preprocessing,
    )


def _misbehave(word):
    if word == "HANG":
        time.sleep(600)
    if word == "CRASH":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "MEMORY":
        raise AssertionError(np.ones(2**31, dtype=np.uint8).size)
    if word == "RAISE":
        raise RuntimeError("secret-of-the-patient")
    if word == "PRINT":
        print("{'done': 77}", flush=True)
        os.write(1, b'{"done": 99}\n')


class PngDomain:
    name = "png"
    facts = _facts("png")
    reading_model = PngReading

    def recognises(self, path: Path) -> bool:
        return path.suffix.lower() in {".png", ".jpg", ".jpeg", ".bad"}

    def inspect(self, path):
        raise UnreadableFileError("Inspect.", "never", "no")

    def samples(self, item, reading):
        time.sleep(reading.pause_s)
        start = item.path.read_bytes()[:16].decode("latin-1").strip()
        _misbehave(start)
        try:
            with Image.open(item.path) as image:
                array = np.asarray(image.convert("RGB") if image.mode != "L" else image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableFileError("Read a picture.", f"it cannot be decoded ({type(error).__name__})", "Mend it.") from error
        planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        whole = Sample(
            key=item.name,
            axes="CYX",
            channels=("red", "green", "blue") if len(planes) == 3 else ("grey",),
            values=Values("srgb", 1 / 255),
            reader=lambda: Pixels(planes),
            group=item.group or str(Path(item.name).parent),
            ids={"patient": item.ids.get("patient", f"MRN-{Path(item.name).parent}")},
            spacing=item.spacing,
            captions=item.captions,
            labels=item.labels,
            split=item.split,
            geo=Geo("EPSG:32630", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)),
            meta={"made": np.int64(3)},
        )
        if not reading.tile:
            yield whole
            if reading.twice:
                yield whole
            return
        side = reading.tile
        for y in range(0, planes.shape[1] - side + 1, side):
            for x in range(0, planes.shape[2] - side + 1, side):
                time.sleep(reading.tile_pause_s)
                cut = np.ascontiguousarray(planes[:, y : y + side, x : x + side])
                yield whole.with_(
                    key=f"{item.name}#{x}_{y}_{side}_{side}", reader=lambda cut=cut: Pixels(cut), window=Window(x, y, side, side)
                )


DOMAIN = PngDomain()
CAT = Caption("a cat", "en")
