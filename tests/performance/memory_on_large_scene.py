"""`domainclip prepare` on scenes of 4,096 px beside scenes of 2,048 px: memory that does not grow with them, and going on after -9.

    python tests/performance/memory_on_large_scene.py --root DIR [--sides 2048 4096] [--scenes 4] [--workers 2]

Scenes are those of ``made_scenes.py`` (12 bands int16, tiles of 512 px, DEFLATE), cut into windows of 64 px: four of 2,048 px are
4,092 windows and 384 MiB of numbers, four of 4,096 px 16,380 windows and 1.5 GiB. GDAL's cache of blocks is 64 MB in each worker
(``prepare`` gives it 256 MB), so that a scene of either side fills it. Runs: the scenes of each side; then the largest again,
killed with all its processes (SIGKILL) once half of its scenes are read, and going on with --resume. Judged: growth between the
sides of the largest process and of the sum over processes, at most 6 KiB a window (the first process keeps a line for each, and a
worker those of its scene); and that the set of the killed run is, byte for byte, that of the run that nobody disturbed. One line of
JSON on standard output; exit status 1 where a target is missed. Takes some 5 GB of disk; the sets are removed, the scenes stay.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from made_scenes import NAMES, make_scenes
from prepare_runs import digests, killed_and_resumed, prepare_command, undisturbed

WINDOW_PX = 64
MOST_BYTES_PER_WINDOW = 6 * 2**10
CACHE_MB = "64"


def main() -> None:
    """Makes the scenes, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--sides", type=int, nargs=2, default=[2048, 4096], metavar=("SMALL", "LARGE"))
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    root, (small, large) = options.root.resolve(), sorted(options.sides)
    rows: dict[int, dict[str, Any]] = {}
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as name:
        os.environ |= {"DOMAINCLIP_HOME": f"{name}/home", "GDAL_CACHEMAX": CACHE_MB}
        whole, again = Path(name) / "set", Path(name) / "again"

        def words(side: int, output: Path) -> list[str]:
            folder = root / f"large-{side}"
            make_scenes(folder, [(side, side)] * options.scenes)
            return prepare_command(folder, output, "remote-sensing", options.workers, "--set", f"reading.window_px={WINDOW_PX}")

        for side in (small, large):
            shutil.rmtree(whole, ignore_errors=True)
            rows[side] = undisturbed(words(side, whole), whole)
            rows[side]["images"] = rows[side].pop("counts")["images"]
            print(f"{side} px: {rows[side]}", file=sys.stderr, flush=True)
        killed = killed_and_resumed(words(large, again), again, options.scenes)
        expected, found = digests(whole), digests(again)
    differ = sorted(place for place in expected.keys() | found.keys() if expected.get(place) != found.get(place))
    windows = max(1, rows[large]["images"] - rows[small]["images"])
    growth = {key: rows[large][key] - rows[small][key] for key in ("rss_sum_mib", "rss_largest_process_mib")}
    allowed = round(windows * MOST_BYTES_PER_WINDOW / 2**20)
    met = {
        "memory": max(growth.values()) <= allowed,
        "same_bytes": not differ and len(expected) > 2,
    }
    line: dict[str, Any] = {"sides_px": [small, large], "scenes": options.scenes, "workers": options.workers, "runs": rows}
    line |= {"numbers_mib": {side: round(options.scenes * side * side * len(NAMES) * 2 / 2**20) for side in (small, large)}}
    line |= {
        "growth_mib": growth,
        "allowed_mib": allowed,
        "gdal_cachemax_mb": int(CACHE_MB),
        "killed": killed,
        "files_compared": len(expected),
    }
    print(json.dumps(line | {"files_that_differ": differ[:10], "met": met, "load": os.getloadavg()}))
    sys.exit(0 if all(met.values()) else 1)


if __name__ == "__main__":
    main()
