"""A domain whose files are .npy volumes or time series, for what comes after reading."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from domainclip.config import Section
from domainclip.domains.base import domains
from domainclip.sample import Pixels, Sample, Values


class StackReading(Section):
    """Which axes the files have."""

    axes: Literal["CYX", "CZYX", "TCYX"] = "CZYX"


class Stacks:
    """Reads display values 0..1 of float32 .npy files as they are."""

    name = "stacks"
    reading_model = StackReading

    def __init__(self):
        self.facts = domains.get("radiology").facts.model_copy(update={"domain": "stacks"})

    def recognises(self, path):
        return path.suffix == ".npy"

    def samples(self, item, reading):
        meta = {"slice_files": [0]} if reading.axes == "CYX" else {}
        yield Sample(
            item.name, reading.axes, ("MONOCHROME2",), Values("display"), partial(read, item.path), group=item.group or item.name,
            captions=item.captions, labels=item.labels, split=item.split, meta=meta,
        )  # fmt: skip


def read(path: Path) -> Pixels:
    return Pixels(np.load(path, allow_pickle=False))


DOMAIN = Stacks()
