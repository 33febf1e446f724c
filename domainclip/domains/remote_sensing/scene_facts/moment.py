"""When a scene was taken: month, year and the season where it lies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from domainclip.domains.remote_sensing.place import season
from domainclip.domains.remote_sensing.scene_facts.fact import NO_PLACE, Fact, nothing

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DATE = re.compile(r"(\d{4})(?:-?(\d{2})(?:-?\d{2})?)?(?![\d])")
_NO_TIME = "no acquisition time is known"


def year_and_month(time: str) -> tuple[int, int | None]:
    """Returns year and month of an ISO 8601 date, which may end at the month or the year.

    Raises:
        ValueError: It is no such date.
    """
    found = _DATE.match(time.strip())
    month = int(found.group(2)) if found and found.group(2) else None
    if found is None or (month is not None and not 1 <= month <= 12):
        raise ValueError(f"{time!r} is no ISO 8601 date.")
    return int(found.group(1)), month


def date_fact(time: str | None) -> Fact:
    """Says month and year (words ``month``, ``year``, ``date``), no finer: days are of no use in a caption.

    Args:
        time: ISO 8601.
    """
    if time is None:
        return nothing(_NO_TIME)
    try:
        year, month = year_and_month(time)
    except ValueError as error:
        return nothing(str(error))
    if month is None:
        return Fact({"year": str(year)})
    return Fact({"year": str(year), "month": MONTHS[month - 1], "date": f"{MONTHS[month - 1]} {year}"})


def of_all_dates(times: Sequence[str | None], fact: Callable[[str | None], Fact]) -> Fact:
    """Says of a series what holds at each of its dates.

    Args:
        times: ISO 8601, one a date.
        fact: Says it of one.
    """
    found = [fact(time) for time in dict.fromkeys(times)]
    shared = {label: word for label, word in found[0].words.items() if all(other.words.get(label) == word for other in found)}
    if len(found) > 1 and not shared:
        return nothing(f"its {len(found)} dates differ in it, or do not tell it")
    return replace(found[0], words=shared)


def season_fact(time: str | None, place: tuple[float, float] | None) -> Fact:
    """Says the season (word ``season``): the meteorological one of the place's hemisphere, none between the tropics.

    Args:
        time: ISO 8601.
        place: Longitude and latitude of the scene's middle.
    """
    if time is None or place is None:
        return nothing(_NO_TIME if time is None else NO_PLACE)
    try:
        year, month = year_and_month(time)
    except ValueError as error:
        return nothing(str(error))
    if month is None:
        return nothing("only the year of acquisition is known")
    name = season(f"{year:04d}-{month:02d}-01", place[1])
    return Fact({"season": name}) if name else nothing("the place lies between the tropics, which have none of the four seasons")
