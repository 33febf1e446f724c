"""The command line: one module per verb, loaded only as far as its options need."""

from __future__ import annotations

import json
import os
import sys

import typer

from domainclip import __version__
from domainclip.cli import (
    audit,
    datasets,
    domains,
    embed,
    export,
    index,
    inspect,
    mix,
    models,
    prepare,
    pretrain,
    search,
    zero_shot,
)
from domainclip.cli.output import STOPPED, WRONG_USE

# typer carries click inside itself in some versions and uses the library in others: take the class from what typer exports.
ClickError: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

VERBS = (pretrain, prepare, mix, zero_shot, embed, index, search, export, inspect, audit, models, datasets, domains)

app = typer.Typer(
    name="domainclip",
    help="CLIP for slides, studies and scenes: prepare, pretrain, ask, search. Try: domainclip pretrain --domain pathology",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for _verb in VERBS:
    _verb.register(app)


@app.callback()
def _root() -> None:
    pass


def _print_version() -> None:
    print(__version__)  # noqa: T201


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 2 wrong use or bad input."""
    words = sys.argv[1:] if arguments is None else arguments
    if words == ["--version"]:
        _print_version()
        return
    # albumentations asks a server for its newest version at import unless told not to.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        code = app(args=words or ["--help"], standalone_mode=False)
    except typer.Abort:
        code = STOPPED
    except ClickError as error:
        code = _usage_error(error, "--json" in words)
    sys.exit(code if isinstance(code, int) else 0)


def _usage_error(error: Exception, as_json: bool) -> int:
    """Says a wrong option or argument in three parts."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "domainclip"
    said = error.format_message() if hasattr(error, "format_message") else str(error)
    asked, found, remedy = f"{command} was called.", str(said), f"See: {command} --help"
    print(f"{asked}\n  Found: {found}\n  To do: {remedy}", file=sys.stderr)  # noqa: T201
    if as_json:
        print(json.dumps({"error": {"asked": asked, "found": found, "remedy": remedy}}, indent=1))  # noqa: T201
    return WRONG_USE
