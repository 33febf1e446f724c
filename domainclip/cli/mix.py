"""``domainclip mix``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import Reporter, run_verb
from domainclip.errors import UsageError

T = TypeVar("T")
_HELP = """Make one prepared set of several, with weights and caps by source. What one of them validates on or holds out, equal
pixels or groups (patients, slides, scenes) of the same name, none trains on; near duplicates are another matter, see below.

Example: [bold]domainclip mix sets/quilt sets/pathgen --weight 1 --weight 0.5 --cap 50000 --cap none --output sets/both[/bold]

Example: [bold]domainclip audit sets/both --duplicates[/bold]  pictures that look alike and differ in their pixels
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
    groups_apart: Annotated[
        bool, typer.Option("--groups-apart", help="Groups of one name in two sources are different ones; else they are the same.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``domainclip.data.mixture.mix``."""

    def work(reporter: Reporter) -> None:
        from domainclip.data.mixture import Part
        from domainclip.data.mixture import mix as run_mix

        weights, caps = _each(weight, sets, "--weight", 1.0), [_number(text) for text in _each(cap, sets, "--cap", "none")]
        parts = [Part(folder, one, most) for folder, one, most in zip(sets, weights, caps, strict=True)]
        card = run_mix(parts, output, seed=seed, groups_apart=groups_apart).card
        lines = [f"Mixture: {output}", *(f"  {name}: {count}" for name, count in card["counts"].items())]
        lines += [_of_source(source) for source in card["sources"]]
        lines += [
            *_groups_said(card),
            f"Of pictures, equal pixels alone were compared; for near ones: domainclip audit {output} --duplicates",
        ]
        if card["forbids"]:
            lines.append(f"Its licences together forbid: {', '.join(card['forbids'])}.")
        reporter.document({"output": str(output), **card}, lines)

    return run_verb(work, as_json=as_json, debug=debug)


def _of_source(source: Mapping[str, Any]) -> str:
    """Says what was taken of a source, and why the rest was not."""
    called = ", ".join(source["in_index"])
    why = {
        "leaks_by_pixels": "left out whose pixels are evaluated",
        "leaks_by_group": "left out whose group another source evaluates on",
        "copies_left_out": "left out that an earlier source has too",
        "over_cap": "over the cap",
    }
    words = [f"{source['taken']} of {source['images']} images", f"weight {source['weight']:g}"]
    return f"  of {called}: " + ", ".join([*words, *(f"{source[name]} {text}" for name, text in why.items() if source[name])])


def _groups_said(card: Mapping[str, Any]) -> list[str]:
    """Says what groups of one name in several sources were taken for."""
    if not (shared := card["counts"]["groups_in_several_sources"]):
        return []
    found = f"{shared} groups (patients, slides, scenes) have the same name in several sources and count as"
    if card["groups_apart"]:
        return [f"{found} different ones (--groups-apart): if they are the same, the mixture trains on what it tests."]
    return [f"{found} the same. If their names merely look alike: --groups-apart."]


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
