"""k images a class, as few-shot protocols draw them: seeded, from different groups as far as there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from domainclip.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


def k_shot(rows: pd.DataFrame, label: str, shots: int, *, seed: int = 0) -> pd.DataFrame:
    """Draws images of each class.

    The first image of a class comes from one group, the second from another, and so on; only when all groups of the class have
    given one does a group give a second. Sixteen neighbouring tiles of one slide are no sixteen shots.

    Args:
        rows: Of a prepared set's ``index`` or ``subset("train")``: columns ``labels`` and ``group``.
        label: The label whose values are the classes; rows without it are not drawn.
        shots: Images of each class.
        seed: Of the draw. It depends on the order of the set and not on the owner's key.

    Returns:
        The rows that were drawn, in the order of the set.

    Raises:
        UsageError: No row has the label, or a class has fewer images.
    """
    asked = f"{shots} images of each value of {label!r} were to be drawn (seed {seed})."
    values = [(labels or {}).get(label) for labels in rows["labels"]]
    classes = sorted({value for value in values if value is not None})
    if not classes:
        there = sorted({name for labels in rows["labels"] for name in labels or {}})
        raise UsageError(asked, f"No image has this label; there are: {', '.join(there) or 'none'}.", "Name one of these.")
    draw = np.random.default_rng(seed)
    groups = rows["group"].to_numpy()
    chosen: list[int] = []
    short = {}
    for value in classes:
        positions = draw.permutation([place for place, own in enumerate(values) if own == value])
        if len(positions) < shots:
            short[value] = len(positions)
            continue
        turns: dict[str, int] = {}
        rounds = []
        for place in positions:
            rounds.append(turns.get(groups[place], 0))
            turns[groups[place]] = rounds[-1] + 1
        chosen += [int(positions[place]) for place in np.argsort(rounds, kind="stable")[:shots]]
    if short:
        listed = ", ".join(f"{name} ({count})" for name, count in short.items())
        raise UsageError(asked, f"Some classes have fewer: {listed}.", "Draw fewer, or leave these classes out.")
    return rows.iloc[sorted(chosen)]
