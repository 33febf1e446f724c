"""DICOM file to array: domainclip beside MONAI's LoadImage, on the same made files (``made_dicom.py``).

    python -m venv PEERS && PEERS/bin/pip install -r tests/performance/peers-dicom-requirements.txt
    python tests/performance/dicom_against_monai.py --root DIR --peer-python PEERS/bin/python

The array is that of numbers after the modality LUT, float32, rows first: what LoadImage returns (its float32 is the default), and
Hounsfield units of CT. Ours is ``Radiology.samples`` and ``Sample.read`` with ``reading.output=hu`` for CT, and ``read_numbers``
for the others, each with all checks of the header and of the compressed frame. First it is asserted that we and all ways of
LoadImage (``monai_reader.py``: both readers, with and without their transposition) that can read a kind give equal arrays, those
drawn; a way that cannot is said so. MONAI rescales in float32 and we in float64, rounded once: the made slopes are such that both
are exact.

Then each reads the files of a kind, one kind and one way to a fresh process, held to one core. LoadImage gets the fastest of its
ways, found by one run each; runs take turns; medians count. Judged is the work alone, ``ms`` per file, without imports
(``import_seconds``) and without the first file (``first_ms``: what is imported late; ITK loads its modules there). ``wall_seconds``
is the whole process. ``ours_display_ms`` is what a file costs us on the way that ``prepare`` takes, with window, polarity and
padding, which LoadImage does not do. ``processor_ms`` is steadier on a shared machine (``--judge
processor``).
Targets: 1.5 for each uncompressed kind, 1.0 for each compressed one. One line of JSON on standard output; exit status 1 where one
is missed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Measured, drop_cache, measured, warm_cache
from monai_reader import WAYS, timed_reads

OURS = "domainclip"
DISPLAY = "domainclip, display"
TARGETS = {"uncompressed": 1.5, "compressed": 1.0}
LOSSY = {"dx, jpeg8": 1}
"""How far numbers may lie apart where decoders may round otherwise (ITU-T T.83 lets them)."""
LIMIT_SECONDS = 300.0


def ours(job: dict[str, Any]) -> None:
    """Reads files in this process; prints what ``monai_reader.py`` prints."""
    begun = time.perf_counter()
    from domainclip.domains.base import domains
    from domainclip.domains.radiology.images import read_numbers
    from domainclip.sample import SourceItem

    domain = domains.get("radiology")
    hounsfield = job["content"] == "ct" and job["way"] == OURS
    reading = domain.reading_model.model_validate({"output": "hu"} if hounsfield else {})
    imported = time.perf_counter() - begun

    def sampled(path: str) -> Any:
        (sample,) = domain.samples(SourceItem(Path(path), "file"), reading)
        return sample.read().array[0]

    def numbers(path: str) -> Any:
        return read_numbers(Path(path), reading)

    answer = timed_reads(sampled if hounsfield or job["way"] == DISPLAY else numbers, job)
    print(json.dumps({"import_seconds": imported} | answer))


def carried_out(options: argparse.Namespace, way: str, job: dict[str, Any]) -> Measured:
    """Runs one job on one core."""
    words = json.dumps(job | {"way": way})
    own = [sys.executable, str(Path(__file__).resolve()), "--ours", words]
    peer = [options.peer_python, str(Path(__file__).with_name("monai_reader.py").resolve()), words]
    return measured(own if way in {OURS, DISPLAY} else peer, sorted(os.sched_getaffinity(0))[-1:], LIMIT_SECONDS)


def same_arrays(options: argparse.Namespace, job: dict[str, Any], drawn: list[Any], allowed: int) -> dict[str, str]:
    """Asserts that all that read a kind read the same numbers; returns, for each way, ``equal`` or why it reads nothing."""
    said: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in (OURS, *WAYS):
            output = f"{folder}/{way}.npz"
            try:
                carried_out(options, way, job | {"arrays": output})
            except RuntimeError as error:
                assert way != OURS, error
                said[way] = str(error).strip().splitlines()[-1][:200]
                continue
            with np.load(output) as arrays:
                got = [arrays[f"arr_{number}"] for number in range(len(drawn))]
            assert all(array.dtype == np.float32 for array in got), f"{way} reads {got[0].dtype}"
            apart = max(float(np.abs(one - other).max()) for one, other in zip(got, drawn, strict=True))
            assert apart <= allowed, f"{way} reads numbers that lie {apart} from those drawn"
            said[way] = "equal" if not apart else f"within {apart:g}"
    return said


def drawn_numbers(paths: list[Path], codec: str) -> list[Any]:
    """The numbers that the files were made of, by way of pydicom alone, from the uncompressed files."""
    import pydicom

    found = []
    for path in paths:
        dataset = pydicom.dcmread(path)
        slope, intercept = (float(dataset.get(name, value)) for name, value in (("RescaleSlope", 1), ("RescaleIntercept", 0)))
        if codec and codec != "jpeg8":
            folder = path.parent.with_name(f"{path.parent.name.split('-')[0]}-uncompressed")
            dataset = pydicom.dcmread(folder / path.name)
        found.append((dataset.pixel_array * slope + intercept).astype(np.float32))
    return found


def compared(options: argparse.Namespace, kind: Any, paths: list[Path]) -> dict[str, Any]:
    """One kind: equality, the fastest way of LoadImage, then runs in turn."""
    job = {"content": kind.content, "paths": [str(path) for path in paths], "passes": kind.passes}
    few = paths[:2]
    readable = same_arrays(options, job | {"paths": [str(p) for p in few]}, drawn_numbers(few, kind.codec), LOSSY.get(kind.name, 0))
    ways = [way for way in WAYS if readable[way].startswith(("equal", "within"))]
    if not ways:
        return {"readable": readable, "ours_ms": one(options, OURS, job, paths).answer["ms"]}
    tried = {way: one(options, way, job, paths).answer["ms"] for way in ways}
    best = min(tried, key=lambda way: tried[way])
    rows: dict[str, list[Measured]] = {best: [], OURS: []}
    for turn in range(options.repeats):
        for way in (best, OURS) if turn % 2 else (OURS, best):
            rows[way].append(one(options, way, job, paths))
    peer, own = summary(rows[best]), summary(rows[OURS])
    names = {"work": "ms", "processor": "processor_ms", "whole_process": "wall_seconds"}
    row = {
        "ratio": {name: round(peer[key] / own[key], 2) for name, key in names.items()},
        "fastest": best,
        "peer": peer,
        "ours": own,
        "ours_display_ms": round(one(options, DISPLAY, job, paths).answer["ms"], 2),
        "ways_tried_ms": {way: round(ms, 2) for way, ms in tried.items()},
    }
    return row | {"readable": readable, "files": len(paths), "bytes": sum(path.stat().st_size for path in paths)}


def one(options: argparse.Namespace, way: str, job: dict[str, Any], paths: list[Path]) -> Measured:
    """One run, the page cache as asked for (cold: so is the second pass only if the cache cannot hold the files)."""
    (warm_cache if options.cache == "warm" else drop_cache)(paths)
    return carried_out(options, way, job | ({} if options.cache == "warm" else {"passes": 1}))


def summary(rows: list[Measured]) -> dict[str, Any]:
    """Medians of a system's runs."""
    names = ("ms", "processor_ms", "first_ms", "import_seconds")
    found: dict[str, Any] = {name: round(statistics.median(row.answer[name] for row in rows), 3) for name in names}
    found["wall_seconds"] = round(statistics.median(row.wall_seconds for row in rows), 2)
    return found | {"all_ms": [round(row.answer["ms"], 2) for row in rows], "rss_mib": max(row.rss_one_mib for row in rows)}


