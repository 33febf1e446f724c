"""Uses that the licences of data forbid are stopped, with what to do; who holds a permission says so, and the set keeps that."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from domainclip.errors import UsageError

Use = Literal["commercial", "derivatives", "redistribution"]
_IN_WORDS = {
    "commercial": "commercial use, and models trained for it",
    "derivatives": "changed copies of its images or texts",
    "redistribution": "passing it on",
}
CHANGING: dict[str, tuple[str, tuple[Any, ...]]] = {
    "data.jpeg_quality": ("stored again with loss", (None,)),
    "reading.stain": ("recoloured", (None,)),
    "reading.colour": ("recoloured", ("refuse",)),
    "reading.window": ("grey values cut and stretched", (None,)),
    "reading.voi_index": ("grey values cut and stretched", (0,)),
    "reading.spacing_mm": ("resampled", (None,)),
    "reading.gaps": ("resampled", ("refuse",)),
    "reading.mode": ("resampled", ("whole",)),
    "reading.whole_px": ("resampled", ()),
    "reading.tile_um": ("resampled", ()),
    "reading.tile_px": ("resampled", ()),
    "reading.spacing_um": ("resampled", (None,)),
    "reading.upsample": ("resampled", (False,)),
    "reading.coordinates": ("resampled", (None,)),
    "reading.window_m": ("resampled", (None,)),
    "reading.crs": ("resampled", (None,)),
    "reading.spacing_m": ("resampled", (None,)),
    "reading.resampling": ("resampled", ("auto",)),
    "reading.mosaic": ("joined with others", (False,)),
}
"""Options that make copies that are not what was published: what they do to an image, and the values that leave it alone.

Not here, since they take a part or say what is stored: choice of tiles, windows, frames and bands, and the meaning of numbers."""
_OF_TILES = ("whole_px", "tile_um", "tile_px", "spacing_um", "upsample")
"""Idle where images are taken whole; the scale is then a fact about them."""


def forbidden_uses(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns what the licence of a set forbids and nobody has said to hold a permission for.

    Args:
        card: Of a source, a prepared set or a model: ``forbids``, and ``permitted``.
    """
    permitted = set(card.get("permitted") or ())
    return tuple(use for use in card.get("forbids") or () if use not in permitted)


def refuse_use(card: Mapping[str, Any], use: Use, asked: str, permitted: Sequence[str] = ()) -> None:
    """Stops a use that the licence forbids.

    Args:
        card: As for ``forbidden_uses``.
        use: What is about to be done.
        asked: One sentence for the message.
        permitted: Uses that the owner holds a permission for.

    Raises:
        UsageError: The licence forbids it.
    """
    if use in permitted or use not in forbidden_uses(card):
        return
    licence = textwrap.shorten(str(card.get("licence", "not stated")), 200, placeholder="...")
    raise UsageError(
        asked,
        f"The licence of {card.get('name', 'the data')} forbids {_IN_WORDS[use]} ({licence}).",
        f"Do without it; or, if its owners permitted it to you, say so: --set data.permitted='[{use}]', which the set keeps.",
    )


def refuse_changed_copies(
    card: Mapping[str, Any], asked: Mapping[str, Any], usual: Mapping[str, Any], permitted: Sequence[str] = ()
) -> None:
    """Stops what would store recoloured, resampled or lossy copies of a set whose licence forbids derivatives.

    What the set's card and the domain's defaults do is not stopped: the tiles of a slide have the default scale in every set.

    Args:
        card: As for ``forbidden_uses``.
        asked: Options by their names in ``CHANGING``, as the set is about to be read.
        usual: The same options as the card alone has it read.
        permitted: Uses that the owner holds a permission for.

    Raises:
        UsageError: An option in ``CHANGING`` was asked for that changes images.
    """
    idle = {f"reading.{name}" for name in _OF_TILES} if asked.get("reading.mode") == "whole" else set()
    changed = [
        f"{name}={asked[name]} ({what})"
        for name, (what, harmless) in CHANGING.items()
        if name in asked and name not in idle and asked[name] != usual.get(name) and asked[name] not in harmless
    ]
    if changed:
        refuse_use(card, "derivatives", f"Images were to be changed: {', '.join(changed)}.", permitted)


def terms(cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the terms of several sets together: licences by name, and all that any of them forbids."""
    forbids = dict.fromkeys(use for card in cards for use in forbidden_uses(card))
    licences = {str(card.get("name", "unnamed")): str(card["licence"]) for card in cards if card.get("licence")}
    return {"licence": "; ".join(f"{name}: {text}" for name, text in licences.items()), "forbids": list(forbids)}
