"""``domainclip datasets``."""

from __future__ import annotations

from typing import Annotated

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import Reporter, run_verb

_HELP = """List the data-set cards, or say what one is: its licence, its files, and which facts are unverified.

Example: [bold]domainclip datasets ucm[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("datasets", help=_HELP)(datasets)


def datasets(
    name: Annotated[str | None, typer.Argument(help="A card's name.", metavar="[NAME]")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Lists cards or shows one."""

    def work(reporter: Reporter) -> None:
        import yaml

        from domainclip.data.cards import card_names, load_card

        if name is None:
            cards = [load_card(each) for each in card_names()]
            rows = [{"name": card.name, "domain": card.domain, "title": card.title, "licence": card.licence} for card in cards]
            reporter.document(
                {"datasets": rows}, [f"{r['name']:<18} {r['domain']:<16} {r['title']}  ({r['licence']})" for r in rows]
            )
            return
        shown = load_card(name).model_dump(mode="json")
        reporter.document(shown, yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).splitlines())

    return run_verb(work, as_json=as_json, debug=debug)
