"""The verdict on one mutant of a DICOM image, from what ``domainclip`` and pydicom's own pipeline made of it.

Rules, in the order in which they are asked:

1. ``hang`` and ``escaped`` are defects, ``killed`` and ``memory`` where pydicom decodes the file (``fuzz_rules``, rule 1).
2. A refusal has three parts, none empty, and names neither the file nor its folder nor the seed's person: else ``unclear``. What
   ``inspect`` says and what a sample carries as facts hold no word of the person: else ``leaks``.
3. What ``prepare`` reads, ``inspect`` describes: else ``refused by us``.
4. Where pydicom decodes the frame and its functions show it, we must accept it with equal stored numbers and with display values
   equal within 3e-7: else ``refused by us`` or ``differs``. Two kinds of refusal are right, if the header bears them out: those of
   ``POLICY`` (what the owner must allow, what no picture is, limits) and those of ``CONTRADICTIONS`` (the file says two things, and
   a reader would have to guess). Nothing else is.
5. Where pydicom fails we may refuse; or accept, where no block of 8 x 8 stored numbers is of one value and unmarked (the seeds have
   none): else ``silently blank``. Where pydicom decodes and libjpeg warned of damage, we may refuse; or accept with equal numbers,
   without a block of the grey with which libjpeg fills up. Other blocks of one colour are what the damaged stream says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from fuzz_forks import Ended
from fuzz_image_readings import ROOM, Plate
from fuzz_images import PLANTED, READINGS
from fuzz_rules import Verdict, is_clear

BLANK, NEAR = 8, 3e-7
Facts = dict[str, Any]
_NO_PICTURE = {"SEG", "RTDOSE", "RTSTRUCT", "SR", "PR", "KO", "REG", "ECG", "DOC"}
_PLAIN = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"}


def _number(facts: Facts, name: str, otherwise: int = 0) -> int:
    try:
        return int(facts.get(name) or otherwise)
    except ValueError:
        return otherwise


def _risky(facts: Facts) -> bool:
    risky = facts.get("Modality") in {"US", "IVUS", "XA", "SC", "ES", "RF"} or str(facts.get("SOPClassUID")).startswith(
        "1.2.840.10008.5.1.4.1.1.7"
    )
    return risky or "SCREEN" in str(facts.get("ImageType")) or facts.get("ConversionType") in {"WSD", "SI"}


def _unstated(facts: Facts) -> bool:
    return str(facts.get("BurnedInAnnotation") or "").strip().upper() not in {"YES", "NO"}


def _pixel_bytes(facts: Facts) -> int:
    sides = _number(facts, "Rows") * _number(facts, "Columns")
    return sides * _number(facts, "SamplesPerPixel", 1) * -(-_number(facts, "BitsAllocated") // 8)


def _bad_window(facts: Facts) -> bool:
    try:
        center, width = (
            float(re.findall(r"[^\[\], ']+", str(facts.get(name) or ""))[0]) for name in ("WindowCenter", "WindowWidth")
        )
    except (IndexError, ValueError):
        return True
    return not (1 <= width < float("inf") and abs(center) < float("inf")) or str(facts.get("VOILUTFunction")).strip() not in {
        "None",
        "LINEAR",
        "LINEAR_EXACT",
        "SIGMOID",
    }


def _other_size(facts: Facts) -> bool:
    header = [_number(facts, name) for name in ("Rows", "Columns")] + [_number(facts, "SamplesPerPixel", 1)]
    return "codestream" in facts and facts["codestream"][:3] != header


def _other_bits(facts: Facts) -> bool:
    bits = facts.get("codestream", [0, 0, 0, 0])[3]
    return bits > _number(facts, "BitsAllocated") or (facts["codestream"][2] == 3 and bits != _number(facts, "BitsStored"))


def _bad_table(facts: Facts) -> bool:
    """A table of other length than promised, or with larger entries."""
    for table in facts["tables"]:
        if not table:
            return True
        entries, bits, size, packed, largest = table
        entries = entries % 2**16 or 2**16
        if not 8 <= bits <= 16 or size < entries * (1 + packed) or largest >= 2**bits:
            return True
    return False


POLICY: dict[str, Callable[[Facts], bool]] = {
    "Its header says neither YES nor NO to words burnt": lambda f: (
        str(f.get("BurnedInAnnotation") or "").strip().upper() not in {"", "YES", "NO"}
    ),
    "Its header says that words are burnt": lambda f: str(f.get("BurnedInAnnotation")).strip().upper() == "YES",
    "whose header does not say that the picture is free": lambda f: _unstated(f) and _risky(f),
    "It holds no picture (modality": lambda f: f.get("Modality") in _NO_PICTURE,
    "It has several frames": lambda f: _number(f, "NumberOfFrames", 1) > 1,
    "reading.frame is": lambda f: _number(f, "NumberOfFrames", 1) <= READINGS["enhanced"]["frame"],
    "Its pixels would need": lambda f: _pixel_bytes(f) > 512 * 2**20,
    "It has a number of bits or of samples": lambda f: (
        _number(f, "BitsAllocated") not in {1, 8, 16, 32, 64} or _number(f, "SamplesPerPixel", 1) not in {1, 3}
    ),
    "Its photometric interpretation is": lambda f: (
        f.get("PhotometricInterpretation") not in {"MONOCHROME1", "MONOCHROME2"} or _number(f, "SamplesPerPixel", 1) == 1
    ),
    "which is not decoded here": lambda f: f["syntax"] not in _PLAIN,
    "one grey channel is read": lambda f: not str(f.get("PhotometricInterpretation")).startswith("MONOCHROME"),
}  # fmt: skip
"""Words of a refusal to what must hold of the header: the owner's decision, or beyond what is read."""
CONTRADICTIONS: dict[str, Callable[[Facts], bool]] = {
    "Its HighBit": lambda f: f.get("HighBit") is not None and _number(f, "HighBit") != _number(f, "BitsStored") - 1,
    "Its compressed pixels have another size": _other_size,
    "Its compressed pixels have another number of bits": _other_bits,
    "Its window is not valid": _bad_window,
    "Its Presentation LUT Shape": lambda f: bool(f.get("PresentationLUTShape")),
    "Its functional groups say nothing": lambda f: f["groups"] is not None and f["groups"] <= READINGS["enhanced"]["frame"],
    "A lookup table does not have": _bad_table,
    "do not fit its header": lambda f: bool(f.get("disorder") or f.get("excess")),
    "cannot be read.": lambda f: bool(f["damaged"]),
    "The header or the end of its compressed pixels": lambda f: bool(f.get("altered")),
    "Its compressed pixels end early": lambda f: bool(f.get("altered")),
    "Its compressed pixels are damaged": lambda f: bool(f.get("altered")),
    "more elements than any image needs": lambda f: f["bytes"] > 4 * 2**20,
    "It is called grey and has several samples": lambda f: _number(f, "SamplesPerPixel", 1) != 1,
}
"""Likewise: the file says two things."""


