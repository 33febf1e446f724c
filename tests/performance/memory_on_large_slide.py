"""Memory of `domainclip prepare` on a slide of 100,000 x 130,000 px: every process and their sum stay under 1 GiB.

    python tests/performance/memory_on_large_slide.py --root DIR [--layout pyramid single] [--set reading.max_tiles=200 ...]

The BigTIFF is written by hand: 198,628 tile offsets of level 0 point at some hundred stored tiles of tissue and one of glass, so
that 13 gigapixels take some megabytes of disk and cost a reader what a real slide costs. A third is tissue. ``pyramid`` has levels
1, 4, 16, 64; ``single`` has level 0 only, as some exports do. Runs: ``coarse``, tiles of 1,024 um (4,096 px of level 0) at 4 um/px;
``fine``, 5,000 tiles of 64 um at 0.25 um/px; ``many``, all 66,000 tiles of 64 um, of 16 px each, so that what is kept for each tile
shows. One worker. One line of JSON on standard output; exit status 1 where a target is missed or a slide is refused.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

from made_slides import make_slides
from measuring import measured

WIDTH, HEIGHT, SPACING_UM, TILE = 100_000, 130_000, 0.25, 256
LAYOUTS = {"pyramid": (1, 4, 16, 64), "single": (1,)}
LIMIT_MIB = 1024
RUNS = {
    "pyramid": {
        "coarse": ["reading.tile_um=1024", "reading.tile_px=256"],
        "fine": ["reading.tile_um=64", "reading.tile_px=256", "reading.max_tiles=5000"],
        "many": ["reading.tile_um=64", "reading.tile_px=16"],
    },
    "single": {"coarse": ["reading.tile_um=1024", "reading.tile_px=256", "reading.max_tiles=64"]},
}
"""Settings of each run; what they leave out is said in the line of JSON."""

_SHORT, _LONG, _RATIONAL, _LONG8 = 3, 4, 5, 16


def stored_tiles(slide: Path) -> tuple[list[bytes], bytes]:
    """Takes JPEG streams out of a made slide: tiles of tissue, and the upper left one, which is glass."""
    import tifffile

    with tifffile.TiffFile(slide) as file:
        page = file.pages.first
        columns, rows = -(-page.imagewidth // TILE), -(-page.imagelength // TILE)
        assert page.jpegtables is None, "tiles are to be whole streams"
        inner = [
            row * columns + column for row in range(rows // 4, 3 * rows // 4) for column in range(columns // 4, 3 * columns // 4)
        ]
        streams = []
        for index in (*inner, 0):
            file.filehandle.seek(page.dataoffsets[index])
            streams.append(file.filehandle.read(page.databytecounts[index]))
    return streams[:-1], streams[-1]


def write_large(path: Path, downsamples: tuple[int, ...], tissue: list[bytes], glass: bytes) -> None:
    """Writes the BigTIFF; every level shows tissue in the same ellipse, a third of the slide."""
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        places = []
        for data in (*tissue, glass):
            places.append((file.tell(), len(data)))
            file.write(data)
        link = 8
        for downsample in downsamples:
            width, height = WIDTH // downsample, HEIGHT // downsample
            columns, rows = -(-width // TILE), -(-height // TILE)
            chosen = [_which(row, column, rows, columns, len(tissue)) for row in range(rows) for column in range(columns)]
            at = {}
            for tag, part in ((324, 0), (325, 1)):
                at[tag] = file.tell()
                file.write(struct.pack(f"<{len(chosen)}Q", *(places[i][part] for i in chosen)))
            start = file.tell()
            file.write(_directory(width, height, downsample, len(chosen), at))
            end = file.tell()
            file.seek(link)
            file.write(struct.pack("<Q", start))
            link = end - 8
            file.seek(end)


def _which(row: int, column: int, rows: int, columns: int, count: int) -> int:
    """Number of the stored tile at a place; the last is glass. An ellipse of 0.65 the sides covers a third."""
    y, x = (row + 0.5) / rows * 2 - 1, (column + 0.5) / columns * 2 - 1
    return (row * 7919 + column * 104729) % count if x * x + y * y < 0.65**2 else count


def _directory(width: int, height: int, downsample: int, tiles: int, at: dict[int, int]) -> bytes:
    """One image file directory, its link to the next (0) at the end."""
    per_cm = round(1e4 / (SPACING_UM * downsample) * 1000)
    short3, rational = struct.pack("<4H", 8, 8, 8, 0), struct.pack("<2I", per_cm, 1000)
    entries = [
        (254, _LONG, 1, struct.pack("<2I", 0 if downsample == 1 else 1, 0)),
        (256, _LONG, 1, struct.pack("<2I", width, 0)),
        (257, _LONG, 1, struct.pack("<2I", height, 0)),
        (258, _SHORT, 3, short3),
        (259, _SHORT, 1, struct.pack("<4H", 7, 0, 0, 0)),
        (262, _SHORT, 1, struct.pack("<4H", 6, 0, 0, 0)),
        (277, _SHORT, 1, struct.pack("<4H", 3, 0, 0, 0)),
        (282, _RATIONAL, 1, rational),
        (283, _RATIONAL, 1, rational),
        (284, _SHORT, 1, struct.pack("<4H", 1, 0, 0, 0)),
        (296, _SHORT, 1, struct.pack("<4H", 3, 0, 0, 0)),
        (322, _LONG, 1, struct.pack("<2I", TILE, 0)),
        (323, _LONG, 1, struct.pack("<2I", TILE, 0)),
        (324, _LONG8, tiles, struct.pack("<Q", at[324])),
        (325, _LONG8, tiles, struct.pack("<Q", at[325])),
        (530, _SHORT, 2, struct.pack("<4H", 2, 2, 0, 0)),
    ]
    packed = b"".join(struct.pack("<HHQ", tag, kind, count) + value for tag, kind, count, value in entries)
    return struct.pack("<Q", len(entries)) + packed + bytes(8)


def one_run(slide: Path, settings: list[str], folder: Path) -> dict[str, Any]:
    """Prepares a set of the one slide and says what it took."""
    source, output = folder / "source.csv", folder / "set"
    shutil.rmtree(output, ignore_errors=True)
    source.write_text(f"path\n{slide}\n", encoding="utf-8")
    command = [sys.executable, "-m", "domainclip", "prepare", str(source), "--domain", "pathology", "--output", str(output)]
    command += ["--workers", "1", *(word for setting in settings for word in ("--set", setting))]
    try:
        run = measured(command, None, 3600.0, last_line=False)
    except RuntimeError as error:
        return {"settings": settings, "failed": str(error)[-300:]}
    counts = json.loads((output / "dataset.json").read_text())["counts"]
    assert counts["images"] and not counts["rejected"], counts
    row = {
        "settings": settings,
        "images": counts["images"],
        "seconds": round(run.wall_seconds, 1),
        "cpu_seconds": round(run.cpu_seconds, 1),
    }
    return row | {"rss_sum_mib": run.rss_sum_mib, "rss_largest_process_mib": run.rss_one_mib}


def main() -> None:
    """Writes the slides that are not there, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--layout", choices=tuple(LAYOUTS), nargs="+", default=list(LAYOUTS))
    parser.add_argument("--set", dest="settings", nargs="*", default=[], help="further settings of prepare, for every run")
    options = parser.parse_args()
    root = options.root.resolve()
    tissue, glass = stored_tiles(make_slides(root, 1)[0])
    rows = {}
    with tempfile.TemporaryDirectory(dir=root) as name:
        for layout in options.layout:
            slide = root / f"large-{layout}.tif"
            write_large(slide, LAYOUTS[layout], tissue, glass)
            for run, settings in RUNS[layout].items():
                row = one_run(slide, [*settings, *options.settings], Path(name))
                rows[f"{layout}, {run}"] = row
                print(f"{layout}, {run}: {row}", file=sys.stderr, flush=True)
    peaks = [max(row["rss_sum_mib"], row["rss_largest_process_mib"]) for row in rows.values() if "failed" not in row]
    met = len(peaks) == len(rows) and max(peaks) < LIMIT_MIB
    line = {"slide_px": [WIDTH, HEIGHT], "um": SPACING_UM, "workers": 1, "runs": rows, "target_mib": LIMIT_MIB}
    print(json.dumps(line | {"worst_mib": max(peaks, default=None), "met": met}))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
