"""The verdict on one mutant, from what ``domainclip`` and the reference library made of it.

Rules, in the order in which they are asked:

1. ``hang`` (over 10 s of processor time) and ``escaped`` (any exception but UnreadableFileError; pixels of another shape than were
   asked for) are defects. ``killed`` (a signal in a C library) and ``memory`` (over the limit) end one worker of the supervised job
   and not the job: they are counted, and are defects only where the reference decodes the file.
2. A refusal has three parts, none empty, and names neither the file nor its folder; else it is ``unclear``, a defect.
3. Where the reference decodes the whole window of level 0, opaque, we must recognise and accept it, with equal size and pixels:
   ``refused by us`` and ``differs`` are defects. Equal means equal to the number. Damage inside a JPEG that both decode to the same
   other texture is fine. Where the reference decodes only parts of a picture of another size, it has taken another directory for
   level 0 (OpenSlide takes the one that claims to be the largest, tiles or no tiles): its pixels are not compared.
4. Except when the reference misreads: OpenSlide takes any tiled TIFF for 8-bit RGB, and tifffile hands out samples of any colour
   space. If the first page's tags say that it is no 8-bit RGB or YCbCr of three samples (four with alpha), a refusal is right:
   ``refused, misread``.
5. Where the reference has no pixels (alpha 0, a tile of no bytes) or fails, we may refuse, or mark the pixels as ``nodata``, or
   hand out texture. What we may not: a block of 32 x 32 pixels of one colour, unmarked. The seeds have no such block anywhere, so
   it was invented: ``silently blank``, a defect, wherever in the picture. A block of one colour that the reference decodes as
   well, opaque and equal, is what the damaged file says (counted as ``blank as said``).
6. What ``samples`` reads must be what ``read_level`` reads at the same place: else ``uneven``, a defect.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from fuzz_forks import Ended
from fuzz_readings import NODATA, OUTSIDE, READ, REFUSED, SIDE, Canvas

BLANK = 32
OUTCOMES = (
    "equal", "accepted by us", "refused both", "refused, misread", "refused by us", "differs", "silently blank", "uneven",
    "refused by policy", "refused, contradicts", "unclear", "leaks", "escaped", "hang", "killed", "memory",
)  # fmt: skip
DEFECTS = frozenset({"refused by us", "differs", "silently blank", "uneven", "unclear", "leaks", "escaped", "hang"})


@dataclass(frozen=True)
class Verdict:
    """One outcome of ``OUTCOMES``, what was seen, and whether a block of one colour was in the file's own words."""

    outcome: str
    detail: str = ""
    defect: bool = False
    blank_as_said: bool = False


def judge(path: Path, ours: Ended, mine: Canvas, reference: Ended, theirs: Canvas, misread: str | None) -> Verdict:
    """Applies the rules.

    Args:
        path: The mutant; its name and folder are what no refusal may hold.
        ours: End of the fork that ran ``read_ours``.
        mine: What it read.
        reference: End of the fork that ran ``read_reference``.
        theirs: What that read.
        misread: What tifffile says against the reference, or None.
    """
    decodes = _decodes(reference, theirs)
    if ours.how in {"hang", "escaped"}:
        return Verdict(ours.how, ours.trace, defect=True)
    if ours.how in {"killed", "memory"}:
        return Verdict(ours.how, ours.trace + ("\nthe reference decodes it" if decodes else ""), defect=decodes)
    unclear = [step for step, said in ours.answer["refusals"].items() if not is_clear(said, path)]
    if unclear:
        return Verdict("unclear", f"{unclear[0]}: {ours.answer['refusals'][unclear[0]]}", defect=True)
    if ours.answer["uneven"]:
        return Verdict("uneven", f"{ours.answer['uneven']} samples differ from read_level", defect=True)
    if decodes and not ours.answer["recognised"] and not misread:
        return Verdict("refused by us", "recognises says no", defect=True)
    said = "; ".join(f"{step}: {three[1]}" for step, three in ours.answer["refusals"].items())
    accepted = bool((mine.state == READ).any())
    if not accepted:
        if decodes:
            return Verdict("refused, misread", misread) if misread else Verdict("refused by us", said, defect=True)
        return Verdict("refused both", said)
    return _accepted(ours, mine, reference, theirs, said, misread, decodes)


def _accepted(
    ours: Ended, mine: Canvas, reference: Ended, theirs: Canvas, said: str, misread: str | None, decodes: bool
) -> Verdict:
    size, other = ours.answer["size"], reference.answer.get("size")
    both = (mine.state == READ) & (theirs.state == READ) & (size == other)
    same = both & (mine.colour == theirs.colour).all(axis=2)
    if decodes and size != other:
        return Verdict("differs", f"size {size}, the reference {other}", defect=True)
    if (both & ~same).any() and not misread:
        y, x = np.argwhere(both & ~same)[0]
        most = int(np.abs(mine.colour[both].astype(int) - theirs.colour[both]).max())
        found = f"{int((both & ~same).sum())} of {int(both.sum())} pixels, by up to {most}, first at x {x}, y {y}"
        return Verdict("differs", found, defect=True)
    invented = _constant(mine, (mine.state == READ) & ~same)
    if invented:
        return Verdict("silently blank", f"{invented[0]} of {len(invented)}; {said}", defect=True)
    lost = (mine.state == REFUSED) & (theirs.state == READ)
    if lost.any():
        return Verdict("refused by us", f"{int(lost.sum())} pixels of the window; {said}", defect=True)
    blank = bool(_constant(mine, same))
    return Verdict("equal" if decodes else "accepted by us", said, blank_as_said=blank)


def _decodes(reference: Ended, theirs: Canvas) -> bool:
    """The reference decodes the window in one go, with no pixel missing."""
    whole = reference.how == "answered" and reference.answer.get("whole", False)
    return bool(whole and not (theirs.state == NODATA).any() and (theirs.state == READ).any())


def _constant(canvas: Canvas, where: npt.NDArray[np.bool_]) -> list[str]:
    """Lists the blocks of one colour that lie wholly in ``where``."""
    assert OUTSIDE == 0
    found = []
    for y in range(0, SIDE, BLANK):
        for x in range(0, SIDE, BLANK):
            if where[y : y + BLANK, x : x + BLANK].all():
                block = canvas.colour[y : y + BLANK, x : x + BLANK].reshape(-1, 3)
                if (block == block[0]).all():
                    found.append(f"{tuple(int(v) for v in block[0])} at x {x}, y {y}")
    return found


def is_clear(three: list[str], path: Path, persons: tuple[str, ...] = ()) -> bool:
    """Whether a refusal has three parts, none empty, and names neither file nor folder nor a person."""
    text = " ".join(three).casefold()
    named = (path.name, str(path.parent), path.stem, *persons)
    return all(part.strip() for part in three) and not any(name.casefold() in text for name in named)
