"""``make starter-weights``: trains the three starter models at their default length and puts them where the wheel takes them from.

Usage: python -m domainclip.starter.ship [RUN ...]     (without runs, they are trained into runs/ship-DOMAIN)
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from domainclip.errors import UsageError
from domainclip.models.checkpoint import load_checkpoint, save_model
from domainclip.models.model_card import write_starter_card
from domainclip.resources import resource_folder, starter_weights_folder
from domainclip.starter import generators


def ship(run: Path) -> Path:
    """Copies a starter run's model into the package, matrices in half precision, and writes its card from the run's figures.

    Args:
        run: A run of ``pretrain`` without ``--data``.

    Returns:
        The shipped folder.

    Raises:
        UsageError: The run was not trained on a starter set.
    """
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    if not summary["synthetic"]:
        raise UsageError(
            f"The run {run} was to be shipped as a starter model.", "Its data are not synthetic.", "Ship starter runs only."
        )
    name = f"starter-{summary['domain']}"
    model, record, tokenizer = load_checkpoint(run / "model")
    folder = starter_weights_folder() / name
    shutil.rmtree(folder, ignore_errors=True)
    save_model(folder, model, record, tokenizer, dtype="float16", open_clip_copy=False)
    write_starter_card(run, resource_folder("model_cards") / f"{name}.md")
    return folder


def main(runs: list[str]) -> None:
    """Ships the runs that are named, or trains all domains first."""
    from domainclip.training.pretrain import pretrain
    from domainclip.training.resolve import resolve_config

    folders = [Path(run) for run in runs]
    for domain in () if runs else generators:
        output = Path("runs") / f"ship-{domain}"
        pretrain(resolve_config(domain, output=output, overwrite=True), overwrite=True, say=print)
        folders.append(output)
    for folder in folders:
        print(ship(folder))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
