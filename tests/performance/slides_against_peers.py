"""Slides to shards: `domainclip prepare` beside LazySlide, TIAToolbox and a raw OpenSlide loop, on the same made slides.

    python -m venv PEERS && PEERS/bin/pip install -r tests/performance/peers-requirements.txt      # and a second for TIAToolbox
    python tests/performance/slides_against_peers.py --root DIR --peer-python PEERS/bin/python --tia-python TIA/bin/python

First it is asserted that all systems lay the same grid over a slide (without masks) and read the same pixels: equal where nothing
is resampled (fastslide enlarges chroma otherwise: within ``OTHER_CHROMA``), within a mean of ``RESAMPLED`` where each shrinks by
its own kernel. Then each system goes from slides to tar files of JPEG tiles (quality 90, 4:2:0) with its own mask, each run in a
fresh process. Peers get the fastest of their documented ways (``peer_systems.py``), found by one run each. Runs take turns;
medians count.
Judged is the whole process, from its start to shards on disk (``wall_seconds``), since ours loads its libraries as it works and
peers load theirs before.
P processes are held to P cores, whatever threads they start. ``seconds`` is the work alone, without imports of the libraries
(``import_seconds``; ours: of the command line; its worker processes and all that it loads later count as work).
``processor_seconds`` is user and system time of the work, steadier on a shared machine. Ours also hashes every tile, writes an
index, and flushes to disk.
One line of JSON on standard output; exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from made_slides import make_slides
from measuring import Measured, drop_cache, measured, warm_cache
from peer_systems import SYSTEMS, processor_seconds

TARGETS = {"lazyslide": 2.0, "lazyslide-fastslide": 2.0, "tiatoolbox": 2.0, "raw": 1.2}
PX, QUALITY, MIN_TISSUE, SPACING_UM = 256, 90, 0.5, 0.25
RESAMPLED = 1.5
"""Mean absolute difference of pixels (0 to 255) that different kernels may make at 0.5 um/px."""
OTHER_CHROMA = {"lazyslide-fastslide": 2.0}
"""Mean absolute difference of pixels that is allowed where nothing is resampled, to a reader that enlarges chroma otherwise."""
COUNTS = 0.10
"""Masks differ; so far may the numbers of tiles lie from ours."""
LIMIT_SECONDS = 900.0


def variants(system: str, processes: int) -> tuple[str, ...]:
    """The ways of a peer that make sense for so many processes."""
    return tuple(way for way in SYSTEMS[system].variants if processes > 1 or not way.endswith("loader"))


def command(options: argparse.Namespace, job: dict[str, Any]) -> list[str]:
    """The process that does a job."""
    if job["system"] == "domainclip":
        return [sys.executable, str(Path(__file__).resolve()), "--ours", json.dumps(job)]
    python = options.tia_python if job["system"] == "tiatoolbox" and options.tia_python else options.peer_python
    return [python, str(Path(__file__).with_name("peer_systems.py").resolve()), json.dumps(job)]


def carried_out(options: argparse.Namespace, job: dict[str, Any]) -> Measured:
    """Runs one job on as many cores as it has processes."""
    cores = sorted(os.sched_getaffinity(0))[: job["processes"]]
    return measured(command(options, job), cores, LIMIT_SECONDS)


def make_job(system: str, variant: str, slides: list[Path], output: Path, processes: int, um: float) -> dict[str, Any]:
    """Describes one job."""
    job = {"system": system, "variant": variant, "slides": [str(path) for path in slides], "output": str(output)}
    return job | {"processes": processes, "um": um, "px": PX, "quality": QUALITY, "min_tissue": MIN_TISSUE}


def same_grid_and_pixels(options: argparse.Namespace, slide: Path, um: float, folder: Path) -> dict[str, Any]:
    """Asserts that all systems mean the same boxes and read the same pixels; returns the differences."""
    grid, boxes, pixels = our_look(slide, um)
    found: dict[str, Any] = {"grid_tiles": len(grid), "boxes_compared": len(boxes)}
    for system in TARGETS:
        variant = next(way for way in variants(system, 1) if "iter" not in way)
        output = folder / f"{system}-{um}.npy"
        answer = carried_out(options, make_job(system, variant, [slide], output, 1, um) | {"boxes": boxes}).answer
        assert {tuple(box) for box in answer["grid"]} == grid, f"{system} lays another grid at {um} um/px"
        difference = np.abs(np.load(output).astype(np.int16) - pixels)
        row = {"max": int(difference.max()), "mean": round(float(difference.mean()), 3), "read_us": round(answer["read_us"])}
        found[system] = row
        allowed = OTHER_CHROMA.get(system, 0.0) if um == SPACING_UM else RESAMPLED
        assert row["mean"] <= allowed, f"{system} reads other pixels: {row}"
    return found


def our_look(slide: Path, um: float) -> tuple[set[tuple[int, int]], list[list[int]], np.ndarray[Any, Any]]:
    """Our grid without a mask, 48 boxes spread over it, and their pixels (n, H, W, 3)."""
    from domainclip.domains.base import domains
    from domainclip.sample import SourceItem

    domain = domains.get("pathology")
    reading = domain.reading_model.model_validate({"tile_um": um * PX, "tile_px": PX, "min_tissue": 0})
    samples = list(domain.samples(SourceItem(name=slide.name, path=slide), reading))
    chosen = samples[:: max(1, len(samples) // 48)][:48]
    pixels = np.stack([sample.read().array.transpose(1, 2, 0) for sample in chosen])
    places = [[sample.window.x, sample.window.y] for sample in samples if sample.window]
    return {(x, y) for x, y in places}, [[s.window.x, s.window.y] for s in chosen if s.window], pixels


def ours(job: dict[str, Any]) -> None:
    """``domainclip prepare`` in this process; prints what peers print."""
    begun = time.perf_counter()
    from domainclip.cli.main import main as cli

    imported = time.perf_counter() - begun
    output, manifest = Path(job["output"]), Path(job["output"]).with_suffix(".csv")
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("\n".join(["path", *job["slides"]]) + "\n", encoding="utf-8")
    words = ["prepare", str(manifest), "--domain", "pathology", "--output", str(output), "--json"]
    words += ["--workers", str(job["processes"])]
    settings = [f"reading.tile_um={job['um'] * job['px']:g}", f"reading.tile_px={job['px']}"]
    settings += [f"reading.min_tissue={job['min_tissue']:g}"]
    settings += [f"data.jpeg_quality={job['quality']}"] if writes_jpeg() else []
    begun, processor = time.perf_counter(), processor_seconds()
    try:
        cli([*words, *(word for setting in settings for word in ("--set", setting))])
    except SystemExit as end:
        assert not end.code, f"domainclip prepare ended with {end.code}"
    seconds, processor = time.perf_counter() - begun, processor_seconds() - processor
    counts = json.loads((output / "dataset.json").read_text())["counts"]
    assert not counts["rejected"], counts
    print(json.dumps({"import_seconds": imported, "seconds": seconds, "processor_seconds": processor, "tiles": counts["images"]}))


def writes_jpeg() -> bool:
    """Whether this version can store tiles as JPEG; PNG takes several times as long and is measured until then."""
    from domainclip.config import DataConfig

    return "jpeg_quality" in DataConfig.model_fields


def first_tile(output: Path) -> dict[str, Any]:
    """How a system stored its first tile."""
    from PIL import Image

    with tarfile.open(sorted(output.glob("*.tar"))[0]) as shard:
        for member in shard:
            if member.name.endswith((".jpg", ".png")):
                data = shard.extractfile(member)
                assert data is not None
                with Image.open(data) as image:
                    image.load()
                    tables = {k: list(v) for k, v in getattr(image, "quantization", {}).items()}
                    layers = [list(layer[1:3]) for layer in getattr(image, "layer", [])]
                    return {"format": image.format, "size": image.size, "tables": tables, "sampling": layers}
    raise AssertionError("a shard without images")


def compared(options: argparse.Namespace, slides: list[Path], um: float, processes: int, folder: Path) -> dict[str, Any]:
    """One configuration: the best way of each peer, then runs in turn."""
    best: dict[str, str] = {"domainclip": ""}
    tried: dict[str, float] = {}
    for system in TARGETS:
        for way in variants(system, processes):
            tried[f"{system}, {way}"] = one(
                options, make_job(system, way, slides[:processes], folder / "set", processes, um)
            ).answer["seconds"]
        best[system] = min(variants(system, processes), key=lambda way: tried[f"{system}, {way}"])
    rows: dict[str, list[Measured]] = {system: [] for system in best}
    stored: dict[str, dict[str, Any]] = {}
    for turn in range(options.repeats):
        order = list(best)[turn % len(best) :] + list(best)[: turn % len(best)]
        for system in order:
            job = make_job(system, best[system], slides, folder / "set", processes, um)
            rows[system].append(one(options, job))
            stored[system] = first_tile(folder / "set")
            print(f"{um} um/px, {processes} processes, {system}: {rows[system][-1]}", file=sys.stderr, flush=True)
    same = [system for system in stored if stored[system] == stored["raw"]]
    assert set(same) >= set(TARGETS), f"peers store differently: {stored}"
    systems = {system: summary(rows[system]) | {"variant": best[system]} for system in best}
    counts = {system: row["tiles"] for system, row in systems.items()}
    assert all(abs(n / counts["domainclip"] - 1) <= COUNTS for n in counts.values()), f"masks differ too much: {counts}"
    ratios = {}
    for system in TARGETS:
        a, b = systems[system], systems["domainclip"]
        names = {"work": "seconds", "whole_process": "wall_seconds", "per_tile": "us_per_tile", "processor": "processor_seconds"}
        ratios[system] = {name: round(a[key] / b[key], 2) for name, key in names.items()}
    storage = "jpeg, same tables as the peers" if "domainclip" in same else stored["domainclip"]["format"].lower()
    tried = {key: round(value, 2) for key, value in tried.items()}
    return {
        "um": um,
        "processes": processes,
        "systems": systems,
        "ratio": ratios,
        "our_storage": storage,
        "ways_tried_seconds": tried,
    }


def one(options: argparse.Namespace, job: dict[str, Any]) -> Measured:
    """One run into an empty folder, the page cache as asked for."""
    shutil.rmtree(job["output"], ignore_errors=True)
    (warm_cache if options.cache == "warm" else drop_cache)(Path(path) for path in job["slides"])
    return carried_out(options, job)


def summary(rows: list[Measured]) -> dict[str, Any]:
    """Medians of a system's runs."""
    seconds, tiles = statistics.median(row.answer["seconds"] for row in rows), rows[0].answer["tiles"]
    return {
        "seconds": round(seconds, 2),
        "all_seconds": [round(row.answer["seconds"], 2) for row in rows],
        "import_seconds": round(statistics.median(row.answer["import_seconds"] for row in rows), 2),
        "wall_seconds": round(statistics.median(row.wall_seconds for row in rows), 2),
        "processor_seconds": round(statistics.median(row.answer["processor_seconds"] for row in rows), 2),
        "tiles": tiles,
        "tiles_per_second": round(tiles / seconds, 1),
        "us_per_tile": round(seconds / tiles * 1e6),
        "rss_peak_mib": max(row.rss_sum_mib for row in rows),
    }


