"""``domainclip export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainclip.cli.options import Debug, Json, Overwrite
from domainclip.cli.output import Reporter, run_verb

_HELP = """Write tiles or features for TRIDENT, CLAM or QuPath, one file a slide; or predictions and labels of scenes as maps.

Example: [bold]domainclip export sets/slides --format qupath --output sets/slides-qupath[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("export", help=_HELP)(export)


def export(
    source: Annotated[Path, typer.Argument(help="Prepared set, or folder that zero-shot, embed or index wrote.", metavar="FOLDER")],
    format: Annotated[str, typer.Option("--format", help="trident, clam, qupath; cog, geojson, geoparquet.")],
    output: Annotated[Path, typer.Option("--output", help="Folder to write.")],
    hashed: Annotated[bool, typer.Option("--hashed", help="Name files by hashes, though your own map knows them.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``heads.export.export``."""

    def work(reporter: Reporter) -> None:
        from domainclip.cli.progress import progress_printer
        from domainclip.heads.export import export as run_export

        exported = run_export(source, format, output, hashed=hashed, overwrite=overwrite, progress=progress_printer())
        reporter.document({"output": str(output), **exported.document}, [f"Exported: {output}", *exported.lines])

    return run_verb(work, as_json=as_json, debug=debug)
