"""Scenes to windows: domainclip beside torchgeo and beside a plain rasterio loop, on the same made files (``made_scenes.py``).

    python3.12 -m venv PEERS && PEERS/bin/pip install -r tests/performance/peers-torchgeo-requirements.txt
    python tests/performance/scenes_against_torchgeo.py --root DIR --peer-python PEERS/bin/python

Twelve bands of int16, tiles of 512 px, DEFLATE with predictor 2, nodata; windows of 256 and 64 px, edge to edge, all of each scene:
on the files' own grid (UTM), and on EPSG:3035 at 10 m by nearest neighbours (torchgeo's resampling between CRSs; it knows no
other) and, without torchgeo, bilinear. Ours is ``RemoteSensing.samples`` and ``Sample.read``: named bands, place and time of each
window, and a mask of nodata, which the others do not give. torchgeo is RasterDataset by GridGeoSampler and torch's DataLoader (to
float32, as it comes), on our grid (``torchgeo_reader.py`` says why). The loop is ``dataset.read(window=...)``, or that of a
WarpedVRT of the same grid; in our environment, so with the same GDAL as ours.

First it is asserted that all give the same windows with the same numbers, all of them. Then each reads all scenes, one way to a
fresh process: in one process held to one core, and in as many as there are cores. torchgeo gets the fastest of its ways
(``torchgeo_reader.py``: file handles cached or not; workers of the loader one window or sixteen at a time, or a process a scene),
found by one run each over a scene a process; the others have a process a scene, as ``prepare`` has. Runs take turns; medians
count. Each process gets GDAL_CACHEMAX and the allocator's thresholds as ``prepare`` sets them. The files lie in the page cache
(``--cache cold`` drops them). Judged is the work: from opening files to the last window, without imports and a first small scene
(what is imported late); starting the loader's workers is torchgeo's work, processes of the others are there before. ``--judge
processor`` is steadier on a shared machine: seconds of processor time.
Targets: 2 for torchgeo, 0.9 for the loop. One line of JSON on standard output; exit status 1 where one is missed.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from made_scenes import CRS, SPACING_M, corner_of, make_scenes
from measuring import Measured, drop_cache, measured, warm_cache
from torchgeo_reader import ONE, SEVERAL, Seen, timed

OURS, LOOP = "domainclip", "rasterio loop"
TARGETS = {"torchgeo": 2.0, LOOP: 0.9}
GRIDS = {"native": None, "reprojected, nearest": "nearest", "reprojected, bilinear": "bilinear"}
WINDOWS_PX = (256, 64)
TARGET_CRS = "EPSG:3035"
LIMIT_SECONDS = 1200.0
ENVIRONMENT = {"GDAL_CACHEMAX": "256", "MALLOC_MMAP_THRESHOLD_": str(4 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20)}
"""Of all processes, ours and the others'; ``prepare`` gives the same to its own."""


def our_windows(paths: list[str], job: dict[str, Any]) -> Iterator[Seen]:
    """The scenes by domainclip."""
    from domainclip.domains.base import domains
    from domainclip.sample import SourceItem

    domain = domains.get("remote-sensing")
    options = {"crs": TARGET_CRS, "spacing_m": SPACING_M, "resampling": job["resampling"]} if job["grids"] else {}
    reading = domain.reading_model.model_validate({"window_px": job["window_px"], "max_nodata": 0.999} | options)
    for path in map(Path, paths):
        for sample in domain.samples(SourceItem(path, path.name), reading):
            assert sample.geo is not None
            yield sample.geo.transform[2], sample.geo.transform[5], sample.read().array


