"""What may leave a DICOM header: identifiers for grouping, the pixel spacing, and an allow-list of harmless facts.

Nothing else does. A ``Dataset`` never travels with a sample, because names, dates and free text travel with it.
"""

from __future__ import annotations

import math
import re
from typing import Any

from domainclip.sample import Spacing

_CODE_STRING = re.compile(r"[A-Z][A-Z0-9 _]{0,15}")
# ViewPosition (0018,5101): the defined terms of PS3.3 C.8.11 (DX) and C.8.1 (CR) for plain radiographs, and CID 4014 for breasts.
_VIEWS = frozenset(("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "CC", "MLO", "ML", "LM", "XCCL", "XCCM", "LMO", "FB"))
_SEXES = frozenset(("M", "F", "O"))
_AGE = re.compile(r"(\d{3})([DWMY])")


# Defined terms of Body Part Examined, PS3.16 Annex L, those that radiographs and volumes use; other values are left out.
_BODY_PARTS = {
    *(
        "ABDOMEN",
        "ABDOMENPELVIS",
        "ANKLE",
        "AORTA",
        "ARM",
        "BREAST",
        "CHEST",
        "CHESTABDOMEN",
        "CHESTABDPELVIS",
        "CLAVICLE",
        "COCCYX",
    ),
    *("CSPINE", "ELBOW", "EXTREMITY", "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HEADNECK", "HEART", "HIP", "HUMERUS"),
    *(
        "JAW",
        "KNEE",
        "LEG",
        "LIVER",
        "LSPINE",
        "LUNG",
        "MANDIBLE",
        "MEDIASTINUM",
        "NECK",
        "ORBIT",
        "PELVIS",
        "RIB",
        "SACRUM",
        "SCAPULA",
    ),
    *("SHOULDER", "SKULL", "SPINE", "SSPINE", "STERNUM", "TIBIAFIBULA", "TOE", "TSPINE", "WHOLEBODY", "WRIST", "BRAIN", "KIDNEY"),
}


def identifiers(header: Any) -> dict[str, str]:
    """Returns patient, study and series as they stand in the header, from coarse to fine; only those that are there.

    They are raw: whoever writes them anywhere hashes them with ``domainclip.identifiers.keyed_hash`` first.
    """
    tags = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
    found = {level: str(header.get(tag) or "").strip() for level, tag in tags.items()}
    return {level: value for level, value in found.items() if value}


def group_of(ids: dict[str, str]) -> str:
    """Returns the level that may not cross a split: the patient, else the study, else an empty string."""
    return ids.get("patient") or ids.get("study") or ""


def pixel_spacing(header: Any) -> tuple[Spacing | None, str]:
    """Reads the pixel size in mm as (row, column), the order of the sample's Y and X.

    PixelSpacing (0028,0030) is taken first. ImagerPixelSpacing (0018,1164) is measured at the detector: a radiograph's
    anatomy is smaller by the unknown geometric magnification (PS3.3 10.7.1.3), which ``source`` lets a user see.

    Returns:
        The spacing or None, and what a user would miss ("" when nothing).
    """
    damaged = ""
    for tag in ("PixelSpacing", "ImagerPixelSpacing"):
        stored = header.get(tag)
        if not stored:
            continue
        values = tuple(float(v) for v in stored) if not isinstance(stored, (str, float, int)) else (float(stored),)
        if len(values) == 2 and all(math.isfinite(v) and v > 0 for v in values):
            return Spacing(values, "mm", tag), ""
        damaged = f"{tag} is not two positive numbers and was left aside. "
    return None, f"{damaged}Spacing: the file gives no pixel size; give it in the manifest's column spacing."


def age_band(age: str) -> str | None:
    """Turns a DICOM age ("064Y", "018M") into a ten-year band ("60-69"); ages from 90 on become "90+".

    Ages above 89 are an identifier by HIPAA's safe-harbour rule (45 CFR 164.514(b)(2)(i)(C)).
    """
    match = _AGE.fullmatch(age.strip())
    if match is None:
        return None
    years = int(match[1]) if match[2] == "Y" else 0 if match[2] != "M" else int(match[1]) // 12
    return "90+" if years >= 90 else f"{years // 10 * 10}-{years // 10 * 10 + 9}"


def person_names(header: Any) -> frozenset[str]:
    """Returns the words of every person's name in the header and its sequences (elements of type PN), to keep out of captions."""
    from domainclip.captions.names import header_names

    return header_names(str(name) for element in header.iterall() if element.VR == "PN" for name in _values(element.value))


def _values(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value] if value else []


def allowed_facts(header: Any) -> dict[str, str]:
    """Returns the allow-listed facts: modality, body_part, view, sex, age_band, photometric.

    A value that does not look like one of its vocabulary is left out, since sloppy systems type names into any field.
    """
    facts: dict[str, str] = {}
    name_parts = {part.upper() for part in re.split(r"[\^=\s]+", str(header.get("PatientName") or "")) if len(part) > 2}
    for fact, tag in {"modality": "Modality", "body_part": "BodyPartExamined", "photometric": "PhotometricInterpretation"}.items():
        value = str(header.get(tag) or "").strip().upper()
        if fact == "body_part" and value not in _BODY_PARTS:
            continue
        if _CODE_STRING.fullmatch(value) and not name_parts & set(re.split(r"[ _]", value)):
            facts[fact] = value
    for fact, tag, known in (("view", "ViewPosition", _VIEWS), ("sex", "PatientSex", _SEXES)):
        value = str(header.get(tag) or "").strip().upper()
        if value in known:
            facts[fact] = value
    if band := age_band(str(header.get("PatientAge") or "")):
        facts["age_band"] = band
    return facts
