"""UCM-captions: `domainclip pretrain` beside a plain open_clip loop, same pixels, model size, threads, augmentation and time.

    python tests/performance/ucm_against_open_clip.py --root FOLDER_OF_UCM [--seconds 180] [--runs runs/ucm-comparison]

Ours keeps the mean of its last weights or its best checkpoint, chosen on a part cut from train; the loop trains on all of train and
gets the best of three learning rates **chosen on the published val split itself, for each figure anew**, which favours it. Both are
measured by the same code on the published val split.
Ours takes the mean of eight orientations as features (configs/ucm.yaml); rows without and loops with it stand beside.
The loop knows nothing of domainclip: open_clip's model and tokenizer classes, Pillow, albumentations, torch's AdamW, InfoNCE.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

_REST = 5.0
"""Seconds of ours for the batch-norm statistics of the averaged weights; they count as training."""


def train_pairs(root: Path, size: int) -> tuple[list[np.ndarray], list[list[str]]]:
    """Pixels (size, size, 3) uint8 and the five captions of every train image."""
    from PIL import Image

    images = [i for i in json.loads((root / "dataset.json").read_text())["images"] if i["split"] == "train"]
    pixels = [
        np.asarray(Image.open(root / "imgs" / i["filename"]).convert("RGB").resize((size, size), Image.BICUBIC)) for i in images
    ]
    return pixels, [[s["raw"] for s in i["sentences"]] for i in images]


def augmenter(steps: list[dict[str, Any]]) -> Any:
    """The same steps through albumentations' own Compose; crops shrink by area, as ours do."""
    import albumentations as A
    import cv2

    by_area = {"RandomResizedCrop": {"interpolation": cv2.INTER_AREA}}
    made = [getattr(A, s["name"])(**{k: v for k, v in s.items() if k != "name"} | by_area.get(s["name"], {})) for s in steps]
    return A.Compose(made)


def plain_loop(
    root: Path, model_folder: Path, augmentation: list[dict[str, Any]], lr: float, seconds: float, batch: int, threads: int
):
    """The honest loop; returns a function for images and one for texts."""
    import open_clip
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    rng = random.Random(0)
    config = json.loads((model_folder / "open_clip_config.json").read_text())
    cfg, norm = dict(config["model_cfg"]), config["preprocess_cfg"]
    size = cfg["vision_cfg"]["image_size"]
    custom = cfg.pop("custom_text", False)
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**cfg)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{model_folder}")
    mean, std = (torch.tensor(norm[name])[:, None, None] for name in ("mean", "std"))
    pixels, texts = train_pairs(root, math.ceil(size / math.sqrt(0.45)))  # enough for the smallest crop, as ours decodes
    tokens = [tokenizer(five) for five in texts]
    augment = augmenter(augmentation)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1).float() / 255 - mean) / std

    decay = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-6, fused=True)
    order: list[int] = []
    begun, step = time.monotonic(), 0
    model.train()
    while (progress := (time.monotonic() - begun) / seconds) < 1:
        order = order if len(order) >= batch else rng.sample(range(len(pixels)), len(pixels))
        chosen, order = order[:batch], order[batch:]
        x = torch.stack([tensor(augment(image=pixels[i])["image"]) for i in chosen]).contiguous(memory_format=torch.channels_last)
        y = torch.stack([tokens[i][rng.randrange(len(tokens[i]))] for i in chosen])
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1, (step + 1) / 40) * 0.5 * (1 + math.cos(math.pi * progress))
        image_features, text_features, scale = model(x, y)[:3]
        logits, target = scale * image_features @ text_features.T, torch.arange(batch)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
    model.eval()
    print(
        f"plain loop, lr {lr}: {step} steps of {batch}, {step * batch / seconds:.0f} images/s, last loss {loss.item():.3f}",
        flush=True,
    )
    encode = torch.no_grad()
    return encode(lambda x: model.encode_image(x, normalize=True)), encode(
        lambda texts: model.encode_text(tokenizer(texts), normalize=True)
    )


def figures(report: dict[str, Any]) -> dict[str, float]:
    """The three figures that are compared."""
    recall = report["retrieval"]["mean_recall"]
    return {
        "zero_shot": report["zero_shot"]["balanced_accuracy"]["value"],
        "mean_recall_strict": recall["strict"]["value"],
        "mean_recall_equivalent": recall["equivalent"]["value"],
    }


def measured(run: Path, encoders: tuple[Any, Any], views: str) -> dict[str, float]:
    """Measures any pair of encoders on the published val split, by the code that measures ours."""
    from domainclip.benchmarks.held_out import evaluate_held_out
    from domainclip.config import load_config
    from domainclip.data.prepared_set import PreparedSet
    from domainclip.models.checkpoint import read_record
    from domainclip.models.views import features_of_views

    encode_image, encode_text = encoders
    prepared = PreparedSet(json.loads((run / "data.json").read_text())["prepared"])
    report = evaluate_held_out(
        lambda images: features_of_views(encode_image, images, views),
        encode_text,
        prepared,
        read_record(run / "model"),
        load_config(run / "config.yaml"),
    )
    return figures(report)


