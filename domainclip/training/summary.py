"""The last lines of a run: what was made, how good it is, what is synthetic, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """Words a summary for a person.

    Args:
        summary: What ``pretrain`` returns (and ``summary.json`` holds).

    Returns:
        Lines without line ends.
    """
    return [
        "",
        f"Run folder      {summary['run']}",
        f"Model           {summary['run']}/model",
        *_sources(summary),
        f"Trained         {_training(summary)}",
        *_held_out(summary["held_out"]),
        *_synthetic(summary),
        f"Next            {next_command(summary)}",
    ]


def interval(figure: Mapping[str, Any], digits: int = 3) -> str:
    """Words a figure with its interval, e.g. ``0.951 (95 % interval 0.930 to 0.968, chance 0.167)``."""
    text = f"{figure['value']:.{digits}f}"
    parts = [f"95 % interval {figure['low']:.{digits}f} to {figure['high']:.{digits}f}"] if figure.get("low") is not None else []
    if figure.get("chance") is not None:
        parts.append(f"chance {figure['chance']:.{digits}f}")
    return f"{text} ({', '.join(parts)})" if parts else text


def _sources(summary: Mapping[str, Any]) -> list[str]:
    lines = [f"Starter set     {summary['starter_set']}"] if summary.get("starter_set") else []
    counts = summary["data"]["counts"]
    rejected = f", {counts['rejected']} files rejected (see rejected.jsonl there)" if counts.get("rejected") else ""
    return [
        *lines,
        f"Prepared set    {summary['data']['prepared']}: {counts['images']} images, {counts['captions']} captions{rejected}",
    ]


def _training(summary: Mapping[str, Any]) -> str:
    engine = summary["engine"]
    stage = f", ZeRO stage {summary['zero_stage']}" if summary["zero_stage"] is not None else ""
    return (
        f"{summary['steps']} steps, {summary['samples_seen']} samples in {summary['seconds']:.0f} s "
        f"({summary['images_per_second']:.0f} images/s) on {summary['processes']} x {summary['device']} with {engine}{stage}"
    )


def _held_out(held_out: Mapping[str, Any]) -> list[str]:
    torn = held_out.get("torn_groups")
    apart = f"; {torn} groups lie in more than one part of the source's own split" if torn else " that training never saw"
    lines = [f"Held out        {held_out['images']} images of {held_out['groups']} groups{apart}"]
    zero_shot = held_out.get("zero_shot")
    control = held_out.get("baselines", {}).get("control")
    if zero_shot:
        part = "seen_compositions" if "seen_compositions" in zero_shot else None
        figure = (zero_shot[part] if part else zero_shot)["balanced_accuracy"]
        which = f", {figure['n']} images of combinations that training showed" if part else ""
        lines.append(f"  zero-shot     balanced accuracy over {zero_shot['classes']} classes{which}: {interval(figure)}")
        if control:
            beside = (control[part] if part else control)["balanced_accuracy"]
            lines.append(f"  control       the same images, from colour and brightness alone: {interval(beside)}")
        if "unseen_compositions" in zero_shot:
            unseen = zero_shot["unseen_compositions"]["balanced_accuracy"]
            lines.append(f"  all           zero-shot on all held-out images: {interval(zero_shot['balanced_accuracy'])}")
            lines.append(
                f"  unseen        zero-shot on {unseen['n']} images of combinations that training never showed: {interval(unseen)}"
            )
    retrieval = held_out.get("retrieval")
    if retrieval:
        at = "recall_at_5" if "recall_at_5" in retrieval["text_to_image"] else next(iter(retrieval["text_to_image"]))
        recall = retrieval["text_to_image"][at]
        lines.append(f"  text to image R@{at.rpartition('_')[2]}: {interval(recall['equivalent'])}, equal words counted as hits")
        lines.append(f"                strictly the caption's own image: {interval(recall['strict'])}")
        lines.append(f"                {retrieval['distinct_captions']} distinct captions, {retrieval['images']} images")
    return lines


def _synthetic(summary: Mapping[str, Any]) -> list[str]:
    if not summary["synthetic"]:
        return []
    return ["Note            The content is synthetic: these figures say that the path works, nothing about real data."]


def next_command(summary: Mapping[str, Any]) -> str:
    """Returns the command to type next, with a file that lies there."""
    classes = ",".join(summary.get("class_names", ())[:3]) or "first class,second class"
    example = summary.get("example_file") or "FILE"
    return f"domainclip zero-shot {shlex.quote(str(summary['run']))} {shlex.quote(str(example))} --classes {shlex.quote(classes)}"
