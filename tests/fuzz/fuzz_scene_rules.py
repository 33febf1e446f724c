"""The verdict on one mutant of a raster, from what ``domainclip``, GDAL alone, and a second decoder made of it.

Rules, in the order in which they are asked:

1. ``hang`` and ``escaped`` are defects, ``killed`` and ``memory`` where GDAL decodes the file (``fuzz_rules``, rule 1).
2. A refusal has three parts, none empty, and names neither the file nor its folder: else ``unclear``.
3. Where GDAL decodes the corner and the second decoder has the same numbers, we must accept it with equal numbers, no pixel hidden
   that has data nor shown that has none, and the same place on the ground: else ``refused by us``, ``differs``. A refusal for a
   reason of ``POLICY`` is right where what GDAL says of the header bears it out.
4. Where GDAL decodes and the second decoder does not, or differs (libtiff forgives, GDAL fills up), a refusal is right: ``refused,
   misread``. If it is accepted, numbers must be GDAL's wherever they are shown and the second decoder has any.
5. A block of 16 x 16 pixels of one number in some band, shown as data, that the second decoder does not have as well, was invented:
   ``silently blank``, a defect. The seeds have none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from fuzz_forks import Ended
from fuzz_rules import Verdict, is_clear
from fuzz_scene_readings import BANDS, NODATA, OUTSIDE, READ, REFUSED, SIDE, Ground
from fuzz_scenes import READINGS

BLANK, NEAR = 16, 1e-9
Facts = dict[str, Any]


def _plain(facts: Facts) -> int:
    return sum(colour != "alpha" for colour in facts["colours"])


def _wants(kind: str) -> int:
    return {"geotiff": 12, "cog": 4, "float": 2, "jp2": 1}.get(kind, 0)


POLICY: dict[str, Callable[[str, Facts], bool]] = {
    "Its bands have different types": lambda kind, facts: len(facts["dtypes"]) > 1,
    "complex numbers": lambda kind, facts: any("complex" in name for name in facts["dtypes"]),
    "reading.band_names has": lambda kind, facts: _plain(facts) != _wants(kind),
    "but reading.sensor": lambda kind, facts: _plain(facts) != _wants(kind),
    "have no names": lambda kind, facts: "" in facts["names"],
    "indexes into a palette": lambda kind, facts: facts["colours"] == ["palette"],
    "Two of its bands have the same name": lambda kind, facts: len(set(facts["names"])) < len(facts["names"]) or kind == "cog",
    "do not look like": lambda kind, facts: facts["scales"] != [(1.0, 0.0)],
    "have different scale or offset tags": lambda kind, facts: len(facts["scales"]) > 1,
    "far more than a file": lambda kind, facts: math.prod(facts["size"]) > 200_000 * facts["bytes"],
    "of its blocks takes": lambda kind, facts: math.prod(facts["block"]) * len(facts["colours"]) * 8 > 2**30,
    "another file or address for its overviews": lambda kind, facts: "OVERVIEW_FILE" in facts["tags"],
    "do not follow each other": lambda kind, facts: facts["broken"],
    "a tile of it is cut short": lambda kind, facts: facts["broken"],
    "Its further directories": lambda kind, facts: bool(facts["further"]),
    "Its transform": lambda kind, facts: not _places(facts["affine"]),
    "Its CRS counts in degrees": lambda kind, facts: _beyond(facts),
}
"""What a refusal says, and what must be true of the header. ``further``: directories behind the first, where overviews and the mask
are, cannot be read; without its mask a file would show what it hides. ``broken``: the tile-parts of a codestream do not lead to its
end; imagecodecs has the same OpenJPEG as GDAL, which goes on, so its word counts for nothing there."""


def _places(affine: list[float]) -> bool:
    a, b, _, d, e, _ = affine
    area = a * e - b * d
    return all(math.isfinite(number) for number in affine) and math.isfinite(area) and area != 0


def judge_scene(
    kind: str, path: Path, ours: Ended, mine: Ground, gdal: Ended, theirs: Ground, second: Ended, sure: Ground
) -> Verdict:
    """Applies the rules.

    Args:
        kind: Of ``fuzz_scenes.SCENES``.
        path: The mutant; its name and folder are what no refusal may hold.
        ours: End of the fork that ran ``read_scene``; ``mine`` is what it read.
        mine: See ``ours``.
        gdal: End of the fork that ran ``read_gdal``; ``theirs`` is what it read.
        theirs: See ``gdal``.
        second: End of the fork that ran ``read_second``; ``sure`` is what it read.
        sure: See ``second``.
    """
    whole = gdal.how == "answered" and bool(gdal.answer["whole"])
    agreed = _agreed(kind, sure, theirs)
    there = (sure.state == READ) & (agreed | (theirs.state == NODATA)) | (theirs.state == OUTSIDE)
    decodes = whole and bool(there.all()) and bool((theirs.state == READ).any())
    if ours.how in {"hang", "escaped"}:
        return Verdict(ours.how, ours.trace, defect=True)
    if ours.how in {"killed", "memory"}:
        return Verdict(ours.how, ours.trace, defect=whole)
    refusals = ours.answer["refusals"]
    unclear = [step for step, said in refusals.items() if not is_clear(said, path)]
    if unclear:
        return Verdict("unclear", f"{unclear[0]}: {refusals[unclear[0]]}", defect=True)
    said = "; ".join(f"{step}: {three[1]}" for step, three in refusals.items())
    if decodes and not ours.answer["recognised"]:
        return Verdict("refused by us", "recognises says no", defect=True)
    if not (mine.state == READ).any():
        return _refused(kind, said, gdal, theirs, whole, decodes)
    return _accepted(ours, mine, gdal, theirs, sure.state, agreed, _agreed(kind, sure, mine), said, decodes)


def _beyond(facts: Facts) -> bool:
    """A corner in degrees that is no place on Earth."""
    (a, b, c, d, e, f), (wide, high) = facts["affine"], facts["size"]
    ys = [d * x + e * y + f for x in (0, wide) for y in (0, high)]
    xs = [a * x + b * y + c for x in (0, wide) for y in (0, high)]
    return "PROJCS" not in str(facts["crs"]) and (max(map(abs, ys)) > 90 or max(xs) > 540 or min(xs) < -360)


def _agreed(kind: str, sure: Ground, other: Ground) -> npt.NDArray[np.bool_]:
    """Where the second decoder has the same number."""
    agreed: npt.NDArray[np.bool_] = (sure.state == READ) & np.isclose(sure.numbers, other.numbers, rtol=0, atol=0, equal_nan=True)
    if kind == "aerial":
        agreed[:3] |= (sure.state[:3] == READ) & _same_light(sure.numbers[:3], other.numbers[:3])
    return agreed


def _same_light(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Where the luminance is the same; GDAL's libjpeg widens colours of half size in another way than libjpeg-turbo does."""
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    clipped = ((one <= 0) | (one >= 255) | (other <= 0) | (other >= 255)).any(axis=0)
    same: npt.NDArray[np.bool_] = clipped | (np.abs(((one - other) * weights).sum(axis=0)) < 3)
    return same


