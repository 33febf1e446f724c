"""What reads DICOM files in the peer's environment: MONAI's LoadImage. Also the clock that both sides are timed by.

    python monai_reader.py '{"way": "pydicom", "paths": [...], "passes": 3}'

Imports nothing of domainclip. One line of JSON on standard output.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "itk": ("ITKReader", {}),
    "itk, reverse_indexing": ("ITKReader", {"reverse_indexing": True}),
    "pydicom": ("PydicomReader", {}),
    "pydicom, swap_ij=False": ("PydicomReader", {"swap_ij": False}),
}
"""Readers and their settings. ``prune_metadata=True`` is PydicomReader's own default; ITKReader is LoadImage's for DICOM.

``reverse_indexing`` and ``swap_ij=False`` give rows first, as DICOM and we do, and spare a transposition.
"""


def timed_reads(read: Callable[[str], np.ndarray[Any, Any]], job: dict[str, Any]) -> dict[str, Any]:
    """Reads all files so often as the job says; the first file once before, on a clock of its own (what is imported late, caches).

    Args:
        read: File to array.
        job: ``paths``, ``passes``; ``arrays`` names a file to which the arrays are written instead, none is timed then.
    """
    paths = job["paths"]
    if job.get("arrays"):
        np.savez(job["arrays"], *(read(path) for path in paths))
        return {}
    begun = time.perf_counter()
    read(paths[0])
    first = time.perf_counter() - begun
    gc.collect()
    processor, begun = _processor_seconds(), time.perf_counter()
    for _ in range(job["passes"]):
        for path in paths:
            read(path)
    reads = job["passes"] * len(paths)
    seconds = (time.perf_counter() - begun) / reads
    return {"first_ms": first * 1e3, "ms": seconds * 1e3, "processor_ms": (_processor_seconds() - processor) / reads * 1e3}


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(job: dict[str, Any]) -> None:
    """Does one job and prints what it took."""
    begun = time.perf_counter()
    from monai.transforms import LoadImage

    imported = time.perf_counter() - begun
    warnings.simplefilter("ignore")  # radiographs have no orientation, which PydicomReader says for each
    name, settings = WAYS[job["way"]]
    load = LoadImage(reader=name, image_only=True, **settings)
    turned = job["way"] in {"itk", "pydicom"}
    if job.get("arrays"):
        answer = timed_reads(lambda path: load(path).numpy().T if turned else load(path).numpy(), job)
    else:
        answer = timed_reads(load, job)
    print(json.dumps({"import_seconds": imported} | answer))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
