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
    lines = []
    zero_shot = held_out.get("zero_shot")
    if zero_shot:
        figure = zero_shot["balanced_accuracy"]
        lines.append(f"Held out        {figure['n']} images of {figure['groups']} groups that training never saw")
        lines.append(f"  zero-shot     balanced accuracy over {zero_shot['classes']} classes: {interval(figure)}")
        unseen = zero_shot.get("unseen_compositions")
        if unseen:
            lines.append(f"  unseen        the same on combinations held out of training: {interval(unseen['balanced_accuracy'])}")
    control = held_out.get("baselines", {}).get("control")
    if control:
        lines.append(f"  control       logistic regression on colour alone: {interval(control['balanced_accuracy'])}")
    retrieval = held_out.get("retrieval")
    if retrieval:
        lines.append(
            f"  retrieval     text to image R@5: {interval(retrieval['text_to_image']['recall_at_5']['equivalent'])}; strictly the "
            f"caption's own image: {interval(retrieval['text_to_image']['recall_at_5']['strict'])}; "
            f"{retrieval['distinct_captions']} distinct captions, {retrieval['images']} images"
        )
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