def ours_of_one_view(run: Path) -> dict[str, float]:
    """Measures our model without the orientations that its features are the mean of."""
    import torch

    from domainclip.heads.domain_model import load_model

    model = load_model(run)

    def encode_image(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model.clip(images=images, mode="image").image_features

    return measured(run, (encode_image, model.encode_text), "one")


def loop_alone(options: argparse.Namespace) -> None:
    """One plain loop in this process; prints its figures as the last line."""
    from domainclip.config import load_config
    from domainclip.domains.base import domains

    base = options.runs / "base"
    config = load_config(base / "config.yaml")
    name = config.training.augmentation
    steps = domains.get("remote-sensing").facts.augmentations[name] if name else []
    batch = config.training.batch_size
    encoders = plain_loop(options.root, base / "model", steps, options.loop, options.seconds, batch, options.threads)
    print(json.dumps([measured(base, encoders, views) for views in ("one", "d4")]))


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """The systems, each a process of its own."""
    own = [sys.executable, "-m", "domainclip", "pretrain", "--domain", "remote-sensing", "--config", "configs/ucm.yaml"]
    own += ["--data", str(options.runs / "base" / "set"), "--output", str(options.runs / "ours"), "--overwrite"]
    own += ["--set", f"training.max_seconds={options.seconds - _REST}", "--set", f"training.threads={options.threads}"]
    systems = {"domainclip": own}
    for lr in (3e-3, 1e-2, 3e-2):
        loop = [sys.executable, __file__, "--root", str(options.root), "--runs", str(options.runs), "--loop", str(lr)]
        systems[f"plain open_clip, lr {lr:g}"] = [*loop, "--seconds", str(options.seconds), "--threads", str(options.threads)]
    return systems


def carry_out(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Runs the systems one after the other, or side by side, each on cores of its own."""
    outputs, running = {}, {}
    for number, (system, command) in enumerate(commands(options).items()):
        pinned = ["taskset", "-c", options.cores[number]] if options.cores else []
        running[system] = subprocess.Popen([*pinned, *command], stdout=subprocess.PIPE, text=True)
        if not options.cores:
            outputs[system] = running[system].communicate()[0]
    try:
        outputs |= {system: process.communicate()[0] for system, process in running.items() if system not in outputs}
    finally:
        for process in running.values():
            process.kill()
    rows = {}
    for system, process in running.items():
        output = outputs[system]
        if process.returncode:
            raise SystemExit(f"{system} failed")
        if system == "domainclip":
            summary = json.loads((options.runs / "ours" / "summary.json").read_text())
            rows[system], rows[f"{system}, one view"] = figures(summary["held_out"]), ours_of_one_view(options.runs / "ours")
            assert summary["seconds"] <= options.seconds, summary["seconds"]
            print(
                f"{system}: {summary['steps']} steps in {summary['seconds']:.0f} s, {summary['images_per_second']:.0f} images/s, "
                f"mean of {summary['averaged_weights']} weights, best step {summary['best_step']}"
            )
        else:
            print(output.splitlines()[-2])
            rows[system], rows[f"{system}, 8 views"] = json.loads(output.splitlines()[-1])
    return rows


def main() -> None:
    """Runs all and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--runs", type=Path, default=Path("runs/ucm-comparison"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cores", nargs=4, help="side by side, e.g. --cores 0,1 2,3 4,5 6,7 on a machine that has them")
    parser.add_argument("--loop", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        loop_alone(options)
        return
    first = [
        sys.executable,
        "-m",
        "domainclip",
        "pretrain",
        "--domain",
        "remote-sensing",
        "--data",
        "ucm",
        "--root",
        str(options.root),
    ]
    subprocess.run([*first, "--output", str(options.runs / "base"), "--overwrite", "--set", "training.max_steps=1"], check=True)
    rows = carry_out(options)
    images = json.loads((options.runs / "ours" / "summary.json").read_text())["held_out"]["images"]
    print(f"\nUCM published val, {options.seconds:.0f} s, {options.threads} threads, n = {images} images")
    for system, row in rows.items():
        print(f"{system:<36} " + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    for ours, theirs in (("domainclip", ""), ("domainclip, one view", ""), ("domainclip", ", 8 views")):
        loops = [row for system, row in rows.items() if system.startswith("plain") and system.endswith("8 views") == bool(theirs)]
        best = {key: max(row[key] for row in loops) for key in loops[0]}
        print(f"{ours} to the best loop{theirs}: " + "  ".join(f"{key} {rows[ours][key] / best[key]:.2f}" for key in best))


if __name__ == "__main__":
    main()
