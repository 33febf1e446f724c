"""``domainclip search``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import Reporter, run_verb

_HELP = """Find the images that fit a text or an image best.

Example: [bold]domainclip search slides-index "glands with mucin" -k 5[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("search", help=_HELP)(search)


def search(
    index: Annotated[Path, typer.Argument(help="Folder that `domainclip index` wrote.", metavar="INDEX")],
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="Look for images like this one.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    language: Annotated[str | None, typer.Option("--language", help="Language of the text.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``Retriever.search``."""

    def work(reporter: Reporter) -> None:
        from domainclip.errors import UsageError
        from domainclip.heads.retrieval import Retriever

        if (text is None) == (image is None):
            found = "Neither a text nor an image." if text is None else "Both a text and an image."
            raise UsageError(f"The index {index} was to be searched.", found, 'Give one: "a text" or --image FILE.')
        hits = Retriever.load(index).search(text if text is not None else image, k=k, language=language)
        lines = [
            f"{rank:>3}  {hit.score:.3f}  {hit.path or hit.key}"
            + (f"  x={hit.window.x} y={hit.window.y} {hit.window.width}x{hit.window.height}" if hit.window else "")
            for rank, hit in enumerate(hits, 1)
        ]
        document = {"index": str(index), "query": text or str(image), "hits": [asdict(hit) for hit in hits]}
        reporter.document(document, lines)

    return run_verb(work, as_json=as_json, debug=debug)
