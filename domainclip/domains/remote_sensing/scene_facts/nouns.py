"""English names of things: plurals, counts in words, lists. Names come from owners' class lists, so rules and few exceptions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from domainclip.captions.templates import indefinite_article

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
# Not counted: "farmland", never "two farmlands".
UNCOUNTED = frozenset({
    "aquaculture", "construction", "cropland", "farmland", "forest", "grass", "grassland", "greenery", "heathland", "housing",
    "ice", "land", "mud", "parking", "parkland", "rock", "rubble", "sand", "scrub", "scrubland", "shingle", "snow", "soil",
    "vegetation", "water", "wetland", "woodland",
})  # fmt: skip
_IRREGULAR = {"person": "people", "man": "men", "woman": "women", "child": "children", "quay": "quays", "roof": "roofs"}
_SAME = frozenset({"aircraft", "spacecraft", "hovercraft", "watercraft", "works", "waterworks", "barracks", "sheep", "cattle"})
_ENDS_IN_S = re.compile(r"(ss|us|is|\bgas|\batlas)\Z")


def spoken(name: str) -> str:
    """Returns a class name as people write it: ``"storage_tank"`` as ``"storage tank"``; one written in capitals keeps them."""
    text = re.sub(r"[\s_]+", " ", name).strip()
    return " ".join(word if word.isupper() else word.lower() for word in text.split(" "))


def singular(name: str) -> str:
    """Returns the singular of a name; class lists often hold plurals ("storage tanks")."""
    if " of " in name:
        first, _, rest = name.partition(" of ")
        return f"{singular(first)} of {rest}"
    head, _, last = name.rpartition(" ")
    reverse = {several: one for one, several in _IRREGULAR.items()}
    if last in reverse:
        last = reverse[last]
    elif last in _SAME or last in UNCOUNTED or not last.endswith("s") or _ENDS_IN_S.search(last):
        return name
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("ches", "shes", "sses", "xes", "uses")) and not last.endswith("ouses"):
        last = last[:-2]
    else:
        last = last[:-1]
    return f"{head} {last}" if head else last


def plural(name: str) -> str:
    """Returns the plural of a singular name; by its last word, unless it is of the kind "area of grass"."""
    if " of " in name:
        first, _, rest = name.partition(" of ")
        return f"{plural(first)} of {rest}"
    head, _, last = name.rpartition(" ")
    if last in _SAME or last in UNCOUNTED:
        return name
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in tuple("aeiou"):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}" if head else last


def counted(name: str, count: int) -> str:
    """Says how many: "a storage tank", "three storage tanks", "14 ships"; "farmland" whatever the count.

    Args:
        name: Singular or plural.
        count: One or more.

    Raises:
        ValueError: There is none of it: captions tell what is there.
    """
    if count < 1:
        raise ValueError("A caption counts what is there: one or more.")
    name = singular(spoken(name))
    if name.partition(" of ")[0].rpartition(" ")[2] in UNCOUNTED:
        return name
    if count == 1:
        return f"{indefinite_article(name)} {name}"
    return f"{_NUMBERS[count] if count < len(_NUMBERS) else count} {plural(name)}"


def listed(phrases: Sequence[str]) -> str:
    """Joins phrases: "a", "a and b", "a, b and c"."""
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