def _refused(kind: str, said: str, gdal: Ended, theirs: Ground, whole: bool, decodes: bool) -> Verdict:
    if not whole:
        return Verdict("refused both", said)
    facts = gdal.answer["facts"]
    if any(words in said and holds(kind, facts) for words, holds in POLICY.items()):
        return Verdict("refused by policy", said)
    if "windows is left" in said and (theirs.state[0] == READ).sum() < 0.05 * (theirs.state[0] != 0).sum():
        return Verdict("refused by policy", said)
    return Verdict("refused by us", said, defect=True) if decodes else Verdict("refused, misread", said)


def _accepted(
    ours: Ended,
    mine: Ground,
    gdal: Ended,
    theirs: Ground,
    sure: npt.NDArray[np.uint8],
    agreed: npt.NDArray[np.bool_],
    vouched: npt.NDArray[np.bool_],
    said: str,
    decodes: bool,
) -> Verdict:
    whole = bool(gdal.answer.get("whole"))
    shown = mine.state == READ
    if whole:
        # Where the second decoder fails GDAL may hand out what lay in memory: other numbers at each reading.
        strayed = shown & (theirs.state == READ) & (sure == READ) & (mine.numbers != theirs.numbers)
        if strayed.any():
            return Verdict("differs", f"{_where(strayed)} of {int(shown.sum())} numbers differ; {said}", defect=True)
        if (shown & (theirs.state == NODATA)).any():
            return Verdict("differs", f"{_where(shown & (theirs.state == NODATA))} pixels have no data; {said}", defect=True)
        hidden = (mine.state == NODATA) & (theirs.state == READ) & agreed.all(axis=0, where=theirs.state != 0)
        if hidden.any() and not _skipped(hidden, theirs):
            return Verdict("differs", f"{_where(hidden)} pixels are hidden that have data; {said}", defect=True)
        lost = (mine.state == REFUSED) & (theirs.state == READ) & agreed
        if lost.any():
            return Verdict("refused by us", f"{_where(lost)} pixels; {said}", defect=True)
        if away := _astray(ours.answer["ground"], gdal.answer["facts"]):
            return Verdict("differs", f"on the ground: {away}", defect=True)
    invented = _constant(mine, shown & ~agreed & ~vouched)
    if invented:
        return Verdict("silently blank", f"{len(invented)}: {invented[0]}; {said}", defect=True)
    return Verdict("equal" if decodes else "accepted by us", said, blank_as_said=bool(_constant(mine, shown)))