def judge_image(kind: str, path: Path, ours: Ended, mine: Plate, reference: Ended, theirs: Plate) -> Verdict:
    """Applies the rules.

    Args:
        kind: Of the seed.
        path: The mutant; its name and folder are what no refusal may hold.
        ours: End of the fork that ran ``read_image``.
        mine: What it read.
        reference: End of the fork that ran ``read_pydicom``.
        theirs: What that read.
    """
    known = reference.answer if reference.how == "answered" else {"facts": {}, "error": reference.how}
    decodes = "shown" in known and not known.get("filled")
    if ours.how in {"hang", "escaped"}:
        return Verdict(ours.how, ours.trace, defect=True)
    if ours.how in {"killed", "memory"}:
        return Verdict(ours.how, ours.trace + ("\npydicom decodes it" if decodes else ""), defect=decodes)
    refusals = ours.answer["refusals"]
    for step, three in refusals.items():
        if not is_clear(three, path, PLANTED):
            return Verdict("unclear", f"{step}: {three}", defect=True)
    if ours.answer["leaks"]:
        return Verdict("leaks", str(ours.answer["leaks"]), defect=True)
    said = "; ".join(f"{step}: {three[1]}" for step, three in refusals.items())
    if "stored" in ours.answer:
        if refusals or not ours.answer["recognised"]:
            return Verdict("refused by us", f"read, but {said or 'recognises says no'}", defect=True)
        return _accepted(ours.answer, mine, known, theirs, decodes)
    if not decodes:
        return Verdict("refused both", f"{said}; {known['error']}")
    return _refused(refusals["read"][1], known["facts"], said)


