"""UCM-captions: `domainclip pretrain` beside a plain open_clip loop, same pixels, model size, threads, augmentation and time.

    python tests/performance/ucm_against_open_clip.py --root FOLDER_OF_UCM [--seconds 180] [--runs runs/ucm-comparison]

Ours selects its checkpoint on a part cut from train; the loop trains on all of train and gets the best of three learning rates
**chosen on the published val split itself**, which favours it. Both are measured by the same code on the published val split.
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


def train_pairs(root: Path, size: int) -> tuple[list[np.ndarray], list[list[str]]]:
    """Pixels (size, size, 3) uint8 and the five captions of every train image."""
    from PIL import Image

    images = [i for i in json.loads((root / "dataset.json").read_text())["images"] if i["split"] == "train"]
    pixels = [
        np.asarray(Image.open(root / "imgs" / i["filename"]).convert("RGB").resize((size, size), Image.BICUBIC)) for i in images
    ]
    return pixels, [[s["raw"] for s in i["sentences"]] for i in images]


def plain_loop(
    root: Path, model_folder: Path, augmentation: list[dict[str, Any]], lr: float, seconds: float, batch: int, threads: int
):
    """The honest loop; returns a function for images and one for texts."""
    import albumentations as A
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
    pixels, texts = train_pairs(root, size)
    tokens = [tokenizer(five) for five in texts]
    augment = A.Compose([getattr(A, step["name"])(**{k: v for k, v in step.items() if k != "name"}) for step in augmentation])

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


def main() -> None:
    """Runs both and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--runs", type=Path, default=Path("runs/ucm-comparison"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    run = options.runs / "ours"
    command = [
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
    command += ["--output", str(run), "--overwrite", "--set", f"training.max_seconds={options.seconds}"]
    subprocess.run([*command, "--set", f"training.threads={options.threads}"], check=True)

    from domainclip.benchmarks.held_out import evaluate_held_out
    from domainclip.config import load_config
    from domainclip.data.prepared_set import PreparedSet
    from domainclip.domains.base import domains
    from domainclip.models.checkpoint import load_checkpoint

    config = load_config(run / "config.yaml")
    prepared = PreparedSet(json.loads((run / "data.json").read_text())["prepared"])
    record = load_checkpoint(run / "model")[1]
    name = config.training.augmentation
    steps = domains.get("remote-sensing").facts.augmentations[name] if name else []
    summary = json.loads((run / "summary.json").read_text())
    rows = {f"domainclip ({summary['engine']})": figures(summary["held_out"])}
    for lr in (3e-4, 1e-3, 3e-3):
        encoders = plain_loop(options.root, run / "model", steps, lr, options.seconds, config.training.batch_size, options.threads)
        rows[f"plain open_clip, lr {lr:g}"] = figures(evaluate_held_out(*encoders, prepared, record, config))
    print(f"\nUCM published val, {options.seconds:.0f} s, {options.threads} threads, n = {summary['held_out']['images']} images")
    for system, row in rows.items():
        print(f"{system:<32} " + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    best = {key: max(row[key] for system, row in rows.items() if system.startswith("plain")) for key in next(iter(rows.values()))}
    ours = next(iter(rows.values()))
    print("ratio to the best loop            " + "  ".join(f"{key} {ours[key] / best[key]:.2f}" for key in best))


if __name__ == "__main__":
    main()
