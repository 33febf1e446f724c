"""``domainclip embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainclip.cli.options import Coordinates, Debug, Features, Json, Missing, Model, Overwrite, Pool, Root, Setting
from domainclip.cli.output import Reporter, rejection_lines, run_verb

_HELP = """Write the image features of a source: features.npy (N, D) float32 and index.parquet.

Example: [bold]domainclip embed starter-pathology sets/slides --output features/slides[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("embed", help=_HELP)(embed)


def embed(
    model: Model,
    source: Annotated[str, typer.Argument(help="Prepared set, folder, file, manifest or card name.", metavar="SRC")],
    output: Annotated[Path, typer.Option("--output", help="Folder for the features.")],
    root: Root = None,
    settings: Setting = None,
    missing: Missing = "refuse",
    pool: Pool = "mean",
    features: Features = None,
    coordinates: Coordinates = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``embed``."""

    def work(reporter: Reporter) -> None:
        from domainclip.cli.peer_features import refuse_coordinates_alone, take_features

        refuse_coordinates_alone(features, coordinates)
        if features is not None:
            unused = (root, settings, missing != "refuse")
            taken, said = take_features("embed", model, source, output, features, coordinates, overwrite, unused)
            counted = f"{taken['count']} features taken in, {taken['rejected']} files rejected: {output}"
            reporter.document(taken, [counted, *rejection_lines(output, taken["rejected"], taken["set_id"]), *said])
            return
        from domainclip.cli.progress import progress_printer
        from domainclip.data.missing_channels import checked_rule
        from domainclip.heads.domain_model import load_model
        from domainclip.heads.embed import checked_pooling
        from domainclip.heads.embed import embed as run_embed
        from domainclip.heads.model_input import missing_lines
        from domainclip.heads.reading import reading_settings

        result = run_embed(
            load_model(model, missing_channels=checked_rule(missing)),
            source,
            output,
            root=root,
            reading=reading_settings(settings or ()),
            overwrite=overwrite,
            pooling=checked_pooling(pool),
            progress=progress_printer(),
        )
        lines = [
            f"{result['count']} images embedded ({result['width']} numbers each), {result['rejected']} files rejected: {output}",
            *missing_lines(result["missing_channels"], result["count"]),
            *rejection_lines(output, result["rejected"], result["set_id"]),
            f"Next: domainclip index {model} {source} --output INDEX",
        ]
        reporter.document(result, lines)

    return run_verb(work, as_json=as_json, debug=debug)
