"""Options that several verbs share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output and nothing else there.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what lies in the output folder.")]
DomainName = Annotated[str, typer.Option("--domain", help="pathology, radiology or remote-sensing.")]
Root = Annotated[Path | None, typer.Option("--root", help="Folder that holds a data-set card's files.")]
Model = Annotated[str, typer.Argument(help="A run folder, a model folder, or a name from `domainclip models`.", metavar="MODEL")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="section.field=value over the configuration; may be repeated.")]
Pool = Annotated[
    str, typer.Option("--pool", help="Volumes and time series: mean or max of the features of their slices or frames.")
]
Features = Annotated[
    str | None,
    typer.Option("--features", help="SRC is a folder of TRIDENT or CLAM features (.h5): unit, or projected of any norm."),
]
Coordinates = Annotated[
    Path | None, typer.Option("--coordinates", help="With --features: folder of the files that the tiles were cut by (CLAM).")
]
Missing = Annotated[
    str,
    typer.Option(
        "--missing-channels",
        help="Images that lack channels of the model: refuse, mean (the model's mean stands in), drop (wavelength models).",
    ),
]
