"""``domainclip zero-shot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainclip.cli.options import Debug, Json, Missing, Model, Overwrite, Setting
from domainclip.cli.output import Reporter, run_verb

_HELP = """Classify files by class names alone.

Example: [bold]domainclip zero-shot starter-pathology slide.tif --classes "adipose tissue,lymphoid aggregate"[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("zero-shot", help=_HELP)(zero_shot)


def zero_shot(
    model: Model,
    inputs: Annotated[list[str], typer.Argument(help="Files, folders or addresses.", metavar="INPUT...")],
    classes: Annotated[str, typer.Option("--classes", help="Names separated by commas, or a text file with one name a line.")],
    language: Annotated[str, typer.Option("--language", help="Language of the class names and prompts.")] = "en",
    output: Annotated[Path | None, typer.Option("--output", help="Folder for predictions.csv.")] = None,
    settings: Setting = None,
    missing: Missing = "refuse",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be read.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls the zero-shot classifier."""

    def work(reporter: Reporter) -> None:
        from domainclip.cli.progress import progress_printer
        from domainclip.data.missing_channels import checked_rule
        from domainclip.heads.classify import classify_files, parse_classes
        from domainclip.heads.domain_model import load_model
        from domainclip.heads.reading import reading_settings

        result = classify_files(
            load_model(model, missing_channels=checked_rule(missing)),
            inputs,
            parse_classes(classes),
            language=language,
            reading=reading_settings(settings or ()),
            output=output,
            strict=strict,
            overwrite=overwrite,
            progress=progress_printer(),
        )
        reporter.document(result.document(), result.lines())

    return run_verb(work, as_json=as_json, debug=debug)
