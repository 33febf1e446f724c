"""``domainclip search``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from domainclip.cli.options import Debug, Json, Setting
from domainclip.cli.output import Reporter, run_verb

if TYPE_CHECKING:
    from domainclip.heads.retrieval import Hit

_HELP = """Find the images that fit a text or an image best.

Example: [bold]domainclip search slides-index "glands with mucin" -k 5[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("search", help=_HELP)(search)


def search(
    index: Annotated[Path, typer.Argument(help="Folder that `domainclip index` wrote.", metavar="INDEX")],
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    image: Annotated[
        Path | None, typer.Option("--image", help="Look for images like this one, read as those of the index were.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    by: Annotated[str, typer.Option("--by", help="Rank whole images, or each slice and frame: image or slice.")] = "image",
    language: Annotated[str | None, typer.Option("--language", help="Language of the text.")] = None,
    settings: Setting = None,
    missing: Annotated[
        str | None, typer.Option("--missing-channels", help="For --image: refuse, mean or drop; default: as the index was made.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``Retriever.search``."""

    def work(reporter: Reporter) -> None:
        from domainclip.data.missing_channels import checked_rule
        from domainclip.errors import UsageError, unknown_name
        from domainclip.heads.reading import reading_settings
        from domainclip.heads.retrieval import Retriever

        if (text is None) == (image is None):
            found = "Neither a text nor an image." if text is None else "Both a text and an image."
            raise UsageError(f"The index {index} was to be searched.", found, 'Give one: "a text" or --image FILE.')
        if by not in {"image", "slice"}:
            raise unknown_name("thing to rank", by, ("image", "slice"))
        ranked: Literal["image", "slice"] = "slice" if by == "slice" else "image"
        idle = [name for name, given in (("--set", settings), ("--missing-channels", missing)) if given and image is None]
        if idle:
            found = f"{' and '.join(idle)} would do nothing here."
            raise UsageError(f"The index {index} was to be searched.", found, "It is for --image FILE.")
        query, reading = text if text is not None else image, reading_settings(settings or ())
        rule = None if missing is None else checked_rule(missing)
        hits = Retriever.load(index, missing_channels=rule).search(query, k=k, language=language, by=ranked, reading=reading)
        lines = [_line(rank, hit, ranked) for rank, hit in enumerate(hits, 1)]
        document = {"index": str(index), "query": text or str(image), "hits": [asdict(hit) for hit in hits]}
        reporter.document(document, lines)

    return run_verb(work, as_json=as_json, debug=debug)


def _line(rank: int, hit: Hit, by: str) -> str:
    """One hit for a person: score, file, and which part of it."""
    score = hit.slice_score if by == "slice" else hit.score
    where = f"{rank:>3}  {score:.3f}  {hit.path or hit.key}"
    if hit.window:
        where += f"  x={hit.window.x} y={hit.window.y} {hit.window.width}x{hit.window.height}"
    if hit.slice is not None:
        name = "frame" if hit.axis == "T" else "slice"
        where += f"  {name} {hit.slice} of {hit.slices}, from 0 ({hit.slice_score:.3f})"
        where += f", frame {hit.frame} of the file" if hit.frame is not None and hit.axis == "Z" else ""
    return where
