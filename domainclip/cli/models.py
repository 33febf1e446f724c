"""``domainclip models``."""

from __future__ import annotations

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import Reporter, run_verb

_HELP = """List the models that load by name.

Example: [bold]domainclip models[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("models", help=_HELP)(models)


def models(as_json: Json = False, debug: Debug = False) -> int:
    """Lists what ``load_model`` finds by name."""

    def work(reporter: Reporter) -> None:
        from domainclip.models.zoo import list_models

        rows = list_models()
        lines = [f"{row['name']:<26} {row['domain']:<16} {row['summary']}" for row in rows]
        reporter.document({"models": rows}, lines or ["No models are installed."])

    return run_verb(work, as_json=as_json, debug=debug)
