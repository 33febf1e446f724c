"""``domainclip pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainclip.cli.options import Debug, DomainName, Json, Overwrite, Root, Setting
from domainclip.cli.output import Reporter, run_verb

_HELP = """Train a CLIP of your domain; without --data on a starter set that is made on the spot.

Example: [bold]domainclip pretrain --domain pathology[/bold]

Example: [bold]domainclip pretrain --domain remote-sensing --data ucm --root /data/ucm --output runs/ucm[/bold]

On two GPUs: [bold]torchrun --nproc_per_node 2 -m domainclip pretrain --domain pathology --output runs/p[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("pretrain", help=_HELP)(pretrain)


def pretrain(
    domain: DomainName,
    data: Annotated[str | None, typer.Option("--data", help="Card name, folder, file, prepared set or manifest.")] = None,
    root: Root = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of the run; examples lie in configs/.")] = None,
    settings: Setting = None,
    output: Annotated[Path | None, typer.Option("--output", help="Run folder; default runs/DOMAIN-DATE-TIME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --output where it stopped.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``domainclip.pretrain``."""

    def work(reporter: Reporter) -> None:
        from domainclip.cli.progress import progress_printer
        from domainclip.training.pretrain import pretrain as run_pretrain
        from domainclip.training.resolve import resolve_config
        from domainclip.training.summary import summary_lines

        resolved = resolve_config(
            domain, data=data, root=root, path=config, overrides=settings or (), output=output, resume=resume, overwrite=overwrite
        )
        summary = run_pretrain(resolved, resume=resume, overwrite=overwrite, progress=progress_printer(), say=reporter.line)
        if summary["rank"] == 0:
            reporter.document(summary, summary_lines(summary))

    return run_verb(work, as_json=as_json, debug=debug)
