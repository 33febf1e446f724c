"""``domainclip datasets``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import Reporter, run_verb
from domainclip.errors import UsageError

_LICENCE_WIDTH = 30
_FOR_PEOPLE = (
    "name", "title", "domain", "kind", "licence", "access", "citation", "homepage", "bring", "size", "peer_loader", "limits",
)  # fmt: skip
_STOPPED = {
    "commercial": "prepare and pretrain stop with data.purpose=commercial",
    "derivatives": "prepare stops changed copies, where they go beyond the card and the defaults:",
    "redistribution": "stands in the set's and the model's record; nothing is passed on by domainclip",
}
_SEARCHED = re.compile(r"\bids? [0-9]{6,}")
_CANNOT_FOLLOW = (
    "Numbers in it (id 23085955930) are entries of the code search that was used while the card was written: it names no "
    "repository, and nobody can follow them outside. Check such facts on your own copy of the set."
)
_HELP = """List the data-set cards; say what one is: licence, limits, files to bring, unverified facts; or summarise a prepared set.

Example: [bold]domainclip datasets ucm[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("datasets", help=_HELP)(datasets)


def datasets(
    name: Annotated[str | None, typer.Argument(help="A card's name, or the folder of a prepared set.", metavar="[NAME]")] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Of a prepared set: draw the summary here (.jpg or .png).")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Lists cards, shows one, or summarises a prepared set."""

    def work(reporter: Reporter) -> None:
        if name is not None and (Path(name) / "dataset.json").is_file():
            _summary(Path(name), sheet, reporter)
            return
        if sheet is not None:
            found = f"{name or 'The list of cards'} is no prepared set."
            raise UsageError("A picture was asked for (--sheet).", found, "Give the folder of a prepared set.")
        if name is None:
            _list(reporter)
        else:
            _show(name, reporter)

    return run_verb(work, as_json=as_json, debug=debug)


def _summary(folder: Path, sheet: Path | None, reporter: Reporter) -> None:
    from domainclip.data.prepared_set import PreparedSet
    from domainclip.data.set_summary import draw_summary, summarise, summary_lines

    prepared = PreparedSet(folder)
    told = summarise(prepared)
    lines = summary_lines(told)
    if sheet is not None:
        draw_summary(sheet, prepared, told)
        lines.append(f"Drawn: {sheet}")
    reporter.document({"set": str(folder), **told, **({"sheet": str(sheet)} if sheet is not None else {})}, lines)


def _list(reporter: Reporter) -> None:
    from domainclip.data.cards import card_names, load_card

    cards = [load_card(each) for each in card_names()]
    rows: list[dict[str, Any]] = [
        {"name": card.name, "domain": card.domain, "title": card.title, "licence": card.licence, "read": card.layout is not None}
        for card in cards
    ]
    width = max(len(card.name) for card in cards)
    lines = [f"{r['name']:<{width}}  {r['domain']:<15} {_state(r['read'])}  {r['title']}  ({_short(r['licence'])})" for r in rows]
    reporter.document({"datasets": rows}, [*lines, "read: by prepare; described: what it is and which files to bring."])


def _show(name: str, reporter: Reporter) -> None:
    import yaml

    from domainclip.data.cards import load_card
    from domainclip.data.licence_terms import CHANGING

    card = load_card(name)
    shown = card.model_dump(mode="json")
    told = {field: _running(shown[field]) for field in _FOR_PEOPLE if shown.get(field)}
    if shown["forbids"]:
        listed = {"derivatives": " " + ", ".join(CHANGING)}
        told["forbids"] = [f"{use}: {_STOPPED[use]}{listed.get(use, '')}" for use in shown["forbids"]]
    told["read"] = (
        "by prepare --root FOLDER" if card.layout is not None else "not yet: its layout is described below, write a manifest"
    )
    if card.layout is None:
        told["described"] = shown["described"]
    told["unverified"] = shown["unverified"] or "nothing"
    told["not_seen"] = _running(shown["not_seen"])
    lines = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=120).splitlines()
    lines.append("All of it, with the evidence of each fact: --json, or the card's file.")
    if any(_SEARCHED.search(text) for text in shown["evidence"].values()):
        lines.append(_CANNOT_FOLLOW)
    reporter.document(shown, lines)


def _running(value: Any) -> Any:
    """Texts without the line breaks of the card."""
    if isinstance(value, list):
        return [_running(one) for one in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _state(read: bool) -> str:
    return "read     " if read else "described"


def _short(licence: str) -> str:
    first = licence.splitlines()[0]
    return first if len(first) <= _LICENCE_WIDTH and first == licence else f"{first[:_LICENCE_WIDTH]}..."
