"""Memory of reading a table of very many rows: a card's CSV with captions, and JSON lines with images in a zip.

    python tests/performance/memory_on_many_rows.py --rows 1000000

Rows are made; images are missing but for a few, or are empty members of an archive. Nothing is decoded: what is measured is the way
from the table to the items, in a process of its own a size, as the largest resident set of the process (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

CARD = """
name: many
title: rows without end
domain: radiology
layout: {name: table, options: {tables: [{file: rows.jsonl, format: jsonl}], path: "{image}", archives: [{file: images.zip}]}}
operations: [{op: caption_language, language: en}]
licence: made
citation: none
unverified: [layout, operations, licence, citation]
"""


def make(root: Path, rows: int) -> None:
    """Writes a table with a caption an image, and a zip that holds the images."""
    root.mkdir()
    (root / "many.yaml").write_text(CARD)
    with (root / "rows.jsonl").open("w") as table, zipfile.ZipFile(root / "images.zip", "w") as images:
        for number in range(rows):
            name = f"PMC{number // 7}_F{number % 7}_{number}.jpg"
            caption = f"Axial image number {number}, " + "with findings of no importance " * 4
            table.write(json.dumps({"image": name, "caption": caption}) + "\n")
            images.writestr(name, b"")


def peak_mib() -> float:
    """The largest resident set so far (VmHWM); getrusage would tell that of the process that started this one, if larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(root: Path) -> None:
    """Prints items, seconds and MiB as a line of JSON."""
    from domainclip.config import DataConfig
    from domainclip.data.sources import open_source
    from domainclip.domains.base import domains

    before, start = peak_mib(), time.perf_counter()
    source = open_source(DataConfig(source=str(root / "many.yaml"), root=str(root)), domains.get("radiology"))
    images = sum(len(item.pieces) for item in source.items())
    after = peak_mib()
    seconds = round(time.perf_counter() - start, 1)
    told = {"images": images, "files": len(source), "seconds": seconds, "before_mib": round(before), "peak_mib": round(after)}
    print(json.dumps(told))


def main() -> None:
    """Measures a hundredth of the rows and all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", type=Path)
    options = parser.parse_args()
    if options.measure is not None:
        measure(options.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        for rows in (options.rows // 100, options.rows):
            root = Path(folder) / str(rows)
            make(root, rows)
            subprocess.run([sys.executable, __file__, "--measure", str(root)], check=True)


if __name__ == "__main__":
    main()