def versions(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Versions of what was compared."""
    code = "import importlib.metadata as m,json;d={x.metadata['Name'].lower():x.version for x in m.distributions()};"
    code += "print(json.dumps({n:d[n] for n in ('lazyslide','wsidata','fastslide','tiatoolbox','openslide-python','openslide-bin',"
    code += "'opencv-python-headless','opencv-python','numpy','torch') if n in d}))"
    said = {"ours": {name: importlib.metadata.version(name) for name in ("openslide-python", "openslide-bin", "numpy", "pillow")}}
    for name, python in (("peers", options.peer_python), ("tiatoolbox", options.tia_python)):
        if python:
            said[name] = json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)
    return said


def main() -> None:
    """Compares in all configurations asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="where made slides are kept")
    parser.add_argument("--peer-python", help="Python that has lazyslide, fastslide, openslide-python, OpenCV")
    parser.add_argument("--tia-python", help="Python that has tiatoolbox, when it is another")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--um", type=float, nargs="+", default=[0.25, 0.5], help="target um/px of tiles; slides have 0.25")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slides", type=int, default=4)
    parser.add_argument("--kind", choices=("svs", "tif"), default="svs")
    parser.add_argument("--cache", choices=("warm", "cold"), default="warm", help="page cache of the slides before each run")
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        ours(json.loads(options.ours))
        return
    slides = make_slides(options.root, options.slides, kind=options.kind)
    with tempfile.TemporaryDirectory(dir=options.root) as name:
        folder = Path(name)
        same = {str(um): same_grid_and_pixels(options, slides[0], um, folder) for um in options.um}
        rows = [compared(options, slides, um, processes, folder) for um in options.um for processes in options.processes]
    worst = {system: min(row["ratio"][system]["whole_process"] for row in rows) for system in TARGETS}
    met = all(worst[system] >= target for system, target in TARGETS.items())
    line = {"ours": "domainclip prepare", "peers": list(TARGETS), "worst_ratio": worst, "target": TARGETS, "met": met}
    line |= {"slides": len(slides), "slide_px": 12000, "slide_um": SPACING_UM, "kind": options.kind, "cache": options.cache}
    line |= {"repeats": options.repeats, "tile_px": PX, "jpeg_quality": QUALITY, "min_tissue": MIN_TISSUE, "equal": same}
    line |= {"configurations": rows, "versions": versions(options), "cores": os.cpu_count()}
    print(json.dumps(line))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
