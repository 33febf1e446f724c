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
    found_at = [_position(found, name) for name in needed]
    missing = [name for name, position in zip(needed, found_at, strict=True) if position is None]
    if missing:
        raise UsageError(
            f"The model takes the channels {', '.join(needed)}.",
            f"The image lacks {', '.join(missing)} of the model's {len(needed)} channels ({', '.join(needed)}); "
            f"it has {', '.join(found) or 'no named channel'}.",
            "Use images with these channels, or a model that was trained on the image's; or choose what stands in for missing ones "
            "(--missing-channels, data.missing_channels, missing_channels=).",
        )
    return tuple(position for position in found_at if position is not None)


def present_channels(found: Sequence[str], needed: Sequence[str]) -> tuple[int, ...]:
    """Returns which of the needed channels (positions in ``needed``) an image has.

    Raises:
        UsageError: Two planes of the image answer to one name.
    """
    return tuple(place for place, name in enumerate(needed) if _position(found, name) is not None)


def _position(found: Sequence[str], name: str) -> int | None:
    """Finds the plane of a name: of just that name, else of a synonym."""
    if name in found:
        return list(found).index(name)
    candidates = [i for i, own in enumerate(found) if canonical_channel(own) == canonical_channel(name)]
    if len(candidates) > 1:
        clash = ", ".join(found[i] for i in candidates)
        raise UsageError(f"The channel {name!r} was asked for.", f"Several answer to it: {clash}.", "Rename one of them.")
    return candidates[0] if candidates else None
