"""``domainclip mix``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import Reporter, run_verb
from domainclip.errors import UsageError

T = TypeVar("T")
_HELP = """Make one prepared set of several, with weights and caps by source; what one of them holds out, none trains on.

Example: [bold]domainclip mix sets/quilt sets/pathgen --weight 1 --weight 0.5 --cap 50000 --cap none --output sets/both[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("mix", help=_HELP)(mix)


def mix(
    sets: Annotated[list[Path], typer.Argument(help="Prepared sets of one domain.", metavar="SET")],
    output: Annotated[Path, typer.Option("--output", help="Folder of the mixture.")],
    weight: Annotated[list[float] | None, typer.Option("--weight", help="Of each set in turn: shares of an epoch.")] = None,
    cap: Annotated[
        list[str] | None, typer.Option("--cap", help="Of each set in turn: most training images, or none for all of them.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of which groups a cap takes.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``domainclip.data.mixture.mix``."""

    def work(reporter: Reporter) -> None:
        from domainclip.data.mixture import Part
        from domainclip.data.mixture import mix as run_mix

        weights, caps = _each(weight, sets, "--weight", 1.0), [_number(text) for text in _each(cap, sets, "--cap", "none")]
        parts = [Part(folder, one, most) for folder, one, most in zip(sets, weights, caps, strict=True)]
        card = run_mix(parts, output, seed=seed).card
        lines = [f"Mixture: {output}", *(f"  {name}: {count}" for name, count in card["counts"].items())]
        lines += [
            f"  of {source.get('name', 'unnamed')}: {source['taken']} of {source['images']} images, weight {source['weight']:g}"
            + (f", {source['leaks_left_out']} left out that another source holds out" if source["leaks_left_out"] else "")
            for source in card["sources"]
        ]
        if card["forbids"]:
            lines.append(f"Its licences together forbid: {', '.join(card['forbids'])}.")
        reporter.document({"output": str(output), **card}, lines)

    return run_verb(work, as_json=as_json, debug=debug)


def _each(given: list[T] | None, sets: list[Path], option: str, default: T) -> list[T]:
    if given and len(given) != len(sets):
        found = f"{option} is given {len(given)} times for {len(sets)} sets."
        raise UsageError("Sets were to be mixed.", found, f"Give {option} for each set in turn, or not at all.")
    return given or [default] * len(sets)


def _number(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdigit():
        raise UsageError("Sets were to be mixed.", f"The cap {text!r} is no whole number.", "Give a number of images, or none.")
    return int(text)
