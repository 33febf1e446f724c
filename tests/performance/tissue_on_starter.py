"""The tissue mask against the truth of starter slides that were not tuned on: one JSON line, exit 1 where a target is missed.

    python tests/performance/tissue_on_starter.py [--slides 96] [--default-slides 48] [--seed 2718281] [--workers 2] [--folder KEPT]

Slides are synthetic. IoU is that of tissue without any artefact; ``rejected`` is the share of an artefact's true area that the mask
does not call tissue, pooled over slides and as the mean over slides; ``lost`` is the share of true tissue that is called a fold or
blurred.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("glass", "pen", "fold", "blurred")
TARGETS = {"iou_mean": 0.90, "rejected": 0.90, "lost_on_default": 0.04}


def on_grid(mask: Any, truth: Any, um: float) -> dict[str, np.ndarray]:
    """Looks the truth up at the centres of the mask's points; ``glass`` is what is no other."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * step * um / float(truth["step_um"])).astype(int), truth["tissue"].shape[0] - 1)
        for n, step in zip(mask.tissue.shape, mask.step[::-1], strict=True)
    )
    found = {name: truth[name][np.ix_(rows, columns)] for name in truth.files if truth[name].ndim == 2}
    for name in ("fold", "blurred"):
        found.setdefault(name, np.zeros_like(found["tissue"]))
    found["glass"] = ~(found["tissue"] | found["pen"] | found["fold"] | found["blurred"])
    return found


def measure(folder: Path) -> dict[str, Any]:
    """Masks every slide of a folder and compares."""
    from domainclip.domains.pathology.slides import open_slide
    from domainclip.domains.pathology.tissue import tissue_mask

    ious, lost, areas = [], [], {kind: [] for kind in KINDS}
    for path in sorted((folder / "slides").glob("*.tif")):
        slide = open_slide(path)
        spacing = slide.facts.scale.spacing.values
        mask = tissue_mask(slide, spacing)
        with np.load(folder / "truth" / f"{path.stem}.npz", allow_pickle=False) as truth:
            true = on_grid(mask, truth, spacing[0])
        ious.append((mask.tissue & true["tissue"]).sum() / (mask.tissue | true["tissue"]).sum())
        lost.append(((mask.fold | mask.blurred) & true["tissue"]).sum() / true["tissue"].sum())
        for kind in KINDS:
            areas[kind].append((int((true[kind] & ~mask.tissue).sum()), int(true[kind].sum())))
    rejected = {}
    for kind, pairs in areas.items():
        there = [(a, b) for a, b in pairs if b]
        if there:
            each = [a / b for a, b in there]
            pooled = sum(a for a, _ in there) / sum(b for _, b in there)
            rejected[kind] = {
                "pooled": round(pooled, 4),
                "mean": round(float(np.mean(each)), 4),
                "min": round(min(each), 4),
                "n": len(each),
            }
    return {
        "n": len(ious),
        "iou_mean": round(float(np.mean(ious)), 4),
        "iou_min": round(float(np.min(ious)), 4),
        "lost_mean": round(float(np.mean(lost)), 4),
        "lost_max": round(float(np.max(lost)), 4),
        "rejected": rejected,
    }


def missed(figures: dict[str, Any]) -> list[str]:
    """Names the targets that were missed."""
    wrong = []
    for name, part in figures.items():
        if part["iou_mean"] < TARGETS["iou_mean"]:
            wrong.append(f"{name} iou_mean")
        for kind, values in part["rejected"].items():
            wrong += [f"{name} {kind} {how}" for how in ("pooled", "mean") if values[how] < TARGETS["rejected"]]
    if figures["default"]["lost_mean"] > TARGETS["lost_on_default"]:
        wrong.append("default lost_mean")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=96)
    parser.add_argument("--default-slides", type=int, default=48)
    parser.add_argument("--seed", type=int, default=2718281)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the slides here")
    options = parser.parse_args()
    from domainclip.starter.pathology import make
    from domainclip.starter.pathology_artefacts import make_artefact_slides

    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "artefacts").is_dir():
            make_artefact_slides(folder / "artefacts", options.slides, options.seed, options.workers)
            (folder / "default").mkdir(parents=True)
            make(folder / "default", groups=options.default_slides, seed=options.seed, workers=options.workers, progress=None)
        figures = {name: measure(folder / name) for name in ("artefacts", "default")}
    wrong = missed(figures)
    print(json.dumps({"figures": figures, "targets": TARGETS, "missed": wrong, "seed": options.seed, "synthetic": True}))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
