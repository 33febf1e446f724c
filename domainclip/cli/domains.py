"""``domainclip domains``."""

from __future__ import annotations

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import Reporter, run_verb

_HELP = """List the domains, and which of their reader libraries are missing.

Example: [bold]domainclip domains[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("domains", help=_HELP)(domains)


def domains(as_json: Json = False, debug: Debug = False) -> int:
    """Lists the domains."""

    def work(reporter: Reporter) -> None:
        from domainclip.domains.base import describe_domains

        rows = describe_domains()
        lines = [
            f"{r['name']:<16} {', '.join(r['classes'])}" + (f"  MISSING: {', '.join(r['missing'])}" if r["missing"] else "")
            for r in rows
        ]
        for row in rows:
            lines += [f"  {what} of {row['name']}: {', '.join(row[what])}" for what in ("sensors", "statistics") if what in row]
        reporter.document({"domains": rows}, lines)

    return run_verb(work, as_json=as_json, debug=debug)
