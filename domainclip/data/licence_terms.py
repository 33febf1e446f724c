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


def terms(cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the terms of several sets together: licences by name, and all that any of them forbids."""
    forbids = dict.fromkeys(use for card in cards for use in forbidden_uses(card))
    licences = {str(card.get("name", "unnamed")): str(card["licence"]) for card in cards if card.get("licence")}
    return {"licence": "; ".join(f"{name}: {text}" for name, text in licences.items()), "forbids": list(forbids)}
