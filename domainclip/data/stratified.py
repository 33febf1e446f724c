"""Groups into parts so that each class has its share in every part.

Greedy, as scikit-learn's StratifiedGroupKFold does it, which knows equal parts only: groups that are least like a mixture of all
classes go first, each to the part where it leaves the classes' shares most even.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def stratified_parts(
    groups: Sequence[str], classes: Mapping[str, Mapping[str, int]], shares: Mapping[str, float]
) -> tuple[dict[str, str], list[str]]:
    """Gives every group a part; none is cut.

    Args:
        groups: Names, in an order that decides between equals.
        classes: Group to images of each class.
        shares: Part to the share of images that it should get; they add up to 1.

    Returns:
        Group to part; and the classes that have fewer groups than there are parts, which cannot be in all of them.
    """
    names = sorted({name for group in groups for name in classes[group]})
    column = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(groups), len(names)))
    for row, group in enumerate(groups):
        for name, count in classes[group].items():
            counts[row, column[name]] = count
    few = [name for name in names if (counts[:, column[name]] > 0).sum() < len(shares)]
    share = np.array(list(shares.values()))[:, None]
    wanted = share * counts.sum(axis=0)
    filled = np.zeros((len(shares), len(names)))
    parts = list(shares)
    placed: dict[str, str] = {}
    for row in np.argsort(-counts.std(axis=1), kind="stable"):
        best = min(range(len(parts)), key=lambda part: _unevenness(filled, counts[row], part, wanted))
        filled[best] += counts[row]
        placed[groups[row]] = parts[best]
    return placed, few


def _unevenness(filled: Numbers, group: Numbers, part: int, wanted: Numbers) -> tuple[float, float]:
    """How far the parts are from being filled alike, each class counting as much, if the group went into this one."""
    trial = filled.copy()
    trial[part] += group
    full = trial / wanted
    return round(float(full.std(axis=0).mean()), 12), float(trial[part].sum() / wanted[part].sum())