def loop_windows(paths: list[str], job: dict[str, Any]) -> Iterator[Seen]:
    """The scenes by rasterio alone, row by row."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window

    side = job["window_px"]
    for path in paths:
        with rasterio.open(path) as dataset:
            source = dataset
            if job["grids"]:
                grid = job["grids"][path]
                size = {"width": grid["width"], "height": grid["height"], "transform": Affine(*grid["transform"])}
                source = WarpedVRT(dataset, crs=grid["crs"], resampling=Resampling[job["resampling"]], **size)
            a, _, c, _, e, f = source.transform[:6]
            for row in range(0, source.height, side):
                for column in range(0, source.width, side):
                    yield c + a * column, f + e * row, source.read(window=Window(column, row, side, side))
            source.close()


def here(job: dict[str, Any]) -> None:
    """Does one job in this process; prints what ``torchgeo_reader.py`` prints."""
    begun = time.perf_counter()
    import rasterio  # noqa: F401 - it is the import that is timed

    imported = time.perf_counter() - begun
    print(json.dumps({"import_seconds": imported} | timed(our_windows if job["way"] == OURS else loop_windows, job)))


def grids_of(sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """What our reader makes of scenes of these sizes on the grid of EPSG:3035."""
    from domainclip.domains.remote_sensing.grid import Grid, asked_grid
    from domainclip.domains.remote_sensing.reading import RemoteSensingReading

    reading, found = RemoteSensingReading(crs=TARGET_CRS, spacing_m=SPACING_M), []
    for number, (width, height) in enumerate(sizes):
        x, y = corner_of(number)
        grid = asked_grid(Grid(width, height, CRS, (SPACING_M, 0.0, x, 0.0, -SPACING_M, y), 1.0), reading)
        found.append({"crs": grid.crs, "transform": grid.transform, "width": grid.width, "height": grid.height})
    return found


def fitting_sizes(count: int, side: int) -> list[tuple[int, int]]:
    """Sizes of scenes whose grids on EPSG:3035 have this side, so that whole windows cover them whichever corner one begins at."""
    sizes = [(side, side)] * count
    for _ in range(50):
        grids = grids_of(sizes)
        short = [(side - grid["width"], side - grid["height"]) for grid in grids]
        if not any(map(any, short)):
            return sizes
        sizes = [(width + dx, height + dy) for (width, height), (dx, dy) in zip(sizes, short, strict=True)]
    raise AssertionError("no sizes fit")


def carried_out(options: argparse.Namespace, way: str, job: dict[str, Any]) -> Measured:
    """Runs one job, in one process on one core or in several on all."""
    words = json.dumps(job | {"way": way})
    own = [sys.executable, str(Path(__file__).resolve()), "--here", words]
    peer = [options.peer_python, str(Path(__file__).with_name("torchgeo_reader.py").resolve()), words]
    cores = sorted(os.sched_getaffinity(0))[-1:] if job["processes"] == 1 else None
    return measured(own if way in {OURS, LOOP} else peer, cores, LIMIT_SECONDS)


def same_windows(options: argparse.Namespace, ways: list[str], job: dict[str, Any]) -> int:
    """Asserts that all ways give the same windows with the same numbers; returns how many."""
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, way in enumerate(ways):
            output = f"{folder}/{number}.json"
            carried_out(options, way, job | {"digests": output})
            found[way] = json.loads(Path(output).read_text(encoding="utf-8"))
    plain = found[LOOP]
    assert len(set(plain.values())) > len(plain) // 2, "windows are to differ"
    for way, windows in found.items():
        assert windows.keys() == plain.keys(), f"{way} has windows of its own: {sorted(windows.keys() ^ plain.keys())[:4]}"
        other = [place for place, digest in windows.items() if digest != plain[place]]
        assert not other, f"{way} has other numbers in {len(other)} of {len(windows)} windows, e.g. {other[:4]}"
    return len(plain)


def compared(options: argparse.Namespace, job: dict[str, Any], with_peer: bool) -> dict[str, Any]:
    """One case: the fastest way of torchgeo, then runs in turn."""
    peers = (ONE if job["processes"] == 1 else SEVERAL) if with_peer else ()
    few = job | {"paths": job["paths"][: job["processes"]]}
    tried = {way: one(options, way, few).answer[options.judged] for way in peers}
    best = [min(tried, key=lambda way: tried[way])] if tried else []
    ways = [OURS, LOOP, *best]
    rows: dict[str, list[Measured]] = {way: [] for way in ways}
    for turn in range(options.repeats):
        for way in ways[::-1] if turn % 2 else ways:
            rows[way].append(one(options, way, job))
    found = {way: summary(measures) for way, measures in rows.items()}
    clocks = ("seconds", "processor_seconds")
    ratio = {"torchgeo" if way in best else way: {n: round(found[way][n] / found[OURS][n], 3) for n in clocks} for way in ways[1:]}
    named = {"torchgeo" if way in best else way: row for way, row in found.items()}
    return {"ratio": ratio, "fastest": best[0] if best else None, **named, "ways_tried": {w: round(s, 2) for w, s in tried.items()}}


def one(options: argparse.Namespace, way: str, job: dict[str, Any]) -> Measured:
    """One run, the page cache as asked for."""
    (warm_cache if options.cache == "warm" else drop_cache)([Path(path) for path in job["paths"]])
    return carried_out(options, way, job)


def summary(rows: list[Measured]) -> dict[str, Any]:
    """Medians of a way's runs."""
    names = ("seconds", "processor_seconds", "first_seconds", "import_seconds")
    found: dict[str, Any] = {name: round(statistics.median(row.answer[name] for row in rows), 3) for name in names}
    found["all_seconds"] = [round(row.answer["seconds"], 2) for row in rows]
    return found | {"windows": rows[0].answer["windows"], "rss_sum_mib": max(row.rss_sum_mib for row in rows)}


