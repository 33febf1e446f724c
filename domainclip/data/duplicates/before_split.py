"""Duplicates among images that wait to be written: which groups must lie on one side of a split, found before it is made."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.cores import usable_cores
from domainclip.data.duplicates.find import find_duplicates
from domainclip.data.entries import Gathered, Spools
from domainclip.data.spool import write_lines
from domainclip.data.storage import decode_image

_FOUND = "duplicates.jsonl"


def same_pictures(found: Gathered, work: Path) -> list[tuple[str, str]]:
    """Finds groups of which two images show the same picture.

    What was found is kept beside the spools: an interrupted call may have written some of them into shards already.

    Args:
        found: All spools together; images with depth or time are not compared.
        work: Folder of the spools.

    Returns:
        Pairs of groups, each once, sorted.
    """
    kept = work / _FOUND
    if kept.is_file():
        return [(line["one"], line["other"]) for line in map(json.loads, kept.read_text(encoding="utf-8").splitlines())]
    columns = [table[name].to_pylist() for table in found.tables for name in ("axes", "shape", "dtype")]
    axes, shapes, kinds = ([value for part in columns[n::3] for value in part] for n in range(3))
    planes = [number for number, each in enumerate(axes) if each == "CYX"]
    lock = threading.Lock()
    with Spools(work) as spools:

        def read(number: int) -> npt.NDArray[Any]:
            place = planes[number]
            entry = found.entries[place]
            with lock:
                data = spools.image(entry)
            return decode_image(data, entry.storage, tuple(json.loads(shapes[place])), kinds[place])

        twins = find_duplicates(len(planes), read, threads=usable_cores())
    groups = np.array([found.entries[place].group for place in planes])
    pairs = {tuple(sorted((str(groups[match.first]), str(groups[match.second])))) for match in twins.matches}
    alike = sorted((one, other) for one, other in pairs if one != other)
    write_lines(kept, ({"one": one, "other": other} for one, other in alike))
    return alike
