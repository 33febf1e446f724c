"""``--features`` of ``embed`` and ``index``: features that another program computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from domainclip.errors import UsageError


def take_features(
    kind: Literal["embed", "index"],
    model: str,
    source: str,
    output: Path,
    features: str,
    coordinates: Path | None,
    overwrite: bool,
    without_use: Sequence[Any],
) -> tuple[dict[str, Any], list[str]]:
    """Calls ``features_from_h5``.

    Args:
        kind: The verb.
        model: Name of the model that made the features.
        source: Folder of the files.
        output: Folder to write.
        features: What the user says of them.
        coordinates: See ``features_from_h5``.
        overwrite: Likewise.
        without_use: Values of options that have no use here; any that is given is refused.

    Returns:
        What was written, and a sentence on it.
    """
    from domainclip.cli.progress import progress_printer
    from domainclip.heads.domain_model import load_model
    from domainclip.heads.peer_features import features_from_h5

    if any(without_use):
        raise UsageError(
            "Features of another program were to be taken in (--features).",
            "--root, --set and --missing-channels say how images are read, and none is.",
            "Leave them out.",
        )
    result = features_from_h5(
        source,
        output,
        load_model(model),
        features,  # type: ignore[arg-type]  # checked there
        kind=kind,
        coordinates=coordinates,
        overwrite=overwrite,
        progress=progress_printer(),
    )
    said = result["features"]
    line = f"Taken as features of {model}, {said['stated']}, as you say; the files name the encoder {said['encoder'] or 'nowhere'}."
    if said["tiles_without_place"]:
        line += f" Tiles without a place: {said['tiles_without_place']} (give --coordinates)."
    return result, [line]


def refuse_coordinates_alone(features: str | None, coordinates: Path | None) -> None:
    """Refuses ``--coordinates`` without ``--features``: it would do nothing."""
    if features is None and coordinates is not None:
        raise UsageError(
            "--coordinates was given.", "It belongs to --features, which is not given.", "Add --features, or leave it out."
        )