def _refused(found: str, facts: Facts, said: str) -> Verdict:
    """pydicom decodes it: only a listed reason that the header bears out is right."""
    for outcome, reasons in (("refused by policy", POLICY), ("refused, contradicts", CONTRADICTIONS)):
        for words, holds in reasons.items():
            if words in found:
                return Verdict(outcome, said) if holds(facts) else Verdict("refused by us", f"not so: {said}", defect=True)
    return Verdict("refused by us", said, defect=True)


def _accepted(answer: Facts, mine: Plate, known: Facts, theirs: Plate, decodes: bool) -> Verdict:
    stored, shown = answer["stored"], answer["shown"]
    if "stored" in known:
        other = [name for name in ("shape", "dtype", "sha256") if stored[name] != known["stored"][name]]
        if other:
            return Verdict(
                "differs", f"stored {other[0]}: {_first(mine.stored, theirs.stored)}; {stored} {known['stored']}", defect=True
            )
    if decodes:
        if shown["shape"] != known["shown"]["shape"]:
            return Verdict("differs", f"shown {shown} {known['shown']}", defect=True)
        count = min(int(np.prod(shown["shape"])), ROOM)
        channels = shown["shape"][2]
        counted = np.repeat(mine.missing[: count // channels] == 0, channels)  # padding is not shown
        far = np.abs(mine.shown[:count] - theirs.shown[:count]) * counted
        if (far > NEAR).any():
            return Verdict("differs", f"shown by {far.max():g}, at {int(far.argmax())}", defect=True)
        return Verdict("equal")
    blank = _blank(mine, stored["shape"])
    grey = [block for block in blank if set(re.findall(r"[\d.]+", block.split("]")[0])) == {"128.0"}]
    if grey if "stored" in known else blank:
        return Verdict("silently blank", f"{blank[0]} of {len(blank)}; {known['error']}", defect=True)
    return Verdict("accepted by us", known["error"], blank_as_said=bool(blank))


def _first(mine: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> str:
    where = np.flatnonzero(mine != theirs)
    return f"{where.size} differ, first {int(where[0])}: {mine[where[0]]:g}, {theirs[where[0]]:g}" if where.size else "none differs"


def _blank(plate: Plate, shape: list[int]) -> list[str]:
    """Lists the blocks of one number that are not marked as no data."""
    count = int(np.prod(shape))
    if count > ROOM:
        shape, count = [ROOM // (count // shape[0]), *shape[1:]], ROOM // (count // shape[0]) * (count // shape[0])
    array = plate.stored[:count].reshape(*shape[:2], -1)
    missing = plate.missing[: shape[0] * shape[1]].reshape(shape[:2]) != 0
    found = []
    for y in range(0, shape[0] - BLANK + 1, BLANK):
        for x in range(0, shape[1] - BLANK + 1, BLANK):
            block = array[y : y + BLANK, x : x + BLANK].reshape(BLANK * BLANK, -1)
            if (block == block[0]).all() and not missing[y : y + BLANK, x : x + BLANK].all():
                found.append(f"{block[0].tolist()} at x {x}, y {y}")
    return found
