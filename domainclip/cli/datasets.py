"""``domainclip datasets``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import Reporter, run_verb

_LICENCE_WIDTH = 30
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
            rows: list[dict[str, Any]] = [
                {
                    "name": card.name,
                    "domain": card.domain,
                    "title": card.title,
                    "licence": card.licence,
                    "read": card.layout is not None,
                }
                for card in cards
            ]
            width = max(len(card.name) for card in cards)
            lines = [
                f"{r['name']:<{width}}  {r['domain']:<15} {_state(r['read'])}  {r['title']}  ({_short(r['licence'])})" for r in rows
            ]
            reporter.document({"datasets": rows}, [*lines, "read: by prepare; described: what it is and which files to bring."])
            return
        shown = load_card(name).model_dump(mode="json")
        reporter.document(shown, yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).splitlines())

    return run_verb(work, as_json=as_json, debug=debug)


def _state(read: bool) -> str:
    return "read     " if read else "described"


def _short(licence: str) -> str:
    first = licence.splitlines()[0]
    return first if len(first) <= _LICENCE_WIDTH and first == licence else f"{first[:_LICENCE_WIDTH]}..."