def _where(pixels: npt.NDArray[np.bool_]) -> str:
    band, y, x = np.argwhere(pixels)[0]
    return f"{int(pixels.sum())} (first: band {band}, x {x}, y {y})"


def _skipped(hidden: npt.NDArray[np.bool_], theirs: Ground) -> bool:
    """All that is hidden lies in windows of which nearly nothing has data."""
    side = READINGS["aerial"]["window_px"]
    part = hidden[0]
    share = theirs.state[0] == READ
    for y in range(0, SIDE, side):
        for x in range(0, SIDE, side):
            where = slice(y, y + side), slice(x, x + side)
            if part[where].any() and share[where].mean() > 0.02:
                return False
    return True


def _astray(ground: list[list[Any]], facts: Facts) -> str:
    """Where a sample lies elsewhere than GDAL puts its window."""
    from rasterio.crs import CRS

    a, b, c, d, e, f = facts["affine"]
    for x, y, crs, affine in ground:
        if affine is None:
            if facts["crs"] is not None and _places(facts["affine"]) and facts["affine"] != [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]:
                return "no place is given, and the file has one"
            continue
        wanted = [a, b, a * x + b * y + c, d, e, d * x + e * y + f]
        if not np.allclose(affine, wanted, rtol=NEAR, atol=0):
            return f"{affine}, GDAL {wanted}"
        if facts["crs"] is None or CRS.from_user_input(crs) != CRS.from_wkt(facts["crs"]):
            return f"{crs[:60]}, GDAL {str(facts['crs'])[:60]}"
    return ""


def _constant(plate: Ground, where: npt.NDArray[np.bool_]) -> list[str]:
    found = []
    for band in range(BANDS):
        for y in range(0, SIDE, BLANK):
            for x in range(0, SIDE, BLANK):
                if where[band, y : y + BLANK, x : x + BLANK].all():
                    block = plate.numbers[band, y : y + BLANK, x : x + BLANK]
                    if (block == block[0, 0]).all():
                        found.append(f"{block[0, 0]:g} in band {band} at x {x}, y {y}")
    return found