def versions(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Versions of what was compared."""
    code = "import importlib.metadata as m,json,sys,rasterio;d={n:m.version(n) for n in ('torchgeo','torch','rasterio','numpy')};"
    code += "print(json.dumps(d|{'gdal':rasterio.__gdal_version__,'python':sys.version.split()[0]}))"
    peer = json.loads(subprocess.run([options.peer_python, "-c", code], capture_output=True, text=True, check=True).stdout)
    import rasterio

    own = {name: importlib.metadata.version(name) for name in ("rasterio", "numpy")}
    return {"ours": own | {"gdal": rasterio.__gdal_version__, "python": sys.version.split()[0]}, "peer": peer}


def main() -> None:
    """Compares all cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="where made scenes are kept")
    parser.add_argument("--peer-python", help="Python that has torchgeo")
    parser.add_argument("--grids", nargs="+", choices=tuple(GRIDS), default=list(GRIDS))
    parser.add_argument("--window-px", nargs="+", type=int, choices=WINDOWS_PX, default=list(WINDOWS_PX))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, len(os.sched_getaffinity(0))])
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--side", type=int, default=2048, help="of the grid that is read, px; a multiple of 256")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", choices=("warm", "cold"), default="warm", help="page cache of the files before each run")
    parser.add_argument("--judge", choices=("work", "processor"), default="work", help="processor: where others use the machine")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        here(json.loads(options.here))
        return
    os.environ.update(ENVIRONMENT)
    options.judged = "seconds" if options.judge == "work" else "processor_seconds"
    assert options.side % max(WINDOWS_PX) == 0, "windows are to cover the grid edge to edge"
    rows, missed = {}, []
    for name in options.grids:
        grids, paths = made(options, name, options.side, options.scenes)
        first_grids, first = made(options, name, 512, 1)
        for side in options.window_px:
            with_peer = GRIDS[name] != "bilinear"
            job: dict[str, Any] = {"window_px": side, "grids": grids, "resampling": GRIDS[name], "paths": paths, "processes": 1}
            job["first"] = {"paths": first, "grids": first_grids}
            windows = same_windows(options, [OURS, LOOP, *ONE] if with_peer else [OURS, LOOP], job)
            for processes in dict.fromkeys(options.processes):
                case = f"{name}, {side} px, {processes} process{'es' * (processes > 1)}"
                rows[case] = row = compared(options, job | {"processes": processes}, with_peer)
                row["equal_windows"] = windows
                short = [who for who, ratio in row["ratio"].items() if ratio[options.judged] < TARGETS[who]]
                row["met"] = not short
                missed += [f"{case}: {who}" for who in short]
                print(f"{case}: {row}", file=sys.stderr, flush=True)
    line: dict[str, Any] = {"ours": OURS, "peers": list(TARGETS), "target": TARGETS, "met": not missed, "missed": missed}
    ratios = {who: [row["ratio"][who][options.judged] for row in rows.values() if who in row["ratio"]] for who in TARGETS}
    line |= {"worst_ratio": {who: min(found, default=None) for who, found in ratios.items()}, "judged": options.judge}
    line |= {"scenes": options.scenes, "side_px": options.side, "repeats": options.repeats, "cache": options.cache, "cases": rows}
    line |= {"environment": ENVIRONMENT, "versions": versions(options), "cores": os.cpu_count(), "load": os.getloadavg()}
    print(json.dumps(line))
    sys.exit(1 if missed else 0)


def made(options: argparse.Namespace, name: str, side: int, count: int) -> tuple[dict[str, Any] | None, list[str]]:
    """Scenes whose grid, as a case reads it, has this side; and that grid by path, where it is another than the file's."""
    sizes = fitting_sizes(count, side) if GRIDS[name] else [(side, side)] * count
    paths = [str(path) for path in make_scenes(options.root.resolve(), sizes)]
    return (dict(zip(paths, grids_of(sizes), strict=True)) if GRIDS[name] else None), paths


if __name__ == "__main__":
    main()
