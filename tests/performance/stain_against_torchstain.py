"""Stain normalisation beside torchstain (numpy back end), which runs in an environment of its own.

    python tests/performance/stain_against_torchstain.py --peer-python PYTHON [--slide SLIDE] [--side 512] [--repeats 9]

Prints one JSON line: milliseconds for an image, ours and theirs, and how far the outputs are apart (levels of 255).

The formulas are the same where every pixel is tissue for both (torchstain wants each channel at 0.15 or above, we want their mean
there) and none is glass (which we leave and torchstain maps): a mixed image made so is held to 2 levels for Macenko (one because
torchstain cuts off decimals and adds 1 to every pixel, where we round and take it off again; one because amounts a little below 0,
beyond the percentiles that define the stains, are 0 with us) and to 1 level for Reinhard, fitted to one image by both. On a slide
with glass and other tissue pixels the difference is printed and not held to anything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SEED = 0
PEER = """
import json, sys, time
import numpy as np
import torchstain
folder, repeats = sys.argv[1], int(sys.argv[2])
made, report = {}, {}
images = dict(np.load(folder + "/images.npz"))
def median(call):
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter(); call(); seconds.append(time.perf_counter() - start)
    return sorted(seconds)[len(seconds) // 2] * 1000
macenko = torchstain.normalizers.MacenkoNormalizer(backend="numpy")
reinhard = torchstain.normalizers.ReinhardNormalizer(backend="numpy")
reinhard.fit(images["reference"])
for name in ("mixed", "slide"):
    if name in images:
        image = images[name]
        made["macenko_" + name] = macenko.normalize(image, stains=False)[0]
        made["reinhard_" + name] = reinhard.normalize(image)
        report[name] = [median(lambda: macenko.normalize(image, stains=False)), median(lambda: reinhard.normalize(image))]
np.savez(folder + "/made.npz", **made)
print(json.dumps(report))
"""


def mixed_image(side: int, seed: int) -> np.ndarray:
    """An image mixed from two stains that both take red, dense enough that every channel of every pixel is above 0.15."""
    rng = np.random.default_rng(seed)
    stains = np.array([[0.62, 0.68, 0.39], [0.30, 0.86, 0.42]])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    share, amount = rng.beta(0.4, 0.4, (side, side, 1)), rng.uniform(0.75, 2.0, (side, side, 1))
    density = np.concatenate([share, 1 - share], axis=-1) * amount @ stains
    return np.clip(np.rint(240 * np.exp(-density)), 0, 255).astype(np.uint8)


def milliseconds(call, repeats: int) -> float:
    """Median time of a call, after one that warms up."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[len(seconds) // 2] * 1000


def main() -> int:
    """Runs both, holds the outputs together, prints the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="Python of an environment with torchstain")
    parser.add_argument("--slide", type=Path, help="a real slide, whose middle is taken")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    from domainclip.domains.pathology.slides import open_slide
    from domainclip.domains.pathology.stain import MacenkoNormalizer, ReinhardNormalizer

    images = {"mixed": mixed_image(options.side, SEED), "reference": mixed_image(options.side, SEED + 1) // 2 + 60}
    if options.slide is not None:
        slide = open_slide(options.slide)
        width, height, _ = slide.facts.levels[0]
        side = options.side
        images["slide"] = slide.read_level(0, (width - side) // 2, (height - side) // 2, side, side)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "images.npz", **images)
        call = [options.peer_python, "-c", PEER, folder, str(options.repeats)]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stderr, file=sys.stderr)
            return 1
        theirs = json.loads(done.stdout.splitlines()[-1])
        with np.load(Path(folder) / "made.npz") as made:
            outputs = dict(made)
    macenko, reinhard = MacenkoNormalizer(), ReinhardNormalizer().fit(images["reference"])
    line: dict[str, object] = {"side": options.side, "repeats": options.repeats}
    for name in [n for n in ("mixed", "slide") if n in images]:
        image = images[name]
        for place, (method, normalizer) in enumerate((("macenko", macenko), ("reinhard", reinhard))):
            ours = milliseconds(lambda n=normalizer, i=image: n.transform(i), options.repeats)
            fitted = type(normalizer)(normalizer.target_).fit_source(image)
            tile = milliseconds(lambda n=fitted, i=image: n.transform(i), options.repeats)
            off = np.abs(normalizer.transform(image).astype(int) - outputs[f"{method}_{name}"])
            line[f"{method}_{name}"] = {
                "ours_ms": round(ours, 2), "ours_fitted_slide_ms": round(tile, 2), "theirs_ms": round(theirs[name][place], 2),
                "ours_over_theirs": round(ours / theirs[name][place], 3), "mean_off": round(float(off.mean()), 3),
                "largest_off": int(off.max()),
            }  # fmt: skip
            agreed = {"macenko": 2, "reinhard": 1}[method]
            if name == "mixed" and off.max() > agreed:
                print(json.dumps(line))
                print(f"{method}: outputs are {off.max()} levels apart, {agreed} agreed", file=sys.stderr)
                return 1
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
