"""Names of channels: which of an image's planes answers to a name that a model asks for. Layer 0."""

from __future__ import annotations

from collections.abc import Sequence

from domainclip.errors import UsageError

# Sentinel-2 names with the leading zero only: "B3" is red on Landsat 7 and green on Landsat 8, so it is not guessed.
_SYNONYMS = {"r": "red", "g": "green", "b": "blue", "b04": "red", "b03": "green", "b02": "blue"}


_RADAR = frozenset(("vv", "vh", "hh", "hv"))


def is_radar(name: str) -> bool:
    """Says whether a channel is a polarisation of a radar (VV, VH, HH, HV), which has no optical wavelength."""
    return name.strip().casefold() in _RADAR


def canonical_channel(name: str) -> str:
    """Returns ``red``, ``green`` or ``blue`` for their synonyms (R, G, B; B04, B03, B02), else the name in lower case."""
    folded = name.strip().casefold()
    return _SYNONYMS.get(folded, folded)


def channel_positions(found: Sequence[str], needed: Sequence[str]) -> tuple[int, ...]:
    """Finds the planes that a model needs among those of an image, by name and synonym.

    Args:
        found: Names of the image's planes.
        needed: Names of the tower's planes, in order.

    Returns:
        For each needed channel its position in ``found``.

    Raises:
        UsageError: A channel is missing, or two planes of the image answer to one name.
    """
    exact = {name: i for i, name in enumerate(found)}
    folded: dict[str, list[int]] = {}
    for i, name in enumerate(found):
        folded.setdefault(canonical_channel(name), []).append(i)
    positions, missing = [], []
    for name in needed:
        candidates = [exact[name]] if name in exact else folded.get(canonical_channel(name), [])
        if len(candidates) > 1:
            clash = ", ".join(found[i] for i in candidates)
            raise UsageError(f"The channel {name!r} was asked for.", f"Several answer to it: {clash}.", "Rename one of them.")
        positions.extend(candidates)
        missing.extend([] if candidates else [name])
    if missing:
        raise UsageError(
            f"The model takes the channels {', '.join(needed)}.",
            f"The image lacks {', '.join(missing)}; it has {', '.join(found) or 'no named channel'}.",
            "Use images with these channels, or a model that was trained on the image's channels.",
        )
    return tuple(positions)
