"""Makes the starter sets: real files with synthetic content (layer 4)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from domainclip.errors import UsageError
from domainclip.registry import Registry

Progress = Callable[[int, int, str], None]
MakeFiles = Callable[..., None]

generators: Registry[MakeFiles] = Registry(
    "starter set",
    {
        "pathology": "domainclip.starter.pathology:make",
        "radiology": "domainclip.starter.radiology:make",
        "remote-sensing": "domainclip.starter.remote_sensing:make",
    },
)

_VERSION = 2


def make_starter_set(
    domain: str,
    output: Path | str,
    *,
    groups: int | None = None,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Path:
    """Makes a domain's starter set, or finds it where the same call has made it before.

    Args:
        domain: ``pathology``, ``radiology`` or ``remote-sensing``.
        output: Folder for the set.
        groups: Number of slides, patients or scenes; None for the domain's default.
        seed: Everything follows from it.
        workers: Processes.
        progress: Called with (done, total, text).
        overwrite: Replace what lies in the folder.

    Returns:
        The set's ``manifest.csv``.

    Raises:
        UsageError: The domain is unknown, or the folder holds something else.
    """
    output = Path(output)
    make = generators.get(domain)
    made = {"domain": domain, "groups": groups, "seed": seed, "version": _VERSION, "synthetic": True}
    marker = output / "starter.json"
    if output.exists() and any(output.iterdir()):
        if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == made:
            return output / "manifest.csv"
        if not overwrite and not _unfinished(output):
            raise UsageError(
                f"A starter set for {domain} was to be made in {output}.",
                "The folder holds other files.",
                "Name another folder, or remove this one.",
            )
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "starter.part").touch()
    make(output, groups=groups, seed=seed, workers=workers, progress=progress)
    (output / "starter.part").unlink()
    marker.write_text(json.dumps(made, indent=1), encoding="utf-8")
    return output / "manifest.csv"


def _unfinished(folder: Path) -> bool:
    """A folder that an interrupted run of this function left behind may be made anew."""
    return (folder / "starter.part").is_file()
