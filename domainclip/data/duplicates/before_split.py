"""Duplicates among images that wait to be written: which groups must lie on one side of a split, found before it is made."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from domainclip.cores import usable_cores
from domainclip.data.duplicates.find import SEVERAL_PROCESSES, find_duplicates
from domainclip.data.duplicates.pictures import write_places
from domainclip.data.entries import Gathered
from domainclip.data.spool import spool_paths, write_lines

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
    with tempfile.TemporaryDirectory(prefix="domainclip-places-") as folder:
        entries = ((found.entries[place], json.loads(shapes[place]), kinds[place]) for place in planes)
        read = write_places(
            Path(folder),
            work,
            ((spool_paths(work, e.item)[0].name, e.at, e.sizes[0], e.storage, tuple(shape), kind) for e, shape, kind in entries),
        )
        workers = usable_cores() if len(planes) >= SEVERAL_PROCESSES else 1
        twins = find_duplicates(len(planes), read, workers=workers)
    groups = np.array([found.entries[place].group for place in planes])
    pairs = {tuple(sorted((str(groups[match.first]), str(groups[match.second])))) for match in twins.matches}
    alike = sorted((one, other) for one, other in pairs if one != other)
    write_lines(kept, ({"one": one, "other": other} for one, other in alike))
    return alike