def versions(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Versions of what was compared."""
    code = "import importlib.metadata as m,json;d={x.metadata['Name'].lower():x.version for x in m.distributions()};"
    code += "print(json.dumps({n:d[n] for n in ('monai','itk','torch','numpy','pydicom','pylibjpeg','pylibjpeg-openjpeg',"
    code += "'pylibjpeg-libjpeg','python-gdcm') if n in d}))"
    peer = json.loads(subprocess.run([options.peer_python, "-c", code], capture_output=True, text=True, check=True).stdout)
    own = ("pydicom", "numpy", "imagecodecs", "pillow", "pylibjpeg-openjpeg")
    return {"ours": {name: importlib.metadata.version(name) for name in own}, "peer": peer}


def main() -> None:
    """Compares all kinds asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="where made files are kept")
    parser.add_argument("--peer-python", help="Python that has MONAI")
    parser.add_argument("--kinds", nargs="+", help="some kinds only; they are named in made_dicom.py")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", choices=("warm", "cold"), default="warm", help="page cache of the files before each run")
    parser.add_argument("--judge", choices=("work", "processor"), default="work", help="processor: where others use the machine")
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        ours(json.loads(options.ours))
        return
    from made_dicom import KINDS, make_files

    rows, missed = {}, []
    for name in options.kinds or KINDS:
        kind = KINDS[name]
        rows[name] = row = compared(options, kind, make_files(options.root, kind))
        target = TARGETS["compressed" if kind.codec else "uncompressed"]
        row["target"] = target
        row["met"] = "ratio" not in row or row["ratio"][options.judge] >= target
        missed += [] if row["met"] else [name]
        print(f"{name}: {row}", file=sys.stderr, flush=True)
    line: dict[str, Any] = {"ours": OURS, "peer": "monai LoadImage", "target": TARGETS, "met": not missed, "missed": missed}
    worst = {
        what: min(
            (row["ratio"][options.judge] for row in rows.values() if "ratio" in row and row["target"] == target), default=None
        )
        for what, target in TARGETS.items()
    }
    line |= {"worst_ratio": worst, "judged": options.judge, "repeats": options.repeats, "cache": options.cache, "kinds": rows}
    print(json.dumps(line | {"versions": versions(options), "cores": os.cpu_count(), "load": os.getloadavg()}))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
