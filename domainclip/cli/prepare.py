"""``domainclip prepare``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from domainclip.cli.options import Debug, DomainName, Json, Overwrite, Root, Setting
from domainclip.cli.output import Reporter, rejection_lines, run_verb

_HELP = """Turn raw files or a published layout into a prepared set: shards, captions, splits, and what was rejected.

Example: [bold]domainclip prepare slides/ --domain pathology --output sets/slides[/bold]

Example: [bold]domainclip prepare captions.csv --domain radiology --output sets/mine --set reading.output=hu[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("prepare", help=_HELP)(prepare)


def prepare(
    source: Annotated[str, typer.Argument(help="Card name, folder, file or manifest (CSV or Parquet).", metavar="SRC")],
    domain: DomainName,
    output: Annotated[Path, typer.Option("--output", help="Folder of the prepared set.")],
    root: Root = None,
    settings: Setting = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be read.")] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Reader processes; default: one a core.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier call stopped.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``domainclip.prepare``."""

    def work(reporter: Reporter) -> None:
        from domainclip.cli.progress import progress_printer
        from domainclip.config import load_config
        from domainclip.data.prepare import prepare as run_prepare
        from domainclip.data.sources import open_source
        from domainclip.domains.base import domains

        _refuse_other_sections(settings or ())
        config = load_config(
            overrides=settings or (),
            base={"domain": domain, "data": {"source": source, "root": str(root) if root else None}},
        )
        spoken = domains.get(domain)
        prepared = run_prepare(
            open_source(config.data, spoken, config.reading),
            spoken,
            output,
            reading=config.reading,
            held_out_fraction=config.data.held_out_fraction,
            val_fraction=config.data.val_fraction,
            duplicates=config.data.duplicates,
            split=config.data.split,
            stratify=config.data.stratify,
            permitted=config.data.permitted,
            seed=config.training.seed,
            jpeg_quality=config.data.jpeg_quality,
            strict=strict,
            workers=workers,
            resume=resume,
            overwrite=overwrite,
            progress=progress_printer(),
        )
        card = prepared.card
        counts = card["counts"]
        lines = _lines(output, card)
        lines.append(_next(domain, output, bool(counts["captions"])))
        reporter.document({"output": str(output), **card}, lines)

    return run_verb(work, as_json=as_json, debug=debug)


def _lines(output: Path, card: Mapping[str, Any]) -> list[str]:
    """What a person reads of a prepared set."""
    counts = card["counts"]
    lines = [f"Prepared set: {output}", *(f"  {name}: {_said(count)}" for name, count in counts.items())]
    lines += [f"  of reports, {name.replace('_', ' ')}: {count}" for name, count in card.get("report_reading", {}).items()]
    if account := dict(card.get("reading_account", {})):
        lines.append(f"  windows: {account.pop('windows', 0)}, kept {account.pop('kept', 0)}")
        lines += [f"  left out, {name}: {count}" for name, count in account.items()]
    if torn := counts.get("groups_across_splits"):
        lines.append(
            f"Warning: {torn} groups (patients, slides, scenes) lie in more than one split by the source's own columns. "
            "To split anew by group: --set data.split=by_group."
        )
    if torn := counts.get("same_ground_across_splits"):
        lines.append(
            f"Warning: {torn} pairs of scenes overlap on the ground and lie in different splits by the source's own columns."
        )
    if torn := counts.get("duplicates_across_splits"):
        lines.append(f"Warning: {torn} sets of equal images lie in more than one split by the source's own columns.")
    if torn := counts.get("same_picture_across_splits"):
        lines.append(
            f"Warning: {torn} pairs of groups show the same picture and lie in different splits by the source's own columns."
        )
    lines += rejection_lines(output, counts.get("rejected", 0), card["set_id"])
    return lines


def _said(count: int | None) -> str:
    return "not looked for (--set data.duplicates=near)" if count is None else str(count)


_USED = (
    "reading",
    "data.held_out_fraction",
    "data.val_fraction",
    "data.duplicates",
    "data.split",
    "data.stratify",
    "data.purpose",
    "data.permitted",
    "data.class_label",
    "data.jpeg_quality",
    "data.report_",
    "training.seed",
)


def _refuse_other_sections(settings: list[str] | tuple[str, ...]) -> None:
    """A setting that a preparation does not read would be ignored without a word."""
    from domainclip.errors import UsageError

    for setting in settings:
        if not setting.startswith(_USED):
            raise UsageError(
                f"--set {setting} was asked for.",
                "A prepared set does not depend on it.",
                f"Here can be set: {', '.join(_USED)}. Give others to pretrain.",
            )


def _next(domain: str, output: Path, captioned: bool) -> str:
    if captioned:
        return f"Next: domainclip pretrain --domain {domain} --data {output}"
    search = f"domainclip index MODEL {output} --output INDEX"
    return f"Next: add captions or labels by a manifest, since nothing can be trained without; or search the images: {search}"
