"""The search for duplicates on very many pictures: time and memory an image, and the duplicates planted among them found again.

    python tests/performance/duplicates_at_scale.py --images 1000000 --workers 16

Pictures of 224 px are made when they are asked for (ellipses from a seed; making one stands for decoding one). Every hundredth
is a copy of another: turned by a quarter, mirrored or both, and darker. One line of JSON; what is done is told on standard error.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from domainclip.data.duplicates import compare, find, search

SIDE, EVERY = 224, 100


def picture(number: int) -> np.ndarray[Any, Any]:
    """A (3, SIDE, SIDE) uint8 picture; those whose number ends in 99 show what the one 50 before them shows."""
    copied = number % EVERY == EVERY - 1
    draw = np.random.default_rng(number - 50 if copied else number)
    made = np.full((SIDE, SIDE, 3), draw.integers(170, 240, 3), np.uint8)
    count = int(draw.integers(40, 120))
    places, axes = draw.integers(0, SIDE, (count, 2)).tolist(), draw.integers(3, SIDE // 8, (count, 2)).tolist()
    turns, colours = draw.uniform(0, 180, count).tolist(), draw.integers(20, 220, (count, 3)).tolist()
    for place, axis, turn, colour in zip(places, axes, turns, colours, strict=True):
        cv2.ellipse(made, place, axis, turn, 0, 360, colour, -1, cv2.LINE_AA)
    if copied:
        made = np.rot90(made, number // EVERY % 4)
        made = made[:, ::-1] if number // EVERY % 8 > 3 else made
        made = np.clip(made.astype(np.float32) * 0.9 + 8, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(made.transpose(2, 0, 1))


def timed_steps() -> dict[str, float]:
    """Times every step that is spread over processes, their start included; the rest is the index, in one process."""
    steps: dict[str, float] = {}
    spread = search.spread

    def timed(work: Any, jobs: Any, workers: int, text: str, progress: Any) -> Any:
        start = time.perf_counter()
        done = spread(work, jobs, workers, text, progress)
        steps[text] = steps.get(text, 0.0) + time.perf_counter() - start
        print(f"{text}: {len(jobs)} jobs, {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        return done

    search.spread = compare.spread = timed
    return steps


def main() -> None:
    """Searches, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    steps = timed_steps()
    start = time.perf_counter()
    found = find.find_duplicates(options.images, picture, workers=options.workers)
    seconds = time.perf_counter() - start
    truth = {(n - 50, n) for n in range(EVERY - 1, options.images, EVERY)}
    pairs = {(match.first, match.second) for match in found.matches}
    told: dict[str, Any] = {
        "images": options.images,
        "workers": options.workers,
        "seconds": round(seconds, 1),
        "ms_an_image": round(seconds / options.images * 1000, 3),
        "worker_ms_an_image": round(seconds / options.images * 1000 * options.workers, 2),
        "seconds_by_step": {name: round(spent, 1) for name, spent in steps.items()},
        "compared_an_image": round(found.compared / options.images, 3),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_mib_of_a_worker": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "planted": len(truth),
        "recall": round(len(pairs & truth) / max(1, len(truth)), 4),
        "wrong": len(pairs - truth),
        "made": "ellipses from a seed, no real pictures",
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
