"""What may leave a DICOM header: identifiers for grouping, the pixel spacing, and an allow-list of harmless facts.

Nothing else does. A ``Dataset`` never travels with a sample, because names, dates and free text travel with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from domainclip.sample import Spacing

# ViewPosition (0018,5101): the defined terms of PS3.3 C.8.11 (DX) and C.8.1 (CR) for plain radiographs, and CID 4014 for breasts.
_VIEWS = frozenset(("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "CC", "MLO", "ML", "LM", "XCCL", "XCCM", "LMO", "FB"))
_NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "AdmissionID", "StudyInstanceUID", "SeriesInstanceUID")
_SHORTEST_NUMBER = 4
_SEXES = frozenset(("M", "F", "O"))
_OTHER_TYPES = frozenset((
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV", "OW", "SH", "SL", "SS",
    "ST", "SV", "TM", "UC", "UI", "UL", "UR", "US", "UT", "UV",
))  # fmt: skip
"""Value representations of PS3.5 6.2 that are neither a name, nor a sequence, nor unknown."""
_AGE = re.compile(r"(\d{3})([DWMY])")


# Defined terms of Modality (0008,0060), PS3.3 C.7.3.1.1.1 with the retired ones, those of pictures: free words may be names.
MODALITIES = frozenset((
    "AR", "AS", "AU", "BI", "BMD", "CD", "CF", "CP", "CR", "CS", "CT", "DD", "DF", "DG", "DM", "DMS", "DS", "DX", "EC", "EPS", "ES",
    "FA", "FS", "GM", "HC", "IO", "IVOCT", "IVUS", "KER", "LEN", "LP", "LS", "MA", "MG", "MR", "MS", "NM", "OAM", "OCT", "OP",
    "OPM", "OPR", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PT", "PX", "RF", "RG", "RTIMAGE", "SM", "SRF", "ST", "TG", "US",
    "VA", "VF", "XA", "XC",
))  # fmt: skip
PHOTOMETRIC = frozenset((
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422",
    "YBR_ICT", "YBR_RCT", "HSV", "ARGB", "CMYK", "XYB",
))  # fmt: skip
"""Terms of Photometric Interpretation (0028,0004), PS3.3 C.7.6.3.1.2 with the retired ones; others are never repeated."""


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

VOCABULARY = MODALITIES | PHOTOMETRIC | _BODY_PARTS | _VIEWS | _SEXES
"""All values that ``allowed_facts`` may return beside bands of ages."""


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
        try:
            stored = header.get(tag)
            if not stored:
                continue
            values = tuple(float(v) for v in stored) if not isinstance(stored, (str, float, int)) else (float(stored),)
        except Exception:  # noqa: BLE001 - pydicom raises anything at a value that is none of its VR
            values = ()
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
    """Returns the words of every person's name in the header and its sequences (elements of type PN), to keep out of captions.

    Of an element that cannot be read, all words are taken: it may have been a name.
    """
    from domainclip.captions.names import header_names

    return header_names(_names(header))


def _names(dataset: Any) -> Iterator[str]:
    waiting = [dataset]
    while waiting:
        inner = waiting.pop()
        for tag, stated in [(raw.tag, raw.VR) for raw in inner.values()]:
            if stated in _OTHER_TYPES:
                continue  # To convert them would take longest of all, and they are no names.
            try:
                element = inner[tag]
                kind, value = element.VR, element.value
                names = [str(name) for name in _values(value)] if kind == "PN" else []
            except Exception:  # noqa: BLE001 - pydicom raises anything at a value that is none of its VR
                names, kind = _raw_words(inner, tag), ""
            if kind == "SQ":
                waiting += value or ()
            yield from names


def _raw_words(dataset: Any, tag: Any) -> list[str]:
    try:
        raw = dataset.get_item(tag).value
    except Exception:  # noqa: BLE001 - an element that claims bytes and has none
        return []
    return [raw.decode("latin-1")] if isinstance(raw, bytes) else []


def person_numbers(header: Any) -> frozenset[str]:
    """Returns the numbers of the patient and the examination, folded, to keep out of captions.

    Those of four characters or more with a digit: "1" as a patient's number says nothing about a sentence with a 1 in it.
    """
    from domainclip.captions.names import folded

    found = (str(one).strip() for tag in _NUMBERS for one in _values(header.get(tag)))
    return frozenset(folded(one) for one in found if len(one) >= _SHORTEST_NUMBER and any(c.isdigit() for c in one))


def _values(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value] if value else []


def _said(header: Any, tag: str) -> str:
    """The value as text; an element that cannot be read says nothing."""
    try:
        return str(header.get(tag) or "").strip()
    except Exception:  # noqa: BLE001 - pydicom raises anything at a value that is none of its VR
        return ""


def allowed_facts(header: Any) -> dict[str, str]:
    """Returns the allow-listed facts: modality, body_part, view, sex, age_band, photometric.

    A value that is not of its closed vocabulary is left out, since sloppy systems type names into any field.
    """
    facts: dict[str, str] = {}
    vocabularies = {
        "modality": ("Modality", MODALITIES),
        "body_part": ("BodyPartExamined", _BODY_PARTS),
        "photometric": ("PhotometricInterpretation", PHOTOMETRIC),
        "view": ("ViewPosition", _VIEWS),
        "sex": ("PatientSex", _SEXES),
    }
    for fact, (tag, known) in vocabularies.items():
        value = _said(header, tag).upper()
        if value in known:
            facts[fact] = value
    if band := age_band(_said(header, "PatientAge")):
        facts["age_band"] = band
    return facts
