"""Groups into parts so that each class has its share in every part.

Iterative stratification: K. Sechidis, G. Tsoumakas, I. Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011,
Algorithm 1, with groups of images in place of single examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def stratified_parts(
    groups: Sequence[str], classes: Mapping[str, Mapping[str, int]], shares: Mapping[str, float]
) -> tuple[dict[str, str], list[str]]:
    """Gives every group a part.

    The class with the fewest images left goes first; each of its groups, in the given order, goes to the part that lacks most of it
    (then to the part that lacks most images). A group is never cut.

    Args:
        groups: Names, in an order that decides between equals.
        classes: Group to images of each class.
        shares: Part to the share of images that it should get; they add up to 1.

    Returns:
        Group to part; and the classes that have fewer groups than there are parts, which cannot be in all of them.
    """
    waiting = dict.fromkeys(groups)
    left = Counter[str]()
    for group in groups:
        left.update(classes[group])
    few = [name for name in left if sum(name in classes[group] for group in groups) < len(shares)]
    wanted = {part: {name: share * count for name, count in left.items()} for part, share in shares.items()}
    room = {part: share * left.total() for part, share in shares.items()}
    placed: dict[str, str] = {}
    of_class: dict[str, list[str]] = {}
    for group in groups:
        for name in classes[group]:
            of_class.setdefault(name, []).append(group)
    while waiting:
        rarest = min((name for name, count in left.items() if count > 0), key=lambda name: (left[name], name))
        # Large groups first: what is left can still be evened out by small ones.
        for group in sorted((one for one in of_class[rarest] if one in waiting), key=lambda one: -classes[one][rarest]):
            part = max(shares, key=lambda part: (wanted[part][rarest], room[part], shares[part]))
            placed[group] = part
            del waiting[group]
            for name, count in classes[group].items():
                wanted[part][name] -= count
                left[name] -= count
            room[part] -= sum(classes[group].values())
    return placed, sorted(few)
