"""Duplicates planted among real pictures, found again: recall by what was done to a copy, precision, time and memory.

    python tests/performance/duplicates_on_planted.py FOLDER... [--copies 320] [--sheets DIR]

Of each folder (pictures at any depth) ``--copies`` pictures, spread evenly, get one copy each, by the ways of
``planted_duplicates.py`` in turn; all pictures and copies are searched together. A pair counts as found where it is among the
matches. A match of two pictures neither of which is the other's copy (nor both copies of one) is wrong, unless the pictures are the
folder's own duplicates: they match where nothing was planted, or their features agree when they are compared one with one. Those
count for nothing, and are drawn to be looked at (``--sheets``). The curve is over the least number of inliers, above the search's
own. Beside it a plain 64-bit DCT hash (at distance 0 to 16) on the same pictures. Targets: recall 0.95 at precision 0.99. One
line of JSON; exit status 1 where they are missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from planted_duplicates import WAYS, plane_of

RECALL, PRECISION = 0.95, 0.99
LEAST = 24
"""Inliers that the search itself asks for."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".tif"}


def planted(paths: list[Path], copies: int) -> tuple[list[np.ndarray[Any, Any]], dict[tuple[int, int], str]]:
    """All pictures and their copies, and the pairs of them with what was done."""
    pictures = [Image.open(path).convert("RGB") for path in paths]
    chosen = np.linspace(0, len(paths) - 1, min(copies, len(paths))).round().astype(int)
    arrays, truth = [plane_of(picture) for picture in pictures], {}
    for number, position in enumerate(chosen):
        name = list(WAYS)[number % len(WAYS)]
        truth[(int(position), len(arrays))] = name
        arrays.append(plane_of(WAYS[name](pictures[position], np.random.default_rng(number))))
    return arrays, truth


def searched(arrays: list[np.ndarray[Any, Any]]) -> tuple[Any, float]:
    """What the search finds, and its seconds."""
    from domainclip.data.duplicates import find_duplicates

    begun = time.perf_counter()
    found = find_duplicates(len(arrays), lambda number: arrays[number])
    return found, time.perf_counter() - begun


def judged(
    found: Any,
    own: set[tuple[int, int]],
    truth: dict[tuple[int, int], str],
    arrays: list[np.ndarray[Any, Any]],
    names: list[str],
) -> dict[str, Any]:
    """Recall and precision at each least number of inliers; the folder's own duplicates join ``own``."""
    source = {copy: original for original, copy in truth}
    rows, through = [], 0
    for match in found.matches:
        ends = sorted((source.get(match.first, match.first), source.get(match.second, match.second)))
        if ends[0] != ends[1] and tuple(ends) not in own and directly(arrays[ends[0]], arrays[ends[1]]):
            own.add((ends[0], ends[1]))
            through += 1
    for least in (LEAST, 30, 40, 50, 60):
        pairs = {(match.first, match.second) for match in found.matches if match.inliers >= least}
        ends = [sorted((source.get(one, one), source.get(other, other))) for one, other in pairs - truth.keys()]
        wrong = sorted({(names[one], names[other]) for one, other in ends if one != other and (one, other) not in own})
        right = pairs & truth.keys()
        rows.append({
            "least_inliers": least,
            "recall": round(len(right) / len(truth), 4),
            "precision": round(len(right) / max(1, len(right) + len(wrong)), 4),
            "wrong": wrong,
        })  # fmt: skip
    pairs = {(match.first, match.second) for match in found.matches}
    done = Counter(truth.values())
    hits = Counter(way for pair, way in truth.items() if pair in pairs)
    return {
        "own_pairs_seen_through_copies": through,
        "curve": rows,
        "recall_by_way": {way: round(hits[way] / done[way], 3) for way in WAYS if done[way]},
        "n": len(truth),
    }


def directly(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Whether two pictures match when they are compared one with one, candidates or not."""
    from domainclip.data.duplicates.keypoints import features_of, same_picture
    from domainclip.data.duplicates.polar import grey

    return same_picture(0, 1, features_of(grey(one)), features_of(grey(other))) is not None


def hashed(arrays: list[np.ndarray[Any, Any]], truth: dict[tuple[int, int], str]) -> list[dict[str, Any]]:
    """Recall and precision of a 64-bit DCT hash (as imagehash.phash: 32 px, the 8 x 8 lowest, against their median)."""
    from scipy.fft import dctn

    bits = []
    for array in arrays:
        small = np.asarray(
            Image.fromarray(array.transpose(1, 2, 0)).convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64
        )
        low = dctn(small)[:8, :8].ravel()
        bits.append(low > np.median(low))
    table = np.array(bits)
    distance = (table[:, None, :] ^ table[None, :, :]).sum(axis=2) if len(table) < 6000 else None
    if distance is None:
        return []
    distance[np.tril_indices(len(table))] = 65
    rows = []
    for most in (0, 2, 4, 6, 8, 10, 12, 16):
        pairs = set(map(tuple, np.argwhere(distance <= most).tolist()))
        right = len(pairs & truth.keys())
        rows.append({"distance": most, "recall": round(right / len(truth), 4), "pairs": len(pairs)})
    return rows


def draw(path: Path, own: set[tuple[int, int]], arrays: list[np.ndarray[Any, Any]]) -> None:
    """Draws the groups that a folder holds by itself."""
    from domainclip.data.duplicates.find import joined
    from domainclip.data.duplicates.sheet import group_sheet

    sheet = group_sheet(joined(sorted(own)), lambda number: arrays[number], ["train"] * len(arrays), rows=60, columns=3)
    Image.fromarray(sheet).save(path)


def main() -> None:
    """Plants, searches, judges each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--copies", type=int, default=320)
    parser.add_argument("--sheets", type=Path, help="folder for a picture of each folder's own duplicates")
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    for folder in options.folders:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        arrays, truth = planted(paths, options.copies)
        alone, _ = searched(arrays[: len(paths)])
        own = {(one, other) for group in alone.groups for one in group for other in group if one < other}
        found, seconds = searched(arrays)
        row = judged(found, own, truth, arrays, [path.name for path in paths])
        if options.sheets:
            draw(options.sheets / f"{folder.name}.png", own, arrays)
        row |= {
            "images": len(arrays),
            "seconds": round(seconds, 1),
            "own_groups": len(alone.groups),
            "own_pairs": len(alone.matches),
        }
        row |= {"candidates": found.candidates, "compared": found.compared, "hash_64_bit": hashed(arrays, truth)}
        rows[folder.name] = row
        print(folder.name, json.dumps(row), file=sys.stderr, flush=True)
    at = {name: next(each for each in row["curve"] if each["least_inliers"] == LEAST) for name, row in rows.items()}
    met = all(each["recall"] >= RECALL and each["precision"] >= PRECISION for each in at.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"met": met, "targets": {"recall": RECALL, "precision": PRECISION}, "peak_mib": peak, "folders": rows}))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
