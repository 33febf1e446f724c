"""``domainclip index``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainclip.cli.options import Coordinates, Debug, Features, Json, Missing, Model, Overwrite, Pool, Root, Setting
from domainclip.cli.output import Reporter, rejection_lines, run_verb

_HELP = """Make a source searchable by text and by image.

Example: [bold]domainclip index starter-pathology sets/slides --output slides-index[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("index", help=_HELP)(index)


def index(
    model: Model,
    source: Annotated[str, typer.Argument(help="Prepared set, folder, file, manifest or card name.", metavar="SRC")],
    output: Annotated[Path, typer.Option("--output", help="Folder of the index.")],
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
    """Parses the options, fits a ``Retriever`` and saves it."""

    def work(reporter: Reporter) -> None:
        from domainclip.cli.peer_features import refuse_coordinates_alone, take_features

        refuse_coordinates_alone(features, coordinates)
        if features is not None:
            unused = (root, settings, missing != "refuse")
            taken, said = take_features("index", model, source, output, features, coordinates, overwrite, unused)
            counted = f"{taken['count']} features indexed, {taken['rejected']} files rejected: {output}"
            said = [*rejection_lines(output, taken["rejected"], taken["set_id"]), *said]
            reporter.document(taken, [counted, *said, f'Next: domainclip search {output} "your words"'])
            return
        from domainclip.cli.progress import progress_printer
        from domainclip.data.missing_channels import checked_rule
        from domainclip.heads.domain_model import load_model
        from domainclip.heads.embed import checked_pooling
        from domainclip.heads.feature_table import check_output
        from domainclip.heads.model_input import missing_lines
        from domainclip.heads.reading import reading_settings
        from domainclip.heads.retrieval import Retriever

        check_output(output, overwrite)
        retriever = Retriever(load_model(model, missing_channels=checked_rule(missing))).fit(
            source,
            root=root,
            reading=reading_settings(settings or ()),
            pooling=checked_pooling(pool),
            progress=progress_printer(),
        )
        saved = retriever.save(output, overwrite=overwrite)
        lines = [
            f"{saved['count']} images indexed, {saved['rejected']} files rejected: {output}",
            *missing_lines(saved["missing_channels"], saved["count"]),
            *rejection_lines(output, saved["rejected"], saved["set_id"]),
            f'Next: domainclip search {output} "your words"',
        ]
        reporter.document(saved, lines)

    return run_verb(work, as_json=as_json, debug=debug)
